"""Amounts as whole numbers of a small unit, so that sums of them are exact in float64 and nothing is ever overbooked.

Bytes and devices are whole already; processor cores and `extended` resources are counted in thousandths. What is asked
for is rounded up, what is there is rounded down.
"""

import math

_WHOLE = ("memory_bytes", "disk_bytes", "num_gpus")
_THOUSANDTHS = 1000.0


def _scaled(name: str, amount: float) -> float:
    # 0.07 * 1000 is 70.00000000000001: what float multiplication adds is no demand.
    return amount if name in _WHOLE else round(amount * _THOUSANDTHS, 6)


def demanded(name: str, amount: float) -> float:
    """How many units a request needs."""
    return float(math.ceil(_scaled(name, amount)))


def offered(name: str, amount: float) -> float:
    """How many units a capacity holds."""
    return float(math.floor(_scaled(name, amount)))


def plain(name: str, units: float) -> float:
    """Units as an amount again."""
    return units if name in _WHOLE else units / _THOUSANDTHS


def words(name: str, amount: float) -> str:
    """An amount for people: `16 GiB of memory`, `4 cpu_cores`."""
    if name.endswith("_bytes"):
        return f"{amount / 2**30:.4g} GiB of {name.removesuffix('_bytes')}"
    return f"{amount:.4g} {name}"
