"""How a signal of a node is declared: which series, how they become a number, how good that is (node_signals.py)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["last", "rate"]
#: How the numbers of several series come together; `extreme` is the largest absolute value.
Over = Literal["sum", "mean", "max", "min", "count", "extreme"]
Objective = Literal["reliability", "performance", "efficiency", "power", "cost"]
Labels = Mapping[str, frozenset[str]]


@dataclass(frozen=True, slots=True, eq=False)
class Pick:
    """The series of one metric whose labels fit, as one number. Equal to itself only, which makes it a quick key.

    Args:
        metric: its name at the exporter.
        how: how the samples of a step become a number a series.
        over: how the series' numbers come together.
        only: label to the values that it must have one of.
        never: label to the values that it must not have.
        beside: another metric with the same labels: each number is divided by its number, where that is above 0.
        beside_how: the same as `how`, for `beside`.
        less: take the number of `beside` less the own one instead of dividing.
        factor: what the outcome is multiplied by, for its unit or sign.
    """

    metric: str
    how: Kind = "last"
    over: Over = "sum"
    only: Labels = field(default_factory=dict)
    never: Labels = field(default_factory=dict)
    beside: str = ""
    beside_how: Kind = "last"
    less: bool = False
    factor: float = 1.0

    @property
    def metrics(self) -> tuple[str, ...]:
        """The metrics that it reads."""
        return (self.metric, self.beside) if self.beside else (self.metric,)

    def fits(self, labels: Mapping[str, str]) -> bool:
        """Whether a series with these labels counts."""
        return all(labels.get(name) in values for name, values in self.only.items()) and not any(
            labels.get(name) in values for name, values in self.never.items()
        )


@dataclass(frozen=True, slots=True)
class Formula:
    """The sum of some picks, divided by the sum of others. No number when one of them has none, or the divisor is 0."""

    parts: tuple[Pick, ...]
    by: tuple[Pick, ...] = ()

    @property
    def metrics(self) -> frozenset[str]:
        """The metrics that it reads."""
        return frozenset(metric for pick in (*self.parts, *self.by) for metric in pick.metrics)


@dataclass(frozen=True, slots=True)
class NodeSignal:
    """One line of the table.

    Args:
        name: of the feature and of the factor.
        group: B compute, C efficiency, D power, E network, F reliability; A for what only constraints read.
        exporter: who says it.
        formulas: of several exporters, the first that has a number.
        best, worst: values that are as good, and as bad, as can be.
        weight: against the other signals of its group; 0 for what is no factor of its own.
        recent: of the last five minutes, this step included, instead of the step alone.
        of: whose series they are.
        over: how a node's workloads come together.
        per: the signal of the node that the outcome is divided by.
    """

    name: str
    group: Literal["A", "B", "C", "D", "E", "F"]
    unit: str
    objective: Objective
    exporter: str
    meaning: str
    formulas: tuple[Formula, ...]
    best: float
    worst: float
    weight: float = 1.0
    recent: Literal["", "max", "mean", "std"] = ""
    of: Literal["node", "workloads"] = "node"
    over: Literal["sum", "mean", "max"] = "sum"
    per: str = ""

    @property
    def metrics(self) -> frozenset[str]:
        """The metrics that it reads."""
        return frozenset[str]().union(*(formula.metrics for formula in self.formulas))

    @property
    def direction(self) -> Literal["higher", "lower"]:
        """Which is better."""
        return "higher" if self.best > self.worst else "lower"
