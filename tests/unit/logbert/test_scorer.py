"""Windows through the network: each distinct one once, each word hidden once, nothing random."""

import numpy as np
import pytest

from services.logbert.core.words import Word
from services.logbert.model.scorer import SequenceScorer
from tests.unit.logbert.berts import SHAPE, Broken, Frequencies, make_bert, make_vocabulary


def make_scorer(runtime: Frequencies, cache_size: int = 100) -> SequenceScorer:
    """Three words; an unknown one is worth 12 nats."""
    return SequenceScorer(runtime, make_vocabulary("a", "b", "c"), SHAPE, 12.0, cache_size)


def test_identical_windows_are_run_once() -> None:
    """Within a batch, and later."""
    runtime = Frequencies([0.5, 0.3, 0.2])
    scorer = make_scorer(runtime)
    scorer.prepare([(0, 1), (0, 1), (2,)])
    assert scorer.score((0, 1)) == scorer.score((0, 1))
    assert (scorer.num_asked, scorer.num_run, runtime.calls) == (2, 2, [2 * SHAPE.num_masks])


def test_each_word_is_hidden_once_and_padding_never() -> None:
    """Two passes over three words."""
    runtime = Frequencies([0.5, 0.3, 0.2])
    make_scorer(runtime).prepare([(0, 1, 2)])
    assert runtime.hidden.sum(axis=0).tolist() == [1, 1, 1, 0]


def test_a_batch_scores_as_each_alone() -> None:
    """Whatever else is in the batch."""
    windows: list[tuple[Word, ...]] = [(0,), (1, 1, 2), (2, 0, 1, 2), ("new", 0)]
    together, alone = make_scorer(Frequencies([0.5, 0.3, 0.2])), make_scorer(Frequencies([0.5, 0.3, 0.2]))
    together.prepare(windows)
    assert [together.score(window) for window in windows] == [alone.score(window) for window in windows]


@pytest.mark.parametrize("place", range(4))
def test_an_unknown_word_is_noticed_wherever_it_stands(place: int) -> None:
    """Not only when that place happens to be hidden."""
    window: list[Word] = [0, 0, 0, 0]
    window[place] = "never seen"
    scored = make_scorer(Frequencies([0.5, 0.3, 0.2])).score(tuple(window))
    assert scored is not None
    assert scored.surprises[place] == 12.0
    assert max(scored.surprises[:place] + scored.surprises[place + 1 :]) < 1.0


def test_the_cache_is_bounded_and_changes_nothing() -> None:
    """A forgotten window is run again, with the same result."""
    scorer = make_scorer(Frequencies([0.5, 0.3, 0.2]), cache_size=2)
    windows: list[tuple[Word, ...]] = [(0,), (1,), (2,), (0, 1)]
    first = [scorer.score(window) for window in windows]
    assert [scorer.score(window) for window in windows] == first
    assert scorer.num_run == 8


def test_numbers_that_are_none_are_no_score() -> None:
    """NaN out of the network stops nothing and is no verdict."""
    scorer = make_scorer(Broken([0.5, 0.3, 0.2]))
    assert scorer.score((0, 1)) is None


def test_the_shipped_sizes_are_cheap_to_build() -> None:
    """The tests' BERT scores what its words say."""
    scored = make_bert().scorer.score((0, 2))
    assert scored is not None
    assert np.allclose(scored.surprises, [0.105, 6.908], atol=1e-3)
