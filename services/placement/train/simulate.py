"""Policies in worlds, and what it comes to: figures with intervals, paired by world."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from services.placement.train.engine_policy import Forecasts, Known, Moselle
from services.placement.train.physics import (
    Detector,
    Lists,
    Outcome,
    Policy,
    Purpose,
    Scenario,
    Simulation,
    Size,
    World,
    draw,
    seed_of,
)
from services.placement.train.policies import BASELINES, Oracle

#: Two-sided 95 % quantiles of Student's t by degrees of freedom; beyond these 1.96 is near enough.
_T95 = (12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23, 2.20, 2.18, 2.16, 2.14, 2.13)
ABLATIONS = {
    "moselle_no_prediction": Known(forecasts=False),
    "moselle_no_health": Known(health=False),
    "moselle_no_speed": Known(speed=False),
    "moselle": Known(),
}
POLICIES = (*BASELINES, *ABLATIONS, "oracle")
MEASURES = ("mean_completion", "p95_slowdown", "utilisation", "violations", "placed_share")

#: A policy for a world of a seed.
Maker = Callable[[int], Policy]
#: (policy, number of the world, share of it done).
Told = Callable[[str, int, float], None]


def makers(make_forecasts: Callable[[int], Forecasts] | None) -> dict[str, Maker]:
    """Every policy by name, the oracle last."""
    known: dict[str, Maker] = dict(BASELINES)
    for name, what in ABLATIONS.items():
        known[name] = lambda seed, what=what: Moselle(what, make_forecasts)  # type: ignore[misc]
    return {**known, "oracle": Oracle}


class Plan(NamedTuple):
    """What is simulated."""

    scenario: Scenario
    size: Size
    detector: Detector
    purpose: Purpose
    num_seeds: int


def simulate(plan: Plan, lists: Lists, policies: Mapping[str, Maker], told: Told) -> dict[str, list[dict[str, float]]]:
    """Figures of every policy in every world, by policy, in the order of seeds."""
    rows: dict[str, list[dict[str, float]]] = {name: [] for name in policies}
    same = same_as_moselle(plan.scenario) if "moselle" in policies else frozenset()
    for number in range(plan.num_seeds):
        world = draw(plan.scenario, lists, plan.detector, plan.size, seed_of(plan.purpose, number))
        for name, make in policies.items():
            told(name, number, 0.0)
            if name in same:
                continue
            tell = _teller(told, name, number, plan.size)
            rows[name].append(figures(world, Simulation(world, make(world.seed)).run(tell)))
    return rows | {name: rows["moselle"] for name in same & policies.keys()}


def same_as_moselle(scenario: Scenario) -> frozenset[str]:
    """Ablations that take away what a scenario has not: no alerts come without faults, equal speeds favour nobody."""
    without_faults = () if scenario.has_faults else ("moselle_no_health",)
    with_one_speed = () if len(scenario.speeds) > 1 else ("moselle_no_speed",)
    return frozenset((*without_faults, *with_one_speed))


def _teller(told: Told, name: str, number: int, size: Size) -> Callable[[float], None]:
    return lambda time: told(name, number, min(1.0, time / size.arrivals_end)) if time else None


def figures(world: World, outcome: Outcome) -> dict[str, float]:
    """Of the pods that arrive within the window.

    mean_completion: arrival to end, s. p95_slowdown: time on the node over ideal time. utilisation: busy share of all
    processors in the window. violations: choices of a node without room. placed_share: pods that had a node before
    arrivals ended.
    """
    judged = world.is_judged
    if not judged.any():
        return {**dict.fromkeys(MEASURES, 0.0), "pods": 0.0, "mean_wait": 0.0}
    arrival, start, end = world.arrival[judged], outcome.start[judged], outcome.end[judged]
    return {
        "mean_completion": float((end - arrival).mean()),
        "p95_slowdown": float(np.percentile((end - start) / world.work[judged], 95)),
        "utilisation": outcome.busy_share,
        "violations": float(outcome.violations),
        "placed_share": float((start <= world.size.arrivals_end).mean()),
        "mean_wait": float((start - arrival).mean()),
        "pods": float(judged.sum()),
    }


def interval(values: Sequence[float]) -> tuple[float, float]:
    """(mean, half width of its 95 % interval by Student's t; NaN for a single value)."""
    number = len(values)
    mean = math.fsum(values) / number
    if number < 2:
        return mean, math.nan
    spread = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (number - 1))
    quantile = _T95[number - 2] if number - 2 < len(_T95) else 1.96
    return mean, quantile * spread / math.sqrt(number)


def summary(rows: Mapping[str, Sequence[Mapping[str, float]]]) -> dict[str, dict[str, Any]]:
    """Of each policy the means; against random, pair by pair, how many times faster; how much of the way to the oracle.

    The way is (random - policy) / (random - oracle) of the means over all worlds; its interval is of the numerator.
    Intervals that a single world cannot have are null.
    """
    found: dict[str, dict[str, Any]] = {}
    times = {name: [row["mean_completion"] for row in of] for name, of in rows.items()}
    for name, of in rows.items():
        found[name] = {measure: math.fsum(row[measure] for row in of) / len(of) for measure in of[0]}
        found[name]["violations"] = int(sum(row["violations"] for row in of))
        found[name]["mean_completion_interval"] = _known(interval(times[name])[1])
        if "random" in times and times["random"][0] > 0:
            found[name] |= _against_random(times["random"], times[name], times.get("oracle"))
    return found


def _against_random(random: list[float], mine: list[float], oracle: list[float] | None) -> dict[str, float | None]:
    faster, faster_width = interval([r / m for r, m in zip(random, mine, strict=True)])
    found: dict[str, float | None] = {"times_faster": faster, "times_faster_interval": _known(faster_width)}
    if oracle is not None:
        way, _ = interval([r - o for r, o in zip(random, oracle, strict=True)])
        gained, gained_width = interval([r - m for r, m in zip(random, mine, strict=True)])
        found["share_of_way"] = gained / way if way > 0 else None
        found["share_of_way_interval"] = _known(gained_width / way) if way > 0 else None
    return found


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None
