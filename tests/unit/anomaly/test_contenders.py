"""Every row of the table keeps the same promises, on a small stream with a planted jump."""

import numpy as np
import pytest

from services.anomaly.settings import AnomalySettings
from services.anomaly.train.batch_rivals import RangeNovelty, Refractory
from services.anomaly.train.benchmark import contenders, evaluate_streams
from services.anomaly.train.contenders import EachStream, line_of
from services.anomaly.train.labelled import Floats
from services.anomaly.train.nab_scoring import PROFILES
from tests.unit.anomaly.labelled_streams import jumping, make_stream

SETTINGS = AnomalySettings()
NAMES = list(contenders(SETTINGS))


@pytest.mark.parametrize("name", NAMES)
def test_a_row_scores_every_step_the_same_each_time(name: str) -> None:
    """A finite score and a decision for each judged step; but for chance the planted jump scores above the rest."""
    streams = [jumping(), jumping(num_series=1)]
    first, again = (list(contenders(SETTINGS)[name].judge(streams)) for _ in range(2))
    for judged, other, stream in zip(first, again, streams, strict=True):
        assert judged.score.shape == judged.alarms.shape == (150,)
        assert np.isfinite(judged.score).all()
        assert (judged.score == other.score).all()
        assert (judged.alarms == other.alarms).all()
        if name != "random":
            assert judged.score[stream.label].mean() > judged.score[~stream.label].mean()


@pytest.mark.parametrize("name", NAMES)
def test_a_series_that_stands_still_breaks_nothing(name: str) -> None:
    """No deviation, no range: still finite scores; nor when it moves at last."""
    values = np.full((200, 2), 3.0)
    values[190:, 0] = 4.0
    for judged in contenders(SETTINGS)[name].judge([make_stream(values, 100), make_stream(np.zeros(120), 60)]):
        assert np.isfinite(judged.score).all()


def test_the_line_is_a_conformal_quantile() -> None:
    """The ceil((n + 1) level)-th smallest; the highest where there are too few."""
    assert line_of(np.arange(1.0, 2000.0), 0.999) == 1998
    assert line_of(np.array([3.0, 9.0, 1.0]), 0.999) == 9
    assert line_of(np.arange(1.0, 10.0), 0.5) == 5


class Recording:
    """Notes what it is given; its score is the value."""

    def __init__(self, log: list[tuple[str, int]], is_online: bool) -> None:
        self._log = log
        self.is_online = is_online

    def fit(self, train: Floats) -> None:
        self._log.append(("fit", len(train)))

    def score(self, steps: Floats) -> Floats:
        self._log.append(("score", len(steps)))
        return steps[:, 0]


@pytest.mark.parametrize(
    ("is_online", "expected"),
    [
        (True, [("fit", 50), ("score", 50), ("score", 30)]),
        (False, [("fit", 50), ("score", 50), ("fit", 100), ("score", 30)]),
    ],
)
def test_lines_come_from_the_training_part_alone(is_online: bool, expected: list[tuple[str, int]]) -> None:
    """The second half of it is scored by what the first half taught; an alarm is a score above all of that."""
    log: list[tuple[str, int]] = []
    values = [*np.linspace(0, 1, 100), *np.zeros(10), 2.0, *np.zeros(19)]
    (judged,) = EachStream(lambda stream: Recording(log, is_online)).judge([make_stream(values, 100)])
    assert log == expected
    assert judged.line == 1.0
    assert np.flatnonzero(judged.alarms).tolist() == [10]


def test_range_novelty_measures_in_the_range_so_far() -> None:
    """Learnt 0 to 10: 15 lies half a range outside, and is inside from then on; a change of 15 is news too."""
    detector = RangeNovelty()
    detector.fit(np.array([[0.0], [10.0]] * 3))
    score = detector.score(np.array([[15.0], [15.0], [0.0]]))
    assert score.tolist() == [0.5, 0.0, pytest.approx(0.25)]


def test_again_only_when_worse() -> None:
    """A score counts when it exceeds all of the last two."""
    detector = Refractory(Recording([], is_online=True), hold=2)
    score = detector.score(np.array([[1.0], [1.0], [2.0], [1.5], [1.0], [1.9]]))
    assert score.tolist() == [1, 0, 2, 0, 0, 1.9]


def test_the_table_has_all_figures_of_its_rows() -> None:
    """A found jump; NAB's columns only where there are profiles."""
    names = ("static_z", "random")
    figures = evaluate_streams([jumping()], SETTINGS, PROFILES, only=names)
    assert list(figures["detectors"]) == list(names)
    row = figures["detectors"]["static_z"]
    assert {"nab_standard", "nab_standard_fixed", "vus_pr", "precision_at_recall_50", "event_precision"} <= set(row)
    assert (row["auc_pr"], row["event_recall"], figures["series"], figures["events"]) == (1.0, 1.0, 2, 1)
    assert "nab_standard" not in evaluate_streams([jumping()], SETTINGS, only=("random",))["detectors"]["random"]
