"""Is a value, its change, its mean or its scatter outside everything seen so far?"""

import math
from collections.abc import Iterable, Mapping
from typing import Literal

import msgspec

from services.anomaly.model.abstract import Band, Features, clean, ratio_score
from services.anomaly.model.parts import decode_part, encode_part

#: Values in the rolling mean and scatter.
WINDOW = 12
#: The aspects in the order in which their bounds stand.
ASPECTS = ("value", "change", "mean", "scatter")


class Track(msgspec.Struct, array_like=True):
    """One feature: how many values were learnt, the last WINDOW of them, and each aspect's least and most."""

    num: int = 0
    window: list[float] = msgspec.field(default_factory=list)
    low: list[float] = msgspec.field(default_factory=lambda: [math.inf] * len(ASPECTS))
    high: list[float] = msgspec.field(default_factory=lambda: [-math.inf] * len(ASPECTS))


class RangeNovelty:
    """Remembers the least and the most of each aspect; news lies outside by more than a share of that range.

    It never forgets, so one wild value that was learnt hides all smaller ones from then on; and a series that drifts
    slowly widens its own range.

    Args:
        margin: share of the learnt range by which a value must lie outside it.
        min_samples: values to learn before it says anything.

    Source:
        reference "range novelty": 61.1 on NAB's standard profile with a refractory time (thresholds over the corpus).
    """

    name, threshold = "range_novelty", 0.5
    judges: Literal["each", "whole"] = "each"

    def __init__(self, margin: float = 0.5, min_samples: int = 30) -> None:
        self._margin = margin
        self._min_samples = min_samples
        self._tracks: dict[str, Track] = {}

    def learn_one(self, x: Features) -> None:
        for name, value in clean(x).items():
            track = self._tracks.get(name)
            if track is None:
                track = self._tracks[name] = Track()
            _learn(track, value)

    def score_one(self, x: Features) -> float:
        return max(self.score_each(x).values(), default=0.0)

    def score_each(self, x: Features) -> dict[str, float]:
        return {name: self._score(name, value) for name, value in clean(x).items()}

    def _score(self, name: str, value: float) -> float:
        track = self._tracks.get(name)
        if track is None or track.num < self._min_samples:
            return 0.0
        worst = 0.0
        for place, aspect in enumerate(_aspects(track.window, value)):
            low, high = track.low[place], track.high[place]
            if not low <= aspect <= high:
                worst = max(worst, ratio_score(max(low - aspect, aspect - high), self._margin * (high - low)))
        return worst

    def expected(self, feature: str) -> Band | None:
        track = self._tracks.get(feature)
        if track is None or track.num < self._min_samples:
            return None
        low, high = track.low[0], track.high[0]
        room = self._margin * (high - low)
        return Band(low - room, (low + high) / 2, high + room)

    def seen(self, feature: str) -> tuple[float, float] | None:
        """The least and the most that was learnt; None for nothing."""
        track = self._tracks.get(feature)
        return (track.low[0], track.high[0]) if track is not None and track.num else None

    def forget(self, features: Iterable[str]) -> None:
        for name in features:
            self._tracks.pop(name, None)

    def save(self) -> dict[str, bytes]:
        bounds = [(track.low, track.high) for track in self._tracks.values()]
        recent = [(track.num, track.window) for track in self._tracks.values()]
        return {
            "names": encode_part(list(self._tracks)), "bounds": encode_part(bounds), "recent": encode_part(recent),
        }  # fmt: skip

    def load(self, parts: Mapping[str, bytes]) -> None:
        names = decode_part(parts, "names", list[str])
        bounds = decode_part(parts, "bounds", list[tuple[list[float], list[float]]])
        recent = decode_part(parts, "recent", list[tuple[int, list[float]]])
        self._tracks = {
            name: Track(num, window, low, high)
            for name, (low, high), (num, window) in zip(names, bounds, recent, strict=True)
        }


def _learn(track: Track, value: float) -> None:
    for place, aspect in enumerate(_aspects(track.window, value)):
        if aspect < track.low[place]:
            track.low[place] = aspect
        if aspect > track.high[place]:
            track.high[place] = aspect
    track.num += 1
    track.window.append(value)
    if len(track.window) > WINDOW:
        del track.window[0]


def _aspects(window: list[float], value: float) -> tuple[float, ...]:
    """The value; and, once the window is full, its change, the rolling mean and the rolling standard deviation."""
    if len(window) < WINDOW:
        return (value,)
    last = [*window[1:], value]
    mean = sum(last) / WINDOW
    scatter = math.sqrt(sum([(v - mean) ** 2 for v in last]) / WINDOW)
    return (value, value - window[-1], mean, scatter)
