"""Kubernetes' amounts: `100m`, `128Mi`, `1e3`, `2`."""

import math
import re
from collections.abc import Mapping
from functools import lru_cache

_FORM = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))(Ki|Mi|Gi|Ti|Pi|Ei|[numkMGTPE]|[eE][+-]?\d{1,3})?", re.ASCII)
_SUFFIXES = {
    "Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40, "Pi": 2.0**50, "Ei": 2.0**60,
    "n": 1e-9, "u": 1e-6, "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18,
}  # fmt: skip
_MOST_CHARACTERS = 64

#: Resources of Kubernetes that have a name of ours; the others keep theirs.
_NAMES = {
    "cpu": "cpu_cores",
    "memory": "memory_bytes",
    "ephemeral-storage": "disk_bytes",
    "nvidia.com/gpu": "num_gpus",
}


@lru_cache(4096)
def quantity(text: str | int | float) -> float:
    """An amount in cores, bytes or pieces.

    Raises:
        ValueError: it is none of Kubernetes' forms.
    """
    if isinstance(text, int | float):
        amount = float(text)
    else:
        found = _FORM.fullmatch(text) if len(text) <= _MOST_CHARACTERS else None
        if found is None:
            raise ValueError(f"{text[:_MOST_CHARACTERS]!r} is no quantity: wanted a form such as 100m, 1.5 or 128Mi")
        number, suffix = found.groups()
        factor = 1.0 if suffix is None else _SUFFIXES.get(suffix)
        # Divided, since 100 * 1e-3 is not 0.1.
        amount = float(number + suffix) if factor is None else _scaled(float(number), factor)
    if not math.isfinite(amount):
        raise ValueError(f"{text!r} is no finite quantity")
    return amount


def _scaled(number: float, factor: float) -> float:
    return number / round(1 / factor) if factor < 1 else number * factor


def resource_name(name: str) -> str:
    """A resource's name here."""
    return _NAMES.get(name, name)


def amounts(quantities: Mapping[str, str | int | float] | None) -> dict[str, float]:
    """A resource list by our names; nothing negative.

    Raises:
        ValueError: one of them is no quantity.
    """
    return {resource_name(name): max(0.0, quantity(text)) for name, text in (quantities or {}).items()}
