"""Is a value, its change, its recent mean or scatter, or its departure from the day before outside all seen so far?"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from services.anomaly.model.bank import Bands, Bools, Floats, Ints, Micros, Rows, ratio_scores

DAY = 86_400_000_000
#: Times of day that are remembered apart: half hours.
NUM_BINS = 48
BIN = DAY // NUM_BINS
#: The recent mean, scatter and departure fade as a mean of twelve values does, and say nothing before so many.
WINDOW = 12
PACE = 2.0 / (WINDOW + 1)
#: In the order in which their bounds stand.
ASPECTS = ("value", "change", "mean", "scatter", "departure")
#: A range of nothing is measured by the value's own size: the last digits of a mean are no news.
LEAST = 1e-9
#: Ranges; as far outside as can be.
FARTHEST = 1e6


class SeasonalNovelty:
    """Range novelty over five aspects, the fifth of which knows what was usual at this time on the day before.

    How far an aspect lies outside the least and most that were learnt, in shares of that range; the farthest aspect
    counts. The departure is the mean of the last values' differences from their half hour's mean when it was last
    seen, a day ago where nothing is missing. So a night as busy as a day is news, and a busy day is none. Nothing is
    ever forgotten: a wild value that was learnt hides smaller ones, and a slow drift widens its own range. With a
    weekly rhythm and no daily one the departure is only the more blurred.

    A row is 580 bytes.

    Args:
        line: the share of the range by which news lies outside it.
        min_samples: values to learn before it says anything.

    Source:
        reference "range novelty" for the first four aspects. The fifth was chosen on half of NAB's files at hand.
    """

    name = "seasonal_novelty"
    version = 1
    #: The half hours change twice an hour, the bounds ever more rarely.
    parts: Mapping[str, tuple[str, ...]] = MappingProxyType(
        {
            "recent": (
                "num", "num_departures", "last", "mean", "scatter_squared", "departure", "departing_since", "bin",
                "bin_num", "bin_mean",
            ),
            "bounds": ("low", "high"), "day": ("is_seen", "bin_means"),
        }
    )  # fmt: skip
    dtype: np.dtype[Any] = np.dtype(
        [
            ("num", "u4"), ("num_departures", "u4"), ("last", "f8"), ("mean", "f8"), ("scatter_squared", "f8"),
            ("departure", "f8"), ("low", "f8", (len(ASPECTS),)), ("high", "f8", (len(ASPECTS),)),
            ("departing_since", "i8"), ("bin", "i8"), ("bin_num", "u4"), ("bin_mean", "f8"),
            ("is_seen", "u1", (NUM_BINS,)), ("bin_means", "f8", (NUM_BINS,)),
        ]
    )  # fmt: skip

    def __init__(self, line: float = 0.25, min_samples: int = 30) -> None:
        self.line = line
        self._min_samples = min_samples

    def score(self, rows: Rows, values: Floats, times: Micros) -> Floats:
        return ratio_scores(self.novelty(rows, values, times), np.full(len(values), self.line))

    def novelty(self, rows: Rows, values: Floats, times: Micros) -> Floats:
        """(n,): how many of the learnt range's widths the farthest aspect lies outside it; at most FARTHEST."""
        aspects = _seen(rows, values, times).aspects
        low, high = rows["low"], rows["high"]
        outside = np.maximum(low - aspects, aspects - high) / _width(rows)
        worst = np.where(_is_bounded(rows, times), np.fmax(outside, 0.0), 0.0).max(axis=1)
        return np.where(rows["num"] >= self._min_samples, np.minimum(worst, FARTHEST), 0.0)

    def bands(self, rows: Rows, times: Micros) -> Bands:
        """What values keep every aspect within the line at these times; a lower scatter than ever is not in it.

        Where no value does, as after a jump, all but the usual one is outside: its half hour's of the day before, or
        the recent mean.
        """
        usual = _usual(rows, times // BIN)
        low, high = self._allowed(rows, times, usual)
        center = np.where(np.isnan(usual), rows["mean"], usual)
        center = np.where(low <= high, np.clip(center, low, high), center)
        is_warm = rows["num"] >= self._min_samples
        edges = np.minimum(low, center), center, np.maximum(high, center)
        return Bands(*(np.where(is_warm, edge, np.nan) for edge in edges))

    def _allowed(self, rows: Rows, times: Micros, usual: Floats) -> tuple[Floats, Floats]:
        """(n,) each: the highest of what the aspects allow at least, and the lowest of what they allow at most."""
        room = self.line * _width(rows)
        bounds = np.stack([rows["low"] - room, rows["high"] + room])  # (2, n, 5)
        pace, paced = _pace(rows["num"]), _pace(rows["num_departures"])
        calm = np.maximum(bounds[1, :, 3], 0.0) ** 2 / np.maximum(1.0 - pace, PACE) - rows["scatter_squared"]
        reach = np.sqrt(np.maximum(calm, 0.0) / pace)
        edges = np.stack(
            [
                bounds[:, :, 0], rows["last"] + bounds[:, :, 1], rows["mean"] + (bounds[:, :, 2] - rows["mean"]) / pace,
                rows["mean"] + np.stack([-reach, reach]),
                usual + rows["departure"] + (bounds[:, :, 4] - rows["departure"]) / paced,
            ],
            axis=2,
        )  # fmt: skip
        is_told = _is_bounded(rows, times) & ~np.isnan(edges[0])
        return np.where(is_told, edges[0], -np.inf).max(axis=1), np.where(is_told, edges[1], np.inf).min(axis=1)

    def seen(self, rows: Rows) -> tuple[Floats, Floats]:
        """The least and the most that was learnt of each; NaN where that is nothing."""
        is_known = rows["num"] > 0
        return np.where(is_known, rows["low"][:, 0], np.nan), np.where(is_known, rows["high"][:, 0], np.nan)

    def learn(self, rows: Rows, values: Floats, times: Micros) -> None:
        seen = _seen(rows, values, times)
        _widen(rows, seen.aspects)
        _, rows["mean"], rows["scatter_squared"] = seen.recent
        _finish_bin(rows, seen)
        rows["bin_num"] += 1
        rows["bin_mean"] += (values - rows["bin_mean"]) / rows["bin_num"]
        departs = ~np.isnan(seen.departure)
        rows["departing_since"] = np.where(departs & (rows["num_departures"] == 0), times, rows["departing_since"])
        rows["departure"] = np.where(departs, seen.departure, rows["departure"])
        rows["num_departures"] += departs
        rows["last"] = values
        rows["num"] += 1


class Seen(NamedTuple):
    """What one value makes of each series; (n,) but for the aspects, (n, 5), NaN where one cannot be told yet."""

    aspects: Floats
    recent: tuple[Floats, Floats, Floats]
    departure: Floats
    bin: Ints
    is_new_bin: Bools


def _seen(rows: Rows, values: Floats, times: Micros) -> Seen:
    num = rows["num"]
    change = np.where(num > 0, values - rows["last"], np.nan)
    recent = _recent(rows, values)
    bins = times // BIN
    departed = values - _usual(rows, bins)
    departure = rows["departure"] + _pace(rows["num_departures"]) * (departed - rows["departure"])
    is_full, departs = num + 1 >= WINDOW, rows["num_departures"] + 1 >= WINDOW
    aspects = np.stack(
        [
            values, change, np.where(is_full, recent[1], np.nan), np.where(is_full, np.sqrt(recent[2]), np.nan),
            np.where(departs, departure, np.nan),
        ],
        axis=1,
    )  # fmt: skip
    return Seen(aspects, recent, departure, bins, (bins != rows["bin"]) | (num == 0))


def _width(rows: Rows) -> Floats:
    """(n, 5): from the least to the most."""
    low, high = rows["low"], rows["high"]
    width: Floats = np.maximum(high - low, LEAST * np.maximum(np.abs(low), np.abs(high)) + LEAST)
    return width


def _pace(num: npt.NDArray[Any]) -> Floats:
    """How much the next value weighs after so many."""
    pace: Floats = np.maximum(1.0 / (num + 1.0), PACE)
    return pace


def _recent(rows: Rows, values: Floats) -> tuple[Floats, Floats, Floats]:
    """Pace, fading mean and fading variance with this value in it."""
    pace = _pace(rows["num"])
    away = values - rows["mean"]
    return pace, rows["mean"] + pace * away, (1.0 - pace) * (rows["scatter_squared"] + pace * away * away)


def _usual(rows: Rows, bins: Ints) -> Floats:
    """(n,): the mean of this half hour when it was last seen; NaN where it never was, or is only now."""
    place, numbers = bins % NUM_BINS, np.arange(len(rows))
    usual = np.where(rows["is_seen"][numbers, place] > 0, rows["bin_means"][numbers, place], np.nan)
    # The same half hour of another day, with none between: its mean is not yet put away.
    is_held = (rows["bin"] % NUM_BINS == place) & (rows["bin"] != bins) & (rows["num"] > 0)
    return np.where(is_held, rows["bin_mean"], usual)


def _finish_bin(rows: Rows, seen: Seen) -> None:
    """Where a new half hour begins, puts the mean of the last one away."""
    ended = np.flatnonzero(seen.is_new_bin & (rows["bin_num"] > 0))
    place = rows["bin"][ended] % NUM_BINS
    rows["bin_means"][ended, place] = rows["bin_mean"][ended]
    rows["is_seen"][ended, place] = 1
    for field in ("bin_num", "bin_mean"):
        rows[field] = np.where(seen.is_new_bin, 0, rows[field])
    rows["bin"] = seen.bin


def _is_bounded(rows: Rows, times: Micros) -> Bools:
    """(n, 5): of which aspects enough was learnt. Departures of less than a day know only some times of day."""
    num = rows["num"]
    is_day = (rows["num_departures"] >= WINDOW) & (times - rows["departing_since"] >= DAY)
    return np.stack([num > 0, num > 1, num >= WINDOW, num >= WINDOW, is_day], axis=1)


def _widen(rows: Rows, aspects: Floats) -> None:
    is_first = np.stack(
        [rows["num"] == 0, rows["num"] <= 1, *[rows["num"] < WINDOW] * 2, rows["num_departures"] < WINDOW], axis=1
    )
    told = np.nan_to_num(aspects)
    for field, wider in (("low", np.fmin), ("high", np.fmax)):
        rows[field] = np.where(is_first, told, wider(rows[field], aspects))
