"""What a stage writes in one transaction: bounded, and dead letters that fit their topic."""

from collections.abc import Mapping
from typing import Any

import pytest

from services.common.broker.abstract import Output, Record
from services.common.codec import Codec
from services.common.errors import InvalidMessage
from services.common.stage import FULL_BYTES, MAX_DEAD_LETTER_BYTES, PASS_ON_RECORDS, Outputs, Table, dead_letter_output

WRONG = InvalidMessage("not_utf8", "it is not")


def make_record(value: bytes, key: bytes | None = b"k", header: bytes = b"v") -> Record:
    return Record("logs.raw", 1, 7, 1000, key, value, [("h", header)])


def test_outputs_say_when_they_are_enough_for_one_transaction() -> None:
    """Records and dead letters count alike."""
    outputs = Outputs(lambda topic, record: b"x" * (FULL_BYTES // 2))
    outputs.add("t", "k", {})
    assert not outputs.is_full
    outputs.add("t", "k", {})
    assert not outputs.is_full
    outputs.dead_letter(make_record(b"x"), WRONG)
    assert outputs.is_full


def test_a_dead_letter_keeps_key_value_and_headers() -> None:
    """As they were read; what we add tells where and why."""
    output = dead_letter_output(make_record(b"\xff"), WRONG)
    headers = dict(output.headers or ())
    assert (output.topic, output.key, output.value, headers["h"]) == ("logs.raw.dlq", b"k", b"\xff", b"v")
    assert (headers["moselle.source_offset"], headers["moselle.error"]) == (b"7", b"not_utf8")


def test_a_dead_letter_that_outgrows_its_topic_is_cut_and_says_so() -> None:
    """A message that its shipper compressed may be larger than what the topic takes."""
    output = dead_letter_output(make_record(b"x" * (MAX_DEAD_LETTER_BYTES + 1)), WRONG)
    assert len(output.value or b"") < MAX_DEAD_LETTER_BYTES
    assert dict(output.headers or ())["moselle.cut_from_bytes"] == b"%d" % (MAX_DEAD_LETTER_BYTES + 4)


def test_large_keys_and_headers_are_left_out_of_a_dead_letter_that_is_cut() -> None:
    """They count against the topic's limit too."""
    large = b"x" * MAX_DEAD_LETTER_BYTES
    output = dead_letter_output(make_record(b"value", key=large, header=large), WRONG)
    assert (output.key, output.value) == (None, b"value")
    assert sum(len(value or b"") for _, value in output.headers or ()) < 2000


def test_outputs_travel_ahead_once_there_is_enough_of_them() -> None:
    """Each of them once: those that were passed on are not left for the commit, and all of them are counted."""
    written: list[Output] = []
    outputs = Outputs(lambda topic, record: b"x", written.extend)
    numbers = range(PASS_ON_RECORDS - 1)
    outputs.add_all({"t": Table(list(map(str, numbers)), {"number": numbers})})
    outputs.pass_on()
    assert written == []
    outputs.add("t", "more", {})
    outputs.pass_on()
    outputs.add("t", "last", {})
    outputs.pass_on()
    assert (len(written), [output.key for output in outputs.left]) == (PASS_ON_RECORDS, [b"last"])
    assert len(outputs.records) == PASS_ON_RECORDS + 1


def test_one_that_does_not_fit_keeps_all_of_them_out() -> None:
    """`add_all` adds all or none, so that they can be tried one by one."""

    def encode(topic: str, record: Mapping[str, Any]) -> bytes:
        if record["a"] is None:
            raise ValueError("empty")
        return b"x"

    outputs = Outputs(encode)
    with pytest.raises(ValueError, match="empty"):
        outputs.add_all({"s": Table(["a"], {"a": [1]}), "t": Table(["b"], {"a": [None]})})
    assert (outputs.records, outputs.num_bytes) == ([], 0)


def test_a_table_is_written_as_its_records_are() -> None:
    """Keys, values and their order, whether they are encoded together or one by one."""
    codec, rows = Codec(), [{"state_version": number, "payload": b"x" * number} for number in range(3)]
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    together, alone = Outputs(codec.encode, None, codec.encode_all), Outputs(codec.encode)
    for outputs in (together, alone):
        outputs.add_all({"state.v1": Table(["a", "b", "c"], columns)})
    assert together.records == alone.records
    assert together.num_bytes == alone.num_bytes == sum(len(codec.encode("state.v1", row)) for row in rows)
    assert [(output.topic, output.key) for output in alone.records] == [("state.v1", key) for key in (b"a", b"b", b"c")]
