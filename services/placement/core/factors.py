"""The factors of the score, each declared once: what it is, where it comes from, how it counts in each profile.

score = sum over the factors of weight x utility, both in 0..1, weights of a profile adding up to 1. A factor of which
nothing is known counts with NEUTRAL, so that silence neither helps nor harms a node much. Those that rest on a signal
of a node alone are a table of their own: node_factors.py.
"""

import math
from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np

from services.common.signal_forms import Objective
from services.placement.core.amounts import demanded
from services.placement.core.matrix import Columns, Floats
from services.placement.core.node_factors import NEUTRAL as NEUTRAL
from services.placement.core.node_factors import PROFILES as PROFILES
from services.placement.core.workload import Profile, Workload


class Asked:
    """A workload on some nodes: what several factors need is worked out once."""

    def __init__(self, nodes: Columns, workload: Workload) -> None:
        self.nodes = nodes
        self._requests = workload.requests
        self._free: dict[str, Floats] = {}

    def demanded(self, name: str) -> float:
        """Units that the workload asks for."""
        return demanded(name, self._requests.get(name, 0.0))

    def free_after(self, name: str) -> Floats:
        """(n,) share of a resource that is free once the workload is there; NaN where a node has none of it."""
        if name not in self._free:
            left = self.nodes.capacity(name) - self.nodes.allocated(name) - self.demanded(name)
            self._free[name] = left * self.nodes.inverse(name)
        return self._free[name]


#: To (n,) in the factor's unit; NaN where nothing is known. Of a node only its own row counts, of the workload only its
#: requests: scores are remembered by them (scores.py).
Value = Callable[[Asked], Floats]

#: (values, nodes) to 0..1; NaN stays NaN.
Utility = Callable[[Floats, Columns], Floats]


class Factor(NamedTuple):
    """One line of the catalogue.

    Attributes:
        value: in `unit`.
        utility: of values, high is better.
        weights: in the order of PROFILES, before they are scaled to add up to 1.
    """

    name: str
    unit: str
    source: str
    objective: Objective
    direction: Literal["higher", "lower"]
    value: Value
    utility: Utility
    weights: tuple[float, float, float, float, float, float]


def signal(name: str) -> Value:
    """What a stream says."""
    return lambda asked: asked.nodes.signal(name)


def load(name: str) -> Value:
    """A stream's processor load and, on top, what was sent there and does not show in it yet."""

    def value(asked: Asked) -> Floats:
        nodes = asked.nodes
        loads: Floats = np.minimum(1.0, nodes.signal(name) + nodes.cpu_in_flight * nodes.inverse("cpu_cores"))
        return loads

    return value


def free_after(name: str) -> Value:
    """Share of a resource that is free once the workload is there; NaN where the node has none of it."""
    return lambda asked: asked.free_after(name)


def imbalance(asked: Asked) -> Floats:
    """Difference of the shares of cores and memory in use afterwards: what is left of one without the other."""
    difference: Floats = np.abs(asked.free_after("cpu_cores") - asked.free_after("memory_bytes"))
    return difference


def packing(asked: Asked) -> Floats:
    """Mean share of cores and memory in use afterwards."""
    used: Floats = 1.0 - (asked.free_after("cpu_cores") + asked.free_after("memory_bytes")) / 2
    return used


def added_power(asked: Asked) -> Floats:
    """Watts that the workload adds, linear between idle and peak; an empty node's idle power counts in full."""
    nodes = asked.nodes
    idle, peak = nodes.fact("idle_watts"), nodes.fact("peak_watts")
    share = asked.demanded("cpu_cores") * nodes.inverse("cpu_cores")
    watts: Floats = (peak - idle) * share + np.where(nodes.num_workloads == 0, idle, 0.0)
    return watts


def bounded(values: Floats) -> Floats:
    """Values within 0..1. np.clip does the same, at several times the cost for few nodes."""
    within: Floats = np.minimum(np.maximum(values, 0.0), 1.0)
    return within


def high(values: Floats, nodes: Columns) -> Floats:
    """A share of which more is better."""
    return bounded(values)


def low(values: Floats, nodes: Columns) -> Floats:
    """A share of which less is better."""
    return 1.0 - bounded(values)


def few(values: Floats, nodes: Columns) -> Floats:
    """A number of which less is better: 1, 1/2, 1/3 and so on."""
    return 1.0 / (1.0 + values)


def fewer_than_ten(values: Floats, nodes: Columns) -> Floats:
    """A number of which less is better: 1 for none, half for ten, a third for twenty."""
    return 1.0 / (1.0 + values / 10.0)


def against_largest(fact: str) -> Utility:
    """An amount of which less is better, against the largest that the inventory has of a fact."""

    def utility(values: Floats, nodes: Columns) -> Floats:
        largest = nodes.largest(fact)
        return bounded(1.0 - values / largest) if largest > 0 else values * 0.0 + 1.0

    return utility


def of_largest(fact: str) -> Utility:
    """An amount of which more is better, as a share of the largest that the inventory has of a fact."""

    def utility(values: Floats, nodes: Columns) -> Floats:
        largest = nodes.largest(fact)
        return bounded(values / largest) if largest > 0 else values * 0.0

    return utility


# Health and speed first, load next; packing harms under contention and so counts only where a profile asks for it.
# Set by judgement, but for health, hardware_speed and crowding in the first two profiles: tuned in the simulator
# (docs/benchmarks/placement-simulator.md says how).
FACTORS = (
    Factor("health", "ratio", "alerts.v1", "reliability", "higher",
           signal("health"), high, (60, 60, 22, 22, 22, 22)),
    Factor("hardware_speed", "of the fastest", "entities.v1", "performance", "higher",
           lambda asked: asked.nodes.fact("relative_speed"), of_largest("relative_speed"), (50, 50, 8, 4, 4, 4)),
    Factor("cpu_forecast", "ratio", "predictions.v1", "performance", "lower",
           load("cpu_forecast"), low, (12, 18, 8, 6, 8, 6)),
    Factor("memory_forecast", "ratio", "predictions.v1", "performance", "lower",
           signal("memory_forecast"), low, (7, 9, 6, 4, 5, 5)),
    Factor("cpu_load", "ratio", "features.v1", "performance", "lower",
           load("cpu_load"), low, (9, 13, 5, 4, 5, 4)),
    Factor("memory_load", "ratio", "features.v1", "performance", "lower",
           signal("memory_load"), low, (5, 5, 4, 3, 3, 3)),
    Factor("disk_load", "ratio", "features.v1", "performance", "lower",
           signal("disk_load"), low, (3, 4, 2, 1, 1, 1)),
    Factor("cpu_free", "ratio", "entities.v1, placements.v1", "performance", "higher",
           free_after("cpu_cores"), high, (10, 8, 0, 0, 2, 2)),
    Factor("memory_free", "ratio", "entities.v1, placements.v1", "performance", "higher",
           free_after("memory_bytes"), high, (9, 5, 0, 0, 2, 2)),
    Factor("disk_free", "ratio", "entities.v1, placements.v1", "efficiency", "higher",
           free_after("disk_bytes"), high, (2, 0, 2, 0, 1, 1)),
    Factor("balance", "ratio", "entities.v1, placements.v1", "efficiency", "lower",
           imbalance, low, (5, 0, 22, 5, 3, 3)),
    Factor("packing", "ratio", "entities.v1, placements.v1", "efficiency", "higher",
           packing, high, (0, 0, 25, 52, 12, 12)),
    Factor("in_flight", "workloads", "placements.v1", "performance", "lower",
           lambda asked: asked.nodes.num_in_flight, few, (7, 4, 4, 3, 3, 3)),
    Factor("crowding", "workloads", "placements.v1", "performance", "lower",
           lambda asked: asked.nodes.num_workloads, fewer_than_ten, (20, 20, 0, 0, 2, 2)),
    Factor("added_power", "watts", "entities.v1", "power", "lower",
           added_power, against_largest("peak_watts"), (0, 0, 0, 0, 33, 0)),
    Factor("cost", "currency per hour", "entities.v1", "cost", "lower",
           lambda asked: asked.nodes.fact("cost_per_hour"), against_largest("cost_per_hour"),
           (1, 0, 0, 0, 0, 36)),
)  # fmt: skip
#: Which signals' ages count as staleness, by factor.
SIGNAL_OF = {
    "cpu_forecast": "cpu_forecast",
    "memory_forecast": "memory_forecast",
    "cpu_load": "cpu_load",
    "memory_load": "memory_load",
    "disk_load": "disk_load",
}


class Weighing(NamedTuple):
    """The factors that count in one profile, with weights that add up to 1.

    Attributes:
        number: of the profile in PROFILES.
    """

    factors: tuple[Factor, ...]
    weights: Floats
    number: int


def weighing(profile: Profile) -> Weighing:
    """Of a profile."""
    return _WEIGHINGS[profile]


def _scaled(column: int) -> Weighing:
    factors = tuple(factor for factor in FACTORS if factor.weights[column])
    whole = math.fsum(factor.weights[column] for factor in factors)
    return Weighing(factors, np.array([factor.weights[column] / whole for factor in factors]), column)


_WEIGHINGS = {profile: _scaled(column) for column, profile in enumerate(PROFILES)}


def values_of(factors: tuple[Factor, ...], asked: Asked) -> Floats:
    """(len(factors), n) values in each factor's unit."""
    return np.array([factor.value(asked) for factor in factors]).reshape(len(factors), len(asked.nodes))


def utilities_of(factors: tuple[Factor, ...], values: Floats, nodes: Columns) -> Floats:
    """The same as utilities in 0..1, NEUTRAL where nothing is known."""
    utilities = np.array([factor.utility(row, nodes) for factor, row in zip(factors, values, strict=True)])
    utilities[np.isnan(utilities)] = NEUTRAL
    return utilities.reshape(values.shape)
