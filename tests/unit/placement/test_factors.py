"""Every proven factor: recorded exporter text of two nodes, equal but for it, to a changed decision."""

import math
from typing import Any

import pytest

from services.common.node_signals import NODE_SIGNALS
from services.placement.adapters import messages
from services.placement.core.constraints import CONSTRAINTS
from services.placement.core.decision import Reason
from services.placement.core.factors import FACTORS
from services.placement.core.node_factors import NEUTRAL, NUMBER_OF, WEIGHTS
from tests.unit.placement.exporters import names, tell
from tests.unit.placement.worlds import GIB, Cloud, make_node, make_workload, pb

MASKS = {constraint.name for constraint in CONSTRAINTS if constraint.signals}
WEIGHED = [name for name in names() if name not in MASKS]
OF_SIGNALS = [name for name in WEIGHED if name in NUMBER_OF]
#: What a workload has to ask for so that a constraint is looked at.
ASKED: dict[str, dict[str, Any]] = {
    "disk_space_fits": {"resources": {"disk_bytes": 10 * GIB}},
    "gpus_allocatable_fit": {"resources": {"num_gpus": 1}},
    "huge_pages_free": {"resources": {"extended": {"hugepages-2Mi": GIB}}},
    "min_bandwidth": {"constraints": pb.Constraints(min_bandwidth_mbps=500)},
}
CAPACITY = {"disk_bytes": 2.0**41, "num_gpus": 8.0, "hugepages-2Mi": 2.0**36}


def cloud_of(case: str, *nodes: str, **which: str) -> Cloud:
    """Equal nodes, some of which expose the text of a case."""
    made = [make_node(name, cpu=64, memory=256 * GIB, capacity=dict(CAPACITY)) for name in (*nodes, *which)]
    cloud = Cloud(*made)
    tell(cloud, case, **which)
    return cloud


def profile_for(name: str) -> int:
    """One that weighs the factor."""
    power = name in NUMBER_OF and WEIGHTS[0, NUMBER_OF[name]] < WEIGHTS[4, NUMBER_OF[name]]
    return int(pb.PROFILE_POWER if power else pb.PROFILE_BALANCED)


def reason_of(reasons: tuple[Reason, ...], name: str) -> Reason:
    return next(reason for reason in reasons if reason.factor == name)


@pytest.mark.parametrize("better", ["a", "b"])
@pytest.mark.parametrize("name", WEIGHED)
def test_the_better_node_is_chosen_and_says_so(name: str, better: str) -> None:
    """Whichever of the two it is; the factor's share is weight x utility, and all shares add up to the score."""
    worse = "b" if better == "a" else "a"
    cloud = cloud_of(name, **{better: "better", worse: "worse"})
    decision = cloud.place(profile=profile_for(name))
    assert decision.chosen is not None
    assert decision.node == f"host:{better}"
    chosen, other = (reason_of(one.reasons, name) for one in (decision.chosen, decision.alternatives[0]))
    assert chosen.contribution > other.contribution
    assert chosen.value != other.value
    assert chosen.unit == next(one.unit for one in (*NODE_SIGNALS, *FACTORS) if one.name == name)
    for one in (decision.chosen, *decision.alternatives):
        assert one.score == math.fsum(reason.contribution for reason in one.reasons)


@pytest.mark.parametrize("name", OF_SIGNALS)
def test_a_share_is_the_weight_times_how_good_the_value_is(name: str) -> None:
    """Evenly from the best value of the table to its worst, in the unit that the reason names."""
    cloud = cloud_of(name, a="better", b="worse")
    decision = cloud.place(profile=profile_for(name))
    assert decision.chosen is not None
    signal = NODE_SIGNALS[NUMBER_OF[name]]
    weight = WEIGHTS[profile_for(name) - 1, NUMBER_OF[name]]
    for one in (decision.chosen, *decision.alternatives):
        reason = reason_of(one.reasons, name)
        utility = (reason.value - signal.worst) / (signal.best - signal.worst)
        assert reason.contribution == pytest.approx(weight * min(max(utility, 0.0), 1.0), abs=weight * 2**-20)


@pytest.mark.parametrize("name", OF_SIGNALS)
def test_a_node_that_nothing_is_known_of_counts_neutral(name: str) -> None:
    """Half of the factor's weight, between the best and the worst that could be said."""
    cloud = cloud_of(name, "silent", a="better", b="worse")
    decision = cloud.place(profile=profile_for(name))
    assert decision.chosen is not None
    nodes = {one.node: reason_of(one.reasons, name) for one in (decision.chosen, *decision.alternatives)}
    weight = WEIGHTS[profile_for(name) - 1, NUMBER_OF[name]]
    assert math.isnan(nodes["host:silent"].value)
    assert nodes["host:silent"].contribution == weight * NEUTRAL
    assert nodes["host:a"].contribution > nodes["host:b"].contribution


@pytest.mark.parametrize("better", ["a", "b"])
@pytest.mark.parametrize("name", sorted(MASKS))
def test_a_node_that_exporters_rule_out_is_not_chosen(name: str, better: str) -> None:
    """The constraint is named; a node that exporters are silent of passes, unless something was demanded of it."""
    worse = "b" if better == "a" else "a"
    cloud = cloud_of(name, **{better: "better", worse: "worse"})
    decision = cloud.place(workload=make_workload(cpu=1, memory=4 * GIB, **ASKED.get(name, {})))
    assert decision.node == f"host:{better}"
    asked = messages.workload(make_workload(cpu=1, memory=4 * GIB, **ASKED.get(name, {})))
    answers, _ = cloud.engine.score(asked, [f"host:{worse}"], "balanced", with_reasons=False)
    assert answers[0].failed_constraints == (name,)


def test_every_signal_that_counts_is_proven() -> None:
    """A line of the table without recorded text is refused: it would be a claim."""
    counted = {signal.name for signal in NODE_SIGNALS if signal.weight} | MASKS
    assert counted <= set(names())
