"""Rivals from River as its users get them, step by step: each step is scored, then learnt, whatever its score."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import river.anomaly
import river.preprocessing

from services.anomaly.train.labelled import Floats

# River's classes have types, some of its functions have none.
_anomaly: Any = river.anomaly
_preprocessing: Any = river.preprocessing

SEED = 1
#: Beyond this one series' score says no more: else one that stood still so far would drown all others.
MOST = 100.0


class RiverWhole:
    """One of River's models over all series of a step together."""

    is_online = True

    def __init__(self, model: Any) -> None:
        self._model = model

    def fit(self, train: Floats) -> None:
        for x in _features(train):
            self._model.learn_one(x)

    def score(self, steps: Floats) -> Floats:
        scores = np.empty(len(steps))
        for place, x in enumerate(_features(steps)):
            scores[place] = self._model.score_one(x)
            self._model.learn_one(x)
        return _finite(scores)


class RiverEach:
    """One of River's models of a single value for each series; the mean of their scores, each at most `MOST`."""

    is_online = True

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make
        self._models: list[Any] = []

    def fit(self, train: Floats) -> None:
        self._models = self._models or [self._make() for _ in range(train.shape[1])]
        for model, values in zip(self._models, train.T.tolist(), strict=True):
            for value in values:
                model.learn_one(None, value)

    def score(self, steps: Floats) -> Floats:
        each = np.empty(steps.shape)
        for number, (model, values) in enumerate(zip(self._models, steps.T.tolist(), strict=True)):
            each[:, number] = [_scored(model, value) for value in values]
        mean: Floats = np.minimum(_finite(each), MOST).mean(axis=1)
        return mean


def _scored(model: Any, value: float) -> float:
    try:
        score = float(model.score_one(None, value))
    except ZeroDivisionError:
        # Of a series that stood still so far; its first other value is as far out as can be.
        score = math.inf
    model.learn_one(None, value)
    return score


def half_space_trees() -> RiverWhole:
    """River's defaults (10 trees of height 8, windows of 250), values scaled as its documentation says."""
    return RiverWhole(_preprocessing.MinMaxScaler() | _anomaly.HalfSpaceTrees(seed=SEED))


def one_class_svm() -> RiverWhole:
    """Linear, as River has it, values standardised."""
    return RiverWhole(_preprocessing.StandardScaler() | _anomaly.OneClassSVM())


def gaussian() -> RiverEach:
    """`GaussianScorer` without a window: of all values so far."""
    return RiverEach(_anomaly.GaussianScorer)


def absolute_deviation() -> RiverEach:
    """`StandardAbsoluteDeviation` (SAD), its subject the mean."""
    return RiverEach(_anomaly.StandardAbsoluteDeviation)


def _features(values: Floats) -> list[dict[str, float]]:
    names = [f"metric_{number}" for number in range(values.shape[1])]
    return [dict(zip(names, row, strict=True)) for row in values.tolist()]


def _finite(scores: Floats) -> Floats:
    """River gives infinity or no number where a series stood still."""
    return np.nan_to_num(scores, nan=0.0, posinf=1e6, neginf=-1e6)
