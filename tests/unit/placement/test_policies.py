"""What plays in the simulated world: always feasible, and the oracle ahead of chance."""

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from services.common.broker.abstract import Record
from services.common.codec import Codec
from services.common.settings import read_settings
from services.placement.settings import PlacementSettings
from services.placement.train.engine_policy import Known, Moselle
from services.placement.train.physics import SCENARIOS, Ask, Detector, Seen, Simulation, Size, Truth, World
from services.placement.train.policies import BASELINES, FirstFit, KubeDefault, Oracle, RoundRobin
from services.placement.train.simulate import (
    POLICIES,
    Plan,
    figures,
    interval,
    makers,
    same_as_moselle,
    simulate,
    summary,
)
from tests.unit.placement.simulated import SMALL, make_lists, make_world


def played(policy: Any, world: World) -> Any:
    return Simulation(world, policy).run()


def seen_with(policy: Any, *held: tuple[float, float]) -> Any:
    """A policy that looks at nodes of 16 cores and 64 GiB of which this much is held."""
    world = make_world(size=Size(len(held)))
    seen = Seen(world)
    seen.held_cpu[:], seen.held_memory[:] = np.array(held).T
    policy.begin(seen, Truth(world, seen))
    return policy


@pytest.mark.parametrize("scenario", sorted(SCENARIOS))
def test_nobody_chooses_a_node_without_room(scenario: str) -> None:
    """Every policy, in every scenario: no violation, and every judged pod ends."""
    world = make_world(scenario, size=Size(4, 300.0, 900.0, 300.0))
    for name, make in makers(None).items():
        outcome = played(make(1), world)
        assert outcome.violations == 0, name
        assert not np.isnan(outcome.end[world.is_judged]).any(), name


def test_the_oracle_beats_chance_on_average() -> None:
    """Over six worlds with faults and slow nodes pods end sooner than at random."""
    size = Size(20, 900.0, 3600.0, 600.0)
    worlds = [make_world("F", seed, size) for seed in range(6)]
    oracle, random = (
        [figures(world, played(make(1), world))["mean_completion"] for world in worlds]
        for make in (Oracle, BASELINES["random"])
    )
    assert np.mean(oracle) < 0.9 * np.mean(random)


def test_round_robin_takes_turns_and_skips_the_full() -> None:
    """The second of three nodes is full."""
    policy = seen_with(RoundRobin(1), (0, 0), (16_000, 0), (0, 0))
    assert [policy.place(Ask(0, 1000.0, 1.0)) for _ in range(4)] == [0, 2, 0, 2]


def test_fits_choose_as_they_are_called() -> None:
    """First fit the first, best fit the fullest, least allocated the emptiest, balanced the evenest."""
    held = ((4000.0, 16_384.0), (12_000.0, 40_000.0), (2000.0, 0.0))
    chosen = {name: seen_with(make(1), *held).place(Ask(0, 2000.0, 8192.0)) for name, make in BASELINES.items()}
    assert (chosen["first_fit"], chosen["best_fit"], chosen["least_allocated"], chosen["balanced"]) == (0, 1, 2, 0)


def test_kubernetes_score_is_whole_and_forgets_balance_without_requests() -> None:
    """By hand: 16 cores and 64 GiB, 4 cores and 8 GiB held, 4 cores and 8 GiB asked for."""
    policy = seen_with(KubeDefault(1), (4000.0, 8192.0))
    assert policy.scores(Ask(0, 4000.0, 8192.0)).tolist() == [(50 + 75) // 2 + 87]
    assert policy.scores(Ask(0, 0.0, 0.0)).tolist() == [(74 + 87) // 2]


def test_without_requests_first_fit_fills_one_node() -> None:
    """Nothing is promised, so nothing is ever full: said in the figures, not hidden."""
    outcome = played(FirstFit(1), make_world("I"))
    assert set(outcome.node[outcome.node >= 0]) == {0}


def test_the_engine_avoids_a_node_while_an_alert_fires() -> None:
    """In a world where every fault is told, less is begun on degraded nodes than without alerts."""
    world = make_world("E", 2, Size(20, 900.0, 5400.0, 600.0), Detector(miss_share=0.0))

    def share_on_degraded(known: Known) -> float:
        outcome = played(Moselle(known), world)
        bad = [
            any(node == where and low <= start < high for where, low, high in degraded(world))
            for node, start in zip(outcome.node[world.is_judged], outcome.start[world.is_judged], strict=True)
        ]
        return float(np.mean(bad))

    assert share_on_degraded(Known()) < 0.6 * share_on_degraded(Known(health=False))


def degraded(world: World) -> list[tuple[int, float, float]]:
    """(node, from, to) of the faults."""
    found = []
    for node in {node for _, node, _ in world.healths}:
        mine = [(time, health) for time, where, health in world.healths if where == node]
        found += [(node, low, high) for (low, health), (high, _) in pairwise(mine) if health < 1]
    return found


def test_the_engine_prefers_fast_nodes_when_the_inventory_tells_which() -> None:
    """Among three speeds more work goes to the fastest third than where nobody tells."""
    world = make_world("F", 1, Size(9, 900.0, 3600.0, 600.0), Detector(miss_share=1.0, false_alarms_per_node_day=0.0))
    shares = []
    for known in (Known(), Known(speed=False)):
        outcome = played(Moselle(known), world)
        placed = outcome.node[outcome.node >= 0]
        shares.append(float((world.speed[placed] == 1.4).mean()))
    assert shares[0] > shares[1] + 0.1


class Certain:
    """Forecasts always the same of the second node."""

    def take(self, taken_at: float, used: Any) -> list[dict[str, Any]]:
        return [
            {"node": 1, "event_time": taken_at, "valid_until": taken_at + 120, "horizons_seconds": [60],
             "values": [0.875], "confidence": 0.5, "spoken_by": "certain"}
        ]  # fmt: skip


def test_forecasts_reach_the_engine_as_records() -> None:
    """What a forecaster says of a node is what its matrix holds."""
    heard: set[float] = set()

    class Listening(Moselle):
        def place(self, ask: Ask) -> int:
            node = super().place(ask)
            matrix = self.engine._world.matrix
            heard.add(float(matrix.signal("cpu_forecast")[matrix.row_of["node:n1"]]))
            return node

    played(Listening(Known(), lambda num_nodes: Certain()), make_world("B"))
    assert 0.875 in heard


def test_every_record_is_what_its_contract_says() -> None:
    """The real encoder takes what the engine is told, and the engine can read all of it."""
    codec, wrong = Codec(), []

    class Checking(Moselle):
        def _say(self, topic: str, key: str, record: Mapping[str, Any]) -> None:
            codec.encode(topic, record)
            super()._say(topic, key, record)

    policy = Checking(Known(), lambda num_nodes: Certain())
    policy.engine._reading._appliers = {
        topic: noting(apply, wrong) for topic, apply in policy.engine._reading._appliers.items()
    }
    played(policy, make_world("E", size=Size(6, 300.0, 900.0, 300.0)))
    assert wrong == []


def noting(apply: Callable[[Record], None], wrong: list[str]) -> Callable[[Record], None]:
    """Applies a record, and remembers what cannot be read: Reading counts and forgets it."""

    def noted(record: Record) -> None:
        try:
            apply(record)
        except Exception as error:
            wrong.append(f"{record.topic}: {error!r}")

    return noted


def test_a_pod_that_nobody_takes_now_waits_and_is_asked_about_again() -> None:
    """An engine that admits nothing onto busy nodes: no violation, each pod ends, and some waited."""
    world = make_world("B", size=Size(3, 300.0, 1800.0, 300.0))
    settings = read_settings(PlacementSettings).model_copy(update={"max_utilisation_ratio": 0.3})
    outcome = played(Moselle(Known(), settings=settings), world)
    judged = world.is_judged
    assert outcome.violations == 0
    assert (outcome.start[judged] > world.arrival[judged]).any()
    assert not np.isnan(outcome.end[judged]).any()


def test_an_ablation_of_what_a_scenario_lacks_changes_nothing() -> None:
    """Without faults and with one speed the engine without health and speed decides as the whole one."""
    world = make_world("B")
    whole = played(Moselle(Known()), world)
    assert same_as_moselle(SCENARIOS["B"]) == {"moselle_no_health", "moselle_no_speed"}
    for known in (Known(health=False), Known(speed=False)):
        assert np.array_equal(played(Moselle(known), world).node, whole.node)


def test_intervals_are_students() -> None:
    """Mean and half width by hand; a single world has none."""
    mean, width = interval([1.0, 2.0, 3.0])
    assert (mean, width) == (2.0, pytest.approx(4.30 / 3**0.5))
    assert np.isnan(interval([1.0])[1])


def test_a_small_run_gives_these_figures() -> None:
    """Golden: physics, draws and policies as they were when this was written; random 0 and oracle 1 of the way."""
    plan = Plan(SCENARIOS["F"], SMALL, Detector(), "tune", 2)
    chosen = {name: make for name, make in makers(None).items() if name in ("random", "kube_default", "oracle")}
    found = summary(simulate(plan, make_lists(), chosen, lambda *_: None))
    assert (found["random"]["share_of_way"], found["oracle"]["share_of_way"]) == (0.0, 1.0)
    times = {name: round(row["mean_completion"], 3) for name, row in found.items()}
    assert times == GOLDEN


GOLDEN = {"random": 715.288, "kube_default": 692.721, "oracle": 629.993}


def test_policies_are_all_there() -> None:
    """The names that scripts use."""
    assert tuple(makers(None)) == POLICIES
