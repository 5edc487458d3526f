"""How odd an entity's series are together: by their means, by what the others say, by the step before. In columns.

Letters: `n` entities of one call; `W` series of each, the columns. Many entities of one width are judged in one call.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from services.anomaly.model import tail
from services.anomaly.model.bank import Bools, Floats, Ints, Rows, ratio_scores
from services.anomaly.model.compiled import compiled
from services.anomaly.model.tail import TAIL

#: A series that never moved is measured by a hundredth of its size, at least by this.
LEAST, SMALL_SHARE = 1e-9, 0.01
#: Standard deviations that are as far as can be, so that one series does not drown all others.
FARTHEST = 100.0
#: A residual is measured by at least this share of its series' own deviation.
LEAST_REST = 0.01
#: Between their absolute value (one bad series is little among many) and their squares (it is all that counts).
POWER = 1.5
#: Steps of an entity, and values of a series, before they say anything.
MIN_STEPS = 32
#: Directions are found anew each time that the number of steps has doubled, and after each so many.
REFIT_STEPS = 64
#: Early steps are forgotten as the square of their share of all: what was learnt first was scaled by next to nothing.
EARLY = 2.0

#: What more than this share of the scores lies below is not to be learnt.
LEARNING_LEVEL = 0.99

Singles = npt.NDArray[np.float32]


class Look(NamedTuple):
    """What one step looks like to what was learnt: (n, W) each, and of the entity (n,)."""

    z: Singles
    rest: Singles
    change: Singles
    parts: Floats
    surprise: Floats
    is_known: Bools


class Judged(NamedTuple):
    """Of each entity its score (n,), what each series adds to it (n, W), and whether the step was learnt (n,)."""

    score: Floats
    parts: Floats
    is_learnt: Bools


class Reconstruction:
    """Three distances of each series, each by its own usual size; their smoothed mean over the series is the score.

    The first is the value's from its mean. The second is what is left of it after rebuilding all from the strongest
    directions of their correlation (online PCA): it sees what leaves the usual relations while every value lies within
    its range. The third is the change since the step before. Mean, deviation, correlation and sizes of residuals are
    remembered with exponentially fading weight. A daily rhythm is unknown to it: it only widens the deviation.

    Once what is normal is known, a step that is not `is_usual` is to be passed to `remember` instead of `learn`: an
    anomaly that is learnt is soon normal, and on SMD that cost a third of the average precision. Whoever calls decides
    how long that may last; a level that never comes back is never learnt by itself. Line and learning line are
    conformal quantiles of the scores, kept as counts (`tail`).

    A step costs W^2 numbers to judge and as many to learn; a row is 8 W^2 + 40 W + 552 bytes.

    Args:
        width: W; a row holds so many series.
        memory: steps after which what was learnt weighs a third.
        share: of the variance that the directions rebuild.
        smooth: steps over which the score is averaged (exponentially, as long on average as a mean of so many).
        level: the share of scores that the line exceeds.
    """

    name = "reconstruction"

    def __init__(
        self, width: int, memory: float = 5_000.0, share: float = 0.9, smooth: float = 8.0, level: float = 0.999
    ) -> None:
        self.width = width
        self._memory = memory
        self._share = share
        self._pace = 2.0 / (smooth + 1.0)
        self._level = level
        each, square = (width,), (width, width)
        self.dtype: np.dtype[Any] = np.dtype(
            [
                ("num_steps", "i8"), ("surprise", "f8"), ("line", "f8"), ("gate", "f8"), ("peak", "f8"),
                ("center", "f8", each), ("unit", "f8", each), ("last", "f8", each), ("num", "f4", each),
                ("spread", "f4", each), ("rest", "f4", each), ("change", "f4", each),
                ("moments", "f4", square), ("projector", "f4", square), *TAIL,
            ]
        )  # fmt: skip

    def score(self, rows: Rows, values: Floats) -> Floats:
        """(n,) in [0, 1] of (n, W), NaN for what is missing: 0.5 at the line, 0.0 while too little was learnt."""
        return ratio_scores(self.surprise(rows, values), rows["line"])

    def surprise(self, rows: Rows, values: Floats) -> Floats:
        """(n,): the smoothed mean of the known series' parts, about 3 where all is usual; 0.0 where none is known."""
        look = self._look(rows, np.arange(len(rows)), values)
        return np.where(look.is_known, look.surprise, 0.0)

    def is_usual(self, rows: Rows, values: Floats) -> Bools:
        """(n,): whether a step lies below the learning line, so that it may be learnt once what is normal is known."""
        return self.surprise(rows, values) <= rows["gate"]

    def parts(self, rows: Rows, values: Floats) -> Floats:
        """(n, W): what each series adds to this step's surprise; 0.0 for what is missing or not yet known."""
        return self._look(rows, np.arange(len(rows)), values).parts

    def _look(self, rows: Rows, at: Ints, values: Floats) -> Look:
        n, each = len(at), (len(at), self.width)
        z, rest, change = (np.empty(each, np.float32) for _ in range(3))
        _scale(rows, at, values, z)
        # BLAS adds in an order of its own, which is why this is not in the loop.
        rebuilt = np.matmul(z[:, None, :], rows["projector"][at])[:, 0, :]
        look = Look(z, rest, change, np.empty(each), np.empty(n), np.empty(n, bool))
        _compare(rows, at, values, z, rebuilt, self._pace, rest, change, look.parts, look.surprise, look.is_known)
        return look

    def remember(self, rows: Rows, values: Floats) -> None:
        """Takes note of a step that is not to be learnt, in place: the smoothed score and the last values move on."""
        at = np.arange(len(rows))
        self._move_on(rows, at, values, self._look(rows, at, values), np.zeros(len(rows), dtype=bool))

    def learn(self, rows: Rows, values: Floats) -> None:
        """Takes a step in as normal, in place. An entity stands at most once in a call."""
        at = np.arange(len(rows))
        self._move_on(rows, at, values, self._look(rows, at, values), np.ones(len(rows), dtype=bool))

    def judge(self, rows: Rows, values: Floats, is_normal: Bools) -> Judged:
        """Scores a step of each entity; then learns it where it is usual or known to be normal, else remembers it.

        As `score`, `is_usual`, `parts` and `learn` or `remember` one after the other, at half their cost.
        """
        return self.judge_at(rows, np.arange(len(rows)), values, is_normal)

    def judge_at(self, rows: Rows, at: Ints, values: Floats, is_normal: Bools) -> Judged:
        """The same for the rows `at` of a table, where they are."""
        look = self._look(rows, at, values)
        surprise = np.where(look.is_known, look.surprise, 0.0)
        score, learns = ratio_scores(surprise, rows["line"][at]), is_normal | (surprise <= rows["gate"][at])
        self._move_on(rows, at, values, look, learns)
        return Judged(score, look.parts, learns)

    def _move_on(self, rows: Rows, at: Ints, values: Floats, look: Look, learns: Bools) -> None:
        peaks, is_counted, is_due = np.empty(len(at)), np.empty(len(at), bool), np.empty(len(at), bool)
        _take_in(
            rows, at, values, *look[:3], *look[4:], learns, 1.0 / self._memory, peaks, is_counted, is_due,
        )  # fmt: skip
        tail.count(rows, at, look.surprise, is_counted)
        # What was passed to `remember` counts once, by its peak: without it the line would sink, as it cuts off its own
        # tail; if each step counted, one long anomaly would hide the next.
        tail.count(rows, at, peaks, peaks > 0)
        if is_due.any():
            due = rows[at[is_due]]
            self._refit(due)
            rows[at[is_due]] = due

    def _refit(self, rows: Rows) -> None:
        """New units from the deviations, new directions from the correlations, in place."""
        size, least = np.abs(rows["center"]), LEAST * np.maximum(1.0, np.abs(rows["center"]))
        deviation = np.sqrt(rows["spread"]) * rows["unit"]
        unit = np.where(deviation > least, deviation, np.maximum(SMALL_SHARE * size, LEAST))
        unit = np.where(rows["num"] > 0, unit, 1.0)
        ratio = np.where(rows["num"] > 0, rows["unit"], 1.0) / unit
        shrunk = ratio.astype(np.float32)
        for field in ("spread", "rest", "change"):
            rows[field] *= shrunk * shrunk
        rows["moments"] *= shrunk[:, :, None] * shrunk[:, None, :]
        rows["unit"] = unit
        rows["projector"] = _projectors(rows["moments"], self._share)
        tail.fade(rows, REFIT_STEPS / self._memory)
        rows["line"], rows["gate"] = tail.line(rows, self._level), tail.line(rows, LEARNING_LEVEL)


@compiled
def _scale(rows: Rows, at: Ints, values: Floats, z: Singles) -> None:
    """How many units from the center; 0 for what is missing or was never seen."""
    for place in range(len(at)):
        row = rows[at[place]]
        for column in range(values.shape[1]):
            value = values[place, column]
            is_seen = np.isfinite(value) and row.num[column] > 0
            scaled = (value - row.center[column]) / row.unit[column] if is_seen else 0.0
            z[place, column] = np.float32(min(max(scaled, -FARTHEST), FARTHEST))


@compiled
def _compare(
    rows: Rows, at: Ints, values: Floats, z: Singles, rebuilt: Singles, pace: float,
    rests: Singles, changes: Singles, parts: Floats, surprise: Floats, is_known: Bools,
) -> None:  # fmt: skip
    """Fills the last five."""
    most, least_rest, width = np.float32(FARTHEST), np.float32(LEAST_REST), values.shape[1]
    sums = np.empty(8)
    for place in range(len(at)):
        row, num_known = rows[at[place]], 0
        for column in range(width):
            value, num = values[place, column], row.num[column]
            is_there = np.isfinite(value)
            rest, change = z[place, column] - rebuilt[place, column], np.float32(0.0)
            if is_there and num > 0:
                scaled = (value - row.last[column]) / row.unit[column]
                change = np.float32(min(max(scaled, -FARTHEST), FARTHEST))
            rests[place, column], changes[place, column] = rest, change
            parts[place, column] = 0.0
            if is_there and num >= MIN_STEPS and row.num_steps >= MIN_STEPS:
                num_known += 1
                weight = 0.0
                usual_rest = max(np.sqrt(row.rest[column]), least_rest)
                usual_change = max(np.sqrt(row.change[column]), least_rest)
                for distance in (z[place, column], rest / usual_rest, change / usual_change):
                    held = np.float64(min(abs(distance), most))
                    weight += held * np.sqrt(held)
                parts[place, column] = weight
        # Added as numpy does: eight sums side by side, then these in pairs, then what is left.
        step, end = 0.0, width - width % 8
        if end:
            sums[:] = 0.0
            for column in range(end):
                sums[column % 8] += parts[place, column]
            step = ((sums[0] + sums[1]) + (sums[2] + sums[3])) + ((sums[4] + sums[5]) + (sums[6] + sums[7]))
        for column in range(end, width):
            step += parts[place, column]
        is_known[place] = num_known > 0
        surprise[place] = row.surprise
        if num_known:
            surprise[place] += pace * (step / num_known - row.surprise)


@compiled
def _take_in(
    rows: Rows, at: Ints, values: Floats, z: Singles, rests: Singles, changes: Singles, surprise: Floats,
    is_known: Bools, learns: Bools, slowest: float, peaks: Floats, is_counted: Bools, is_due: Bools,
) -> None:  # fmt: skip
    """Takes the step in; fills the last three: a peak that counts now (0 for none), whether the step does, whether
    directions are due."""
    one, width = np.float32(1.0), values.shape[1]
    for place in range(len(at)):
        row, is_there, num_steps = rows[at[place]], False, rows[at[place]].num_steps
        row.surprise = surprise[place]
        # The first scores, when little was known, tell nothing.
        is_counted[place] = is_known[place] and learns[place] and num_steps >= 2 * MIN_STEPS
        peaks[place] = 0.0
        if is_counted[place]:
            peaks[place], row.peak = row.peak, 0.0
        elif is_known[place] and not learns[place]:
            row.peak = max(row.peak, surprise[place])
        for column in range(width):
            value = values[place, column]
            if not np.isfinite(value):
                continue
            row.last[column] = value
            if not learns[place]:
                continue
            is_there = True
            if row.num[column] == 0:  # a series that is learnt for the first time is its own center
                row.center[column], row.unit[column] = value, max(SMALL_SHARE * abs(value), LEAST)
            row.num[column] += one
            pace = min(max(np.float32(EARLY) / (row.num[column] + one), np.float32(slowest)), one)
            distance, rest, change = z[place, column], rests[place, column], changes[place, column]
            row.rest[column] += pace * (rest * rest - row.rest[column])
            row.change[column] += pace * (change * change - row.change[column])
            row.center[column] += np.float64(pace * distance) * row.unit[column]
            row.spread[column] = (one - pace) * (row.spread[column] + pace * distance * distance)
        is_due[place] = False
        if is_there:
            num_steps += 1
            row.num_steps = num_steps
            pace = np.float32(min(max(EARLY / (num_steps + 1), slowest), 1.0))
            moments = row.moments
            for one_of in range(width):
                for other in range(width):
                    held = moments[one_of, other]
                    moments[one_of, other] = held + pace * (z[place, one_of] * z[place, other] - held)
            is_due[place] = num_steps % REFIT_STEPS == 0 or num_steps & (num_steps - 1) == 0


def _projectors(moments: Singles, share: float) -> Singles:
    """(n, W, W): onto the fewest strongest directions that hold more than that share of the variance."""
    sizes, directions = np.linalg.eigh(moments.astype(np.float64))  # ascending
    sizes, directions = np.maximum(sizes[:, ::-1], 0.0), directions[:, :, ::-1]
    held = np.cumsum(sizes, axis=1) / np.maximum(sizes.sum(axis=1, keepdims=True), LEAST)
    is_kept = np.concatenate([np.ones((len(held), 1), dtype=bool), held[:, :-1] < share], axis=1)
    kept = directions * is_kept[:, None, :]
    projectors: Singles = np.matmul(kept, kept.transpose(0, 2, 1)).astype(np.float32)
    return projectors
