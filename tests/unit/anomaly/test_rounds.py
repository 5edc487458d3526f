"""Records judged together say what they say one by one."""

import math
import random
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from services.anomaly.pipeline import AnomalyStage
from services.anomaly.settings import AnomalySettings
from services.common.clock import FakeClock
from services.common.errors import ArtifactMismatch
from services.common.state import PartitionState, Saved
from tests.unit.anomaly.streams import (
    PARTITION,
    SETTINGS,
    Reader,
    make_api,
    make_compute,
    make_host,
    make_record,
    normal,
    scrapes,
    slow,
    story,
)

ALL = SETTINGS.model_copy(update={"advisers": ("half_space_trees", "gaussian"), "unknown_metrics": "alert"})


def wild(seed: int) -> list[dict[str, Any]]:
    """Faults, repeats, late and lost records, NaN, groups that vanish, pauses, and a clock that is set back."""
    draw = random.Random(seed)
    records = normal()
    for second in scrapes(200, 330):
        groups = {f"nova-compute-{n}": float(draw.random() < 0.97) for n in range(1, 4) if draw.random() < 0.97}
        records += [
            make_host(second, draw.choice([0.8, 0.8, 0.8, 0.5, math.nan]), draw.choice([0.5, 0.5, 3.0])),
            make_api(second, draw.choice([0.1, 0.1, 0.1, 5.0]), errors=draw.choice([0.0, 0.0, 9.0])),
            make_compute(second, groups),
            make_record(second, "host:c1", {"strange": draw.choice([1.0, 1.0, 1.0, 1e9])}, job="other"),
        ]
        if draw.random() < 0.2:
            records.insert(len(records) - draw.randrange(20), records[-draw.randrange(1, 9)])
        if draw.random() < 0.1:
            del records[-draw.randrange(1, 4) :]
    back = [{**each, "event_time": each["event_time"] - 3000 * 10**6} for each in records[-230:]]
    return records + (back if draw.random() < 0.5 else [])


@example(seed=8, size=30)
@settings(max_examples=4, deadline=None)
@given(seed=st.integers(0, 10**6), size=st.integers(20, 400))
def test_batches_of_any_size_and_restarts_change_nothing(seed: int, size: int) -> None:
    """The same alerts in the same order, and the same bytes of state, as record by record."""
    records = wild(seed)
    single, cut = Reader(ALL), Reader(ALL)
    for record in records:
        single.read([record])
    for begin in range(0, len(records), size):
        cut.read(records[begin : begin + size])
        cut.restart()
    told = [{**alert, "published_at": 0} for alert in cut.alerts]
    assert told == [{**alert, "published_at": 0} for alert in single.alerts]
    assert cut.saved == single.saved


def test_alerts_come_in_the_order_of_the_records_that_led_to_them() -> None:
    """Though the second record of an entity is judged after the first ones of all."""
    bad = story(200, 215, host=lambda s: make_host(s, 0.3), api=slow(5.0))
    batches, single = Reader().read(normal()).read(bad), Reader().read(normal())
    for record in bad:
        single.read([record])
    assert batches.life == single.life
    assert len(batches.life) == 2


def test_a_series_that_stands_twice_in_a_record_counts_once() -> None:
    """The first finite sample of it."""
    one, two = Reader().read(normal()), Reader().read(normal())
    record = make_api(200)
    names, values = record["series"], record["values"]
    one.read([record])
    two.read([{**record, "series": [names[0], *names, names[0]], "values": [math.nan, *values, 99.0]}])
    assert two.saved == one.saved


def test_a_revoked_partition_gives_its_rows_back() -> None:
    """Whoever comes next gets them, and finds nothing learnt in them."""
    reader = Reader().read(normal())
    before = reader.stage.num_signals
    assert before > 0
    reader.stage.revoke(PARTITION)
    assert reader.stage.num_signals == 0
    reader.state = PartitionState()
    reader.stage.assign(PARTITION, reader.state)
    reader.read(normal())
    assert reader.stage.num_signals == before
    assert reader.saved == Reader().read(normal()).saved


def test_state_of_an_older_program_is_refused_with_what_to_do() -> None:
    """Its signals were saved one by one, in another form."""
    saved = {"entity|host:c1": Saved(1, b"\x80")}
    stage = AnomalyStage(AnomalySettings(), lambda value: {}, FakeClock())
    with pytest.raises(ArtifactMismatch, match=r"version 1, this program reads 3.*delete the topic"):
        stage.assign(PARTITION, PartitionState(saved))


def test_metrics_that_are_ignored_from_now_on_are_dropped() -> None:
    """After a change of the setting the rest goes on as it was."""
    strange = [make_record(s, "host:c1", {"strange": 1.0}) for s in scrapes(0, 200)]
    reader = Reader().read(sorted([*normal(), *strange], key=lambda record: record["event_time"]))
    reader._settings = SETTINGS.model_copy(update={"unknown_metrics": "ignore"})
    reader.restart()
    reader.read(story(200, 215, api=slow(5.0)))
    reader.restart()
    assert [rule for _, rule, _ in reader.life] == ["latency"]
