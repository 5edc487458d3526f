"""Numbers and sizes out of the free-form maps that NovaCron sends."""

import math
import re
from collections.abc import Mapping, Sequence, Sized
from typing import Any

from services.placement.errors import InvalidRequest

MAX_ROWS = 10_000
MAX_NAMES = 20_000
_LARGEST = 2.0**60
GIB = 2.0**30
_SIZE = re.compile(r"\s*(\d{1,15}(?:\.\d{1,9})?)\s*([KMGT]?)(?:i?B)?\s*", re.IGNORECASE)
_UNITS = {"": 1.0, "K": 2.0**10, "M": 2.0**20, "G": 2.0**30, "T": 2.0**40}
#: NovaCron's own words for sizes, GiB: migration_ai_fallback.go, PredictBandwidthRequirements.
SIZE_WORDS = {"small": 5 * GIB, "medium": 20 * GIB, "large": 50 * GIB, "xlarge": 100 * GIB}


def amount(where: str, data: Mapping[str, Any], *names: str) -> float | None:
    """The first of these names that has a number; None when none has.

    Raises:
        InvalidRequest: it is negative or absurdly large.
    """
    for name in names:
        value = data.get(name)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            if not 0 <= value <= _LARGEST or not math.isfinite(value):
                raise InvalidRequest(f"{where}.{name} is {value:.4g}: give a number from 0 to {_LARGEST:.3g}")
            return float(value)
    return None


def text(data: Mapping[str, Any], *names: str) -> str:
    """The first of these names that has a text; empty when none has."""
    return next((data[name] for name in names if isinstance(data.get(name), str)), "")


def size(words: str) -> tuple[float | None, bool]:
    """Bytes of `4GB`, `512MiB`, `large`, and whether that is exact; (None, False) for what is no size."""
    if words.strip().lower() in SIZE_WORDS:
        return SIZE_WORDS[words.strip().lower()], False
    match = _SIZE.fullmatch(words)
    if match is None:
        return None, False
    number = float(match[1]) * _UNITS[match[2].upper()]
    return (number, True) if number <= _LARGEST else (None, False)


def memory(where: str, data: Mapping[str, Any]) -> tuple[float | None, bool]:
    """Bytes of memory in a map, whichever way they are written, and whether that is exact."""
    for name, unit in (("memory_bytes", 1.0), ("memory_mb", 2.0**20), ("memory_gb", GIB)):
        number = amount(where, data, name)
        if number is not None:
            return number * unit, True
    number = amount(where, data, "memory_size")
    return (number, True) if number is not None else size(text(data, "memory_size", "vm_size"))


def dirty_rate(where: str, data: Mapping[str, Any]) -> float | None:
    """Bytes of memory that a workload rewrites in a second; pages are of 4096 bytes."""
    pages = amount(where, data, "dirty_page_rate", "dirty_pages_per_second")
    return pages * 4096 if pages is not None else amount(where, data, "dirty_rate", "dirty_bytes_per_second")


def check_rows(name: str, rows: Sized, most: int = MAX_ROWS) -> None:
    """A list is not too long. Raises InvalidRequest."""
    if len(rows) > most:
        raise InvalidRequest(f"{name} has {len(rows)} entries: give at most {most}")


def column(rows: Sequence[Mapping[str, Any]], *names: str) -> list[float]:
    """The finite numbers of a column, in order; rows without one are left out."""
    found = (next((row[name] for name in names if name in row), None) for row in rows)
    return [
        float(value)
        for value in found
        if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    ]


def share(value: float) -> float:
    """A use as 0..1: above 1.5 it is read as percent."""
    return min(max(value / 100 if value > 1.5 else value, 0.0), 1.0)
