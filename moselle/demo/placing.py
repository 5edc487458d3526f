"""Asks the real placement service for nodes while the recording is replayed, and keeps what it answered."""

import re
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from moselle.demo.story import Json, PlacementStory
from moselle.inventory import nodes_of_capture
from moselle.place import DIRECTLY
from services.common.errors import SettingsInvalid
from services.common.matching import Fault

#: Wall seconds between two requests: while a compute host is in trouble, and otherwise.
_PAUSE_IN_TROUBLE, _PAUSE = 0.1, 0.5
_TIMEOUT_SECONDS = 5.0
#: Workloads held at once; the oldest ends when one more comes.
_MAX_RUNNING = 9
_COMPUTE_HOST = re.compile(r"\bcompute-\d+\b")
#: What each workload asks for.
CPU_CORES, MEMORY_BYTES = 1.0, 2 * 2**30


@dataclass(frozen=True, slots=True)
class Ask:
    """One request and its answer.

    Attributes:
        event_epoch: the stream's own time when it was asked, seconds since 1970.
        milliseconds: from call to answer, at the client.
        node: the chosen node, empty when none was feasible.
        mode, reason, alternatives: of the decision.
        trouble: compute hosts that a labelled fault was hitting at that time.
        why_not: when it avoided a troubled host, the engine's own words on why that one was not chosen.
        failure: the gRPC status when there was no answer, or when what followed an answer failed.
    """

    request_id: str
    event_epoch: float
    milliseconds: float
    node: str = ""
    score: float = 0.0
    mode: str = ""
    reason: str = ""
    alternatives: tuple[str, ...] = ()
    trouble: tuple[str, ...] = ()
    why_not: str = ""
    failure: str = ""

    @property
    def avoided(self) -> bool:
        """Whether it was asked in trouble and chose a node that is none of the troubled ones."""
        return bool(self.trouble and self.node) and self.node not in self.trouble


def troubled_hosts(label: Json) -> tuple[str, ...]:
    """The compute hosts that a label says its fault hits: named in its note or its events, e.g. compute-3.

    >>> troubled_hosts({"service": "nova-compute", "note": "nova-compute-3 killed", "events": []})
    ('host:compute-3',)
    """
    if label["service"] != "nova-compute":
        return ()
    said = " ".join([str(label.get("note", "")), *(str(event.get("event", "")) for event in label.get("events", ()))])
    return tuple(f"host:{name}" for name in sorted(set(_COMPUTE_HOST.findall(said))))


def has_compute_hosts(folder: Path) -> bool:
    """Whether a recording names hosts to place workloads on; without, every request is answered with none."""
    try:
        return bool(nodes_of_capture(folder))
    except SettingsInvalid:
        return False


@dataclass
class Asker:
    """Asks from a thread of its own until it is closed.

    Args:
        address: host:port of the placement service.
        labels: of the recording.
        event_epoch: the stream's own time now, seconds since 1970; 0 before it begins.
    """

    address: str
    labels: Sequence[Json]
    event_epoch: Callable[[], float]
    asks: list[Ask] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._faults = [(Fault.from_label(label), troubled_hosts(label)) for label in self.labels]
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="placing", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Asks no more."""
        self._is_over.set()
        self._thread.join(2 * _TIMEOUT_SECONDS)

    def _run(self) -> None:
        import grpc

        from services.common.gen.moselle.placement.v1 import placement_pb2 as pb
        from services.common.gen.moselle.placement.v1 import placement_pb2_grpc as rpc

        running: deque[str] = deque()
        with grpc.insecure_channel(self.address, options=DIRECTLY) as channel:
            stub = rpc.PlacementStub(channel)
            while not self._is_over.is_set():
                epoch = self.event_epoch()
                trouble = self._trouble(epoch)
                if epoch:
                    self._ask(stub, pb, grpc.RpcError, epoch, trouble, running)
                self._is_over.wait(_PAUSE_IN_TROUBLE if trouble else _PAUSE)

    def _trouble(self, epoch: float) -> tuple[str, ...]:
        now = round(epoch * 1e6)
        return tuple(host for fault, hosts in self._faults if fault.start <= now <= fault.end for host in hosts)

    def _ask(
        self, stub: Any, pb: Any, error_kind: Any, epoch: float, trouble: tuple[str, ...],
        running: deque[str],
    ) -> None:  # fmt: skip
        request_id = f"demo-{len(self.asks)}"
        began = time.perf_counter()
        try:
            decision = stub.Place(_request(pb, request_id), timeout=_TIMEOUT_SECONDS).decision
        except error_kind as error:
            spent = 1000 * (time.perf_counter() - began)
            self.asks.append(Ask(request_id, epoch, spent, trouble=trouble, failure=str(error.code())))
            return
        spent = 1000 * (time.perf_counter() - began)
        self.asks.append(_answered(request_id, epoch, spent, trouble, decision, pb))
        try:
            self._ask_why(stub, pb)
            if decision.node:
                self._keep(stub, pb, request_id, decision.node, running)
        except error_kind as error:
            # The decision stands; what failed was said of it afterwards, and its room becomes free by itself.
            self.asks[-1] = replace(self.asks[-1], failure=str(error.code()))

    def _ask_why(self, stub: Any, pb: Any) -> None:
        """Once a fault: why not the host in trouble."""
        ask = self.asks[-1]
        if ask.avoided and not any(other.why_not and other.trouble == ask.trouble for other in self.asks):
            request = pb.ExplainRequest(request_id=ask.request_id, node=ask.trouble[0])
            self.asks[-1] = replace(ask, why_not=stub.Explain(request, timeout=_TIMEOUT_SECONDS).text)

    def _keep(self, stub: Any, pb: Any, request_id: str, node: str, running: deque[str]) -> None:
        """The orchestrator's part: it binds the workload where it was told, and ends the oldest one."""
        stub.Confirm(pb.ConfirmRequest(request_id=request_id, node=node), timeout=_TIMEOUT_SECONDS)
        running.append(request_id)
        if len(running) > _MAX_RUNNING:
            ended = pb.ReleaseRequest(request_id=running.popleft(), outcome=pb.OUTCOME_COMPLETED)
            stub.Release(ended, timeout=_TIMEOUT_SECONDS)


def _request(pb: Any, request_id: str) -> Any:
    workload = pb.Workload(
        workload_id=f"instance-{request_id}",
        name=request_id,
        requests=pb.Resources(cpu_cores=CPU_CORES, memory_bytes=MEMORY_BYTES),
        owner="demo",
    )
    return pb.PlaceRequest(request_id=request_id, workload=workload)


def _answered(
    request_id: str, epoch: float, milliseconds: float, trouble: tuple[str, ...], decision: Any, pb: Any
) -> Ask:
    return Ask(
        request_id, epoch, milliseconds, decision.node, decision.score, pb.Mode.Name(decision.mode),
        _reason(decision), tuple(candidate.node for candidate in decision.alternatives), trouble,
    )  # fmt: skip


def _reason(decision: Any) -> str:
    reasons = decision.reasons
    return str(reasons[0].text) if reasons else ""


def figures(asks: Iterable[Ask], violations: int) -> Json:
    """The `placement` of demo-report.json.

    Returns:
        decisions (answers with a node), violations (found by a checker of its own), p99_ms (at the client; None when
        nothing was asked), avoided_faulty (decisions made while a fault was hitting a compute host that chose another
        host), asked_during_host_faults (how many such decisions there were), avoided_by_chance (how many a blind choice
        among all candidates would have avoided), unanswered.
    """
    asked = list(asks)
    decided = [ask for ask in asked if ask.node]
    troubled = [ask for ask in decided if ask.trouble]
    times = sorted(ask.milliseconds for ask in asked if ask.node or not ask.failure)
    return {
        "decisions": len(decided),
        "violations": violations,
        "p99_ms": round(times[min(len(times) - 1, int(0.99 * len(times)))], 2) if times else None,
        "avoided_faulty": sum(ask.avoided for ask in troubled),
        "asked_during_host_faults": len(troubled),
        "avoided_by_chance": round(sum(_chance(ask) for ask in troubled), 1),
        "unanswered": len(asked) - len(decided),
    }


def stories(asks: Iterable[Ask]) -> list[PlacementStory]:
    """Every decision, for the page."""
    return [
        PlacementStory(ask.event_epoch, ask.node, ask.trouble, ask.avoided, ask.reason, ask.why_not)
        for ask in asks
        if ask.node
    ]


def _chance(ask: Ask) -> float:
    """The share of the nodes that could have been chosen which no fault was hitting."""
    nodes = {ask.node, *ask.alternatives}
    return len(nodes - set(ask.trouble)) / len(nodes)
