"""From a series' name to the signals it is part of."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Literal, NamedTuple

from services.anomaly.core.semantics import SIGNALS, How, Meaning, Role, unknown
from services.common.series import is_counter, parse_series

Unknown = Literal["join", "lead", "alert", "ignore"]
#: By what is to happen to metrics that nobody described.
_ROLES: Mapping[Unknown, Role] = {"join": "joins", "lead": "leads", "alert": "alerts"}
_BY_METRIC: dict[str, list[Meaning]] = {}
for _meaning in SIGNALS:
    _BY_METRIC.setdefault(_meaning.metric, []).append(_meaning)
    if _meaning.over:
        _BY_METRIC.setdefault(_meaning.over, []).append(_meaning)


class Signal(NamedTuple):
    """One signal of an entity.

    Attributes:
        key: `signal` or `signal|label values`, unique within the entity.
        member: the part of the entity that it is about, such as the process group nova-compute-3; empty for all of it.
    """

    key: str
    meaning: Meaning
    member: str = ""


class Term(NamedTuple):
    """What a series is to a signal: a summand above or below the line."""

    signal: Signal
    is_below: bool
    how: How


@lru_cache(maxsize=500_000)
def terms_of(series: str, unknown_metrics: Unknown) -> tuple[Term, ...]:
    """The signals that a series is part of, with its place in them; empty for one that is not looked at."""
    metric, labels = parse_series(series)
    known = _BY_METRIC.get(metric)
    if known is None:
        return _unknown_terms(series, metric, unknown_metrics)
    return tuple(
        Term(_signal(meaning, labels), meaning.over == metric, meaning.how)
        for meaning in known
        if _fits(meaning, labels)
    )


def _fits(meaning: Meaning, labels: Mapping[str, str]) -> bool:
    return all(labels.get(name) in values for name, values in meaning.only) and not any(
        labels.get(name) in values for name, values in meaning.without
    )


def _signal(meaning: Meaning, labels: Mapping[str, str]) -> Signal:
    key = "|".join((meaning.signal, *(labels.get(name, "") for name in meaning.by)))
    return Signal(key, meaning, labels.get("groupname", "") if "groupname" in meaning.by else "")


def _unknown_terms(series: str, metric: str, unknown_metrics: Unknown) -> tuple[Term, ...]:
    if unknown_metrics == "ignore":
        return ()
    how: How = "rate" if is_counter(metric) else "value"
    return (
        Term(
            Signal(
                series, unknown(metric, how, _ROLES[unknown_metrics]), parse_series(series).labels.get("groupname", "")
            ),
            False,
            how,
        ),
    )
