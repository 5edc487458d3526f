"""The feature sets `logs`, of a service, and `logs.host`, of all services of a host: what a step's log counts say.

A step without a record of its entity is one in which nothing was logged: rolling features count it as zero.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from services.features.core.rolling import SECOND, WINDOW_SECONDS, Recent, ratio

#: Distinct templates and services counted in one step, so that a step's state stays small.
MAX_DISTINCT = 1000
#: What a step's count can hold; more is a sender's mistake.
_MAX_COUNT = 2**53
_STATUSES = ("2xx", "3xx", "4xx", "5xx", "other")


class LogCounts(msgspec.Struct, array_like=True):
    """Counts of one entity in one step. Adding them up in any order gives the same."""

    num_events: int = 0
    num_lines: int = 0
    num_warnings: int = 0
    num_errors: int = 0
    num_http: int = 0
    num_http_4xx: int = 0
    num_http_5xx: int = 0
    distinct: set[str] = msgspec.field(default_factory=set)

    def add(self, other: "LogCounts") -> None:
        """Adds an increment."""
        for name in COUNTED:
            setattr(self, name, min(_MAX_COUNT, getattr(self, name) + getattr(other, name)))
        for name in other.distinct:
            if len(self.distinct) < MAX_DISTINCT:
                self.distinct.add(name)


COUNTED = LogCounts.__struct_fields__[:-1]


def service_counts(rates: Mapping[str, object]) -> LogCounts:
    """A record of logs.rates.v1 as counts, with its templates as what is distinct. Negative counts are none."""
    severities = _counts(rates["severity_counts"])
    statuses = _counts(rates["http_status_counts"])
    return LogCounts(
        num_events=_count(rates["num_events"]),
        num_lines=_count(rates["num_lines"]),
        num_warnings=severities.get("WARN", 0),
        num_errors=severities.get("ERROR", 0) + severities.get("FATAL", 0),
        num_http=sum(statuses.get(status, 0) for status in _STATUSES),
        num_http_4xx=statuses.get("4xx", 0),
        num_http_5xx=statuses.get("5xx", 0),
        distinct=set(sorted(_counts(rates["template_counts"]))[:MAX_DISTINCT]),
    )


def host_counts(names: Sequence[str], values: Sequence[float], service: str) -> LogCounts:
    """A record of features.rollup.v1 as counts, with the service as what is distinct."""
    given = dict(zip(names, values, strict=False))
    counts = {name: _count(given.get(name, 0.0)) for name in COUNTED}
    return LogCounts(**counts, distinct={service})


def _count(value: object) -> int:
    is_number = isinstance(value, (int, float)) and math.isfinite(value)
    return min(_MAX_COUNT, max(0, int(value))) if is_number else 0  # type: ignore[call-overload]


def _counts(values: object) -> dict[str, int]:
    return {name: _count(value) for name, value in values.items()} if isinstance(values, Mapping) else {}


def error_ratio(counts: LogCounts) -> float:
    return ratio(counts.num_errors, counts.num_events)


def warning_ratio(counts: LogCounts) -> float:
    return ratio(counts.num_warnings, counts.num_events)


def http_4xx_ratio(counts: LogCounts) -> float:
    return ratio(counts.num_http_4xx, counts.num_http)


def http_5xx_ratio(counts: LogCounts) -> float:
    return ratio(counts.num_http_5xx, counts.num_http)


#: Feature name to (function of the step's counts and its seconds, unit, description).
BASE: dict[str, tuple[Callable[[LogCounts, int], float], str, str]] = {
    "events_per_second": (lambda c, s: c.num_events / s, "1/s", "log events"),
    "num_lines": (lambda c, s: float(c.num_lines), "lines", "raw lines, tracebacks included"),
    "num_warnings": (lambda c, s: float(c.num_warnings), "events", "events of severity WARN"),
    "num_errors": (lambda c, s: float(c.num_errors), "events", "events of severity ERROR or FATAL"),
    "warning_ratio": (lambda c, s: warning_ratio(c), "0 to 1", "of the events, those of severity WARN"),
    "error_ratio": (lambda c, s: error_ratio(c), "0 to 1", "of the events, those of severity ERROR or FATAL"),
    "num_http_requests": (lambda c, s: float(c.num_http), "events", "access lines"),
    "http_4xx_ratio": (lambda c, s: http_4xx_ratio(c), "0 to 1", "of the access lines, those with status 4xx"),
    "http_5xx_ratio": (lambda c, s: http_5xx_ratio(c), "0 to 1", "of the access lines, those with status 5xx"),
}
#: The last base feature: its name in `logs` and in `logs.host`, with what it counts.
DISTINCT_TEMPLATES = ("num_templates", "templates", f"distinct templates, up to {MAX_DISTINCT}")
DISTINCT_SERVICES = ("num_services", "services", f"services that logged, up to {MAX_DISTINCT}")

#: What rolling features need of a step that is over.
KEPT = ("num_events", "num_errors", "num_http", "num_http_5xx")
ROLLING = {
    "events_per_second_mean_5m": ("1/s", "mean of the steps, silent ones as zero"),
    "events_per_second_std_5m": ("1/s", "standard deviation of the steps, silent ones as zero"),
    "errors_per_second_mean_5m": ("1/s", "the same for events of severity ERROR or FATAL"),
    "error_ratio_5m": ("0 to 1", "errors by events"),
    "http_5xx_ratio_5m": ("0 to 1", "access lines with status 5xx by access lines"),
}


def base_values(counts: LogCounts, step_seconds: int) -> list[float]:
    """The values of BASE and of what is distinct."""
    return [*(function(counts, step_seconds) for function, _, _ in BASE.values()), float(len(counts.distinct))]


def kept_values(counts: LogCounts) -> list[float]:
    """What later steps need of this one, by KEPT."""
    return [float(getattr(counts, name)) for name in KEPT]


def rolling_values(recent: Mapping[str, Recent], start: int, first_start: int, step_seconds: int) -> list[float]:
    """The values of ROLLING.

    Args:
        recent: name in KEPT to its values in the steps of the last five minutes that had any, this one last.
        start, first_start: of this step and of the entity's first one, microseconds.
    """
    num_steps = num_steps_back(start, first_start, step_seconds)
    events, errors = _values(recent["num_events"]), _values(recent["num_errors"])
    seconds = num_steps * step_seconds
    return [
        math.fsum(events) / seconds,
        _deviation(events, num_steps) / step_seconds,
        math.fsum(errors) / seconds,
        ratio(math.fsum(errors), math.fsum(events)),
        ratio(math.fsum(_values(recent["num_http_5xx"])), math.fsum(_values(recent["num_http"]))),
    ]


def num_steps_back(start: int, first_start: int, step_seconds: int) -> int:
    """How many steps the window of rolling features holds by now: fewer in an entity's first five minutes."""
    lived = (start - first_start) // (step_seconds * SECOND) + 1
    return max(1, min(lived, WINDOW_SECONDS // step_seconds))


def _values(recent: Recent) -> list[float]:
    return [value for _, value in recent]


def _deviation(values: Iterable[float], num_steps: int) -> float:
    """Population standard deviation of `values` and as many zeros as are missing to `num_steps`."""
    given = list(values)
    centre = math.fsum(given) / num_steps
    silent = max(0, num_steps - len(given)) * centre**2
    return math.sqrt(math.fsum([silent, *((value - centre) ** 2 for value in given)]) / num_steps)
