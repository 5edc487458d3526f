"""The service in the table of detectors."""

import numpy as np

from services.anomaly.settings import AnomalySettings
from services.anomaly.train.labelled import Stream
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
