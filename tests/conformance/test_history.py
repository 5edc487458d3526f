"""What every history keeps: the database and its twin in memory."""

import math
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.features.core.history import HistoryStore, Row
from tests.conformance.history_cases import (
    DAY,
    ENTITY,
    NOON,
    make_alert,
    make_features,
    make_placement,
    make_prediction,
    make_scrape,
    rows_of,
    write,
)

MAKERS: tuple[Callable[..., tuple[str, Row]], ...] = (
    make_features, make_scrape, make_alert, make_prediction, make_placement,
)  # fmt: skip


@pytest.mark.parametrize("make", MAKERS)
def test_a_row_is_read_as_it_was_written(history: HistoryStore, make: Callable[..., tuple[str, Row]]) -> None:
    """Every field comes back: times to the microsecond, numbers to the last bit, text with tabs and backslashes."""
    table, row = make()
    assert write(history, (table, row)) == 1
    assert rows_of(history, table) == [row]


@pytest.mark.parametrize("make", MAKERS)
def test_the_same_again_changes_nothing(history: HistoryStore, make: Callable[..., tuple[str, Row]]) -> None:
    """A record twice in one batch is one row; once more in another batch changes none."""
    table, row = make()
    assert write(history, (table, row), (table, dict(row))) == 1
    assert write(history, (table, row)) == 0
    assert rows_of(history, table) == [row]


def test_a_replay_with_a_later_ingest_time_changes_nothing(history: HistoryStore) -> None:
    """The same capture sent twice is read twice by ingest, at other times: its rows stay as they were."""
    write(history, make_features(), make_scrape())
    assert write(history, make_features(ingest_time=NOON + DAY), make_scrape(ingest_time=NOON + DAY)) == 0


def test_all_tables_are_written_together(history: HistoryStore) -> None:
    """One call takes rows of all tables."""
    assert write(history, *(make() for make in MAKERS)) == len(MAKERS)


def test_a_higher_version_of_a_feature_set_replaces_a_step(history: HistoryStore) -> None:
    """The higher version stays, whichever came first."""
    newer = make_features(feature_set_version=2, names=["a"], values=[1.0])
    write(history, make_features())
    assert write(history, newer) == 1
    assert write(history, make_features()) == 0
    assert rows_of(history, "features") == [newer[1]]


def test_a_step_made_by_a_clock_ahead_gives_way(history: HistoryStore) -> None:
    """An hour ahead of its reading; the true step replaces it, and is not replaced by such a one."""
    ahead, true = make_features(ingest_time=NOON - 3_600_000_000, values=[9.0, 9.0]), make_features()
    assert [write(history, each) for each in (ahead, true, ahead)] == [1, 1, 0]
    assert rows_of(history, "features") == [true[1]]


def test_parts_of_a_scrape_are_one_row(history: HistoryStore) -> None:
    """Three processes of one entity, in one batch or two: one row with all series; a repeated one keeps its value."""
    write(history, make_scrape(pairs={"a": 1.0, "b": 2.0}), make_scrape(pairs={"c": 3.0}))
    assert write(history, make_scrape(pairs={"d": 4.0, "a": 9.0})) == 1
    (row,) = rows_of(history, "scrapes")
    pairs = dict(zip(row["series"], row["values"], strict=True))
    assert pairs == {"a": 1.0, "b": 2.0, "c": 3.0, "d": 4.0}


def test_jobs_are_rows_of_their_own(history: HistoryStore) -> None:
    """Two collectors of one entity at one time are two scrapes."""
    assert write(history, make_scrape(job="node"), make_scrape(job="process")) == 2


def test_each_record_of_an_alert_is_kept(history: HistoryStore) -> None:
    """Firing, updated, resolved: three rows, whatever order they come in."""
    records = [make_alert(), make_alert(1, "updated"), make_alert(2, "resolved", ends_at=NOON + DAY)]
    assert write(history, *reversed(records)) == 3
    assert {row["status"] for row in rows_of(history, "alerts")} == {"firing", "updated", "resolved"}


def test_a_decision_gets_its_outcome_and_keeps_the_newest(history: HistoryStore) -> None:
    """Bound, then evicted; the decision without an outcome and the older outcome come again and change nothing."""
    bound = make_placement(outcome="bound", outcome_time=NOON + 1)
    evicted = make_placement(outcome="evicted", outcome_time=NOON + 2)
    write(history, make_placement())
    assert [write(history, each) for each in (bound, evicted, bound, make_placement())] == [1, 1, 0, 0]
    assert rows_of(history, "placements") == [evicted[1]]


def test_numbers_that_are_none_stay_in_arrays(history: HistoryStore) -> None:
    """NaN and infinities come back as they were; in JSON they are null."""
    write(history, make_features(values=[math.nan, -math.inf]), make_scrape(pairs={"x": math.inf}))
    write(history, make_alert(evidence=[{"value": math.nan}], score=math.nan))
    assert repr(rows_of(history, "features")[0]["values"]) == "[nan, -inf]"
    assert rows_of(history, "scrapes")[0]["values"] == [math.inf]
    assert rows_of(history, "alerts")[0]["evidence"] == [{"value": None}]


def test_nul_characters_are_replaced(history: HistoryStore) -> None:
    """PostgreSQL refuses them: U+FFFD stands instead, in text, arrays, names and JSON."""
    write(history, make_alert(summary="a\0b", mentions=["\0"], labels={"\0": "\0"}), make_scrape(pairs={"s\0": 1.0}))
    (row,) = rows_of(history, "alerts")
    assert (row["summary"], row["mentions"], row["labels"]) == ("a\ufffdb", ["\ufffd"], {"\ufffd": "\ufffd"})
    assert rows_of(history, "scrapes")[0]["series"] == ["s\ufffd"]


def test_huge_arrays_are_kept(history: HistoryStore) -> None:
    """A scrape of 10,000 series is one row, and its repetition changes nothing."""
    table, row = make_scrape(pairs={f"s{i}": float(i) for i in range(10_000)})
    assert [write(history, (table, row)), write(history, (table, row))] == [1, 0]
    assert rows_of(history, table) == [row]


def test_empty_arrays_are_kept(history: HistoryStore) -> None:
    """A vector, a scrape and a forecast without values are rows."""
    empty = make_prediction(horizons_seconds=[], values=[], quantile_levels=[], quantiles=[], reasons=[])
    assert write(history, make_features(names=[], values=[]), make_scrape(pairs={}), empty) == 3
    assert rows_of(history, "predictions") == [empty[1]]


def test_times_of_all_ages_are_taken(history: HistoryStore) -> None:
    """1970, last year, next year: late and future rows fail nothing, also after maintenance."""
    times = [0, NOON - 400 * DAY, NOON, NOON + 100 * DAY]
    for _ in range(2):
        write(history, *(make_features(event_time=time) for time in times))
        assert [row["event_time"] for row in rows_of(history, "features")][-2:] == times[-2:]
        history.maintain(NOON)


def test_maintenance_drops_what_is_too_old(history: HistoryStore) -> None:
    """Rows of half a year stay; what is a month older goes. A second time there is nothing to do."""
    ages = (0, 100, 180, 220, 400)
    write(history, *(make_scrape(event_time=NOON - age * DAY) for age in ages))
    history.maintain(NOON)
    assert [(NOON - row["event_time"]) // DAY for row in rows_of(history, "scrapes")] == [180, 100, 0]
    assert history.maintain(NOON) == 0
    assert rows_of(history, "scrapes")[0]["series"]


def test_rows_move_into_the_month_that_is_made_for_them(history: HistoryStore) -> None:
    """What came before its month was prepared is there afterwards, once."""
    write(history, make_scrape(), make_alert(), make_features(), make_prediction(), make_placement())
    history.maintain(NOON)
    assert write(history, make_scrape(), make_alert(), make_features(), make_prediction(), make_placement()) == 0
    assert [len(rows_of(history, t)) for t in ("scrapes", "alerts", "features", "predictions", "placements")] == [1] * 5


def test_reading_is_by_time_and_entity(history: HistoryStore) -> None:
    """Since is in, until is out, other entities are left out, the order is that of time."""
    write(history, *(make_features(seconds, entity_id=e) for seconds in (20, 0, 10) for e in (ENTITY, "host:other")))
    read = list(history.read("features", NOON, NOON + 20_000_000, ENTITY))
    assert [(row["event_time"] - NOON) // 1_000_000 for row in read] == [0, 10]


_PARTS = st.lists(
    st.tuples(st.integers(0, 1), st.dictionaries(st.sampled_from("abcd"), st.floats(width=32, allow_nan=False))),
    max_size=6,
)
_VERSIONS = st.lists(st.tuples(st.integers(0, 1), st.integers(1, 3)), max_size=6)
_OUTCOMES = st.lists(st.one_of(st.none(), st.sampled_from(["bound", "failed", "evicted"])), max_size=6)


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(parts=_PARTS, versions=_VERSIONS, outcomes=_OUTCOMES, repeated=st.integers(0, 9))
def test_batches_do_not_matter(history: HistoryStore, parts: Any, versions: Any, outcomes: Any, repeated: int) -> None:
    """The same records in the same order give the same rows, in one batch, or one by one, some repeated."""

    def records(cluster: str) -> list[tuple[str, Row]]:
        return [
            *(make_scrape(seconds, pairs, cluster=cluster) for seconds, pairs in parts),
            *(
                make_features(
                    s, feature_set_version=v, ingest_time=NOON - v % 2 * DAY, values=[v, 0.0], cluster=cluster
                )
                for s, v in versions
            ),
            *(make_placement(outcome=o, outcome_time=o and NOON + len(o), cluster=cluster) for o in outcomes),
        ]

    together, singly = uuid.uuid4().hex, uuid.uuid4().hex
    write(history, *records(together))
    for record in records(singly):
        write(history, record)
    write(history, *records(singly)[-repeated:])
    for table in ("scrapes", "features", "placements"):
        rows = rows_of(history, table)
        found = [[row | {"cluster": ""} for row in rows if row["cluster"] == name] for name in (together, singly)]
        assert found[0] == found[1]
