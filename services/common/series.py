"""Series of samples: their names taken apart, which of them only grow, and how fast those grow."""

import math
import re
from functools import lru_cache
from types import MappingProxyType
from typing import NamedTuple

SECOND = 1_000_000
_LABEL = re.compile(r'([^=,{}]+)="((?:[^"\\]|\\.)*)"')
_ESCAPED = re.compile(r"\\(.)")
#: Counters by name: Prometheus' endings, and node_exporter's older names that have none.
_COUNTER = re.compile(
    r"_(?:total|count|sum|bucket)$|^node_vmstat_(?:pg|psw|oom_kill)"
    r"|^node_netstat_\w+_(?:\w*Opens|\w*Segs|\w*Errors|\w*Errs|\w*Datagrams|\w*Octets|\w*Drops|\w*Overflows|\w*Fails)$"
)


class Series(NamedTuple):
    """A series' name taken apart: `name{k="v",..}`."""

    metric: str
    labels: MappingProxyType[str, str]


@lru_cache(maxsize=200_000)
def parse_series(name: str) -> Series:
    """Metric and labels of a series name as `entities.series_name` writes it.

    >>> parse_series('node_cpu_seconds_total{cpu="0",mode="idle"}').labels["mode"]
    'idle'
    """
    metric, brace, rest = name.partition("{")
    if not brace:
        return Series(metric, MappingProxyType({}))
    labels = {key: _ESCAPED.sub(_unescape, value) for key, value in _LABEL.findall(rest)}
    return Series(metric, MappingProxyType(labels))


def _unescape(match: re.Match[str]) -> str:
    return "\n" if match[1] == "n" else match[1]


@lru_cache(maxsize=50_000)
def is_counter(metric: str) -> bool:
    """Whether a metric only grows, by its name, except when its process starts again."""
    return _COUNTER.search(metric) is not None


def increase(before: float, after: float) -> float:
    """How much a counter grew between two samples. One that fell was reset and began anew at 0.

    >>> increase(10.0, 15.0), increase(10.0, 3.0)
    (5.0, 3.0)
    """
    return after - before if after >= before else after


def rate(before: float, before_micros: int, after: float, after_micros: int) -> float:
    """A counter's growth per second between two samples; NaN where time does not go on or a value is not finite."""
    seconds = (after_micros - before_micros) / SECOND
    if seconds <= 0 or not (math.isfinite(before) and math.isfinite(after)):
        return math.nan
    return increase(before, after) / seconds
