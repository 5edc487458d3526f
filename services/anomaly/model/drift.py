"""Has what a series does changed for good? ADWIN on whitened residuals, believed when fresh points say so again."""

from typing import NamedTuple

import numpy as np

from services.anomaly.model import drift_window
from services.anomaly.model.bank import Bools, Floats, Ints, Micros, Rows
from services.anomaly.model.compiled import compiled
from services.anomaly.model.drift_whitening import (
    DAY,
    FIELDS,
    FIRST_POINTS,
    MEMORY_POINTS,
    MINUTE,
    day_matters,
    level,
    shift,
    unit,
    whiten,
    young_weight,
)
from services.anomaly.model.drift_window import BLOCK, MAX_BLOCKS, clear, cuts, drop_oldest, push

#: Points, and time, by which a daily pattern and an autocorrelation are known.
LEARN_POINTS = 512
LEARN_MICROS = 3 * DAY
#: An open drift is over when so many points were learnt anew and as many more went by without another.
QUIET_POINTS = 512
#: The second look: fresh blocks for it, at least and at most, and standard errors by which they must differ again.
LEAST_FRESH, MOST_FRESH = 10, MAX_BLOCKS // 8
CONFIRM = 3.5
#: Blocks by which it is known how far one is like the one before, and how alike they may be taken to be.
MEMORY_BLOCKS, MOST_ALIKE = 256.0, 0.9
#: Squared differences between blocks count up to so many mean ones.
MOST_DIFFERENT = 16.0

MEETING, LEARNING, JUDGING, DOUBTING = range(4)

DRIFT_DTYPE = np.dtype(
    [
        ("sum", "<f8"), ("sum_from", "<i8"), ("began", "<i8"), ("learn_left", "<u4"), ("quiet", "<u4"),
        ("num_summed", "<u2"), ("phase", "u1"), ("signal", "u1"), ("is_up", "u1"), ("is_open", "u1"),
        ("block_num", "u1"), ("block", "<f4", (3,)), ("block_minutes", "<f4"),
        ("older", "<f4"), ("newer", "<f4"), ("cut_minutes", "<f4"), ("left", "<f4", (5,)),
        ("last_block", "<f4", (2,)), ("last_block_but_one", "<f4", (2,)),
        ("differences", "<f4", (2,)), ("differences_two", "<f4", (2,)), ("num_blocks", "<u2"),
        ("fresh_num", "<f4"), ("fresh", "<f4", (5,)),
        *FIELDS, *drift_window.FIELDS,
    ]
)  # fmt: skip

#: Fields that change at one pace: with each value, each point, each hour, each block.
PARTS = {
    "sums": ("sum", "sum_from", "num_summed"),
    "hours": ("days", "pattern", "sizes"),
    "windows": tuple(name for name, *_ in drift_window.FIELDS),
}
PARTS["points"] = tuple(
    name for name in DRIFT_DTYPE.names or () if name not in {name for names in PARTS.values() for name in names}
)


class Changes(NamedTuple):
    """Drifts that one call confirmed; each (k,), of the rows `which`.

    Attributes:
        is_spread: whether the series scatters otherwise, instead of lying elsewhere.
        since: when it began, microseconds.
        before, after: the series' level; where `is_spread`, the mean size of what nobody could foresee in it.
        errors: by how many standard errors the fresh points differ.
    """

    which: Ints
    is_spread: Bools
    since: Micros
    before: Floats
    after: Floats
    errors: Floats


class Taken(NamedTuple):
    """What one call did.

    Attributes:
        found: drifts that were confirmed.
        points, hours, windows: rows of which such fields changed (see PARTS).
    """

    found: Changes
    points: Ints
    hours: Ints
    windows: Ints


class DriftBank:
    """Drift of many series at once; a series is one row of `dtype`, a zeroed row has learnt nothing.

    A point is the mean of a series over `step_seconds` (a slower series' values are points themselves). From each point
    the daily pattern is taken: means by hour of the day (UTC) over fourteen days, straight lines between the middles of
    hours. What the point before foretells of the rest is taken too (autocorrelation of first order), and what is left
    is divided by its mean size at that hour of the day and clipped at four of them, so that a wild value weighs little.
    ADWIN looks, a block of 16 points at a time, for a change of the mean of that residual and of its size, with the
    scatter between blocks and what neighbouring blocks have in common. Where it finds one, as many fresh points as it
    took, at least 160, must differ from what was before by CONFIRM standard errors in the same direction; else what
    lies before the cut is forgotten. Where the daily pattern is large, both sides must be a day at least. Nothing is
    judged before 512 points and three days. A confirmed drift is learnt: for 512 points nothing is judged, and after
    512 more without another it is over.

    It does not see what changes and changes back within the fresh points, a step in a random walk (one outlier of its
    residual), and growth so slow that the daily pattern follows. It takes weekends, and a clock put forward an hour,
    for drift where they are large, and says of a fifth of random walks that they drifted.
    """

    name = "drift"
    dtype = DRIFT_DTYPE

    #: Of what the fields mean.
    version = 1

    def __init__(self, step_seconds: float = 60.0, delta: float = 0.002) -> None:
        self._step = int(step_seconds * 1_000_000)
        self._delta = delta

    def update(self, rows: Rows, values: Floats, times: Micros) -> Changes:
        """Takes in one value of each row, finite and within +-1e100, its times ascending; says what is new for good."""
        return self.update_at(rows, np.arange(len(rows)), values, times).found

    def update_at(self, rows: Rows, at: Ints, values: Floats, times: Micros) -> "Taken":
        """The same for values of the rows `at`, each once, where they are: most rows only add their value up.

        `which` of `found` are places in `at`.
        """
        is_due = np.empty(len(at), bool)
        if not _add(rows, at, values, times, self._step, is_due):
            return NOTHING_TAKEN
        which = np.flatnonzero(is_due)
        due = at[which]
        own = rows[due]
        block_num, hours = own["block_num"].copy(), [own[name].copy() for name in PARTS["hours"]]
        found = self._take(own, own["sum"] / own["num_summed"], own["sum_from"].copy())
        own["sum"], own["sum_from"], own["num_summed"] = values[which], times[which], 1
        rows[due] = own
        turned = [(own[name] != held).any(axis=1) for name, held in zip(PARTS["hours"], hours, strict=True)]
        is_pushed = (block_num > 0) & (own["block_num"] == 0)
        return Taken(found._replace(which=which[found.which]), due, due[np.logical_or.reduce(turned)], due[is_pushed])

    def _take(self, rows: Rows, points: Floats, times: Micros) -> Changes:
        residual, rest = whiten(rows, points, times, _weight(rows))
        self._learn(rows, times)
        judged = np.flatnonzero((rows["phase"] >= JUDGING) & np.isfinite(residual))
        full = _fill(rows, judged, residual[judged], rest[judged], times[judged])
        if not len(full):
            return NOTHING
        blocks = _blocks(rows, full)
        push(rows, full, blocks)
        is_doubting = rows["phase"][full] == DOUBTING
        _correlate(rows, full[~is_doubting], blocks[~is_doubting][:, [0, 2]])
        self._look(rows, full[~is_doubting])
        return self._look_again(rows, full[is_doubting], blocks[is_doubting])

    def _learn(self, rows: Rows, times: Micros) -> None:
        """Moves rows on to judging that have learnt enough."""
        met = (rows["phase"] == MEETING) & (rows["count"] >= FIRST_POINTS)
        rows["began"] = np.where(rows["count"] == 1, times, rows["began"])
        rows["learn_left"] = np.where(met, LEARN_POINTS, rows["learn_left"])
        rows["phase"] = np.where(met, LEARNING, rows["phase"])
        learning = rows["phase"] == LEARNING
        rows["learn_left"] -= (learning & (rows["learn_left"] > 0)).astype(np.uint32)
        is_done = learning & (rows["learn_left"] == 0) & (times - rows["began"] >= LEARN_MICROS)
        rows["phase"] = np.where(is_done, JUDGING, rows["phase"])
        rows["quiet"] += (rows["phase"] == JUDGING).astype(np.uint32)

    def _look(self, rows: Rows, which: Ints) -> None:
        """The first look: where a window has a clear cut, its older side is kept to be compared with fresh points."""
        if not len(which):
            return
        found = cuts(rows, which, self._delta, _inflation(rows, which), _day_of_blocks(rows, which))
        doubted = which[found.is_clear]
        rows["phase"][doubted] = DOUBTING
        rows["signal"][doubted] = found.signal[found.is_clear]
        rows["is_up"][doubted] = found.is_up[found.is_clear]
        rows["older"][doubted] = found.older[found.is_clear]
        rows["newer"][doubted] = found.newer[found.is_clear]
        rows["left"][doubted] = found.left[found.is_clear]
        rows["cut_minutes"][doubted] = found.minutes[found.is_clear]
        rows["fresh_num"][doubted] = 0
        rows["fresh"][doubted] = 0

    def _look_again(self, rows: Rows, which: Ints, blocks: Floats) -> Changes:
        """The second look, at blocks that came after the cut was found."""
        rows["fresh"][which] += blocks[:, :5]
        rows["fresh_num"][which] += 1
        wanted = np.maximum(rows["newer"][which], _day_of_blocks(rows, which))
        wanted = np.clip(wanted, LEAST_FRESH, MOST_FRESH)
        done = which[rows["fresh_num"][which] >= wanted]
        if not len(done):
            return NOTHING
        errors = _errors(rows, done)
        is_real = errors >= CONFIRM
        denied = done[~is_real]
        drop_oldest(rows, denied, rows["older"][denied])
        rows["phase"][done] = JUDGING
        return _believe(rows, done[is_real], errors[is_real])


@compiled
def _add(rows: Rows, at: Ints, values: Floats, times: Micros, step: int, is_due: Bools) -> bool:
    """Adds values up, but those of rows whose time is over, which it notes; whether there are any of these."""
    is_any = False
    for place in range(len(at)):
        row = rows[at[place]]
        is_due[place] = row.num_summed > 0 and times[place] - row.sum_from >= step
        if is_due[place]:
            is_any = True
            continue
        if row.num_summed == 0:
            row.sum_from = times[place]
        row.sum += values[place]
        row.num_summed = min(row.num_summed + 1, 2**15)
    return is_any


NOTHING = Changes(
    np.zeros(0, np.int64), np.zeros(0, np.bool_), np.zeros(0, np.int64), np.zeros(0), np.zeros(0), np.zeros(0)
)
NOTHING_TAKEN = Taken(NOTHING, *(np.zeros(0, np.int64) for _ in range(3)))


def _weight(rows: Rows) -> Floats:
    """Of a point in what is learnt: none while a change is doubted, little once a series is known."""
    known = np.where(rows["phase"] == DOUBTING, 0.0, 1.0 / MEMORY_POINTS)
    return np.where(rows["phase"] >= JUDGING, known, young_weight(rows))


def _fill(rows: Rows, which: Ints, residual: Floats, rest: Floats, times: Micros) -> Ints:
    """Adds points to their rows' blocks; the rows whose block is full now."""
    is_first = rows["block_num"][which] == 0
    minutes = (times - rows["began"][which]) / MINUTE
    rows["block_minutes"][which] = np.where(is_first, minutes, rows["block_minutes"][which])
    rows["block"][which] += np.stack([residual, np.abs(residual), rest], axis=1)
    rows["block_num"][which] += 1
    return which[rows["block_num"][which] >= BLOCK]


def _blocks(rows: Rows, which: Ints) -> Floats:
    """The sums of full blocks in the order of `drift_window.SUMS`, (n, 6); the rows' blocks are empty then."""
    mean, size, rest = (rows["block"][which].astype(np.float64) / BLOCK).T
    sums = np.stack([mean, mean * mean, size, size * size, rest, rows["block_minutes"][which]], axis=1)
    rows["block"][which] = 0.0
    rows["block_num"][which] = 0
    return sums


def _correlate(rows: Rows, which: Ints, means: Floats) -> None:
    """Learns how far a block's mean, (n, 2) of both signals, is like that of the block before.

    By squared differences over one and two blocks: a step, not yet found, is in few of them.
    """
    own = rows[which]
    weight = 1.0 / np.clip(own["num_blocks"] - 1.0, 1.0, MEMORY_BLOCKS)[:, None]
    for name, other in (("differences", "last_block"), ("differences_two", "last_block_but_one")):
        squared = np.square(means - own[other])
        known = own[name] > 0
        squared = np.where(known, np.minimum(squared, MOST_DIFFERENT * own[name]), squared)
        has_before = (own["num_blocks"] >= 2)[:, None]
        own[name] += np.where(has_before, weight * (squared - own[name]), 0.0)
    own["last_block_but_one"] = own["last_block"]
    own["last_block"] = means
    own["num_blocks"] = np.minimum(own["num_blocks"] + 1, 2**15)
    rows[which] = own


def _inflation(rows: Rows, which: Ints) -> Floats:
    """(n, 2) by how much a mean over blocks scatters more than one over independent ones, in variance.

    Of a series whose correlation falls by r with each block the squared differences over two blocks are 1 + r times
    those over one.
    """
    one, two = rows["differences"][which], rows["differences_two"][which]
    ratio = np.divide(two, one, out=np.ones_like(one), where=one > 0).astype(np.float64) - 1.0
    ratio = np.clip(ratio, 0.0, MOST_ALIKE)
    return np.asarray((1.0 + ratio) / (1.0 - ratio), dtype=np.float64)


def _day_of_blocks(rows: Rows, which: Ints) -> Floats:
    """Blocks of a whole day where the daily pattern is large; else 0."""
    own = rows[which]
    return np.where(day_matters(own), np.ceil(DAY / (BLOCK * np.maximum(own["pause"], 1e6))), 0.0)


def _errors(rows: Rows, which: Ints) -> Floats:
    """By how many standard errors fresh blocks differ from the older side; negative where it is the other way now."""
    place = 2 * rows["signal"][which].astype(np.int64)
    at = np.arange(len(which))
    num, older = rows["fresh_num"][which].astype(np.float64), rows["older"][which].astype(np.float64)
    fresh = rows["fresh"][which] / num[:, None]
    left = rows["left"][which].astype(np.float64)
    spread = [np.maximum(side[at, place + 1] - side[at, place] ** 2, 0.0) for side in (left, fresh)]
    inflation = _inflation(rows, which)[at, place // 2]
    error = np.sqrt(np.maximum(inflation * (spread[0] / older + spread[1] / num), 1e-12))
    return np.where(rows["is_up"][which] == 1, 1.0, -1.0) * (fresh[at, place] - left[at, place]) / error


def _believe(rows: Rows, which: Ints, errors: Floats) -> Changes:
    """What is said of confirmed changes; their rows go on from the new state of things."""
    if not len(which):
        return NOTHING
    own = rows[which]
    fresh = own["fresh"] / own["fresh_num"][:, None]
    left = own["left"]
    # Whatever lies far away also looks larger: of that it is said where it lies.
    is_spread = (own["signal"] == 1) & (np.abs(fresh[:, 0] - left[:, 0]) < 0.5 * np.abs(fresh[:, 2] - left[:, 2]))
    growth = np.where(left[:, 2] > 0, np.clip(fresh[:, 2] / np.maximum(left[:, 2], 1e-6), 0.01, 100.0), 1.0)
    size = unit(own) * own["size"]
    before = np.where(is_spread, size * left[:, 2], level(own, left[:, 4].astype(np.float64)))
    after = np.where(is_spread, size * fresh[:, 2], level(own, fresh[:, 4].astype(np.float64)))
    since = own["began"] + (own["cut_minutes"].astype(np.float64) * MINUTE).astype(np.int64)
    shift(rows, which, fresh[:, 4], growth, FIRST_POINTS)
    clear(rows, which)
    rows["phase"][which] = LEARNING
    rows["learn_left"][which] = LEARN_POINTS
    rows["is_open"][which] = 1
    rows["quiet"][which] = 0
    return Changes(which, is_spread, since, before, after, errors)


def relearnt(rows: Rows, at: Ints | None = None) -> Ints:
    """Rows with an open drift that is over: learnt anew, and QUIET_POINTS went by without another; closes them.

    Args:
        at: only these rows; what is returned are places in it.
    """
    at = np.arange(len(rows)) if at is None else at
    is_quiet = (rows["phase"][at] == JUDGING) & (rows["quiet"][at] >= QUIET_POINTS)
    which = np.flatnonzero((rows["is_open"][at] == 1) & is_quiet)
    rows["is_open"][at[which]] = 0
    return which
