"""Windows, masks and the score."""

from hypothesis import given
from hypothesis import strategies as st

from services.logbert.core.sequences import SECOND, Calibration, Shape, complementary_masks, cut, score_of
from services.logbert.core.words import Word

SHAPE = Shape(length=4, gap_seconds=10.0, num_masks=2)
STREAM = st.lists(st.tuples(st.integers(0, 200), st.integers(0, 5)), max_size=60).map(
    lambda pairs: [(second * SECOND, word) for second, word in pairs]
)


@given(st.integers(1, 64), st.integers(1, 64))
def test_every_position_is_hidden_once(length: int, num_masks: int) -> None:
    """Over all passes, so that every word is guessed from all the others that the pass shows."""
    assert (complementary_masks(length, num_masks).sum(axis=0) == 1).all()


@given(STREAM, st.integers(0, 60))
def test_windows_do_not_depend_on_batches(stream: list[tuple[int, Word]], at: int) -> None:
    """Cut the stream anywhere and go on: the same windows."""
    whole = cut(SHAPE, stream)
    first, rest = cut(SHAPE, stream[:at])
    last_time = stream[:at][-1][0] if stream[:at] else 0
    second, end = cut(SHAPE, stream[at:], rest, last_time)
    assert ([*first, *second], end) == whole


@given(STREAM)
def test_windows_lose_no_word(stream: list[tuple[int, Word]]) -> None:
    """In order, at most four to a window."""
    finished, rest = cut(SHAPE, stream)
    assert [word for window in [*finished, rest] for word in window] == [word for _, word in stream]
    assert all(1 <= len(window) <= 4 for window in finished)


def test_a_long_pause_ends_a_window() -> None:
    """Short windows count too."""
    finished, rest = cut(SHAPE, [(0, 1), (11 * SECOND, 2)])
    assert (finished, rest) == ([(1,)], [2])


def test_surprise_counts_for_more_in_a_longer_window() -> None:
    """One odd word may be chance; a whole window of them is not."""
    calibration = Calibration(mean=1.0, deviation=1.0, line=3.0, unseen=12.0)
    scores = [score_of(calibration.excess([3.0] * length), 3.0) for length in (1, 4, 16)]
    assert scores == sorted(scores)
    assert scores[0] < 0.5 < scores[-1]


@given(st.floats(-1e6, 1e6), st.floats(0.1, 1e3))
def test_the_score_lies_between_0_and_1(excess: float, line: float) -> None:
    """Whatever the excess."""
    assert 0.0 <= score_of(excess, line) <= 1.0
