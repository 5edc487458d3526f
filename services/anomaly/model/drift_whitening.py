"""What nobody could foresee in a series: without its daily pattern, without what the point before foretells."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.anomaly.model.bank import Bools, Floats, Ints, Micros, Rows

MINUTE = 60_000_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR
#: Points by which a series' unit is known.
FIRST_POINTS = 64
#: Days that the daily pattern remembers.
MEMORY_DAYS = 14
#: Points that the autocorrelation and the spread remember.
MEMORY_POINTS = 4096.0
#: A value counts as at most so many mean deviations from where it is expected.
CLIP = 4.0
#: In what the autocorrelation is learnt from, at most so many mean deviations.
ALIKE = 3.0
#: No series is taken to be more of a random walk than this, or more of a saw than that.
MOST_PHI, LEAST_PHI = 0.999, -0.9
#: An hour's mean size counts as much as that of all hours when so many points of it are known.
PRIOR_POINTS = 64.0
#: The size of wild values counts them up to so many of itself.
WILD = 256.0
#: In units of the series: nothing smaller is news.
LEAST_SIZE = 1e-3
#: A pattern by day is large when it moves the mean by this share of the spread, or the size by this share of itself.
LARGE_PATTERN, LARGE_SIZES = 0.75, 0.3
#: A pause longer than this many usual ones has no point before it to be foretold from.
LONG_PAUSE = 5.0
#: Values in units of the series are held within this, so that four bytes are enough.
FARTHEST = 1e6
#: A series that moves by less than this stands still.
TINY = 1e-100

FIELDS: list[Any] = [
    ("origin", "<f8"), ("unit", "<f8"), ("last", "<i8"), ("count", "<u4"), ("hour_num", "<u2"), ("hour", "u1"),
    ("level", "<f4"), ("spread", "<f4"), ("product", "<f4"), ("square", "<f4"), ("last_rest", "<f4"),
    ("hour_sum", "<f4"), ("hour_size", "<f4"), ("size", "<f4"), ("wild", "<f4"), ("pause", "<f4"),
    ("days", "u1", (24,)), ("pattern", "<f4", (24,)), ("sizes", "<f4", (24,)),
]  # fmt: skip


def whiten(rows: Rows, points: Floats, times: Micros, weight: Floats) -> tuple[Floats, Floats]:
    """Takes in one point of each row, which has this weight in what is learnt of the series; 0 for none.

    Returns:
        (n,) residuals within +-CLIP, in mean sizes of residuals at that hour of the day, NaN where nothing can be said
        of the point; and (n,) rests, points without their daily pattern in units of the series.
    """
    _find_unit(rows, points)
    y = _in_units(rows, points)
    _turn_hour(rows, times, weight > 0)
    part = (times % HOUR) / HOUR - 0.5
    center = _between(np.where(rows["days"] > 0, rows["pattern"], rows["level"][:, None]), rows["hour"], part)
    rest = y - center
    is_near = _is_near(rows, times)
    foretold = np.where(is_near, phi(rows) * rows["last_rest"], 0.0)
    residual = rest - foretold
    size = _between(_hour_sizes(rows), rows["hour"], part)
    # A wild value moves what is held of the series by CLIP sizes; a walk is followed step by step.
    held = np.where(is_near, foretold + _clipped(residual, size), _clipped(rest, rows["spread"]))
    rows["hour_sum"] += center + _clipped(rest, rows["spread"])
    rows["hour_size"] += np.abs(_clipped(residual, size))
    rows["hour_num"] = np.minimum(rows["hour_num"] + 1, 2**15)
    rows["level"] += weight * _clipped(y - rows["level"], rows["spread"])
    # A step, not yet found, must not make the series look like a random walk: then it would never be.
    now, before = (np.clip(x, -ALIKE * rows["spread"], ALIKE * rows["spread"]) for x in (held, rows["last_rest"]))
    rows["product"] += np.where(is_near, weight * (now * before - rows["product"]), 0.0)
    rows["square"] += weight * (now * now - rows["square"])
    rows["spread"] += weight * (np.abs(_clipped(rest, rows["spread"])) - rows["spread"])
    wild = np.where(rows["wild"] > 0, WILD * rows["wild"], FARTHEST)
    rows["wild"] += weight * (np.minimum(np.abs(residual), wild) - rows["wild"])
    rows["size"] += weight * (np.abs(_clipped(residual, rows["size"])) - rows["size"])
    rows["last_rest"] = held
    rows["last"] = times
    rows["count"] += np.uint32(1)
    with np.errstate(divide="ignore", invalid="ignore"):
        # Of a series that mostly stands still the clipped size is next to nothing: rare steps are its size then.
        size = np.maximum(size, np.maximum(rows["wild"] / 8.0, LEAST_SIZE))
        scaled = np.clip(residual / size, -CLIP, CLIP)
    return np.where(is_near, scaled, np.nan), rest


def phi(rows: Rows) -> Floats:
    """The share of a rest that is left at the next point; 0 where there was none."""
    square = rows["square"]
    ratio = np.divide(rows["product"], square, out=np.zeros(len(rows), np.float32), where=square > 0)
    return np.asarray(np.clip(ratio, LEAST_PHI, MOST_PHI), dtype=np.float64)


def _find_unit(rows: Rows, points: Floats) -> None:
    """The first FIRST_POINTS say where zero and one are; one wild value among them has little weight."""
    young = np.flatnonzero(rows["count"] < FIRST_POINTS)
    if not len(young):
        return
    held, x = rows[young], points[young]
    weight = 4.0 / (held["count"] + 4.0)
    away = x - np.where(held["count"] == 0, x, held["origin"])
    bound = np.where(held["unit"] > 0, CLIP * held["unit"], np.inf)
    rows["origin"][young] = x - away + weight * np.clip(away, -bound, bound)
    rows["unit"][young] += weight * (np.minimum(np.abs(away), bound) - held["unit"])
    # What is learnt of the series until then is in a unit that still changes: begun anew with the last of them.
    last = young[rows["count"][young] == FIRST_POINTS - 1]
    for name in (
        "level",
        "spread",
        "product",
        "square",
        "last_rest",
        "hour_sum",
        "hour_size",
        "size",
        "wild",
        "hour_num",
    ):
        rows[name][last] = 0
    rows["days"][last] = 0


def _in_units(rows: Rows, points: Floats) -> Floats:
    return np.asarray(np.clip((points - rows["origin"]) / unit(rows), -FARTHEST, FARTHEST), dtype=np.float64)


def young_weight(rows: Rows) -> Floats:
    """The weight of a point while a series is learnt: the first ones are soon forgotten."""
    return np.asarray(np.maximum(4.0 / (rows["count"] + 4.0), 1.0 / MEMORY_POINTS), dtype=np.float64)


def unit(rows: Rows) -> Floats:
    """What one is for the series; of one that stood still a thousandth of its value, or 1 where that was 0."""
    still = np.where(rows["origin"] == 0, 1.0, np.maximum(1e-3 * np.abs(rows["origin"]), TINY))
    return np.asarray(np.where(rows["unit"] > np.maximum(1e-6 * still, TINY), rows["unit"], still), dtype=np.float64)


def _clipped(distance: Floats, size: Floats) -> Floats:
    """Within CLIP sizes; as it is where no size is known."""
    bound = np.where(size > 0, CLIP * size, FARTHEST)
    return np.clip(distance, -bound, bound)


def _between(cells: Floats, hour: NDArray[np.uint8], part: Floats) -> Floats:
    """Straight lines between the middles of hours; `part` in [-0.5, 0.5) from the middle of `hour`."""
    at = np.arange(len(cells))
    here = cells[at, hour]
    there = cells[at, (hour.astype(np.int64) + np.where(part < 0, 23, 1)) % 24]
    return np.asarray(here + np.abs(part) * (there - here), dtype=np.float64)


def _turn_hour(rows: Rows, times: Micros, learns: Bools) -> None:
    """When another hour begins, the one before goes into the daily pattern."""
    hour = (times // HOUR) % 24
    turned = np.flatnonzero((hour != rows["hour"]) | (times - rows["last"] >= HOUR))
    old = turned[(rows["hour_num"][turned] > 0) & learns[turned]]
    if len(old):
        cell, num = rows["hour"][old], rows["hour_num"][old]
        days = np.minimum(rows["days"][old, cell] + 1, MEMORY_DAYS)
        rows["pattern"][old, cell] += (rows["hour_sum"][old] / num - rows["pattern"][old, cell]) / days
        # On the first day nobody knew the pattern: what could not be foreseen then counts until the second.
        size_days = np.maximum(days - 1, 1)
        rows["sizes"][old, cell] += (rows["hour_size"][old] / num - rows["sizes"][old, cell]) / size_days
        rows["days"][old, cell] = days
    for name in ("hour_sum", "hour_size", "hour_num"):
        rows[name][turned] = 0
    rows["hour"] = hour


def _hour_sizes(rows: Rows) -> Floats:
    """Residuals' mean size by hour, drawn to that of all hours while few points of an hour are known, (n, 24).

    Divided by a size that is known badly, residuals would be large at first and shrink: a drift of our own making.
    """
    points = np.maximum(rows["days"].astype(np.float64) - 1, 0) * (HOUR / np.maximum(rows["pause"], 1e6))[:, None]
    share = points / (points + PRIOR_POINTS)
    return np.asarray(rows["size"][:, None] + share * (rows["sizes"] - rows["size"][:, None]), dtype=np.float64)


def _is_near(rows: Rows, times: Micros) -> Bools:
    """Whether the point before is near enough to foretell this one; learns how long pauses are."""
    pause = (times - rows["last"]).astype(np.float64)
    has_before = rows["count"] > 0
    is_known = rows["pause"] > 0
    is_near = has_before & (~is_known | (pause <= LONG_PAUSE * rows["pause"]))
    usual = np.minimum(pause, LONG_PAUSE * rows["pause"])
    learnt = np.where(is_known, rows["pause"] + 0.05 * (usual - rows["pause"]), pause)
    rows["pause"] = np.where(has_before, learnt, 0.0)
    return np.asarray(is_near, dtype=np.bool_)


def level(rows: Rows, rest: Floats) -> Floats:
    """A mean rest as a value of the series: above or below the mean of its daily pattern."""
    days = rows["days"] > 0
    mean = np.where(days, rows["pattern"], 0.0).sum(axis=1) / np.maximum(days.sum(axis=1), 1)
    return np.asarray(rows["origin"] + unit(rows) * (mean + rest), dtype=np.float64)


def day_matters(rows: Rows) -> Bools:
    """Where the daily pattern is so large that what is wrong in it looks like a change within a day."""
    known = np.where(rows["days"] > 0, rows["pattern"], rows["level"][:, None])
    moves = known.std(axis=1) > LARGE_PATTERN * rows["spread"]
    return np.asarray(moves | (_hour_sizes(rows).std(axis=1) > LARGE_SIZES * rows["size"]), dtype=np.bool_)


def shift(rows: Rows, which: Ints, rest: Floats, growth: Floats, points_to_learn: int) -> None:
    """The daily pattern lies `rest` higher from now on, what cannot be foreseen is `growth` times as large.

    Both are followed quickly for a while: what was seen of them counts as two days and `points_to_learn` points.
    """
    rows["pattern"][which] += rest[:, None]
    rows["level"][which] += rest
    rows["last_rest"][which] -= rest
    rows["hour_sum"][which] += rest * rows["hour_num"][which]
    for name in ("sizes", "hour_size"):
        rows[name][which] = (rows[name][which].T * growth).T
    for name in ("size", "spread", "wild"):
        rows[name][which] *= growth
    rows["days"][which] = np.minimum(rows["days"][which], 2)
    rows["count"][which] = points_to_learn
