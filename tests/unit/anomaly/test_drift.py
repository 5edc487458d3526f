"""Drift: what a series does has changed for good, seen once and not where nothing changed."""

import itertools
import math
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.anomaly.model.drift import DRIFT_DTYPE, Changes, DriftBank, relearnt
from services.anomaly.model.drift_series import Drift
from services.anomaly.model.drift_window import BLOCK, FIELDS, MAX_BLOCKS, clear, drop_oldest, push
from services.common.errors import ArtifactMismatch

STEP = 300 * 1_000_000
#: Three days at five minutes, and a little.
LEARNT = 900
ALL = np.arange(1)


def walk(
    values: np.ndarray, bank: DriftBank | None = None, rows: np.ndarray | None = None
) -> list[tuple[int, Changes]]:
    """What a bank finds, and after which value, in (time, series) values five minutes apart."""
    bank = bank or DriftBank()
    rows = np.zeros(values.shape[1], bank.dtype) if rows is None else rows
    found = []
    for at, row in enumerate(values):
        changes = bank.update(rows, row, np.full(len(row), at * STEP))
        found += [(at, changes)] if len(changes.which) else []
    return found


def calm(num: int, series: int = 1, seed: int = 1) -> np.ndarray:
    """A daily wave with noise that remembers a little."""
    draw = np.random.default_rng(seed)
    noise = draw.standard_normal((num, series))
    for at in range(1, num):
        noise[at] += 0.5 * noise[at - 1]
    return 100 + 3 * np.sin(2 * np.pi * np.arange(num) * STEP / 86.4e9)[:, None] + noise


def test_a_lasting_step_is_found_with_its_time_and_levels() -> None:
    """Once, within a day and a half, to the block; from what to what is said in the series' unit."""
    values = calm(3000)
    values[1600:] += 8
    [(at, changes)] = walk(values)
    assert 1600 < at < 1600 + 432
    assert abs(changes.since[0] - 1600 * STEP) <= 2 * BLOCK * STEP
    assert changes.before[0] == pytest.approx(100, abs=1)
    assert changes.after[0] == pytest.approx(108, abs=1)
    assert not changes.is_spread[0]


def test_a_series_that_scatters_more_is_found() -> None:
    """Noise of three times the size, at the same level."""
    values = calm(3000)
    values[1600:] += 4 * np.random.default_rng(3).standard_normal((1400, 1))
    [(_, changes)] = walk(values)
    assert changes.is_spread[0]
    assert changes.after[0] > 2 * changes.before[0]


def test_growth_is_found() -> None:
    """A slope of one spread in an hour, as of a leak."""
    values = calm(3000)
    values[1600:, 0] += 0.1 * np.arange(1400)
    assert walk(values)[0][1].after[0] > 101


def test_what_stays_the_same_is_no_drift() -> None:
    """Forty calm series of ten days, a constant one, a bounded tremor."""
    assert walk(np.hstack([calm(2880, 40), np.full((2880, 1), 7.0)])) == []


def test_what_changes_and_changes_back_is_no_drift() -> None:
    """A trouble of an hour and a half is for the other detectors."""
    values = calm(3000)
    values[1600:1618] += 20
    assert walk(values) == []


def test_a_drift_is_over_when_it_was_learnt_anew() -> None:
    """512 points to learn, 512 without another drift; then it is closed, once."""
    values = calm(3500)
    values[1600:] += 8
    bank, rows, closed, found = DriftBank(), np.zeros(1, DRIFT_DTYPE), [], []
    for at, row in enumerate(values):
        found += [at] * len(bank.update(rows, row, np.array([at * STEP])).which)
        closed += [at] * len(relearnt(rows))
    [found_at], [closed_at] = found, closed
    assert 1020 <= closed_at - found_at <= 1030


def test_a_series_is_judged_as_if_it_were_alone() -> None:
    """Whatever else is in the call."""
    values = calm(2400, 5)
    values[1500:, 2] += 9
    [(at, together)] = walk(values)
    [(alone_at, alone)] = walk(values[:, 2:3])
    assert (at, together.since[0], together.after[0]) == (alone_at, alone.since[0], alone.after[0])


def test_nothing_is_said_before_three_days() -> None:
    """A step on the second day is learnt."""
    values = calm(LEARNT)
    values[400:] += 20
    assert walk(values) == []


def test_values_within_a_step_are_one_point() -> None:
    """Ten scrapes a minute cost and count as one."""
    bank = DriftBank(step_seconds=60)
    rows = np.zeros(1, bank.dtype)
    for at in range(101):
        bank.update(rows, np.ones(1), np.array([at * 6_000_000]))
    assert rows["count"][0] == 10


def test_a_series_says_drift_like_rivers_detectors() -> None:
    """`update(x)` and `drift_detected`; what was saved and loaded goes on alike."""
    one, two = Drift(), Drift()
    draw = random.Random(1)
    seen = [draw.gauss(0, 1) + 5 * (at > 5000) for at in range(6000)]
    for x in seen[:5100]:
        one.update(x)
    two.load(one.save())
    said = [(one.update(x).drift_detected, two.update(x).drift_detected) for x in seen[5100:]]
    assert all(a == b for a, b in said)
    assert sum(a for a, _ in said) == 1
    assert one.save() == two.save()


def test_state_of_something_else_is_refused() -> None:
    """Bytes that are no rows of drift."""
    with pytest.raises(ArtifactMismatch):
        Drift().load(b"\xc1")


@settings(max_examples=30, deadline=None)
@given(st.lists(st.one_of(st.floats(), st.sampled_from([1e308, -1e308, 5e-324, 0.0])), max_size=80), st.integers(0, 9))
def test_whatever_comes_leaves_numbers(values: list[float], seed: int) -> None:
    """Wild values, before and after a series is known, leave no NaN in its state."""
    series = Drift(DriftBank(step_seconds=0.001))
    draw = random.Random(seed)
    times = itertools.count(0, 3_600_000_000)
    for x in [*values, *(draw.gauss(0, 1) for _ in range(700)), *values, *(draw.gauss(0, 1) for _ in range(60))]:
        series.update(x, next(times))
    rows = np.frombuffer(series.save()[-DRIFT_DTYPE.itemsize :], DRIFT_DTYPE)
    assert all(np.isfinite(rows[name]).all() for name in DRIFT_DTYPE.names or () if rows[name].dtype.kind == "f")
    assert math.isfinite(float(rows["size"][0]))


def test_a_window_holds_what_was_pushed() -> None:
    """Sums over all buckets are those of the blocks, also where buckets became larger ones."""
    rows = np.zeros(1, np.dtype(FIELDS))
    for at in range(100):
        push(rows, ALL, np.array([[at, 1, 2, 3, 4, at]], dtype=float))
    sums = rows["buckets"][0].reshape(-1, 6).sum(axis=0)
    assert sums[:5].tolist() == [sum(range(100)), 100, 200, 300, 400]


def test_a_full_window_forgets_its_oldest() -> None:
    """It never holds more than MAX_BLOCKS, and goes on."""
    rows = np.zeros(1, np.dtype(FIELDS))
    for at in range(MAX_BLOCKS + 1500):
        push(rows, ALL, np.array([[0, 1, 0, 0, 0, at]], dtype=float))
    num = rows["buckets"][0, ..., 1].sum()
    assert MAX_BLOCKS / 2 < num <= MAX_BLOCKS


def test_the_oldest_are_dropped_whole() -> None:
    """Buckets that lie within the first blocks go, those after them stay."""
    rows = np.zeros(1, np.dtype(FIELDS))
    for at in range(50):
        push(rows, ALL, np.array([[at, 1, 0, 0, 0, at]], dtype=float))
    drop_oldest(rows, ALL, np.array([20.0]))
    num = rows["buckets"][0, ..., 1].sum()
    assert 30 <= num < 38
    assert rows["buckets"][0, ..., 0].sum() == sum(range(50 - int(num), 50))
    clear(rows, ALL)
    assert rows["held"].sum() == 0
