"""The detectors that learn as they go, in the table."""

import numpy as np

from services.anomaly.train.labelled import HALVES, half_of
from services.anomaly.train.online_contenders import Seasonal, novelties, surprises
from tests.unit.anomaly.labelled_streams import jumping, make_stream


def noise(num_series: int, jumps: int) -> np.ndarray:
    """Ten hours; in the last but one the first so many series jump far out of their range for five minutes."""
    values = np.random.default_rng(1).normal(0, 1, (600, num_series))
    values[500:505, :jumps] += 60
    return values


def test_what_comes_back_is_no_news_within_a_day() -> None:
    """The same jump an hour later scores nothing by its range."""
    values = noise(1, 1)
    values[570:575] = values[500:505]
    score = next(Seasonal().judge([make_stream(values, 300)])).score
    assert score[200:205].max() > 10
    assert score[270:275].max() == 0


def test_a_step_is_scored_before_it_is_learnt() -> None:
    """What comes later changes no score before it."""
    values = noise(3, 2)
    short, long = make_stream(values[:520], 300), make_stream(values, 300)
    assert (surprises(short) == surprises(long)[:520]).all()
    assert (novelties(short) == novelties(long)[:220]).all()


def test_anomalies_are_not_learnt() -> None:
    """An hour of them leaves the last as surprising as the first."""
    values = noise(3, 0)
    values[400:460] += np.random.default_rng(2).normal(0, 30, (60, 3))
    surprise = surprises(make_stream(values, 300))
    assert surprise[445:460].mean() > 0.7 * surprise[405:420].mean()


def test_halves_are_drawn_by_the_name() -> None:
    """The same half each time, and neither half holds all of a hundred streams."""
    stream = jumping()
    halves = [half_of(stream._replace(path=f"machine-{number}")) for number in range(100)]
    assert halves == [half_of(stream._replace(path=f"machine-{number}")) for number in range(100)]
    assert all(30 < halves.count(half) < 70 for half in HALVES)
