"""The feature sets `metrics.node` and `metrics.workload`: the signals of services/common/node_signals.py as numbers.

The rules of samples and rates are those of `metrics.core` (metric_features.py).
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache

from services.common.node_signals import NODE_SIGNALS, OF_NODE, OF_WORKLOADS
from services.common.series import parse_series
from services.common.signal_forms import Formula, NodeSignal, Pick
from services.features.core.metric_features import MetricStep
from services.features.core.rolling import Recent, added, maximum, mean, ratio, standard_deviation, total

#: By the name in the table: what a signal is over the last five minutes.
_RECENT: Mapping[str, Callable[[Recent], float]] = {"max": maximum, "mean": mean, "std": standard_deviation}
_OVER: Mapping[str, Callable[[Sequence[float]], float]] = {
    "sum": total, "max": max, "min": min,
    "mean": lambda values: added(values) / len(values),
    "extreme": lambda values: max(map(abs, values)),
}  # fmt: skip
#: The signals that look back, in the order in which their values are kept.
LOOKING_BACK = tuple(signal for signal in NODE_SIGNALS if signal.recent)
_PLACES = {signal.name: place for place, signal in enumerate(LOOKING_BACK)}


@lru_cache(maxsize=200_000)
def _fits(pick: Pick, series: str) -> bool:
    return pick.fits(parse_series(series).labels)


def pick_value(step: MetricStep, pick: Pick) -> float:
    """One number of a pick's series; NaN when none has one. Worked out once a step."""
    value = step.picked.get(pick)
    if value is None:
        value = step.picked[pick] = _pick_value(step, pick)
    return value


def _pick_value(step: MetricStep, pick: Pick) -> float:
    named = step.named(pick.metric)
    if pick.only or pick.never:
        named = [series for series in named if _fits(pick, series)]
    if pick.over == "count":
        return pick.factor * len(named) if named else math.nan
    values = [value for series in named if not math.isnan(value := _number(step, pick, series))]
    return pick.factor * _OVER[pick.over](values) if values else math.nan


def _number(step: MetricStep, pick: Pick, series: str) -> float:
    own = step.rate(series) if pick.how == "rate" else step.last(series)
    if not pick.beside:
        return own
    other = pick.beside + series.removeprefix(pick.metric)
    if not step.points(other):
        return math.nan
    beside = step.rate(other) if pick.beside_how == "rate" else step.last(other)
    if pick.less:
        return beside - own
    return own / beside if beside > 0 else math.nan


def formula_value(step: MetricStep, formula: Formula) -> float:
    """Parts by divisors; NaN when one of them is missing, or the divisors are 0 together."""
    parts = added(pick_value(step, pick) for pick in formula.parts)
    if not formula.by or math.isnan(parts):
        return parts
    return ratio(parts, added(pick_value(step, pick) for pick in formula.by))


def signal_value(step: MetricStep, signal: NodeSignal) -> float:
    """Of the first exporter that has it; NaN when none does."""
    values = (formula_value(step, formula) for formula in signal.formulas)
    return next((value for value in values if not math.isnan(value)), math.nan)


@lru_cache(maxsize=4096)
def told_by(metrics: frozenset[str]) -> tuple[NodeSignal, ...]:
    """The signals that these metrics can tell: entities of one kind bring the same ones in each step."""
    return tuple(one for one in NODE_SIGNALS if any(formula.metrics <= metrics for formula in one.formulas))


def base_values(step: MetricStep) -> dict[str, float]:
    """The signals that a step tells, by name: those of this step alone."""
    values = ((signal.name, signal_value(step, signal)) for signal in told_by(frozenset(step.metrics)))
    return {name: value for name, value in values if not math.isnan(value)}


def kept_values(base: Mapping[str, float]) -> list[float]:
    """What later steps need of a step, in the order of LOOKING_BACK; none when it tells nothing of these."""
    values = [base.get(signal.name, math.nan) for signal in LOOKING_BACK]
    return [] if all(map(math.isnan, values)) else values


def with_recent(base: Mapping[str, float], recent: Sequence[tuple[int, Sequence[float]]]) -> dict[str, float]:
    """The signals as they are published.

    Args:
        base: this step's `base_values`.
        recent: `kept_values` of the steps of the last five minutes that have some, this one last.
    """
    found = dict(base)
    for signal in LOOKING_BACK:
        if signal.name in base:
            place = _PLACES[signal.name]
            found[signal.name] = _RECENT[signal.recent]([(start, values[place]) for start, values in recent])
    return {name: value for name, value in found.items() if not math.isnan(value)}


def vector(signals: Iterable[NodeSignal], values: Mapping[str, float]) -> list[float]:
    """The values in the order of a set, NaN where nothing is told; empty when nothing at all is."""
    listed = [values.get(signal.name, math.nan) for signal in signals]
    return [] if all(map(math.isnan, listed)) else listed


def node_vector(values: Mapping[str, float]) -> list[float]:
    """Of `metrics.node`."""
    return vector(OF_NODE, values)


def workload_vector(values: Mapping[str, float]) -> list[float]:
    """Of `metrics.workload`."""
    return vector(OF_WORKLOADS, values)
