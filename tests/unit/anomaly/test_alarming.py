"""Alarms against labelled events."""

import numpy as np

from services.anomaly.train.alarming import begins, count, precision_at_recall
from tests.unit.anomaly.labelled_streams import make_stream, marks

STREAM = make_stream(np.zeros(300), 100, [(50, 59), (150, 159)])


def test_an_alarm_goes_on_until_it_was_quiet_for_long_enough() -> None:
    """Steps above the line within the quiet time belong to the alarm before."""
    score = np.where(marks(20, 2, 4, 5, 12), 1.0, 0.0)
    assert np.flatnonzero(begins(score, 0.5, 3)).tolist() == [2, 12]
    assert np.flatnonzero(begins(score, 0.5, 1)).tolist() == [2, 4, 12]
    assert not begins(score, 1.0, 3).any()


def test_right_alarms_begin_within_an_event() -> None:
    """Two alarms of one event are both right and find it once; one just before the other event is false."""
    counts = count([STREAM], [marks(200, 50, 59, 149)])
    assert (counts.events, counts.found, counts.alarms, counts.right) == (2, 1, 3, 2)
    assert (counts.recall, counts.precision) == (0.5, 2 / 3)
    assert counts.stream_days == 199 / 1440


def test_an_alarm_that_never_ends_finds_nothing() -> None:
    """It began before any event."""
    counts = count([STREAM], [begins(np.ones(200), 0.5, 60)])
    assert (counts.alarms, counts.right, counts.recall) == (1, 0, 0.0)


def test_who_never_speaks_has_no_precision() -> None:
    """None, rather than a figure that looks like one."""
    assert count([STREAM], [marks(200)]).precision is None
    assert count([make_stream(np.zeros(10), 5)], [marks(5)]).recall is None


def test_precision_at_a_recall_of_events() -> None:
    """The first event is told without error, the second only at a line that a false alarm exceeds too."""
    score = np.zeros(200)
    score[[50, 110, 150]] = 3.0, 2.0, 1.0
    stream = make_stream(np.zeros(300), 100, [(50, 50), (150, 150)])
    lower = np.where(np.arange(200) % 7 == 0, 0.5, 0.0)
    assert precision_at_recall([stream], [np.maximum(score, lower)], 0.5) == 1.0
    assert precision_at_recall([STREAM], [np.zeros(200)], 0.5) is None
