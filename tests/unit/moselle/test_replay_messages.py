"""What shippers would send, and in which order."""

import json
import math
from pathlib import Path

import pytest

from moselle.replay.files import LineFile, Source
from moselle.replay.merge import Options, Shipment, latest_time, merge
from moselle.replay.messages import parse_series, telegraf
from moselle.replay.publish import Pace
from services.common.clock import FakeClock
from services.common.errors import SettingsInvalid


def write(folder: Path, name: str, *lines: str) -> Source:
    path = folder / name
    path.write_text("\n".join(lines) + "\n")
    return Source(path, "c-1")


def ship(*sources: Source, options: Options | None = None) -> list[Shipment]:
    return list(merge([(source, LineFile(source.path)) for source in sources], options or Options()))


def logs_of(shipments: list[Shipment]) -> list[str]:
    return [json.loads(shipment.value)["log"] for shipment in shipments]


def test_files_are_merged_by_event_time(tmp_path: Path) -> None:
    """Lines of two files come in the order of their times; a line without one stays behind the line before it."""
    a = write(tmp_path, "a.log", "2026-11-21 05:00:00 a1", "  traceback of a1", "2026-11-21 05:00:03 a2")
    b = write(tmp_path, "b.log", "2026-11-21 05:00:01 b1", "2026-11-21 05:00:00 b2 went back", "")
    assert [line.rpartition(" ")[2] for line in logs_of(ship(a, b))] == ["a1", "a1", "b1", "back", "", "a2"]


def test_a_line_goes_out_as_fluent_bit_sends_it(tmp_path: Path) -> None:
    """date is the event time, host and path say where it is from, and the key holds both."""
    [shipment] = ship(write(tmp_path, "nova-api.log", "2026-11-21 05:51:40.389 1 INFO x"))
    assert json.loads(shipment.value) == {
        "date": 1795240300.389,
        "host": "c-1",
        "path": "nova-api.log",
        "log": "2026-11-21 05:51:40.389 1 INFO x",
    }
    assert (shipment.topic, shipment.key) == ("logs.raw", b"c-1|nova-api.log")


def test_json_logs_go_out_as_they_are(tmp_path: Path) -> None:
    """With the JSON form a line is the message, in the order of its `created`."""
    early, late = '{"created": 1795240300.0, "n": 1}', '{"created": 1795240301.0, "n": 2}'
    shipments = ship(write(tmp_path, "b.log", late), write(tmp_path, "a.log", early), options=Options("json"))
    assert [shipment.value.decode() for shipment in shipments] == [early, late]


def test_a_scrape_is_one_telegraf_message(tmp_path: Path) -> None:
    """Each series is a metric with its labels and the host as tags, and its number as the field `value`."""
    line = json.dumps({"ts": 5.5, "instance": "c-2", "metrics": {'up{job="a"}': 1, "load": 0.5, "name": "text"}})
    [shipment] = ship(write(tmp_path, "metrics.jsonl", line))
    assert json.loads(shipment.value)["metrics"] == [
        {"name": "up", "tags": {"host": "c-2", "job": "a"}, "fields": {"value": 1}, "timestamp": 5.5},
        {"name": "load", "tags": {"host": "c-2"}, "fields": {"value": 0.5}, "timestamp": 5.5},
    ]
    assert (shipment.topic, shipment.key) == ("metrics.raw", b"c-2|metrics.jsonl")


def test_labels_keep_what_was_escaped() -> None:
    """Braces, commas and escaped quotes inside a label's value are part of it."""
    assert parse_series(r'm{a="x,y{z}",b="say \"hi\"\n\\"}') == ("m", (("a", "x,y{z}"), ("b", 'say "hi"\n\\')))
    assert parse_series("m") == ("m", ())


def test_not_a_number_is_null_in_json() -> None:
    """NaN has no place in JSON; the message stays valid."""
    assert json.loads(telegraf({"ts": 1.0, "metrics": {"m": math.nan}}, "h"))["metrics"][0]["fields"] == {"value": None}


def test_a_shift_moves_lines_and_scrapes_alike(tmp_path: Path) -> None:
    """The same seconds are added to dates, times in the lines, and scrapes."""
    log = write(tmp_path, "a.log", "2026-11-21 05:51:40.389 x")
    scrapes = write(tmp_path, "metrics.jsonl", '{"ts": 1795240300.0, "instance": "c", "metrics": {"m": 1}}')
    scrape, line = (json.loads(s.value) for s in ship(log, scrapes, options=Options(shift_seconds=3600)))
    assert (line["date"], line["log"]) == (1795243900.389, "2026-11-21 06:51:40.389 x")
    assert scrape["metrics"][0]["timestamp"] == 1795243900.0
    assert latest_time([log, scrapes]) == pytest.approx(1795240300.389)


def test_a_line_that_is_no_scrape_is_named(tmp_path: Path) -> None:
    """A metrics file with another line stops with its number."""
    with pytest.raises(SettingsInvalid, match="line 2 is no scrape"):
        ship(write(tmp_path, "metrics.jsonl", '{"ts": 1, "metrics": {}}', "[]"))


def test_the_pace_follows_event_time() -> None:
    """At speed 10 ten event seconds take one; what is late already is not held back."""
    clock = FakeClock()
    pace = Pace(10.0, clock.sleep, clock)
    for event_time, wall_seconds in ((100.0, 0.0), (110.0, 1.0), (105.0, 1.0), (130.0, 3.0)):
        pace.wait(event_time)
        assert clock.monotonic() == pytest.approx(wall_seconds)
