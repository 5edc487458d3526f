"""Signals of nodes in the matrix: what they add to a score, and what their vectors may hold."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.common.node_signals import OF_NODE, OF_WORKLOADS
from services.placement.core.matrix import Rows
from services.placement.core.node_factors import GROUP_SHARES, SIGNALS, WEIGHTS
from services.placement.core.scores import score
from services.placement.core.vectors import LARGEST, together
from services.placement.core.world import World
from services.placement.pipeline import rules_of
from tests.unit.placement.worlds import SETTINGS, START, Cloud, make_features, make_node, make_request

NODE_NAMES = [signal.name for signal in OF_NODE]
WORKLOAD_NAMES = [signal.name for signal in OF_WORKLOADS]
anything = st.floats(allow_nan=True, allow_infinity=True)


def vector(entity_id: str, second: float = 0, parents: tuple[str, ...] = (), **values: float) -> dict[str, Any]:
    """A record of `metrics.node`, or with parents of `metrics.workload`."""
    which = "metrics.workload" if parents else "metrics.node"
    record = make_features(entity_id, second, **values)
    return record | {"feature_set": which, "parent_entity_ids": list(parents)}


@settings(max_examples=30, deadline=None)
@given(st.lists(st.dictionaries(st.sampled_from(NODE_NAMES), anything, max_size=8), min_size=1, max_size=5))
def test_rows_and_the_whole_have_the_same_bits(vectors: list[dict[str, float]]) -> None:
    """Whatever numbers come, in whichever order rows are brought up to date; scores stay within 0 and 1."""
    world = World(rules_of(SETTINGS))
    for number, values in enumerate(vectors):
        world.put_entity(make_node(f"n{number}"))
        world.put_features(vector(f"host:n{number}", **values), START, START)
        world.prepare(START)
        world.matrix.node_scores(0)
    workload = make_request().workload
    whole = score(world.matrix, workload, "balanced").scores
    for row in range(len(vectors)):
        alone = score(Rows(world.matrix, np.array([row])), workload, "balanced").scores
        assert alone[0] == whole[row]
        assert 0.0 <= whole[row] <= 1.0 + 1e-12


def test_groups_keep_their_shares() -> None:
    """What a group's signals weigh together is what the group has, whatever their number."""
    for group, shares in GROUP_SHARES.items():
        numbers = [number for number, one in enumerate(SIGNALS) if one.group == group]
        assert WEIGHTS[:, numbers].sum(axis=1).tolist() == pytest.approx([share / 100 for share in shares], abs=1e-7)


def test_a_signal_that_is_gone_takes_no_part() -> None:
    """Its weight is with the other factors again: the reasons are those of before."""
    cloud = Cloud(make_node("a"), make_node("b"))
    before = cloud.place("r1", is_shadow=True)
    cloud.say(vector("host:a", io_pressure_full=0.5))
    between = cloud.place("r2", is_shadow=True)
    cloud.turn(SETTINGS.features_valid_seconds + 40)
    after = cloud.place("r3", is_shadow=True)
    assert before.chosen is not None
    assert between.chosen is not None
    assert after.chosen is not None
    assert "io_pressure_full" in {reason.factor for reason in between.chosen.reasons}
    assert before.chosen.score == after.chosen.score


def test_workloads_add_up_on_the_node_that_they_name() -> None:
    """Pods of one node, under any of its names; one that moved counts at its new node only."""
    cloud = Cloud(make_node("a", aliases=["a.example.org"]), make_node("b"))
    alias = ("host:a.example.org",)
    cloud.say(vector("pod:x/1", 0, ("host:a",), pod_power=100.0), vector("pod:x/2", 0, alias, pod_power=50.0))
    matrix = cloud.engine._world.matrix
    power, a, b = matrix.node_signal("pod_power"), matrix.row_of["host:a"], matrix.row_of["host:b"]
    assert power[a] == 150.0
    cloud.say(vector("pod:x/1", 10, ("host:b",), pod_power=70.0), vector("pod:x/2", 10, ("host:a",), pod_power=40.0))
    assert (power[a], power[b]) == (40.0, 70.0)


def test_an_exporter_knows_a_kubernetes_node_as_a_host() -> None:
    """`node:n1` hears what is said of host:n1."""
    cloud = Cloud(make_node("n1", entity_id="node:n1", kind="node"))
    cloud.say(vector("host:n1", cpu_steal=0.25))
    assert cloud.engine._world.matrix.node_signal("cpu_steal")[0] == 0.25


def test_an_older_vector_changes_nothing() -> None:
    """Records come again, and out of order."""
    cloud = Cloud(make_node("a"))
    cloud.say(vector("host:a", 20, cpu_steal=0.25), vector("host:a", 10, cpu_steal=0.75))
    assert cloud.engine._world.matrix.node_signal("cpu_steal")[0] == 0.25


def test_a_broken_vector_is_left_out() -> None:
    """Fewer values than names, names that nobody knows, infinities: counted or ignored, never an error."""
    cloud = Cloud(make_node("a"))
    broken = vector("host:a", cpu_steal=0.5) | {"values": []}
    cloud.say(broken, vector("host:a", 10, no_such_signal=1.0, cpu_steal=math.inf, run_queue=2.0))
    matrix = cloud.engine._world.matrix
    assert math.isnan(matrix.node_signal("cpu_steal")[0])
    assert matrix.node_signal("run_queue")[0] == 2.0


@settings(max_examples=30)
@given(st.lists(st.dictionaries(st.sampled_from(WORKLOAD_NAMES), st.floats(-LARGEST, LARGEST)), min_size=1, max_size=4))
def test_workloads_together_are_known_where_one_is(told: list[dict[str, float]]) -> None:
    """Something over what is known; nothing where nobody knows."""
    values = np.array([[one.get(name, math.nan) for name in WORKLOAD_NAMES] for one in told])
    assert (np.isnan(together(values)) == np.isnan(values).all(axis=0)).all()


def test_what_is_said_is_forgotten_when_it_is_too_old() -> None:
    """Of a pod that ended, its node is told nothing more."""
    cloud = Cloud(make_node("a"))
    cloud.say(vector("pod:x/1", 0, ("host:a",), pod_power=100.0))
    cloud.turn(SETTINGS.features_valid_seconds + 1)
    cloud.say(vector("host:a", 130, cpu_steal=0.1))
    assert math.isnan(cloud.engine._world.matrix.node_signal("pod_power")[0])
