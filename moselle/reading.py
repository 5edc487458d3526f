"""Reading topics for people: committed records only, decoded, as JSON."""

import base64
import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

from services.common.broker.abstract import Record
from services.common.clock import EPOCH
from services.common.codec import MARKER, Codec
from services.common.errors import InvalidMessage, Retryable, SettingsInvalid

if TYPE_CHECKING:
    from confluent_kafka import TopicPartition

CONNECT_TIMEOUT_SECONDS = 10.0
BATCH = 1000
POLL_SECONDS = 0.2
#: A broker that has records and gives none for so long is away.
SILENCE_SECONDS = 60.0

Json = dict[str, Any]
Convert = Callable[[Any], Any]


class TopicReader:
    """Reads all partitions of one topic without joining a group that anybody would notice.

    Args:
        is_from_beginning: else only what is written from now on.
        since_ms: with `is_from_beginning`, leaves out what Kafka got before this time.

    Raises:
        SettingsInvalid: the broker does not answer, or there is no such topic.
    """

    def __init__(self, bootstrap: str, topic: str, is_from_beginning: bool, since_ms: int | None = None) -> None:
        from confluent_kafka import Consumer, KafkaException, TopicPartition

        self._consumer: Consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": "moselle-reading",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                # For what is deleted between our question and our reading.
                "auto.offset.reset": "earliest",
                "fetch.queue.backoff.ms": 10,
                "log_level": 0,
            }
        )
        try:
            metadata = self._consumer.list_topics(topic, timeout=CONNECT_TIMEOUT_SECONDS).topics[topic]
        except KafkaException as error:
            raise SettingsInvalid(
                f"Kafka does not answer on {bootstrap} ({error.args[0].str()}): start it with `moselle up`"
            ) from None
        if metadata.error is not None:
            raise SettingsInvalid(f"there is no topic {topic} on {bootstrap}: see docs/topics.md for those there are")
        partitions = [TopicPartition(topic, number) for number in sorted(metadata.partitions)]
        held = {part.partition: self._held(part) for part in partitions}
        self._ends = {number: end for number, (_, end) in held.items()}
        for part in partitions:
            part.offset = held[part.partition][0 if is_from_beginning else 1]
        if is_from_beginning and since_ms is not None:
            asked = [TopicPartition(topic, part.partition, since_ms) for part in partitions]
            for part, found in zip(partitions, self._consumer.offsets_for_times(asked, timeout=10.0), strict=True):
                part.offset = found.offset if found.offset >= 0 else self._ends[part.partition]
        self._begins = {part.partition: part.offset for part in partitions}
        self._consumer.assign(partitions)

    def _held(self, partition: "TopicPartition") -> tuple[int, int]:
        """The offset of the first record that the partition holds, and the one behind its last."""
        begin, end = self._consumer.get_watermark_offsets(partition, timeout=CONNECT_TIMEOUT_SECONDS)
        return int(begin), int(end)

    def records(self, idle_seconds: float | None) -> Iterator[list[Record]]:
        """Batches of records as they come, an empty one now and then; ends after `idle_seconds` without any.

        What the topic held when this reader was made is read before that, however long the broker takes to begin.

        Raises:
            Retryable: the broker went away.
        """
        last, left = time.monotonic(), self._unread()
        while idle_seconds is None or left or time.monotonic() - last < idle_seconds:
            batch = [self._record(message) for message in self._consumer.consume(BATCH, POLL_SECONDS)]
            if batch:
                last = time.monotonic()
            yield batch
            self._leave_out_read(left)
            if left and time.monotonic() - last > SILENCE_SECONDS:
                raise Retryable(
                    f"Kafka gave nothing for {SILENCE_SECONDS:.0f} s of what it still has: see `moselle status`"
                )

    def to_end(self) -> Iterator[Record]:
        """Every committed record that the topic held when this reader was made."""
        left = self._unread()
        while left:
            for message in self._consumer.consume(BATCH, POLL_SECONDS):
                record = self._record(message)
                if record.offset < self._ends[record.partition]:
                    yield record
            self._leave_out_read(left)

    def _unread(self) -> dict[int, int]:
        """By partition, the end of what it held when this reader was made, where reading began before that."""
        return {number: end for number, end in self._ends.items() if self._begins[number] < end}

    def _leave_out_read(self, left: dict[int, int]) -> None:
        """Takes partitions out of `left` that are read to their end there."""
        # Markers of transactions have offsets too, so the position says more than the last record.
        for part in self._consumer.position(self._consumer.assignment()) if left else ():
            if part.offset >= left.get(part.partition, 1 << 62):
                del left[part.partition]

    def _record(self, message: Any) -> Record:
        if message.error() is not None:
            raise Retryable(f"reading failed ({message.error().str()}): is Kafka still there? see `moselle status`")
        from services.common.broker.client import to_record

        return to_record(message)

    def close(self) -> None:
        self._consumer.close()


def as_json(record: Record, codec: Codec) -> Json:
    """One record in the form of `moselle tail --json`."""
    shown = {
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "timestamp": rfc3339(record.timestamp_ms * 1000),
        "key": as_text(record.key),
    }
    try:
        return {**shown, "value": decoded(record.value, codec)}
    except InvalidMessage as error:
        return {**shown, "value": as_text(record.value), "error": str(error)}


def decoded(value: bytes | None, codec: Codec) -> Any:
    """The fields of one of our records, times as RFC 3339; else the text, or its base64.

    Raises:
        InvalidMessage: it begins as one of our records but cannot be read.
    """
    if value is None or value[:2] != MARKER:
        return as_text(value)
    name, fields = codec.decode_named(value)
    try:
        source = codec.schema(name).source
    except KeyError:
        return plain(fields)
    return converter(source)(fields)


def as_text(value: bytes | None) -> str | Json | None:
    """UTF-8 as text; other bytes as `{"base64": ..}`."""
    if value is None:
        return None
    try:
        return value.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(value).decode()}


def rfc3339(micros: int) -> str:
    """Microseconds since 1970 as `2026-11-21T05:51:40.389000Z`; the number itself where no calendar reaches."""
    try:
        moment = EPOCH + timedelta(microseconds=micros)
    except OverflowError:
        return str(micros)
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def plain(value: Any) -> Any:
    """Bytes inside as base64, everything else as it is."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list) else value


@cache
def converter(source: str) -> Convert:
    """What turns a record of this schema (its JSON text) into the form that people read."""
    return convert_for(json.loads(source), {})


def convert_for(schema: Any, named: dict[str, Convert]) -> Convert:
    """The conversion for one Avro type; `named` holds those of the records seen so far."""
    if isinstance(schema, str):
        return named.get(schema, plain)
    if isinstance(schema, list):
        inner = [convert_for(branch, named) for branch in schema if branch != "null"]
        # A union of several types beside null does not occur with times inside.
        return (lambda value: None if value is None else inner[0](value)) if len(inner) == 1 else plain
    if str(schema.get("logicalType", "")).startswith("timestamp-micros"):
        return rfc3339
    if schema["type"] == "record":
        return convert_record(schema, named)
    if schema["type"] in ("array", "map"):
        inside = convert_for(schema.get("items") or schema["values"], named)
        if schema["type"] == "array":
            return lambda values: [inside(value) for value in values]
        return lambda values: {key: inside(value) for key, value in values.items()}
    return convert_for(schema["type"], named)


def convert_record(schema: Json, named: dict[str, Convert]) -> Convert:
    fields: dict[str, Convert] = {}

    def convert(record: Json) -> Json:
        return {name: fields.get(name, plain)(value) for name, value in record.items()}

    named[schema["name"]] = convert
    for field in schema["fields"]:
        fields[field["name"]] = convert_for(field["type"], named)
    return convert
