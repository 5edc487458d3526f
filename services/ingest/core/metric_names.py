"""How metrics of other worlds are called here: Prometheus' way, which detectors and features know.

Names consist of letters, digits, `_` and `:`; the unit stands at the end of an OpenTelemetry name, `_total` behind what
only grows. An increment (OpenTelemetry's delta, ceilometer's `delta`) is a sample as it is, under a name that ends in
`_delta`: adding increments up would need every one of them, once, in order.
"""

import re
from functools import lru_cache

_NOT_IN_NAMES = re.compile(r"[^a-zA-Z0-9_:]+")
#: Longer names are none.
MAX_NAME_CHARS, _MAX_UNIT_CHARS = 1024, 64
#: Longer ones are made anew each time.
_MAX_REMEMBERED_CHARS = 128
DELTA = "_delta"
TOTAL = "_total"
RATE = "_per_second"

#: OpenTelemetry's units (UCUM) as Prometheus writes them.
#: Source: OpenTelemetry specification, Prometheus and OpenMetrics compatibility, metric metadata.
_UNITS = {
    "d": "days", "h": "hours", "min": "minutes", "s": "seconds", "ms": "milliseconds", "us": "microseconds",
    "ns": "nanoseconds", "By": "bytes", "KiBy": "kibibytes", "MiBy": "mebibytes", "GiBy": "gibibytes",
    "KBy": "kilobytes", "MBy": "megabytes", "GBy": "gigabytes", "bit": "bits", "m": "meters", "V": "volts",
    "A": "amperes", "J": "joules", "W": "watts", "g": "grams", "Cel": "celsius", "Hz": "hertz", "%": "percent",
}  # fmt: skip
_PER = {"s": "second", "m": "minute", "min": "minute", "h": "hour", "d": "day", "w": "week"}


def plain_name(name: str) -> str:
    """A name of letters, digits, `_` and `:`; empty when it is too long.

    >>> plain_name("cpu-0.cpu-idle")
    'cpu_0_cpu_idle'
    """
    if len(name) <= _MAX_REMEMBERED_CHARS:
        return _remembered_plain(name)
    return _plain(name) if len(name) <= MAX_NAME_CHARS else ""


def _plain(name: str) -> str:
    found = _NOT_IN_NAMES.sub("_", name)
    return f"_{found}" if found[:1].isdigit() else found


_remembered_plain = lru_cache(20_000)(_plain)


def ended(name: str, ending: str) -> str:
    """The name with that ending, once; nothing for no name.

    >>> ended("requests_total", TOTAL)
    'requests_total'
    """
    return name if name.endswith(ending) or not name else name + ending


def opentelemetry_name(name: str, unit: str, kind: str) -> str:
    """The name of a metric without the endings of single series.

    Args:
        kind: `counter` (a sum that only grows), `gauge`, or another for neither.

    >>> opentelemetry_name("system.cpu.time", "s", "counter")
    'system_cpu_time_seconds_total'
    """
    make = _remembered_opentelemetry if len(name) <= _MAX_REMEMBERED_CHARS else _opentelemetry
    return make(name, unit[:_MAX_UNIT_CHARS], kind)


def _opentelemetry(name: str, unit: str, kind: str) -> str:
    base = plain_name(name)
    word = "ratio" if unit == "1" and kind == "gauge" else _unit(unit)
    if kind == "counter":
        base = base.removesuffix(TOTAL)
    if word and not base.endswith(word):
        base = f"{base}_{word}"
    return ended(base, TOTAL) if kind == "counter" else base


_remembered_opentelemetry = lru_cache(20_000)(_opentelemetry)


def _unit(unit: str) -> str:
    """`{packet}` counts things, which the name says already."""
    if unit == "1" or "{" in unit or not unit:
        return ""
    over, slash, below = unit.partition("/")
    word = _UNITS.get(over, plain_name(over))
    return f"{word}_per_{_PER.get(below, plain_name(below))}" if slash else word
