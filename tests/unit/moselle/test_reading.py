"""Records in the form that people and scripts read."""

import base64
from pathlib import Path

from moselle.dlq import DeadLetter, remember, remembered, replay_dead_letters
from moselle.reading import as_json, converter, rfc3339
from services.common.broker.abstract import Record
from services.common.codec import Codec


def make_record(value: bytes | None, key: bytes | None = b"k", topic: str = "logs.raw") -> Record:
    return Record(topic, 1, 7, 1_795_240_300_389, key, value)


def test_raw_text_is_shown_as_it_is() -> None:
    """A raw message keeps its text; time, place and key stand beside it."""
    assert as_json(make_record(b"line \xc3\xa9"), Codec()) == {
        "topic": "logs.raw",
        "partition": 1,
        "offset": 7,
        "timestamp": "2026-11-21T05:51:40.389000Z",
        "key": "k",
        "value": "line \u00e9",
    }


def test_other_bytes_are_base64() -> None:
    """What is no UTF-8 is marked as base64; a tombstone is null."""
    shown = as_json(make_record(b"\xff\x00", key=None), Codec())
    assert (shown["key"], shown["value"]) == (None, {"base64": base64.b64encode(b"\xff\x00").decode()})
    assert as_json(make_record(None), Codec())["value"] is None


def test_our_records_show_their_fields_with_times() -> None:
    """Avro is decoded, and every timestamp is RFC 3339 UTC."""
    codec = Codec()
    fields = {"template_id": "t", "text": "a <*>", "first_seen": 1_795_240_300_389_000}
    source = codec.schema("logs.templates.v1").source
    assert converter(source)(fields)["first_seen"] == "2026-11-21T05:51:40.389000Z"


def test_a_broken_record_says_why() -> None:
    """A record that begins as ours but cannot be read is shown with the reason, not a traceback."""
    shown = as_json(make_record(b"\xc3\x01" + b"\x00" * 20), Codec())
    assert "unknown_schema" in shown["error"]


def test_times_out_of_every_calendar_stay_numbers() -> None:
    """A wild number does not stop the output."""
    assert rfc3339(2**62) == str(2**62)
    assert rfc3339(-1) == "1969-12-31T23:59:59.999999Z"


def test_a_dead_letter_tells_where_it_is_from() -> None:
    """Its headers give source and reason; without them the topic's name gives the source."""
    headers = [("moselle.source_topic", b"logs.raw"), ("moselle.source_offset", b"5"), ("moselle.error", b"not_utf8")]
    letter = DeadLetter(make_record(b"x", topic="logs.raw.dlq")._replace(headers=headers))
    assert (letter.source_topic, letter.error, letter.as_json()["source"]) == ("logs.raw", "not_utf8", "logs.raw//5")
    assert DeadLetter(make_record(b"x", topic="logs.raw.dlq")).source_topic == "logs.raw"


def test_what_was_sent_back_is_remembered(tmp_path: Path) -> None:
    """The memory outlives a line that a crash cut off."""
    memory = tmp_path / "replayed.jsonl"
    remember(memory, [DeadLetter(make_record(b"x", topic="logs.raw.dlq"))])
    with memory.open("a") as file:
        file.write('["logs.raw.dlq", 1')
    assert remembered(memory) == {("logs.raw.dlq", 1, 7)}


def test_a_dead_letter_that_was_cut_is_not_sent_back(tmp_path: Path) -> None:
    """Half a message would be another one."""
    letter = DeadLetter(make_record(b"x", topic="logs.raw.dlq")._replace(headers=[("moselle.cut_from_bytes", b"99")]))
    assert replay_dead_letters("127.0.0.1:1", [letter], tmp_path / "replayed.jsonl", False) == (0, 0, 1)
