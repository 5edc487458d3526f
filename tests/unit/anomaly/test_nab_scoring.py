"""NAB's score, with values worked out by hand from its published rules."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.anomaly.train.labelled import DataUnreadable, num_probation
from services.anomaly.train.nab_scoring import (
    PROFILES,
    Profile,
    detections_score,
    nab_figures,
    optimise,
    raw_score,
    read_profiles,
    row_scores,
    scaled_sigmoid,
)
from tests.unit.anomaly.labelled_streams import make_stream, marks

STANDARD = PROFILES["standard"]
#: 85 judged steps, one window of ten of them.
STREAM = make_stream(np.zeros(100), 15, [(30, 39)])


def test_the_sigmoid_has_the_values_that_nab_states() -> None:
    """At a window's left edge, half way, its right edge, one width behind it, and far behind it."""
    places = np.array([-1.0, -0.5, 0.0, 1.0, 3.01])
    assert scaled_sigmoid(places) == pytest.approx([0.98661, 0.84828, 0.0, -0.98661, -1.0], abs=1e-5)


def test_a_window_found_at_once_and_nothing_else_is_a_hundred() -> None:
    """The perfect detector; and one that never speaks has 0, though its raw score is -1 a window."""
    assert detections_score([STREAM], [marks(85, 30)], STANDARD) == pytest.approx(100.0)
    assert raw_score(STREAM, marks(85), STANDARD) == -1.0
    assert detections_score([STREAM], [marks(85)], STANDARD) == 0.0


def test_the_later_within_a_window_the_less() -> None:
    """At its last row (2 / (1 + e^-0.5) - 1) / 0.98661; the earliest detection counts, others of it add nothing."""
    assert raw_score(STREAM, marks(85, 39), STANDARD) == pytest.approx(0.248242, abs=1e-6)
    assert raw_score(STREAM, marks(85, 30, 31, 39), STANDARD) == pytest.approx(1.0)


def test_a_false_alarm_costs_by_its_distance_behind_a_window() -> None:
    """Before any window .11; one row behind it 1/9 of a width: .11 x (2 / (1 + e^(5/9)) - 1); three widths on .11."""
    worth = row_scores(STREAM, STANDARD)
    assert worth[29] == pytest.approx(-0.11)
    assert worth[40] == pytest.approx(-0.0297924, abs=1e-6)
    assert worth[39 + 28] == pytest.approx(-0.11)
    assert raw_score(STREAM, marks(85, 29, 40), STANDARD) == pytest.approx(-1 - 0.11 - 0.02979, abs=1e-5)


def test_profiles_weigh_misses_and_false_alarms() -> None:
    """One of two windows missed, one false alarm before them: (1 - fn - fp + 2 fn) / (2 + 2 fn)."""
    stream = make_stream(np.zeros(100), 15, [(30, 39), (60, 69)])
    found = [marks(85, 10, 30)]
    expected = {
        "standard": 100 * (1 - 1 - 0.11 + 2) / 4,
        "reward_low_FP_rate": 100 * (1 - 1 - 0.22 + 2) / 4,
        "reward_low_FN_rate": 100 * (1 - 2 - 0.11 + 4) / 6,
    }
    for name, profile in PROFILES.items():
        assert detections_score([stream], found, profile) == pytest.approx(expected[name])


def test_a_window_that_began_while_learning_counts_with_its_whole_width() -> None:
    """Five of ten rows are judged; the first of those lies half way."""
    stream = make_stream(np.zeros(100), 15, [(-5, 4)])
    assert raw_score(stream, marks(85, 0), STANDARD) == pytest.approx(0.84828 / 0.98661, abs=1e-4)


def test_probation_is_fifteen_per_cent_of_at_most_five_thousand_rows() -> None:
    """NAB scores nothing there."""
    assert [num_probation(rows) for rows in (100, 4032, 5000, 22695)] == [15, 604, 750, 750]


def test_the_threshold_is_the_best_one_for_the_whole_corpus() -> None:
    """The window's start scores .9 in one stream; a false alarm scores .95 in the other: both are taken at .9."""
    first, second = np.zeros(85), np.zeros(85)
    first[30], second[10] = 0.9, 0.95
    best = optimise([STREAM, make_stream(np.zeros(100), 15)], [first, second], STANDARD)
    assert best.threshold == 0.9
    assert best.score == pytest.approx(100 * (1 - 0.11 + 1) / 2)


def test_a_detector_that_is_only_wrong_is_best_silent() -> None:
    """The threshold lies above all of its scores, the score is that of silence."""
    scores = np.where(marks(85, 5), 1.0, 0.0)
    costly = Profile(tp=1.0, fn=1.0, fp=100.0)
    best = optimise([STREAM], [scores], costly)
    assert best.score == 0.0
    assert best.threshold > 1.0


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]), min_size=85, max_size=85))
def test_no_threshold_beats_the_optimum(scores: list[float]) -> None:
    """Scored one by one as decided detections, all thresholds are at most as good; its own is as good."""
    score = np.array(scores)
    best = optimise([STREAM], [score], STANDARD)
    each = [detections_score([STREAM], [score >= line], STANDARD) for line in (0.0, 0.25, 0.5, 0.75, 1.0, 1.1)]
    assert best.score == pytest.approx(max(each))
    assert detections_score([STREAM], [score >= best.threshold], STANDARD) == pytest.approx(best.score)


def test_both_columns_are_given_and_none_without_labels() -> None:
    """The threshold chosen by labels finds the window; what was alerted did not."""
    score = np.where(marks(85, 30), 1.0, 0.0)
    figures = nab_figures([STREAM], [score], [marks(85)], PROFILES)
    assert (figures["nab_standard"], figures["nab_standard_fixed"]) == (100.0, 0.0)
    unlabelled = nab_figures([make_stream(np.zeros(100), 15)], [score], [marks(85)], PROFILES)
    assert set(unlabelled.values()) == {None}


def test_profiles_come_from_the_folder_where_it_has_some(tmp_path: Path) -> None:
    """NAB's own otherwise; a broken file is named."""
    assert read_profiles(tmp_path) == PROFILES
    (tmp_path / "config").mkdir()
    path = tmp_path / "config" / "profiles.json"
    path.write_text(
        json.dumps({"mine": {"CostMatrix": {"tpWeight": 1, "fnWeight": 3, "fpWeight": 0.5, "tnWeight": 1}}})
    )
    assert read_profiles(tmp_path) == {"mine": Profile(1.0, 3.0, 0.5)}
    path.write_text("{}x")
    with pytest.raises(DataUnreadable, match=r"profiles\.json"):
        read_profiles(tmp_path)
