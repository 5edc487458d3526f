"""Rows of many series in one array."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.anomaly.model.bank import clean, ratio_scores
from services.anomaly.model.slots import Slots
from services.common.errors import ArtifactMismatch

ROW = np.dtype([("last", "f8", (3,)), ("num", "u4"), ("level", "f4")])


def make_slots(num: int = 0) -> Slots:
    """Slots of which `num` are in use, each knowing its number."""
    slots = Slots("twelve", ROW)
    new = slots.add(num)
    rows = slots.take(new)
    rows["num"], rows["last"][:, 1] = new, new / 7
    slots.put(new, rows)
    return slots


def ints(*numbers: int) -> np.ndarray:
    """Slots by their numbers."""
    return np.array(numbers, np.int64)


def test_what_is_taken_is_a_copy() -> None:
    """It changes the slots only when it is put back."""
    slots = make_slots(5)
    rows = slots.take(ints(3, 1))
    assert rows["num"].tolist() == [3, 1]
    rows["num"] = 9
    assert slots.take(ints(3))["num"].tolist() == [3]
    slots.put(ints(3, 1), rows)
    assert slots.take(ints(0, 1, 2, 3, 4))["num"].tolist() == [0, 9, 2, 9, 4]


def test_freed_slots_are_used_again_with_nothing_learnt() -> None:
    """Before new ones are made."""
    slots = make_slots(20)
    slots.free(ints(4, 7))
    assert len(slots) == 18
    again = slots.add(3)
    assert sorted(again.tolist()) == [4, 7, 20]
    assert not slots.take(again)["num"].any()


def test_growing_doubles_and_keeps_what_was_learnt() -> None:
    """Memory is at most twice what the series in use need, and what stood there still does."""
    slots = make_slots(33)
    assert slots.num_bytes <= 2 * 33 * ROW.itemsize
    slots.add(40)
    assert slots.num_bytes <= 2 * 73 * ROW.itemsize
    assert slots.take(np.arange(33))["num"].tolist() == list(range(33))


def test_a_cleared_slot_is_learnt_anew() -> None:
    """And stays where it is."""
    slots = make_slots(3)
    slots.clear(ints(1))
    assert slots.take(np.arange(3))["num"].tolist() == [0, 0, 2]
    assert len(slots) == 3


@given(
    st.lists(st.tuples(st.lists(st.floats(width=64), min_size=3, max_size=3), st.integers(0, 2**32 - 1)), max_size=9)
)
def test_loading_gives_what_was_saved(known: list[tuple[list[float], int]]) -> None:
    """To the bit, NaN and infinities too, whichever slots they were and come to."""
    one, two = make_slots(), make_slots(4)
    slots, others = one.add(len(known))[::-1], two.add(len(known))
    rows = one.take(slots)
    for row, (last, num) in zip(rows, known, strict=True):
        row["last"], row["num"] = last, num
    one.put(slots, rows)
    two.load(others, one.save(slots))
    assert two.take(others).tobytes() == rows.tobytes()
    assert two.take(np.arange(4)).tobytes() == make_slots(4).take(np.arange(4)).tobytes()


def test_some_fields_are_saved_apart() -> None:
    """What is loaded leaves the other fields as they are."""
    one, two = make_slots(4), make_slots(4)
    two.clear(ints(2, 3))
    two.load(ints(2, 3), one.save(ints(2, 3), ["num"]), ["num"])
    assert two.take(ints(2, 3))["num"].tolist() == [2, 3]
    assert not two.take(ints(2, 3))["last"].any()
    with pytest.raises(ArtifactMismatch, match="delete anomaly"):
        two.load(ints(2, 3), one.save(ints(2, 3), ["num"]))


@pytest.mark.parametrize(
    ("other", "word"),
    [
        (Slots("eleven", ROW), "'eleven'"),
        (Slots("twelve", ROW, version=2), "version 2"),
        (Slots("twelve", np.dtype([("num", "u8")])), "num:<u8"),
    ],
)
def test_rows_of_another_bank_version_or_form_are_refused(other: Slots, word: str) -> None:
    """Saying what came, what was wanted, and what to do."""
    payload = other.save(other.add(2))
    slots = make_slots(2)
    before = slots.take(np.arange(2)).tobytes()
    with pytest.raises(ArtifactMismatch, match=rf"{word}.*'twelve'.*delete anomaly\.state\.v1"):
        slots.load(np.arange(2), payload)
    assert slots.take(np.arange(2)).tobytes() == before


@pytest.mark.parametrize("payload", [b"", b"\xc1", b"\x92\x01\x02"])
def test_other_bytes_are_refused(payload: bytes) -> None:
    """With what to do."""
    with pytest.raises(ArtifactMismatch, match="delete anomaly"):
        make_slots(2).load(np.arange(2), payload)


def test_rows_for_another_number_of_series_are_refused() -> None:
    """None is made up, none is dropped; nor are bytes that were cut short read."""
    slots = make_slots(3)
    with pytest.raises(ArtifactMismatch, match="2 of 'twelve'"):
        slots.load(ints(0, 1, 2), slots.save(ints(0, 1)))


def test_cleaned_values_are_finite_or_missing() -> None:
    """NaN and infinities become NaN, what is too large becomes the largest."""
    values = clean(np.array([np.nan, np.inf, -np.inf, 1e308, -1e308, 5e-324, -2.5]))
    assert np.isnan(values[:3]).all()
    assert values[3:].tolist() == [1e100, -1e100, 5e-324, -2.5]


def test_ratio_scores_are_half_at_the_line() -> None:
    """0 without a distance, 1 without a line."""
    scores = ratio_scores(np.array([-1.0, 0.0, 0.0, 2.0, 2.0, 1e100]), np.array([3.0, 3.0, 0.0, 2.0, 0.0, 1e-300]))
    assert scores.tolist() == [0.0, 0.0, 0.0, 0.5, 1.0, 1.0]
