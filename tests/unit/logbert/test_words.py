"""Template texts as words and vectors."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.logbert.core.words import MAX_CHARS, NUM_FEATURES, is_reworded, stand_in, text_vector, word_text


def test_a_status_makes_another_word() -> None:
    """An access line that was answered 503 is not the one that was answered 200; other lines have no status."""
    texts = [word_text("GET <*>", status) for status in (200, 204, 503, 0, 999)]
    assert texts == ["GET <*> => 2xx", "GET <*> => 2xx", "GET <*> => 5xx", "GET <*>", "GET <*>"]


def test_texts_that_share_words_lie_near_each_other() -> None:
    """So a template that training never saw still means something."""
    started, stopped, other = map(text_vector, ("VM Started (Event)", "VM Stopped (Event)", "token has expired"))
    assert started @ stopped > 0.5 > abs(started @ other)


@given(st.text(max_size=2 * MAX_CHARS))
def test_any_text_has_a_vector(text: str) -> None:
    """Of length one, or all zeros; the same each time."""
    vector = text_vector(text)
    assert vector.shape == (NUM_FEATURES,)
    length = float(np.linalg.norm(vector))
    assert length == pytest.approx(1.0, abs=1e-5) or length == 0.0
    assert (vector == text_vector.__wrapped__(text)).all()


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("Port abc updated", "Port <*> updated", True),
        ("Port <*> updated in <*>", "Port <*> updated in 3", True),
        ("Port <*> updated", "Port <*> deleted", False),
        ("Port abc updated", "Port abc updated twice", False),
        ("<*> <*> <*>", "Port abc updated", False),
        ("", "", False),
    ],
)
def test_a_miner_may_word_a_template_anew(one: str, other: str, same: bool) -> None:
    """Wildcards may stand for constants; constants that differ, or too few of them, make another template."""
    assert is_reworded(one, other) is is_reworded(other, one) is same


def test_a_body_stands_in_for_a_template_without_a_text() -> None:
    """Tokens with a digit are variable."""
    assert stand_in("took 3.5s on node7 again") == "took <*> on <*> again"
