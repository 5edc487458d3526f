"""What of an entity's series cannot be told from its other series, nor from the step before."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.anomaly.model import tail
from services.anomaly.model.bank import Floats, Rows
from services.anomaly.model.reconstruction import Reconstruction

BANK = Reconstruction(4)
NAN = np.nan


def normal(number: int, seed: int = 1) -> Floats:
    """Two series that go together, slowly up and down; a third on its own; a fourth that stands still."""
    draw = np.random.default_rng(seed)
    load = np.sin(np.arange(number) / 40)
    noise = draw.normal(0, 0.02, (number, 3))
    return np.stack([10 * (load + noise[:, 0]), 3 * (load + noise[:, 1]), noise[:, 2], np.full(number, 5.0)], axis=1)


def taught(steps: Floats, bank: Reconstruction = BANK) -> Rows:
    """One entity's row after these steps."""
    rows = np.zeros(1, bank.dtype)
    for step in steps:
        bank.learn(rows, step[None])
    return rows


def highest_normal(rows: Rows) -> float:
    """The most that another draw of the same scores."""
    return max(float(BANK.score(rows, step[None])[0]) for step in normal(900, seed=2)[800:])


def test_series_that_part_are_news_within_their_ranges() -> None:
    """Each value was seen often and moves little; together they were never seen."""
    steps = normal(840)
    rows = taught(steps)
    for part in np.linspace(0, 0.6, 12):
        BANK.remember(rows, (steps[-1] + [-10 * part, 3 * part, 0, 0])[None])
    parted = (steps[-1] + [-6, 1.8, 0, 0])[None]
    assert BANK.score(rows, parted)[0] > 0.5
    assert BANK.parts(rows, parted)[0, :2].min() > BANK.parts(rows, parted)[0, 2:].max()


def test_what_stood_still_and_moves_is_news() -> None:
    """By however little of its size."""
    steps = normal(800)
    assert BANK.score(taught(steps), (steps[-1] + [0, 0, 0, 0.5])[None])[0] > 0.5


def test_normal_steps_cross_the_line_rarely() -> None:
    """Of another draw less than one in a hundred does; the line is drawn for one in a thousand."""
    rows = taught(normal(2000))
    crossed = 0
    for step in normal(3000, seed=3)[2000:]:
        crossed += BANK.score(rows, step[None])[0] > 0.5
        BANK.learn(rows, step[None])
    assert crossed < 10


def test_remembering_learns_nothing() -> None:
    """Only the smoothed score, its highest and the last values move on."""
    rows = taught(normal(300))
    before = rows.copy()
    BANK.remember(rows, np.array([[90.0, -90.0, 5.0, 7.0]]))
    changed = {name for name in BANK.dtype.names or () if (rows[name] != before[name]).any()}
    assert changed == {"surprise", "peak", "last"}


def test_what_is_not_learnt_counts_once() -> None:
    """By its highest score, when it is over: the line neither sinks for want of it nor rises with its length."""
    rows = taught(normal(400))
    before = rows["tail"].sum()
    for step in normal(500)[400:] + 20:
        assert not BANK.is_usual(rows, step[None])[0]
        BANK.remember(rows, step[None])
    assert rows["tail"].sum() == before
    highest = rows["peak"][0]
    BANK.learn(rows, normal(501)[500:])
    assert rows["tail"].sum() == before + 2
    assert rows["tail"][0, np.searchsorted(tail.EDGES, highest)] >= 1
    assert rows["peak"][0] == 0


def test_one_wild_step_fades() -> None:
    """The score is smoothed: it stays up for a while and comes down again."""
    steps = normal(900)
    rows = taught(steps[:800])
    BANK.remember(rows, steps[800][None] + 50)
    scores = []
    for step in steps[801:860]:
        scores.append(float(BANK.score(rows, step[None])[0]))
        BANK.remember(rows, step[None])
    assert scores[0] > 0.5 > scores[-1]


def test_an_entity_is_judged_as_if_alone() -> None:
    """Beside any others, in any order, learnt and scored to the same bits."""
    draws = [normal(200, seed) * size for seed, size in ((1, 1.0), (2, 1e6), (3, 1e-6))]
    together = np.zeros(3, BANK.dtype)
    for steps in zip(*draws, strict=True):
        BANK.learn(together, np.stack(steps))
    alone = [taught(draw) for draw in draws]
    assert together.tobytes() == np.concatenate(alone).tobytes()
    now = np.stack([draw[-1] * 1.5 for draw in draws])
    scores = BANK.score(together[::-1], now[::-1])[::-1]
    assert scores.tolist() == [float(BANK.score(row, step[None])[0]) for row, step in zip(alone, now, strict=True)]


@pytest.mark.parametrize("size", [1e-6, 1e9])
def test_units_do_not_matter(size: float) -> None:
    """Bytes or gigabytes: the same score."""
    steps = normal(400)
    odd = (steps[-1] + [1, -1, 0.1, 0])[None]
    one, other = BANK.surprise(taught(steps), odd), BANK.surprise(taught(steps * size), odd * size)
    assert np.allclose(one, other, rtol=1e-3)


def test_a_missing_series_adds_nothing_and_is_not_learnt() -> None:
    """What is known of it stays, and an entity of which nothing comes stays as it is."""
    steps = normal(300)
    rows = taught(steps)
    before = rows.copy()
    BANK.learn(rows, np.full((1, 4), NAN))
    assert rows.tobytes() == before.tobytes()
    gone = steps[-1].copy()
    gone[1] = NAN
    assert BANK.parts(rows, gone[None])[0, 1] == 0
    BANK.learn(rows, gone[None])
    assert rows["num"][0].tolist() == [301, 300, 301, 301]


def test_a_new_normal_is_learnt() -> None:
    """A level that stays is normal in the end."""
    bank = Reconstruction(4, memory=300.0)
    rows = taught(normal(600), bank)
    moved = normal(3000) + np.array([0, 0, 4, 0])
    first = float(bank.score(rows, moved[600][None])[0])
    for step in moved[600:]:
        bank.learn(rows, step[None])
    assert first > 0.5 > float(bank.score(rows, moved[-1][None])[0])


WILD = st.one_of(st.floats(-1e100, 1e100), st.sampled_from([NAN, 0.0, 1e100, -1e100, 5e-324]))


@settings(max_examples=40, deadline=None)
@given(seen=st.lists(st.tuples(WILD, WILD, WILD, WILD), min_size=1, max_size=30), times=st.integers(1, 4))
def test_scores_are_finite_whatever_comes(seen: list[tuple[float, ...]], times: int) -> None:
    """Between 0 and 1, and what was learnt stays finite."""
    rows = np.zeros(1, BANK.dtype)
    for step in seen * times * 3:
        score = BANK.score(rows, np.array([step]))
        assert 0.0 <= score[0] <= 1.0
        BANK.learn(rows, np.array([step]))
    assert all(np.isfinite(rows[name]).all() for name in BANK.dtype.names or ())


def test_judging_is_scoring_then_learning() -> None:
    """In one call, to the same bits as one after the other; what is normal by decree is learnt even when it is odd."""
    steps = normal(300)
    steps[250:260] += 30
    one, other = np.zeros(1, BANK.dtype), np.zeros(1, BANK.dtype)
    for place, step in enumerate(steps):
        score, parts, is_usual = (
            BANK.score(one, step[None]),
            BANK.parts(one, step[None]),
            BANK.is_usual(one, step[None]),
        )
        judged = BANK.judge(other, step[None], np.array([place < 200 or place == 255]))
        assert (judged.score, judged.is_learnt) == (score, is_usual | (place < 200) | (place == 255))
        assert (judged.parts == parts).all()
        (BANK.learn if judged.is_learnt[0] else BANK.remember)(one, step[None])
        assert one.tobytes() == other.tobytes()
    assert other["num_steps"][0] < 300
