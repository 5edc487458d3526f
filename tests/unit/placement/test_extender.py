"""What a scheduler of Kubernetes is told: recorded conversations, marks, refusals, and what is never a veto."""

import json
import threading
from collections import Counter
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.placement.adapters.extender import Extender
from services.placement.adapters.messages import raw_request, read_place_request
from services.placement.core.constraints import CONSTRAINTS
from services.placement.core.kube.advice import _KNOWN_TO_KUBERNETES, _SOFT, DEMANDED, NOBODY_REFUSED, Adviser, Passed
from services.placement.core.kube.marks import NEUTRAL, marks_of
from services.placement.core.kube.pods import asked_by
from services.placement.core.workload import PlaceRequest
from tests.unit.placement.kube import (
    Json,
    Scheduler,
    ask,
    bound,
    make_entity,
    make_node_object,
    make_pod,
    read,
    recorded,
    scheduler,
)
from tests.unit.placement.worlds import GIB, Cloud, make_alert, make_prediction

NAMES = ["n1", "n2", "n3"]
DEMAND = {"metadata": {"annotations": {"moselle.io/max-latency-ms": "5"}}}


def recorded_scheduler(live_percent: int = 100) -> Scheduler:
    """Beside the twenty nodes of the recorded conversations."""
    nodes = json.loads(recorded("nodes", "filter"))["Nodes"]["items"]
    side = Scheduler(Cloud(), live_percent)
    side.nodes.listed([msgspec.Raw(json.dumps(node).encode()) for node in nodes])
    return side


@pytest.mark.parametrize("kind", ["names", "nodes"])
def test_a_recorded_conversation_is_answered_in_full(kind: str) -> None:
    """filter lets all twenty nodes pass in the form that they came in; prioritize marks each of them, one with 10."""
    extender = recorded_scheduler().extender
    question = json.loads(recorded(kind, "filter"))
    passed = json.loads(extender.answer("filter", recorded(kind, "filter")).body)
    assert set(passed) == {"Nodes", "NodeNames", "FailedNodes", "FailedAndUnresolvableNodes", "Error"}
    assert passed["NodeNames"] == question["NodeNames"]
    assert (passed["Nodes"] or {}).get("items") == (question["Nodes"] or {}).get("items")
    marks = json.loads(extender.answer("prioritize", recorded(kind, "prioritize")).body)
    assert len({one["Host"] for one in marks}) == 20
    assert all(isinstance(one["Score"], int) and 0 <= one["Score"] <= 10 for one in marks)
    assert [one["Score"] for one in marks].count(10) == 1


def test_one_pod_after_the_other_goes_to_another_node() -> None:
    """What was just placed counts before the API server tells of it: thirty pods on twenty nodes, at most two each."""
    side = recorded_scheduler()
    names = json.loads(recorded("names", "filter"))["NodeNames"]
    best: Counter[str] = Counter()
    for number in range(30):
        marks = side.marks(make_pod(f"p{number}"), names)
        best[max(marks, key=lambda name: marks[name])] += 1
        side.cloud.clock.advance(0.01)
    assert max(best.values()) <= 2


def test_marks_fall_as_a_node_fills() -> None:
    """The same question again after a node was filled: its mark is lower, the others' are not."""
    side = scheduler(*NAMES)
    before = side.marks(make_pod("p0"), NAMES)
    for number in range(4):
        side.see(bound(make_pod(f"x{number}", cpu="1500m", memory="3Gi"), "n2"))
    after = side.marks(make_pod("p0"), NAMES)
    assert after["n2"] < min(after["n1"], after["n3"])
    assert after["n2"] < before["n2"] or before["n2"] == 10


def test_a_node_in_trouble_gets_a_low_mark() -> None:
    """Alerts count."""
    side = scheduler(*NAMES)
    side.cloud.say(make_alert("node:n1"))
    marks = side.marks(make_pod(), NAMES)
    assert marks["n1"] < min(marks["n2"], marks["n3"])


def test_a_node_that_cannot_hold_the_pod_is_refused_with_the_reason() -> None:
    """When others are left, and ending pods could change it."""
    side = scheduler(*NAMES)
    side.see(bound(make_pod("big", cpu="8"), "n1"))
    answer = side.filter(make_pod(), NAMES)
    assert answer["NodeNames"] == ["n2", "n3"]
    assert answer["FailedNodes"] == {"n1": "moselle: cpu_request_fits"}
    assert side.marks(make_pod(), NAMES)["n1"] == 0


def test_when_nothing_fits_here_everything_passes() -> None:
    """The scheduler has checked the room itself: when we see none, it is we who are wrong."""
    side = scheduler(*NAMES)
    answer = side.filter(make_pod(cpu="900"), NAMES)
    assert (answer["NodeNames"], answer["FailedNodes"]) == (NAMES, {})
    assert set(side.marks(make_pod(cpu="900"), NAMES).values()) == {NEUTRAL}


def test_what_a_pod_demands_by_annotation_may_refuse_everything() -> None:
    """That is no mistake: nobody promises the latency. Ending other pods would not help."""
    side = scheduler(*NAMES)
    answer = side.filter(make_pod(**DEMAND), NAMES)
    assert answer["NodeNames"] == []
    assert answer["FailedAndUnresolvableNodes"] == dict.fromkeys(NAMES, "moselle: max_latency")
    body = json.dumps({"Pod": make_pod(**DEMAND), "NodeNameToMetaVictims": {"n1": {"Pods": []}}}).encode()
    assert json.loads(side.extender.answer("preempt", body).body) == {"NodeNameToMetaVictims": {}}


def test_taints_refuse_nothing_since_the_scheduler_knows_them() -> None:
    """They make a mark 0."""
    side = Scheduler(
        Cloud(make_entity("n1", spec={"taints": [{"key": "k", "effect": "NoSchedule"}]}), make_entity("n2"))
    )
    assert side.filter(make_pod(), ["n1", "n2"])["NodeNames"] == ["n1", "n2"]
    assert side.marks(make_pod(), ["n1", "n2"])["n1"] == 0


def test_every_constraint_has_its_place() -> None:
    """A new constraint refuses nothing by mistake: it is put into one of the three sets by hand."""
    assert {one.name for one in CONSTRAINTS} == _KNOWN_TO_KUBERNETES | _SOFT | DEMANDED
    assert DEMANDED == {
        "single_numa_node", "required_regions", "excluded_regions", "min_security_level", "max_latency",
        "min_bandwidth", "max_cost_per_hour", "min_uptime_ratio",
    }  # fmt: skip


def test_unknown_nodes_pass_with_a_middling_mark() -> None:
    """A node that the watch has not told of yet."""
    side = scheduler("n1")
    assert side.filter(make_pod(), ["n1", "new"])["NodeNames"] == ["n1", "new"]
    assert side.marks(make_pod(), ["n1", "new"]) == {"n1": 10, "new": NEUTRAL}
    assert side.marks(make_pod(), ["new", "newer"]) == {"new": NEUTRAL, "newer": NEUTRAL}


def test_shadow_pods_get_equal_marks_and_a_record() -> None:
    """All pass, nothing is reserved, and what we would have done is written down."""
    side = scheduler(*NAMES, live_percent=0)
    side.cloud.say(make_alert("node:n1"))
    assert side.filter(make_pod(**DEMAND), NAMES)["NodeNames"] == NAMES
    assert set(side.marks(make_pod(), NAMES).values()) == {NEUTRAL}
    assert (side.decisions[0].mode, side.decisions[0].node in ("node:n2", "node:n3")) == ("shadow", True)
    assert side.held(side.decisions[0].node.removeprefix("node:")) == 0.0


@pytest.mark.parametrize(("percent", "low", "high"), [(10, 60, 140), (50, 420, 580), (100, 1000, 1000)])
def test_the_share_of_live_pods_is_as_set(percent: int, low: int, high: int) -> None:
    """By the UID, so the same pod is live on every replica, and who is live at 10 % is so at 50 %."""
    advisers = [scheduler("n1", live_percent=one).adviser for one in (percent, percent, 100)]
    live = [[adviser.is_live(f"8f7e-{number}") for number in range(1000)] for adviser in advisers]
    assert low <= sum(live[0]) <= high
    assert live[0] == live[1]
    assert all(later or not earlier for earlier, later in zip(live[0], live[2], strict=True))


def test_a_live_decision_holds_room_until_the_pod_is_bound_elsewhere() -> None:
    """The watch's word on the pod replaces what was reserved."""
    side = scheduler(*NAMES)
    marks = side.marks(make_pod(cpu="2"), NAMES)
    best = max(marks, key=lambda name: marks[name])
    other = next(name for name in NAMES if name != best)
    assert side.held(best) == 2.0
    side.see(bound(make_pod(cpu="2"), other))
    assert (side.held(best), side.held(other)) == (0.0, 2.0)
    assert side.agreements == [(side.decisions[0].mode, False)]


def test_a_pod_that_is_asked_about_again_does_not_count_twice() -> None:
    """A scheduler tries a pod again after a failure."""
    side = scheduler("n1", "n2")
    for _ in range(3):
        side.filter(make_pod(cpu="2"), ["n1", "n2"])
        side.marks(make_pod(cpu="2"), ["n1", "n2"])
        side.cloud.clock.advance(1)
    assert side.held("n1") + side.held("n2") == 2.0


def test_with_one_node_left_filter_is_the_decision() -> None:
    """The scheduler does not ask for marks then."""
    side = scheduler("n1")
    side.filter(make_pod(cpu="2"), ["n1"])
    assert [one.node for one in side.decisions] == ["node:n1"]
    assert side.held("n1") == 2.0


def test_a_decision_says_why() -> None:
    """With every factor's share, and the mode of the gRPC interface: live when a forecast speaks."""
    side = scheduler("n1", "n2")
    side.cloud.say(make_prediction("node:n1"), make_prediction("node:n2"))
    side.marks(make_pod(), ["n1", "n2"])
    decision = side.decisions[0]
    assert decision.mode == "live"
    assert decision.chosen is not None
    assert decision.chosen.score == pytest.approx(sum(reason.contribution for reason in decision.chosen.reasons))
    assert all(reason.text for reason in decision.chosen.reasons)


def test_what_is_recorded_of_a_pod_can_be_read_by_other_replicas() -> None:
    """As protobuf and back, the workload is the same."""
    pod = make_pod(cpu="100m", spec={"tolerations": [{"key": "k", "operator": "Exists"}], "nodeSelector": {"a": "b"}},
                   metadata={"annotations": {"moselle.io/max-latency-ms": "5"}})  # fmt: skip
    workload = asked_by(read(pod)).workload
    request = PlaceRequest("r", workload, "power", 3, True)
    again = read_place_request(raw_request(request))
    assert (again.workload, again.profile, again.is_shadow) == (workload, "power", True)


def test_stale_knowledge_gives_neutral_answers() -> None:
    """After too long without Kafka we have no say; every pod is still placed."""
    side = scheduler(*NAMES)
    side.cloud.clock.advance(31)
    assert side.filter(make_pod(**DEMAND), NAMES)["NodeNames"] == NAMES
    assert set(side.marks(make_pod(), NAMES).values()) == {NEUTRAL}


def test_a_busy_world_gives_neutral_answers_and_then_rests() -> None:
    """Three late answers in a row open the circuit; after a rest one question is tried again."""
    side = scheduler(*NAMES)
    is_held, may_go = threading.Event(), threading.Event()

    def hold() -> None:
        with side.reading.lock:
            is_held.set()
            may_go.wait(60)

    thread = threading.Thread(target=hold)
    thread.start()
    is_held.wait(60)
    answers = [side.marks(make_pod(), NAMES) for _ in range(3)]
    may_go.set()
    thread.join()
    answers.append(side.marks(make_pod(), NAMES))
    assert all(set(marks.values()) == {NEUTRAL} for marks in answers)
    assert side.circuit.is_open
    side.cloud.clock.advance(3)
    side.cloud.turn()
    assert max(side.marks(make_pod(), NAMES).values()) == 10


def test_a_mistake_of_ours_is_no_veto(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is raised inside, the scheduler gets a neutral answer."""
    side = scheduler(*NAMES)

    def broken(self: Adviser, asked: Any, names: Any) -> Passed:
        raise RuntimeError("broken")

    monkeypatch.setattr(Adviser, "filter", broken)
    assert side.filter(make_pod(), NAMES)["NodeNames"] == NAMES


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{}", b"null", b'{"Pod":{},"Nodes":null,"NodeNames":null}', b'{"Pod":{},"NodeNames":"n1"}', b"{",
     b"[" * 100_000, b'{"Pod":{},"Nodes":{"items":[{}]}}', b"\xff\xfe", b'{"Pod":{},"NodeNames":[1]}'],
)  # fmt: skip
@pytest.mark.parametrize("verb", ["filter", "prioritize"])
def test_what_is_no_request_is_refused_with_a_sentence(verb: str, body: bytes) -> None:
    """Never an answer without nodes, which would be a veto."""
    answer = scheduler("n1").extender.answer(verb, body)
    assert answer.status == 400
    assert answer.body.startswith(b"this is no request of the extender's verb")


@pytest.mark.parametrize(
    "pod",
    [{}, None, [], {"spec": {"containers": [{"resources": {"requests": {"cpu": "lots"}}}]}}, {"metadata": {"name": 3}},
     make_pod("x" * 10_000), make_pod(spec={"priority": "high"})],
)  # fmt: skip
def test_a_pod_that_cannot_be_read_gets_a_neutral_answer(pod: Any) -> None:
    """The nodes can be read, so the pod is not held up."""
    side = scheduler(*NAMES)
    body = json.dumps({"Pod": pod, "NodeNames": NAMES}).encode()
    assert json.loads(side.extender.answer("filter", body).body)["NodeNames"] == NAMES
    marks = json.loads(side.extender.answer("prioritize", body).body)
    assert {one["Host"] for one in marks} == set(NAMES)


def test_names_may_hold_anything_and_stand_twice() -> None:
    """Quotes, control characters, repeats, none at all."""
    side = scheduler("n1")
    names = ['a"b\\c\n', "n1", "n1", "é", ""]
    assert side.filter(make_pod(), names)["NodeNames"] == names
    assert set(side.marks(make_pod(), names)) == set(names)
    assert side.filter(make_pod(), [])["NodeNames"] == []
    assert side.marks(make_pod(), []) == {}


def test_preemption_keeps_its_nodes_in_the_short_form() -> None:
    """Whole victims come back as their UIDs; a node out of service is left out while others are left."""
    side = Scheduler(
        Cloud(make_entity("n1", metadata={"labels": {"moselle.io/unschedulable": "true"}}), make_entity("n2"))
    )
    victims = {"Pods": [make_pod("v", uid="u1")], "NumPDBViolations": 2}
    body = json.dumps({"Pod": make_pod(), "NodeNameToVictims": {"n1": victims, "n2": victims}}).encode()
    short = {"Pods": [{"UID": "u1"}], "NumPDBViolations": 2}
    assert json.loads(side.extender.answer("preempt", body).body) == {"NodeNameToMetaVictims": {"n2": short}}
    only = json.dumps({"Pod": make_pod(), "NodeNameToMetaVictims": {"n1": short}}).encode()
    assert json.loads(side.extender.answer("preempt", only).body) == {"NodeNameToMetaVictims": {"n1": short}}


def test_binding_says_what_the_api_server_said() -> None:
    """The arguments in their order, and its complaint; without an API server the verb is refused."""
    asked: list[tuple[str, ...]] = []

    def bind(*given: str) -> str:
        asked.append(given)
        return "it is bound already"

    body = b'{"PodName":"p","PodNamespace":"s","PodUID":"u","Node":"n1"}'
    desk = scheduler("n1").desk
    assert json.loads(Extender(desk, bind).answer("bind", body).body) == {"Error": "it is bound already"}
    assert asked == [("s", "p", "u", "n1")]
    assert Extender(desk).answer("bind", body).status == 400


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30), st.data())
def test_marks_keep_the_order_of_scores(scores: list[float], data: st.DataObject) -> None:
    """Whole numbers 0..10: 10 for the chosen one alone, 0 for who cannot, never higher for a lower score."""
    feasible = data.draw(st.lists(st.booleans(), min_size=len(scores), max_size=len(scores)))
    able = [number for number, can in enumerate(feasible) if can]
    if not able:
        return
    best = max(able, key=lambda number: scores[number])
    marks = marks_of(np.array(scores), np.array(feasible), best).tolist()
    assert all(0 <= mark <= 10 for mark in marks)
    assert [number for number, mark in enumerate(marks) if mark == 10] == [best]
    assert all((mark == 0) != can for mark, can in zip(marks, feasible, strict=True))
    ordered = sorted((number for number in able if number != best), key=lambda number: scores[number])
    assert [marks[number] for number in ordered] == sorted(marks[number] for number in ordered)


@given(st.lists(st.sampled_from(["filter", "prioritize", "preempt", "bind"]), min_size=1), st.binary(max_size=200))
def test_any_body_is_answered(verbs: list[str], body: bytes) -> None:
    """200 or 400, whatever comes."""

    class Nobody:
        def filter(self, pod: Any, names: Any) -> Passed:
            return NOBODY_REFUSED

        def prioritize(self, pod: Any, names: Any) -> list[int]:
            return [NEUTRAL] * len(names)

        def preempt(self, pod: Any, names: Any) -> list[str]:
            return list(names)

    assert {Extender(Nobody()).answer(verb, body).status for verb in verbs} <= {200, 400}


def test_a_node_of_a_megabyte_and_twenty_thousand_names_are_answered() -> None:
    """Sizes that no scheduler sends."""
    side = scheduler("n1")
    names = [f"n{number}" for number in range(20_000)]
    assert len(side.marks(make_pod(), names)) == 20_000
    node: Json = make_node_object("n1", metadata={"name": "n1", "annotations": {"a": "x" * GIB.bit_length() * 30_000}})
    body = json.dumps({"Pod": make_pod(), "Nodes": {"items": [node]}}).encode()
    assert json.loads(side.extender.answer("filter", body).body)["Nodes"]["items"] == [node]
    assert side.extender.answer("filter", ask(make_pod(), ["n1"])).status == 200
