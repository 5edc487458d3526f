"""Drift in the stage: told once, forgotten and learnt anew, the same after a restart at any moment."""

import math
from typing import Any

import numpy as np
import pytest

from services.anomaly.settings import AnomalySettings
from tests.unit.anomaly.streams import HOST, PARTITION, TOTAL, Reader, make_record

#: A scrape each five minutes, so that days are short.
EVERY = 300
SETTINGS = AnomalySettings(
    warmup_seconds=40 * EVERY, min_samples=30, source_silent_seconds=3000, gap_seconds=600, advisers=()
)
#: Three days to learn, two more to judge, then the change.
CHANGED = 1500
NOISE = np.random.default_rng(5).normal(0, 0.01, 4000)


def make_scrape(number: int, share: float) -> dict[str, Any]:
    """A host's share of free memory."""
    values = {HOST: 100e9 * (share + NOISE[number]), TOTAL: 100e9}
    return make_record(number * EVERY, "host:c1", values, parent_entity_ids=[])


def scrapes(begin: int, end: int, back: float = math.inf) -> list[dict[str, Any]]:
    """Half of the memory is free; from CHANGED on four fifths; from `back` on a half again."""
    return [make_scrape(n, 0.8 if CHANGED <= n < back else 0.5) for n in range(begin, end)]


def drifts(reader: Reader) -> list[tuple[str, str]]:
    """(severity, status) of what was said of drift."""
    return [(alert["severity"], alert["status"]) for alert in reader.alerts if alert["kind"] == "drift"]


@pytest.fixture(scope="module")
def steady() -> Reader:
    """A stage that ran through a change, and through what is learnt after it."""
    return Reader(SETTINGS).read(scrapes(0, 1800)).read(scrapes(1800, 2900))


def test_a_change_for_good_is_told_once_and_resolved_when_it_is_learnt(steady: Reader) -> None:
    """An alert of its own, severity info, with the signal and both levels."""
    assert drifts(steady) == [("info", "firing"), ("info", "resolved")]
    alert = steady.alerts[0]
    assert (alert["rule"], alert["labels"]["signals"]) == ("drift", "memory_available")
    assert "lies at 80 % since 2027-01-20 08:00 UTC, 50.1 % before" in alert["summary"]
    assert steady.stage.num_signals == 1


def test_after_a_drift_the_new_level_is_what_is_normal() -> None:
    """Back at the old one is news, which without the drift was inside everything ever learnt."""
    seen = []
    for drift in (True, False):
        reader = Reader(SETTINGS.model_copy(update={"drift": drift}))
        reader.read(scrapes(0, 1900, back=1850))
        seen.append([rule for _, rule, status in reader.life if status == "firing"])
    assert seen == [["drift", "resource_pressure"], []]


@pytest.mark.parametrize("size", [7, 100])
def test_restarted_at_any_moment_the_same_is_said_and_saved(steady: Reader, size: int) -> None:
    """Each byte of state, and each alert, is as if it had never stopped."""
    reader, records = Reader(SETTINGS), scrapes(0, 2900)
    for begin in range(0, len(records), size):
        reader.restart()
        reader.read(records[begin : begin + size])
    assert reader.alerts == steady.alerts
    assert reader.saved == steady.saved


def test_what_changes_seldom_is_seldom_saved() -> None:
    """A scrape within a point writes no more of drift than its sum."""
    reader = Reader(SETTINGS).read(scrapes(0, 50))
    reader.state.take_changes()
    reader.read([make_record(49 * EVERY + 10, "host:c1", {HOST: 50e9, TOTAL: 100e9}, parent_entity_ids=[])])
    assert not [key for key, _ in reader.state.take_changes() if key.startswith("drift.")]


def test_switched_off_the_open_alert_ends_and_its_state_goes() -> None:
    """With the next record."""
    reader = Reader(SETTINGS).read(scrapes(0, 1800))
    reader._settings = SETTINGS.model_copy(update={"drift": False})
    reader.restart()
    reader.read(scrapes(1800, 1801))
    assert drifts(reader) == [("info", "firing"), ("info", "resolved")]
    assert not [key for key in reader.saved if key.startswith("drift.")]


def test_a_source_that_stops_ends_it() -> None:
    """Nobody knows any more whether it was learnt."""
    reader = Reader(SETTINGS).read(scrapes(0, 1800)).tick(4000, [PARTITION])
    assert drifts(reader) == [("info", "firing"), ("info", "resolved")]
    assert reader.alerts[-1]["reason"].startswith("source_silent:")


def test_only_the_first_signals_are_watched() -> None:
    """Of more than `drift_signals` the others have no row, also with another limit after a restart."""
    reader = Reader(SETTINGS.model_copy(update={"drift_signals": 2}))
    values = {f"unknown_{n}": 1.0 for n in range(5)}
    for limit in (2, 4, 1):
        reader._settings = SETTINGS.model_copy(update={"drift_signals": limit})
        reader.restart()
        reader.read([make_record(limit * 1000 + n, "host:c1", values, parent_entity_ids=[]) for n in range(9)])
        watch = reader.stage._team.store.watch
        assert watch is not None
        assert len(watch.table) == limit


@pytest.mark.parametrize("part", ["points", "hours", "windows"])
def test_state_of_drift_that_cannot_be_read_begins_anew(part: str) -> None:
    """It decides on no other alert."""
    reader = Reader(SETTINGS).read(scrapes(0, 900))
    saved = dict(reader.state.items())
    key = f"drift.{part}|host:c1"
    saved[key] = saved[key]._replace(payload=b"\xc1")
    reader.state._values = saved
    reader.restart()
    reader.read(scrapes(900, 901))
    watch = reader.stage._team.store.watch
    assert watch is not None
    assert not watch.table.rows["count"].any()


def test_a_clock_that_is_set_back_moves_what_is_known_of_drift() -> None:
    """Points go on at once, not after as long as the clock was set back."""
    reader = Reader(SETTINGS).read(scrapes(0, 300))
    before = int(reader.stage._team.store.watch.table.rows["count"][0])  # type: ignore[union-attr]
    later = [make_scrape(n, 0.5) for n in range(100, 200)]
    moved = [{**record, "ingest_time": record["ingest_time"] + 200 * EVERY * 1_000_000} for record in later]
    reader.read(moved)
    after = int(reader.stage._team.store.watch.table.rows["count"][0])  # type: ignore[union-attr]
    assert 20 < after - before <= 100
