"""How well scores rank labelled steps above the others, at every threshold at once. Nothing is ever point-adjusted.

Letters: `S` steps of one stream; `K` thresholds, one for each distinct score, the highest first.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from services.anomaly.train.labelled import Floats

Bools = NDArray[np.bool_]


def auc_pr(label: Bools, score: Floats) -> float:
    """Average precision: over all thresholds, the precision there times the recall that it adds. (S,) each.

    As scikit-learn's `average_precision_score`: no interpolation, equal scores are one threshold.

    Raises:
        ZeroDivisionError: nothing is labelled.
    """
    precision, recall = _curve(label, score)
    return float(np.dot(precision, np.diff(recall, prepend=0.0)))


def precision_at_recall(label: Bools, score: Floats, wanted: float) -> float:
    """The best precision of all thresholds that find at least that share of the labelled steps."""
    precision, recall = _curve(label, score)
    return float(precision[recall >= wanted - 1e-12].max())


def _curve(label: Bools, score: Floats) -> tuple[Floats, Floats]:
    """Precision and recall of `score >= threshold`, (K,) each."""
    num_labelled = int(label.sum())
    if not num_labelled:
        raise ZeroDivisionError("no step is labelled, so there is no recall")
    order = np.argsort(-score, kind="stable")
    ends = _ends(score[order])
    found = np.cumsum(label[order])[ends].astype(np.float64)
    return found / (ends + 1), found / num_labelled


def _ends(ordered: Floats) -> NDArray[np.int64]:
    """(K,): the last place of each distinct value."""
    return np.append(np.flatnonzero(np.diff(ordered)), len(ordered) - 1)


def vus_pr(label: Bools, score: Floats, longest: int) -> float:
    """Volume under the surface of precision and recall over thresholds and buffers 0, 1 .. `longest` (steps).

    A buffer of length l lets the label fall off over l/2 steps on each side of a window, as sqrt(1 - distance / l); a
    detection there is partly right. Recall is multiplied by the share of windows, buffers included, of which anything
    was detected. As in the authors' code the positives at a threshold are the labelled steps and half of the buffers'
    detected part, where their paper counts half of the whole buffers. They sample 250 thresholds, here each counts.

    Raises:
        ZeroDivisionError: nothing is labelled.

    Source:
        Paparrizos, Boniol, Palpanas, Tsay, Elmore, Franklin. Volume Under the Surface: A New Accuracy Evaluation
        Measure for Time-Series Anomaly Detection. VLDB 2022; code TheDatumOrg/VUS `RangeAUC_volume_opt`.
    """
    if not label.any():
        raise ZeroDivisionError("no step is labelled, so there is no recall")
    windows = windows_of(label)
    order = np.argsort(-score, kind="stable")
    ends = _ends(score[order])
    areas = [_range_auc_pr(label, score, windows, order, ends, length) for length in range(longest + 1)]
    return float(np.mean(areas))


def windows_of(label: Bools) -> list[tuple[int, int]]:
    """First and last step of each run of labelled steps."""
    edges = np.flatnonzero(np.diff(label.astype(np.int8), prepend=0, append=0)).tolist()
    return [(first, after - 1) for first, after in zip(edges[::2], edges[1::2], strict=True)]


def _range_auc_pr(
    label: Bools, score: Floats, windows: Sequence[tuple[int, int]], order: NDArray[np.int64],
    ends: NDArray[np.int64], length: int,
) -> float:  # fmt: skip
    """The area for one length of buffer."""
    soft = _softened(label, windows, length)[order]  # (S,)
    buffers = np.where(label[order], 0.0, soft)
    right = np.cumsum(soft)[ends]  # (K,)
    positives = label.sum() + np.cumsum(buffers)[ends] / 2
    existence = _share_met(score, _widened(windows, length, len(label)), score[order][ends])
    recall = np.minimum(right / positives, 1.0) * existence
    return float(np.dot(right / (ends + 1), np.diff(recall, prepend=0.0)))


def _softened(label: Bools, windows: Sequence[tuple[int, int]], length: int) -> Floats:
    """(S,): 1 within windows, falling off over half of the length beside each; where two meet they add up to 1."""
    soft = label.astype(np.float64)
    if length:
        away = np.arange(1, length // 2 + 1)
        slope = np.sqrt(1 - away / length)
        for first, last in windows:
            after = slope[: max(0, len(soft) - 1 - last)]
            soft[last + 1 : last + 1 + len(after)] += after
            before = slope[:first][::-1]
            soft[first - len(before) : first] += before
    return np.minimum(soft, 1.0)


def _widened(windows: Sequence[tuple[int, int]], length: int, num_steps: int) -> list[tuple[int, int]]:
    """The windows with their buffers, those that touch joined."""
    joined: list[tuple[int, int]] = []
    for first, last in windows:
        begin, end = max(0, first - length // 2), min(num_steps - 1, last + length // 2)
        if joined and begin <= joined[-1][1]:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((begin, end))
    return joined


def _share_met(score: Floats, windows: Sequence[tuple[int, int]], thresholds: Floats) -> Floats:
    """(K,): the share of windows whose highest score reaches each threshold."""
    highest = np.sort([score[first : last + 1].max() for first, last in windows])
    return (len(highest) - np.searchsorted(highest, thresholds, side="left")) / len(highest)
