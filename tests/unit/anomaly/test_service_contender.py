"""The service in the table of detectors."""

import numpy as np

from services.anomaly.settings import AnomalySettings
from services.anomaly.train.labelled import SECOND, Stream
from services.anomaly.train.online_contenders import Seasonal, surprises
from services.anomaly.train.service_contender import Service
from tests.unit.anomaly.labelled_streams import jumping, make_stream

NUM_TRAIN = 1500


def waves(is_broken: bool) -> Stream:
    """Five series that follow one wave; broken, the last one turns against it while its values stay usual."""
    times = np.arange(2000)
    noise = np.random.default_rng(1).normal(0, 0.02, (2000, 5))
    values = (np.sin(times / 14)[:, None] + noise) * np.arange(1, 6)
    if is_broken:
        values[1800:1830, 4] *= -1
    return make_stream(values, NUM_TRAIN, [(300, 329)])


def test_a_broken_relation_is_found_and_scored() -> None:
    """An alert begins in it, and its scores are the highest of all."""
    judged = next(Service(AnomalySettings()).judge([waves(is_broken=True)]))
    assert np.flatnonzero(judged.alarms)[0] in range(300, 330)
    assert judged.score[300:330].max() > 0.5
    assert judged.score.argmax() in range(300, 340)


def test_without_one_nothing_is_said() -> None:
    """Not one step of five hundred."""
    judged = next(Service(AnomalySettings()).judge([waves(is_broken=False)]))
    assert not judged.alarms.any()


def test_one_series_is_judged_by_its_own_range() -> None:
    """Scores lie between 0 and 1, and a jump is alerted at once."""
    stream = jumping(num_series=1)
    judged = next(Service(AnomalySettings()).judge([stream]))
    assert np.flatnonzero(judged.alarms).tolist()[:1] == [50]
    assert 0.0 <= judged.score.min() <= judged.score.max() < 1.0


def test_the_service_scores_as_its_detectors_do_by_themselves() -> None:
    """Step by step, in the same order: nothing between stream and detector changes a value."""
    many, one = waves(is_broken=True), jumping(num_series=1)
    alone, judged = surprises(many)[many.num_train :], next(Service(AnomalySettings()).judge([many]))
    distance = judged.score / (1 - judged.score)
    assert np.allclose(alone[:20] / alone[0], distance[:20] / distance[0], rtol=1e-3)
    novelty, judged = next(Seasonal().judge([one])).score, next(Service(AnomalySettings()).judge([one]))
    assert np.allclose(judged.score, novelty / (novelty + 0.25))


def test_streams_judged_side_by_side_are_judged_as_alone() -> None:
    """Of other lengths too, and though one learns for longer."""
    broken = waves(is_broken=True)
    short = make_stream(broken.values[:1950], NUM_TRAIN - 100, [(400, 429)])._replace(path="short")
    for stream, judged in zip([broken, short], Service(AnomalySettings()).judge([broken, short]), strict=True):
        alone = next(Service(AnomalySettings()).judge([stream]))
        assert (judged.alarms == alone.alarms).all()
        assert (judged.score == alone.score).all()


def test_a_sample_an_hour_is_judged_too() -> None:
    """Each is far ahead of the one before, but so is our own clock."""
    values = np.random.default_rng(1).normal(0, 1, (600, 1))
    values[500] += 60
    stream = make_stream(values, 300, [(200, 200)])
    hourly = stream._replace(times=[stream.times[0] + 3600 * SECOND * place for place in range(600)])
    assert np.flatnonzero(next(Service(AnomalySettings()).judge([hourly])).alarms).tolist() == [200]
