"""What people say of alerts moves lines: a little, for weeks, never too far, and it can be taken back."""

import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.anomaly.model.feedback import (
    ALL,
    DAY,
    FORGOTTEN,
    HALF_LIFE,
    LEAST,
    MAX_WORDS,
    MOST,
    STEP,
    Feedback,
    Verdict,
    Word,
    adjusted,
)
from services.common.codec import Codec
from services.common.errors import InvalidMessage

HOST = "host:c1"
NOW = 1_000 * DAY


def make_word(
    verdict: Verdict = "wrong", alert: str = "a", at: int = NOW, signals: tuple[str, ...] = ("latency",)
) -> Word:
    """A word on an alert about latency."""
    return Word(alert, HOST, verdict, signals, at)


def factor(*words: Word, now: int = NOW, signal: str = "latency") -> float:
    """What these words come to."""
    feedback = Feedback()
    for word in words:
        feedback.hear(word)
    factors = feedback.factors(HOST, now)
    return factors.get(signal, factors.get(ALL, 1.0))


def test_a_wrong_alert_moves_its_lines_out_and_a_missed_trouble_moves_them_in() -> None:
    """By one step: of its own signals; of all where somebody missed a trouble and names none."""
    assert factor(make_word()) == pytest.approx(STEP)
    assert factor(make_word("missed")) == pytest.approx(1 / STEP)
    assert factor(make_word(), signal="errors") == 1.0
    assert factor(make_word("missed", signals=()), signal="errors") == pytest.approx(1 / STEP)
    assert factor(make_word(signals=()), signal="errors") == 1.0


def test_right_takes_back_wrong_and_no_more() -> None:
    """An alert that was right says that its line is good."""
    assert factor(make_word(), make_word("right", "b")) == pytest.approx(1.0)
    assert factor(*(make_word("right", str(n)) for n in range(9))) == 1.0


def test_who_errs_can_take_it_back() -> None:
    """The later word on the same alert replaces the earlier one."""
    assert factor(make_word(), make_word("right", at=NOW + 1), now=NOW + 1) == 1.0
    assert factor(make_word(at=NOW + 1), make_word("right"), now=NOW + 1) == pytest.approx(STEP)


def test_words_are_forgotten_over_weeks() -> None:
    """Half as much after two weeks, nothing after fourteen."""
    assert factor(make_word(), now=NOW + HALF_LIFE) == pytest.approx(STEP**0.5)
    assert factor(make_word(), now=NOW + FORGOTTEN) == 1.0
    feedback = Feedback()
    feedback.hear(make_word())
    feedback.forget(NOW + FORGOTTEN)
    assert len(feedback) == 0


def test_no_number_of_words_switches_a_signal_off() -> None:
    """The line stays within its bounds, and no more words are held than MAX_WORDS an entity."""
    assert factor(*(make_word(alert=str(n)) for n in range(500))) == MOST
    assert factor(*(make_word("missed", alert=str(n)) for n in range(500))) == LEAST
    feedback = Feedback()
    for n in range(500):
        feedback.hear(make_word(alert=str(n), at=NOW + n))
    assert len(feedback) == MAX_WORDS


@given(
    st.lists(
        st.tuples(st.sampled_from(["wrong", "right", "missed"]), st.integers(0, 5), st.integers(0, 99)), max_size=40
    )
)
def test_order_and_repetition_change_nothing(said: list[tuple[Verdict, int, int]]) -> None:
    """A replica that reads feedback.v1 from the beginning again comes to the same lines."""
    words = [make_word(verdict, str(alert), NOW + day * DAY) for verdict, alert, day in said]
    later = NOW + 100 * DAY
    mixed = random.Random(1).sample(words * 2, 2 * len(words))
    assert factor(*words, now=later) == pytest.approx(factor(*mixed, now=later))
    assert LEAST <= factor(*words, now=later) <= MOST


def test_an_alert_remembers_what_was_said_of_it() -> None:
    """For those that are like it."""
    feedback = Feedback()
    feedback.hear(make_word())
    assert feedback.verdict("a", HOST) == "wrong"
    assert feedback.verdict("b", HOST) is None
    assert feedback.factors("host:other", NOW) == {}


def record(**fields: Any) -> dict[str, Any]:
    """One record of feedback.v1 as a reader gets it."""
    known = {
        "subject_id": "a", "verdict": "wrong", "given_at": NOW, "cluster": "c", "entity_id": HOST,
        "detector": "metric.anomaly", "rules": ["latency"], "signals": ["latency"],
    }  # fmt: skip
    codec = Codec()
    return codec.decode(codec.encode("feedback.v1", known | fields))


def test_a_record_of_the_topic_is_a_word() -> None:
    """Whatever says nothing to metrics is none; fields of something else are a dead letter's matter."""
    word = Word.from_record(record(), "metric.anomaly")
    assert word == Word("a", HOST, "wrong", ("latency",), NOW, 0, ("latency",))
    for other in ({"verdict": "silence"}, {"detector": "log.rules"}, {"entity_id": ""}):
        assert Word.from_record(record(**other), "metric.anomaly") is None
    assert Word.from_record(record(detector="", verdict="missed"), "metric.anomaly") is not None
    with pytest.raises(InvalidMessage):
        Word.from_record({"verdict": "wrong"}, "metric.anomaly")


def test_a_score_is_judged_by_the_line_that_was_moved() -> None:
    """What lay at its line lies below when that moved out, and what lies at the new one scores a half."""
    scores = adjusted(np.array([0.5, 0.6, 0.0, 1.0, 0.5]), np.array([1.5, 1.5, 1.5, 4.0, 1.0]))
    assert scores.tolist() == pytest.approx([0.4, 0.5, 0.0, 1.0, 0.5])
