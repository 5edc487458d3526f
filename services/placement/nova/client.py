"""One question for all hosts, with a deadline, and a breaker for when nobody answers."""

import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import grpc

from services.common.gen.moselle.placement.v1 import placement_pb2 as pb
from services.common.gen.moselle.placement.v1 import placement_pb2_grpc
from services.placement.nova import request

LOG = logging.getLogger(__name__)
_UNKNOWN = "unknown_node"
_MOST_KEPT = 64
#: Somebody answers, but not this question: no reason to ask nobody.
_ANSWERS = ("INVALID_ARGUMENT", "NOT_FOUND")
#: Scores of all hosts of a large cloud in one answer.
_CHANNEL_OPTIONS = [("grpc.max_receive_message_length", -1)]


class Verdict(NamedTuple):
    """What placement says of a host.

    Attributes:
        score: 0..1; 0 where it is not feasible.
        failed: the constraints that it fails.
    """

    score: float
    failed: tuple[str, ...]


class Breaker:
    """Closed while questions are answered; open, nobody is asked, for a while after several failures in a row.

    Args:
        now: seconds, monotonic.
    """

    def __init__(self, max_failures: int, retry_after_seconds: float, now: Callable[[], float]) -> None:
        self._max_failures = max_failures
        self._retry_after = retry_after_seconds
        self._now = now
        self._failures = 0
        self._open_until = 0.0
        self._lock = threading.Lock()

    def may_ask(self) -> bool:
        """False while it is open. When its time is over one may ask, the others wait for what comes of it."""
        with self._lock:
            if self._failures < self._max_failures:
                return True
            if self._now() < self._open_until:
                return False
            self._open_until = self._now() + self._retry_after
            return True

    def succeeded(self) -> None:
        """Somebody answered: it closes."""
        with self._lock:
            self._failures = 0

    def failed(self) -> bool:
        """Nobody did; True when it opens by this."""
        with self._lock:
            self._failures += 1
            self._open_until = self._now() + self._retry_after
            return self._failures == self._max_failures


class Client:
    """Placement, as a weigher and a filter need it.

    Args:
        settings: the section [moselle].
    """

    def __init__(self, settings: Any, now: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._now = now
        self._breaker = Breaker(settings.max_failures, settings.retry_after_seconds, now)
        self._kept: dict[bytes, tuple[float, dict[str, Verdict]]] = {}
        self._channel: tuple[int, Any] | None = None

    def verdicts(self, hosts: Sequence[Any], spec: Any) -> dict[int, Verdict]:
        """By the hosts' place in the list; those that placement does not know are missing. Empty on any failure.

        Never raises, and takes no longer than `timeout_seconds`.
        """
        try:
            return self._verdicts(hosts, spec)
        except Exception as error:
            LOG.warning("Moselle was not asked: %s", error)
            return {}

    def _verdicts(self, hosts: Sequence[Any], spec: Any) -> dict[int, Verdict]:
        names = [entity_ids(host, self._settings.node_kind) for host in hosts]
        wanted = dict.fromkeys(name for host in names for name in host)
        asked = pb.ScoreRequest(workload=request.workload(spec), profile=request.profile(spec, self._settings.profile))
        known = self._known(asked, wanted)
        found = (
            (place, next((known[name] for name in host if name in known), None)) for place, host in enumerate(names)
        )
        return {place: verdict for place, verdict in found if verdict is not None}

    def _known(self, asked: pb.ScoreRequest, wanted: Iterable[str]) -> Mapping[str, Verdict]:
        """What placement says of these names; of an answer that is young enough, else asked anew."""
        key = asked.SerializeToString(deterministic=True)
        kept = self._kept.get(key)
        if kept is not None and self._now() < kept[0] and all(name in kept[1] for name in wanted):
            return _without_strangers(kept[1])
        if not self._breaker.may_ask():
            return {}
        asked.nodes.extend(wanted)
        answer = self._ask(asked)
        if answer is None:
            return {}
        verdicts = {one.node: Verdict(one.score, tuple(one.failed_constraints)) for one in answer.scores}
        if len(self._kept) >= _MOST_KEPT:
            self._kept.clear()
        self._kept[key] = self._now() + self._settings.reuse_seconds, verdicts
        return _without_strangers(verdicts)

    def _ask(self, asked: pb.ScoreRequest) -> pb.ScoreResponse | None:
        try:
            answer = self._stub().Score(asked, timeout=self._settings.timeout_seconds)
        except grpc.RpcError as error:
            if _code(error) in _ANSWERS:
                self._breaker.succeeded()
                LOG.warning("Moselle refuses to score: %s", error.details())
            elif self._breaker.failed():
                LOG.warning(
                    "Moselle at %s does not answer (%s); asking again in %s s, Nova decides by itself until then",
                    self._settings.address, _code(error), self._settings.retry_after_seconds,
                )  # fmt: skip
            else:
                LOG.debug("Moselle at %s: %s", self._settings.address, _code(error))
            return None
        self._breaker.succeeded()
        return answer

    def _stub(self) -> Any:
        """Made when first needed, and again in a process that was forked since."""
        if self._channel is None or self._channel[0] != os.getpid():
            self._channel = os.getpid(), placement_pb2_grpc.PlacementStub(self._connect())
        return self._channel[1]

    def _connect(self) -> Any:
        settings = self._settings
        if not settings.ca_file:
            return grpc.insecure_channel(settings.address, options=_CHANNEL_OPTIONS)
        files = [_read(name) for name in (settings.ca_file, settings.key_file, settings.cert_file)]
        return grpc.secure_channel(settings.address, grpc.ssl_channel_credentials(*files), options=_CHANNEL_OPTIONS)


def entity_ids(host: Any, kind: str) -> tuple[str, ...]:
    """What placement may call a host: by its node, which Ironic has many of on one host, then by the host."""
    return tuple(dict.fromkeys(f"{kind}:{name}" for name in (host.nodename, host.host) if name))


def _without_strangers(verdicts: Mapping[str, Verdict]) -> dict[str, Verdict]:
    return {name: verdict for name, verdict in verdicts.items() if _UNKNOWN not in verdict.failed}


def _code(error: grpc.RpcError) -> str:
    code = getattr(error, "code", None)
    return str(code().name) if callable(code) else type(error).__name__


def _read(name: str) -> bytes | None:
    if not name:
        return None
    with open(name, "rb") as file:
        return file.read()


_shared: Client | None = None


def shared(make: Callable[[], Client]) -> Client:
    """The process's client: weigher and filter have one breaker and take each other's answers."""
    global _shared
    if _shared is None:
        _shared = make()
    return _shared
