"""How odd an entity's series are together: by their means, by what the others say, by the step before. In columns.

Letters: `n` entities of one call; `W` series of each, the columns. Many entities of one width are judged in one call.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from services.anomaly.model import tail
from services.anomaly.model.bank import Bools, Floats, Rows, ratio_scores
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

    there: Bools
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
        look = self._look(rows, values)
        return np.where(look.is_known, look.surprise, 0.0)

    def is_usual(self, rows: Rows, values: Floats) -> Bools:
        """(n,): whether a step lies below the learning line, so that it may be learnt once what is normal is known."""
        return self.surprise(rows, values) <= rows["gate"]

    def parts(self, rows: Rows, values: Floats) -> Floats:
        """(n, W): what each series adds to this step's surprise; 0.0 for what is missing or not yet known."""
        return self._look(rows, values).parts

    def _look(self, rows: Rows, values: Floats) -> Look:
        there = np.isfinite(values)
        num = rows["num"]
        known = there & (num >= MIN_STEPS) & (rows["num_steps"] >= MIN_STEPS)[:, None]
        unit = np.where(there & (num > 0), rows["unit"], np.inf)
        z = _scaled(values, rows["center"], unit, there)
        change = _scaled(values, rows["last"], unit, there)
        rest = z - np.matmul(z[:, None, :], rows["projector"])[:, 0, :]
        usual = np.maximum(np.sqrt(rows["rest"]), LEAST_REST), np.maximum(np.sqrt(rows["change"]), LEAST_REST)
        parts = np.where(known, _weight(z) + _weight(rest / usual[0]) + _weight(change / usual[1]), 0.0)
        step = parts.sum(axis=1) / np.maximum(known.sum(axis=1), 1)
        is_known: Bools = np.any(known, axis=1)
        before = rows["surprise"]
        surprise = np.where(is_known, before + self._pace * (step - before), before)
        return Look(there, z, rest, change, parts, surprise, is_known)

    def remember(self, rows: Rows, values: Floats) -> None:
        """Takes note of a step that is not to be learnt, in place: the smoothed score and the last values move on."""
        self._move_on(rows, values, self._look(rows, values), np.zeros(len(rows), dtype=bool))

    def learn(self, rows: Rows, values: Floats) -> None:
        """Takes a step in as normal, in place. An entity stands at most once in a call."""
        self._move_on(rows, values, self._look(rows, values), np.ones(len(rows), dtype=bool))

    def judge(self, rows: Rows, values: Floats, is_normal: Bools) -> Judged:
        """Scores a step of each entity; then learns it where it is usual or known to be normal, else remembers it.

        As `score`, `is_usual`, `parts` and `learn` or `remember` one after the other, at half their cost.
        """
        look = self._look(rows, values)
        surprise = np.where(look.is_known, look.surprise, 0.0)
        score, learns = ratio_scores(surprise, rows["line"]), is_normal | (surprise <= rows["gate"])
        self._move_on(rows, values, look, learns)
        return Judged(score, look.parts, learns)

    def _move_on(self, rows: Rows, values: Floats, look: Look, learns: Bools) -> None:
        rows["surprise"] = look.surprise
        rows["last"] = np.where(look.there, values, rows["last"])
        rows["peak"] = np.where(look.is_known & ~learns, np.maximum(rows["peak"], look.surprise), rows["peak"])
        self._count(rows, look, learns)
        there = look.there & learns[:, None]
        _begin(rows, values, there)
        rows["num"] += there
        pace = np.where(there, self._pace_of(rows["num"]), np.float32(0.0))
        rows["rest"] += pace * (look.rest * look.rest - rows["rest"])
        rows["change"] += pace * (look.change * look.change - rows["change"])
        rows["center"] += pace * look.z * rows["unit"]
        rows["spread"] = (1 - pace) * (rows["spread"] + pace * look.z * look.z)
        is_there: Bools = np.any(there, axis=1)
        self._learn_relations(rows, look.z, is_there)

    def _pace_of(self, num: npt.NDArray[Any]) -> Singles:
        """How much the newest of so many steps weighs."""
        pace: Singles = np.minimum(np.maximum(EARLY / (num + 1), 1.0 / self._memory), 1.0).astype(np.float32)
        return pace

    def _count(self, rows: Rows, look: Look, learns: Bools) -> None:
        """The score of a step that is normal; the first ones, when little was known, tell nothing."""
        is_counted = look.is_known & learns & (rows["num_steps"] >= 2 * MIN_STEPS)
        tail.count(rows, look.surprise, is_counted)
        # What was passed to `remember` counts once, by its peak: without it the line would sink, as it cuts off its own
        # tail; if each step counted, one long anomaly would hide the next.
        ended = is_counted & (rows["peak"] > 0)
        tail.count(rows, rows["peak"], ended)
        rows["peak"] = np.where(ended, 0.0, rows["peak"])

    def _learn_relations(self, rows: Rows, z: Singles, is_there: Bools) -> None:
        rows["num_steps"] += is_there
        num = rows["num_steps"]
        pace = np.where(is_there, self._pace_of(num), np.float32(0.0))[:, None, None]
        rows["moments"] += pace * (z[:, :, None] * z[:, None, :] - rows["moments"])
        is_due = is_there & ((num % REFIT_STEPS == 0) | (num & (num - 1) == 0))
        if is_due.any():
            due = rows[is_due]
            self._refit(due)
            rows[is_due] = due

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


def _begin(rows: Rows, values: Floats, there: Bools) -> None:
    """A series that is learnt for the first time is its own center."""
    is_new = there & (rows["num"] == 0)
    if is_new.any():
        rows["center"] = np.where(is_new, values, rows["center"])
        rows["unit"] = np.where(is_new, np.maximum(SMALL_SHARE * np.abs(values), LEAST), rows["unit"])


def _scaled(values: Floats, origin: Floats, unit: Floats, there: Bools) -> Singles:
    """(n, W): how many units from the origin; 0 for what is missing or was never seen."""
    scaled = np.where(there, values - origin, 0.0) / unit
    return np.minimum(np.maximum(scaled, -FARTHEST), FARTHEST).astype(np.float32)


def _weight(distance: Singles) -> Floats:
    held = np.minimum(np.abs(distance), FARTHEST).astype(np.float64)
    weight: Floats = held * np.sqrt(held)
    return weight


def _projectors(moments: Singles, share: float) -> Singles:
    """(n, W, W): onto the fewest strongest directions that hold more than that share of the variance."""
    sizes, directions = np.linalg.eigh(moments.astype(np.float64))  # ascending
    sizes, directions = np.maximum(sizes[:, ::-1], 0.0), directions[:, :, ::-1]
    held = np.cumsum(sizes, axis=1) / np.maximum(sizes.sum(axis=1, keepdims=True), LEAST)
    is_kept = np.concatenate([np.ones((len(held), 1), dtype=bool), held[:, :-1] < share], axis=1)
    kept = directions * is_kept[:, None, :]
    projectors: Singles = np.matmul(kept, kept.transpose(0, 2, 1)).astype(np.float32)
    return projectors
