"""What every bank promises: services/anomaly/model/bank.py."""

from collections.abc import Callable
from typing import cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.anomaly.model.bank import Bank, Floats, Rows, bands_at, clean, learn_at, parts_of
from services.anomaly.model.columns import Columns
from services.anomaly.model.hours import MemoryBank, Remembering
from services.anomaly.model.moment_banks import DeviationBank, GaussianBank
from services.anomaly.model.range_bank import RangeBank
from services.anomaly.model.robust_bank import RobustBank
from services.anomaly.model.seasonal_novelty import SeasonalNovelty
from services.anomaly.model.slots import Slots
from services.anomaly.model.tree_bank import TreeBank
from services.common.errors import ArtifactMismatch

Make = Callable[[], Bank]
MAKES: dict[str, Make] = {
    "range_novelty": RangeBank,
    "robust_z": RobustBank,
    "robust_z_with_memory": lambda: Remembering(RobustBank()),
    "range_novelty_with_memory": lambda: Remembering(RangeBank()),
    "gaussian_with_memory": lambda: Remembering(GaussianBank()),
    "seasonal_novelty": SeasonalNovelty,
    "seasonal_novelty_with_memory": lambda: Remembering(SeasonalNovelty()),
    "absolute_deviation": DeviationBank,
    "gaussian": GaussianBank,
    "half_space_trees": lambda: TreeBank(window=40),
    "half_space_trees_without_limits": lambda: TreeBank(window=300, limits=(-10.0, 30.0)),
}
MINUTE = 60_000_000
#: Series that have brought detectors down elsewhere.
HOSTILE: dict[str, list[float]] = {
    "constant": [7.0] * 160,
    "zero": [0.0, -0.0] * 80,
    "largest": [1e308, -1e308, 1e100, -1e100] * 40,
    "denormal": [5e-324, 0.0, -5e-324, 1e-310] * 40,
    "steps": [10.0**place for place in range(-20, 80)] * 2,
    "one_ulp": [1.0, 1.0 + 2**-52] * 80,
    "not_finite": [np.nan, np.inf, -np.inf, 1.0] * 40,
    "jump": [1.0] * 80 + [1e100] * 80,
}


@pytest.fixture(params=MAKES)
def bank(request: pytest.FixtureRequest) -> Bank:
    """Each bank in turn."""
    return MAKES[request.param]()


class Series:
    """Some series of a bank, one value of each a minute."""

    def __init__(self, bank: Bank, num: int) -> None:
        self.bank, self.columns, self.minute = bank, Columns(bank), 0
        self.slots = self.columns.add(num)

    def rows(self) -> Rows:
        return self.columns.at(self.slots, self.times)

    @property
    def times(self) -> np.ndarray:
        return np.full(len(self.slots), self.minute * MINUTE)

    def score(self, values: Floats) -> Floats:
        return self.bank.score(self.rows(), values, self.times)

    def learn(self, values: Floats) -> None:
        """Those that are finite, as every caller does."""
        held = clean(values)
        known = np.flatnonzero(~np.isnan(held))
        self.columns.turn(self.slots, self.times)
        self.columns.learn(self.slots[known], held[known], self.times[known])
        self.columns.remember(self.slots[known], held[known], self.times[known])
        self.minute += 1


def taught(bank: Bank, minutes: int = 400) -> Series:
    """Three series that go about their business."""
    series, draw = Series(bank, 3), np.random.default_rng(1)
    for _ in range(minutes):
        series.learn(draw.normal(10, 1, 3))
    return series


def test_a_zeroed_row_has_learnt_nothing(bank: Bank) -> None:
    """It says nothing and expects nothing."""
    rows, values, times = np.zeros(3, bank.dtype), np.array([0.0, 1e100, -5e-324]), np.zeros(3, np.int64)
    assert bank.score(rows, values, times).tolist() == [0.0] * 3
    assert np.isnan(bank.bands(rows, times)).all()


def test_judging_changes_nothing(bank: Bank) -> None:
    """Neither the rows nor the values."""
    series, values = taught(bank), np.array([10.0, 99.0, -1e100])
    rows = series.rows()
    before = rows.tobytes()
    scores = {bank.score(rows, values, series.times).tobytes() for _ in range(3)}
    bank.bands(rows, series.times)
    assert len(scores) == 1
    assert (rows.tobytes(), values.tolist()) == (before, [10.0, 99.0, -1e100])


def test_a_planted_anomaly_scores_above_a_half(bank: Bank) -> None:
    """And what is usual below."""
    series = taught(bank)
    assert (series.score(np.full(3, 60.0)) > 0.5).all()
    assert (series.score(np.full(3, 10.0)) < 0.5).all()


def test_what_lies_outside_a_band_scores_above_a_half(bank: Bank) -> None:
    """So a vote by bands and one by scores agree; the centre lies inside."""
    series = taught(bank)
    low, center, high = bank.bands(series.rows(), series.times)
    for edge, step in ((low, -1e-6), (high, 1e-6)):
        known = ~np.isnan(edge)
        assert (series.score(edge + step)[known] > 0.5).all()
        assert ((low < center) & (center < high))[known].all()


def test_parts_are_all_fields_once(bank: Bank) -> None:
    """What is saved apart is together everything."""
    fields = [field for part in parts_of(bank).values() for field in part]
    assert sorted(fields) == sorted(bank.dtype.names or ())


@pytest.mark.parametrize("minutes", [0, 7, 30, 64, 150, 400])
def test_what_is_saved_and_loaded_goes_on_as_before(bank: Bank, minutes: int) -> None:
    """In other slots of another process: the same scores, the same rows."""
    one = taught(bank, minutes)
    two = Series(bank, 3)
    two.slots, two.minute = two.columns.add(3)[::-1].copy(), minutes
    two.columns.load(two.slots, one.columns.save(one.slots))
    draw = np.random.default_rng(2)
    for _ in range(100):
        values = draw.normal(10, 2, 3)
        assert one.score(values).tolist() == two.score(values).tolist()
        one.learn(values)
        two.learn(values)
    assert one.columns.save(one.slots) == two.columns.save(two.slots)


def test_rows_of_another_form_are_refused(bank: Bank) -> None:
    """With what to do."""
    other = Slots(bank.name, np.dtype([("other", "f8")]))
    payload = other.save(other.add(1))
    columns = Columns(bank)
    slots = columns.add(1)
    with pytest.raises(ArtifactMismatch, match=r"delete anomaly\.state\.v1"):
        columns.load(slots, dict.fromkeys(columns.save(slots), payload))


def test_a_wide_call_scores_as_many_narrow_ones(bank: Bank) -> None:
    """To the bit: numpy adds in another order here and there, and no score may hang on that."""
    wide, draw = Series(bank, 3000), np.random.default_rng(4)
    narrow = {place: Series(bank, 1) for place in (0, 1, 7, 1500, 2999)}
    for _ in range(70):
        values = draw.standard_cauchy(3000)
        scores = wide.score(values)
        for place, series in narrow.items():
            assert series.score(values[place : place + 1])[0] == scores[place]
            series.learn(values[place : place + 1])
        wide.learn(values)


def test_rows_taught_where_they_are_learn_as_copies_do(bank: Bank) -> None:
    """In any order, and rows between them are left alone."""
    series, at = Series(bank, 5), np.array([3, 0, 4])
    rows, draw, times = series.rows(), np.random.default_rng(6), series.times[:3]
    copies = rows.copy()
    for _ in range(150):
        values = draw.normal(10, 2, 3)
        assert np.array_equal(bands_at(bank, rows, at, times), bank.bands(rows[at], times), equal_nan=True)
        learn_at(bank, rows, at, values, times)
        taught = copies[at]
        bank.learn(taught, values, times)
        copies[at] = taught
    assert rows.tobytes() == copies.tobytes()


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_series_are_survived(bank: Bank, kind: str) -> None:
    """Scores stay in [0, 1], bands are numbers or missing, and a neighbour's scores are what they are alone."""
    series, alone = Series(bank, 2), Series(bank, 1)
    draw = np.random.default_rng(3)
    for value in HOSTILE[kind]:
        calm = draw.normal(10, 1)
        (held,) = clean(np.array([value]))
        scores = series.score(np.array([0.0 if np.isnan(held) else held, calm]))
        assert ((scores >= 0) & (scores <= 1)).all()
        assert scores[1] == alone.score(np.array([calm]))[0]
        assert not np.isinf(bank.bands(series.rows(), series.times)).any()
        series.learn(np.array([value, calm]))
        alone.learn(np.array([calm]))


@pytest.mark.parametrize("name", MAKES)
@settings(max_examples=15, deadline=None)
@given(st.lists(st.lists(st.floats(), min_size=3, max_size=3), max_size=60), st.integers(1, 3000))
def test_any_values_at_any_pace_are_survived(name: str, many: list[list[float]], minutes: int) -> None:
    """With every hour's memory closing in between."""
    series = Series(MAKES[name](), 3)
    for values in many * 2:
        held = np.nan_to_num(clean(np.array(values)))
        scores = series.score(held)
        assert ((scores >= 0) & (scores <= 1)).all()
        series.learn(np.array(values))
        series.minute += minutes - 1


def test_to_remember_is_not_to_learn() -> None:
    """A value that was only remembered moves no band within its hour, and twice changes nothing."""
    for name in ("robust_z_with_memory", "range_novelty_with_memory", "gaussian_with_memory"):
        series = taught(MAKES[name]())
        bank, rows = cast(MemoryBank, series.bank), series.rows()
        before = np.array(bank.bands(rows, series.times))
        bank.remember(rows, np.arange(3), np.full(3, 500.0), series.times)
        once = rows.tobytes()
        bank.remember(rows, np.arange(3), np.full(3, 500.0), series.times)
        assert rows.tobytes() == once
        assert (np.array(bank.bands(rows, series.times)) == before).all()
