"""How many robust standard deviations is a value from the median of what was learnt?"""

import struct
from collections.abc import Iterable, Mapping
from typing import Literal

import msgspec

from services.anomaly.model.abstract import Band, Features, clean, ratio_score
from services.anomaly.model.parts import decode_part, encode_part

#: Values kept of a feature. When there are as many, every second one goes, and from then on only half as many come.
CAPACITY = 64
#: What makes the median of absolute deviations a standard deviation, of a normal distribution.
MAD_TO_SIGMA = 1.4826


class Past(msgspec.Struct):
    """One feature: `kept` is each `stride`-th of the `num` values learnt, evenly over all of its time."""

    num: int = 0
    stride: int = 1
    kept: list[float] = msgspec.field(default_factory=list)
    #: Median and robust standard deviation of `kept`; None when that has changed.
    center: tuple[float, float] | None = None


class RobustZ:
    """Median and median absolute deviation over an even sample of all that was learnt.

    A series that is nearly always the same has a deviation of 0: then any other value is infinitely far away, and it
    is for the alert layer to say whether it matters.

    Args:
        line: how many deviations are news.
        min_samples: values to learn before it says anything.
    """

    name, threshold = "robust_z", 0.5
    judges: Literal["each", "whole"] = "each"

    def __init__(self, line: float = 6.0, min_samples: int = 30) -> None:
        self._line = line
        self._min_samples = min_samples
        self._pasts: dict[str, Past] = {}

    def learn_one(self, x: Features) -> None:
        for name, value in clean(x).items():
            past = self._pasts.get(name)
            if past is None:
                past = self._pasts[name] = Past()
            if past.num % past.stride == 0:
                _keep(past, value)
            past.num += 1

    def score_one(self, x: Features) -> float:
        return max(self.score_each(x).values(), default=0.0)

    def score_each(self, x: Features) -> dict[str, float]:
        return {name: self._score(name, value) for name, value in clean(x).items()}

    def _score(self, name: str, value: float) -> float:
        past = self._pasts.get(name)
        if past is None or past.num < self._min_samples:
            return 0.0
        center, scale = _center(past)
        return ratio_score(abs(value - center), self._line * scale)

    def expected(self, feature: str) -> Band | None:
        past = self._pasts.get(feature)
        if past is None or past.num < self._min_samples:
            return None
        center, scale = _center(past)
        return Band(center - self._line * scale, center, center + self._line * scale)

    def forget(self, features: Iterable[str]) -> None:
        for name in features:
            self._pasts.pop(name, None)

    def save(self) -> dict[str, bytes]:
        kept = [(past.stride, struct.pack(f"<{len(past.kept)}d", *past.kept)) for past in self._pasts.values()]
        nums = [past.num for past in self._pasts.values()]
        return {"names": encode_part(list(self._pasts)), "kept": encode_part(kept), "nums": encode_part(nums)}

    def load(self, parts: Mapping[str, bytes]) -> None:
        names = decode_part(parts, "names", list[str])
        kept = decode_part(parts, "kept", list[tuple[int, bytes]])
        nums = decode_part(parts, "nums", list[int])
        self._pasts = {
            name: Past(num, stride, list(struct.unpack(f"<{len(packed) // 8}d", packed)))
            for name, (stride, packed), num in zip(names, kept, nums, strict=True)
        }


def _keep(past: Past, value: float) -> None:
    past.kept.append(value)
    past.center = None
    if len(past.kept) >= CAPACITY:
        past.kept = past.kept[::2]
        past.stride *= 2


def _center(past: Past) -> tuple[float, float]:
    if past.center is None:
        median = _median(past.kept)
        past.center = median, MAD_TO_SIGMA * _median([abs(value - median) for value in past.kept])
    return past.center


def _median(values: list[float]) -> float:
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
