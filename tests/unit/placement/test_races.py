"""Callers at the same time, on one replica and on three that share one log: what is held is never too much.

Checked by `violations`, which shares no code with the engine.
"""

import sys
import threading
from datetime import datetime
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from moselle.placement_check import placements_of, violations
from services.common.clock import FakeClock, from_micros
from services.placement.core.decision import Decision
from services.placement.errors import InvalidRequest
from tests.unit.placement.test_properties import as_json, nodes, workloads
from tests.unit.placement.worlds import START, Cloud, make_batch, make_node, make_request, make_workload

NUM_REPLICAS = 3


class TickingClock(FakeClock):
    """Each look at it is a microsecond later than the last, so that what was first can be told."""

    def now(self) -> datetime:
        self.advance(1e-6)
        return super().now()


def call_at_once(calls: list[Any]) -> None:
    """Each on a thread of its own, with as many changes between them as there can be."""
    begin = threading.Barrier(len(calls))

    def run(call: Any) -> None:
        begin.wait()
        call()

    threads = [threading.Thread(target=run, args=(call,)) for call in calls]
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)


def test_what_is_there_is_given_away_once() -> None:
    """Six callers ask for 36 cores of the 16 that there are: sixteen get one."""
    inventory = [make_node("n1", cpu=8), make_node("n2", cpu=8)]
    cloud = Cloud(*inventory, clock=TickingClock(from_micros(START)))
    placed: list[str] = []

    def ask(number: int) -> None:
        for turn in range(6):
            placed.append(cloud.place(f"r{number}-{turn}", make_workload(cpu=1, memory=0)).node)

    call_at_once([lambda number=number: ask(number) for number in range(6)])
    assert (len(placed), len([node for node in placed if node])) == (36, 16)
    assert violations(inventory, placements_of(cloud.placements())) == []


@settings(max_examples=25)
@given(nodes(), st.lists(st.lists(workloads(), min_size=1, max_size=4), min_size=2, max_size=4), st.booleans())
def test_callers_at_once_never_get_the_same_room(
    inventory: list[dict[str, Any]], asked: list[list[Any]], is_gang: bool
) -> None:
    """Single questions, batches and releases on threads of one replica: no node is over, no constraint is broken."""
    cloud = Cloud(*inventory, clock=TickingClock(from_micros(START)))

    def ask(number: int) -> None:
        try:
            cloud.engine.place_batch(make_batch(f"b{number}", asked[number]), is_gang)
            for place, workload in enumerate(asked[number]):
                if cloud.place(f"r{number}-{place}", workload).node and place % 2:
                    cloud.engine.release(f"r{number}-{place}", "completed", "", 0)
        except InvalidRequest:
            return

    call_at_once([lambda number=number: ask(number) for number in range(len(asked))])
    assert violations(inventory, placements_of(cloud.placements())) == []


class ThreeReplicas(RuleBasedStateMachine):
    """Requests to any of three replicas, which read each other when the rules say so, not before."""

    @initialize(cores=st.lists(st.sampled_from([1, 2, 4]), min_size=1, max_size=3))
    def begin(self, cores: list[int]) -> None:
        self.inventory = [make_node(f"n{number}", cpu=cpu) for number, cpu in enumerate(cores)]
        self.cloud = Cloud(*self.inventory, clock=TickingClock(from_micros(START)))
        for _ in range(NUM_REPLICAS - 1):
            self.cloud.start()
        self.made: dict[str, tuple[Decision, Any]] = {}
        self.kept: list[str] = []
        self.num_asked = 0

    @rule(cpu=st.sampled_from([0.5, 1, 2]), group=st.sampled_from(["", "g"]))
    def race(self, cpu: float, group: str) -> None:
        """The same is asked of all of them before they read each other."""
        for which in range(NUM_REPLICAS):
            self.place(which, cpu, group)

    @rule(which=st.integers(0, 2), cpu=st.sampled_from([0.5, 1, 2]), group=st.sampled_from(["", "g"]))
    def place(self, which: int, cpu: float, group: str) -> None:
        workload = make_workload(cpu=cpu, memory=0, constraints={"anti_affinity_group": group})
        self.num_asked += 1
        request = make_request(f"r{self.num_asked}", workload)
        decision = self.cloud.replicas[which].place(request)
        self.made[request.request_id] = decision, workload

    @rule()
    def read(self) -> None:
        self.cloud.turn()

    @rule(which=st.integers(0, 2))
    def restart(self, which: int) -> None:
        self.cloud.replicas[which] = self.cloud.start()
        self.cloud.replicas.pop()

    @rule(which=st.lists(st.integers(0, 2), min_size=40, max_size=40))
    def confirm_all(self, which: list[int]) -> None:
        """The orchestrator binds in the order of the decisions, and lets go of what no longer fits."""
        self.cloud.turn()
        for number, (request_id, (decision, _)) in enumerate(self.made.items()):
            if not decision.node or request_id in self.kept or number >= len(which):
                continue
            engine = self.cloud.replicas[which[number]]
            if engine.confirm(request_id, decision.node, decision.node_version) == ():
                self.kept.append(request_id)
            else:
                engine.release(request_id, "failed", "", 0)
                self.made[request_id] = decision, None
        self.made = {name: (one, load) for name, (one, load) in self.made.items() if load is not None}
        self.cloud.turn()

    @invariant()
    def what_was_confirmed_fits(self) -> None:
        """Capacity and groups hold for all that Confirm has said yes to."""
        running = [
            {"request_id": name, "node": self.made[name][0].node, "workload": as_json(self.made[name][1])}
            for name in getattr(self, "kept", ())
        ]
        assert violations(getattr(self, "inventory", ()), running) == []

    def teardown(self) -> None:
        """Once all have read everything, all hold the same."""
        if not hasattr(self, "cloud"):
            return
        self.cloud.turn()
        held = []
        for engine in self.cloud.replicas:
            matrix = engine._world.matrix
            held.append(dict(zip(matrix.ids, matrix.allocated("cpu_cores").tolist(), strict=True)))
        assert held == [held[0]] * NUM_REPLICAS


TestThreeReplicas = ThreeReplicas.TestCase
TestThreeReplicas.settings = settings(max_examples=40, stateful_step_count=15)
