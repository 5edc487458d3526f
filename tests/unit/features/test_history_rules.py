"""Which records become rows, and what happens to those that cannot."""

import math
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.broker.abstract import Record, TopicPartition
from services.common.clock import FakeClock, from_micros
from services.common.codec import Codec
from services.common.errors import InvalidMessage, Retryable
from services.common.stage import Outputs
from services.common.state import PartitionState
from services.features.adapters.history_memory import MemoryHistory
from services.features.adapters.history_writer import HistoryWriter
from services.features.core.history import Rows, clean, name_id
from tests.conformance.history_cases import (
    DAY,
    NOON,
    make_alert,
    make_features,
    make_prediction,
    make_scrape,
    rows_of,
)  # fmt: skip

CODEC = Codec()
KEEP = timedelta(days=184)


def make_writer(store: MemoryHistory | None = None) -> tuple[HistoryWriter, MemoryHistory]:
    store = store or MemoryHistory(KEEP)
    return HistoryWriter(store, CODEC.decode, FakeClock(from_micros(NOON)), KEEP), store


def as_record(row: Mapping[str, Any], offset: int = 0) -> Record:
    return Record("features.v1", 0, offset, 0, b"k", CODEC.encode("features.v1", row))


def dead_letters(outputs: Outputs) -> dict[tuple[str, str], int]:
    return dict(outputs.dead_letters)


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (lambda: make_features(values=[1.0]), "length_mismatch"),
        (lambda: make_scrape(values=[1.0]), "length_mismatch"),
        (lambda: make_prediction(values=[1.0]), "length_mismatch"),
        (lambda: make_prediction(quantiles=[[0.1, 0.2]]), "length_mismatch"),
        (lambda: make_prediction(quantiles=[[0.1, 0.2], [0.1]]), "length_mismatch"),
        (lambda: make_features(entity_id="h" * 501), "name_too_long"),
        (lambda: make_features(entity_id="ä" * 251), "name_too_long"),
        (lambda: make_alert(entity_id="h" * 501), "name_too_long"),
        (lambda: make_features(event_time=-1), "time_out_of_range"),
        (lambda: make_features(event_time=NOON + 4000 * DAY), "time_out_of_range"),
        (lambda: make_features(ingest_time=2**62), "time_out_of_range"),
    ],
)
def test_what_cannot_be_a_row_says_why(wrong: Any, reason: str) -> None:
    """Each rule has its word."""
    with pytest.raises(InvalidMessage) as caught:
        wrong()
    assert caught.value.reason == reason


def test_a_series_that_stands_twice_keeps_its_first_value() -> None:
    """One scrape, one value a series."""
    _, row = make_scrape(series=["a", "b", "a"], values=[1.0, 2.0, 3.0])
    assert dict(zip(row["series"], row["values"], strict=True)) == {"a": 1.0, "b": 2.0}


@given(st.recursive(st.none() | st.floats() | st.text() | st.binary(), lambda inner: st.lists(inner, max_size=3)))
def test_cleaned_values_hold_nothing_that_is_refused(value: Any) -> None:
    """No NUL, no NaN, no bytes, however deep; what is clean stays."""
    assert is_clean(clean(value))
    assert clean(clean(value)) == clean(value)


def is_clean(value: Any) -> bool:
    if isinstance(value, list):
        return all(map(is_clean, value))
    return (
        value is None
        or (isinstance(value, float) and math.isfinite(value))
        or (isinstance(value, str) and "\0" not in value)
    )


def test_ids_of_names_never_change() -> None:
    """Databases hold them."""
    assert (name_id("up"), name_id("a", "b")) == (-6951449270009050659, -17643764250920285)
    assert name_id("a", "b") != name_id("a b")


def test_a_bad_record_costs_only_itself() -> None:
    """Unreadable, or against the rules: to the dead letters with its reason; the others are rows; deletions nothing."""
    writer, store = make_writer()
    garbage = Record("features.v1", 0, 1, 0, b"k", b"garbage")
    deletion = Record("features.v1", 0, 2, 0, b"k", None)
    future = as_record(make_features(event_time=NOON + 200 * DAY)[1], 3)
    outputs = Outputs(CODEC.encode)
    writer.process([as_record(make_features()[1]), garbage, deletion, future], outputs)
    assert len(rows_of(store, "features")) == 1
    assert dead_letters(outputs) == {
        ("features.v1", "not_avro_single_object"): 1,
        ("features.v1", "time_out_of_range"): 1,
    }


class Picky(MemoryHistory):
    """Refuses each batch with the entity `host:bad`, without saying which row it was, as a database does."""

    def upsert(self, rows: Rows) -> Mapping[str, int]:
        if any(row["entity_id"] == "host:bad" for table in rows.values() for row in table):
            raise InvalidMessage("refused_by_database", "no")
        return super().upsert(rows)


def test_a_row_that_the_database_refuses_is_found() -> None:
    """Halving finds it; everything else is written."""
    writer, store = make_writer(Picky())
    names = ["host:1", "host:bad", "host:2", "host:3", "host:4"]
    outputs = Outputs(CODEC.encode)
    writer.process([as_record(make_features(entity_id=name)[1], n) for n, name in enumerate(names)], outputs)
    assert [row["entity_id"] for row in rows_of(store, "features")] == ["host:1", "host:2", "host:3", "host:4"]
    assert dead_letters(outputs) == {("features.v1", "refused_by_database"): 1}


def test_a_database_that_is_away_is_waited_for() -> None:
    """Assignment, writing and an idle tick all say so, and nothing is a dead letter."""
    writer, store = make_writer()
    store.is_away = True
    outputs = Outputs(CODEC.encode)
    for attempt in (
        lambda: writer.assign(TopicPartition("features.v1", 0), PartitionState()),
        lambda: writer.process([as_record(make_features()[1])], outputs),
        lambda: writer.tick(from_micros(NOON), [], outputs),
    ):
        with pytest.raises(Retryable):
            attempt()
    assert not outputs.records


def test_maintenance_runs_at_start_and_once_a_day() -> None:
    """An old row goes with the first tick; another one stays until a day is over."""
    writer, store = make_writer()
    outputs, old = Outputs(CODEC.encode), make_features(event_time=NOON - 300 * DAY)[1]
    for now, num_rows in ((NOON, 0), (NOON + DAY // 2, 1), (NOON + DAY, 0)):
        store.upsert({"features": [old]})
        writer.tick(from_micros(now), [], outputs)
        assert len(rows_of(store, "features")) == num_rows
