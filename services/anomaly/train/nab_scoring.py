"""The score of the Numenta Anomaly Benchmark, by its rules.

A detection within a labelled window earns the more the earlier it comes, once a window; one outside costs the more the
farther behind a window it lies; a window without any costs. What is learnt from (the first 15 per cent) is not scored.
0 is the score of who never speaks, 100 that of who speaks at the first moment of each window and nowhere else.

Source:
    Lavin, Ahmad. Evaluating Real-time Anomaly Detection Algorithms: the Numenta Anomaly Benchmark. ICMLA 2015; rules
    as in numenta/NAB `nab/sweeper.py`, `nab/optimizer.py` and `nab/runner.py`, v1.1.
"""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from services.anomaly.train.labelled import DataUnreadable, Floats, Stream

#: Behind a window by more than this many of its widths, a false alarm is as bad as anywhere.
FAR = 3.0
#: A threshold above every score: nothing is detected.
NOTHING = 1.1


class Profile(NamedTuple):
    """What a window found, one missed and a false alarm count."""

    tp: float
    fn: float
    fp: float


#: NAB's own, used where a folder has no config/profiles.json.
PROFILES = {
    "standard": Profile(1.0, 1.0, 0.11),
    "reward_low_FP_rate": Profile(1.0, 1.0, 0.22),
    "reward_low_FN_rate": Profile(1.0, 2.0, 0.11),
}


class Optimum(NamedTuple):
    """The threshold at or above which detection scores best over the corpus, and that score, 0 to 100 as normalised."""

    threshold: float
    score: float


def read_profiles(folder: Path) -> dict[str, Profile]:
    """Those of the folder's config/profiles.json; NAB's own where there is none. Raises DataUnreadable."""
    path = folder / "config" / "profiles.json"
    if not path.exists():
        return dict(PROFILES)
    try:
        costs = {name: held["CostMatrix"] for name, held in json.loads(path.read_text()).items()}
        return {
            name: Profile(float(cost["tpWeight"]), float(cost["fnWeight"]), float(cost["fpWeight"]))
            for name, cost in costs.items()
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataUnreadable(
            f"{path} holds no scoring profiles of NAB ({error!r}); wanted CostMatrix in each."
        ) from None


def scaled_sigmoid(position: Floats) -> Floats:
    """What detections are worth before weights: .987 at a window's left edge (-1), 0 at its right (0), then to -1."""
    near = 2 / (1 + np.exp(5 * np.minimum(position, FAR))) - 1
    return np.where(position > FAR, -1.0, near)


#: Of the first moment of a window: what a detection within it is measured by.
BEST = 2 / (1 + math.exp(-5.0)) - 1


def row_scores(stream: Stream, profile: Profile) -> Floats:
    """(S,): what a detection at each judged step is worth, windows counted each by itself."""
    worth = np.full(len(stream.test), -profile.fp)
    rows = np.arange(len(worth), dtype=np.float64)
    for first, last in stream.windows:
        width = last - first + 1
        begin, after = max(0, first), last + 1
        worth[begin:after] = profile.tp * scaled_sigmoid(-(after - rows[begin:after]) / width) / BEST
        # NAB divides by zero behind a window of one row; here such a row is far behind it.
        behind = (rows[after:] - last) / (width - 1) if width > 1 else np.full(len(worth) - after, np.inf)
        worth[after:] = profile.fp * scaled_sigmoid(behind)
    return worth


def window_numbers(streams: Sequence[Stream]) -> NDArray[np.int64]:
    """For each judged step of all streams one after another, which window it lies in; -1 for none."""
    numbers, count = [], 0
    for stream in streams:
        number = np.full(len(stream.test), -1)
        for first, last in stream.events:
            number[first : last + 1] = count
            count += 1
        numbers.append(number)
    return np.concatenate(numbers) if numbers else np.zeros(0, dtype=np.int64)


def optimise(streams: Sequence[Stream], scores: Sequence[Floats], profile: Profile) -> Optimum:
    """The one threshold for all streams that scores best by the labels, as NAB chooses it, and that score.

    Args:
        scores: (S,) of each stream, in [0, 1] or of any other range that is the same for all.
    """
    score = np.concatenate(scores)
    worth = np.concatenate([row_scores(stream, profile) for stream in streams])
    number = window_numbers(streams)
    order = np.argsort(-score, kind="stable")
    gains = _gains(worth[order], number[order], profile)
    totals = np.cumsum(gains)
    ordered = score[order]
    is_last = np.append(ordered[1:] != ordered[:-1], True)
    nothing = -profile.fn * _num_windows(streams)
    best = int(np.argmax(totals[is_last]))
    if totals[is_last][best] <= 0:
        return Optimum(max(NOTHING, float(ordered[0]) + 1), 0.0)
    return Optimum(float(ordered[is_last][best]), normalised(nothing + float(totals[is_last][best]), streams, profile))


def _gains(worth: Floats, number: NDArray[np.int64], profile: Profile) -> Floats:
    """What each row adds to the score when rows are detected in this order: a window pays for its best row only."""
    gains = worth.copy()
    in_windows = np.flatnonzero(number >= 0)
    grouped = in_windows[np.argsort(number[in_windows], kind="stable")]
    for rows in np.split(grouped, np.flatnonzero(np.diff(number[grouped])) + 1):
        if len(rows):
            best = np.maximum.accumulate(np.append(-profile.fn, worth[rows]))
            gains[rows] = np.diff(best)
    return gains


def _num_windows(streams: Sequence[Stream]) -> int:
    return sum(len(stream.windows) for stream in streams)


def detections_score(streams: Sequence[Stream], detections: Sequence[NDArray[np.bool_]], profile: Profile) -> float:
    """The normalised score of detections that are already decided, (S,) of each stream: no threshold is chosen here."""
    raw = sum(raw_score(stream, found, profile) for stream, found in zip(streams, detections, strict=True))
    return normalised(raw, streams, profile)


def raw_score(stream: Stream, detections: NDArray[np.bool_], profile: Profile) -> float:
    """One stream's score before normalisation, as in NAB's tables of results."""
    worth = row_scores(stream, profile)
    total = float(worth[detections & ~stream.label].sum())
    for first, last in stream.events:
        found = worth[first : last + 1][detections[first : last + 1]]
        total += max(-profile.fn, float(found.max())) if len(found) else -profile.fn
    return total


def normalised(raw: float, streams: Sequence[Stream], profile: Profile) -> float:
    """0 for who never speaks, 100 for who finds each window at its first moment with no false alarm.

    Raises:
        ZeroDivisionError: no stream has a window.
    """
    num_windows = _num_windows(streams)
    nothing, perfect = -profile.fn * num_windows, profile.tp * num_windows
    return 100 * (raw - nothing) / (perfect - nothing)


def nab_figures(
    streams: Sequence[Stream],
    scores: Sequence[Floats],
    alarms: Sequence[NDArray[np.bool_]],
    profiles: Mapping[str, Profile],
) -> dict[str, float | None]:
    """`nab_<profile>` with the threshold that NAB chooses by the labels, `nab_<profile>_fixed` of what was alerted.

    The two are never to be mixed: the second knows the training part only. None where nothing is labelled.
    """
    figures: dict[str, float | None] = {}
    for name, profile in profiles.items():
        has_windows = _num_windows(streams) > 0
        best = optimise(streams, scores, profile) if has_windows else None
        fixed = detections_score(streams, alarms, profile) if has_windows else None
        figures[f"nab_{name}"] = None if best is None else round(best.score, 2)
        figures[f"nab_{name}_fixed"] = None if fixed is None else round(fixed, 2)
        figures[f"nab_{name}_threshold"] = None if best is None else best.threshold
    return figures
