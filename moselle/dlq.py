"""Dead letters: counted, shown, and sent back to where they came from."""

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from moselle.reading import TopicReader, as_text, rfc3339
from services.common.broker.abstract import Record
from services.common.errors import Retryable
from services.common.topics import DEAD_LETTER_BYTES, all_topics

#: In the state folder: a line for each dead letter that was sent back.
REPLAYED_FILE = "dlq-replayed.jsonl"
ENDING = ".dlq"
OWN_HEADERS = "moselle."
SEND_TIMEOUT_SECONDS = 30.0

Json = dict[str, Any]
Position = tuple[str, int, int]


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A record of a dead-letter topic, with what its headers say."""

    record: Record

    @property
    def position(self) -> Position:
        """(topic, partition, offset) in the dead-letter topic: its name."""
        return self.record.topic, self.record.partition, self.record.offset

    def header(self, name: str) -> str:
        """A `moselle.` header as text; empty when it is not there."""
        headers = dict(self.record.headers or ())
        return (headers.get(OWN_HEADERS + name) or b"").decode(errors="replace")

    @property
    def source_topic(self) -> str:
        return self.header("source_topic") or self.record.topic.removesuffix(ENDING)

    @property
    def error(self) -> str:
        return self.header("error") or "unknown"

    @property
    def is_cut(self) -> bool:
        """True when only the beginning of the record is kept, since it was too large for its topic."""
        return bool(self.header("cut_from_bytes"))

    def as_json(self) -> Json:
        topic, partition, offset = self.position
        return {
            "topic": topic,
            "partition": partition,
            "offset": offset,
            "timestamp": rfc3339(self.record.timestamp_ms * 1000),
            "source": f"{self.source_topic}/{self.header('source_partition')}/{self.header('source_offset')}",
            "error": self.error,
            "detail": self.header("error_detail"),
            "key": as_text(self.record.key),
            "value": as_text(self.record.value),
        }


class Replayed(NamedTuple):
    """What `replay_dead_letters` did: sent now, left out because they were sent before, or because they are cut."""

    num_sent: int
    num_before: int
    num_cut: int


def dead_letter_topics() -> list[str]:
    return [topic.name for topic in all_topics() if topic.name.endswith(ENDING)]


def dlq_name(topic: str) -> str:
    """`logs.raw` and `logs.raw.dlq` both name the dead letters of logs.raw."""
    return topic if topic.endswith(ENDING) else topic + ENDING


def read_dead_letters(bootstrap: str, topic: str, error: str | None = None) -> Iterator[DeadLetter]:
    """All dead letters of a topic as of now, those with one reason when `error` is given."""
    reader = TopicReader(bootstrap, dlq_name(topic), is_from_beginning=True)
    try:
        for record in reader.to_end():
            letter = DeadLetter(record)
            if error is None or letter.error == error:
                yield letter
    finally:
        reader.close()


def count_dead_letters(bootstrap: str) -> list[Json]:
    """One row for each topic and reason: how many, when first and last."""
    rows: dict[tuple[str, str], Json] = {}
    for topic in dead_letter_topics():
        for letter in read_dead_letters(bootstrap, topic):
            moment = rfc3339(letter.record.timestamp_ms * 1000)
            new = {"topic": topic, "error": letter.error, "count": 0, "first": moment, "last": moment}
            row = rows.setdefault((topic, letter.error), new)
            row["count"] += 1
            row["last"] = max(row["last"], moment)
            row["first"] = min(row["first"], moment)
    return list(rows.values())


def replay_dead_letters(bootstrap: str, letters: Iterable[DeadLetter], memory: Path, is_again: bool) -> Replayed:
    """Sends original key, bytes and headers back to the source topic.

    Args:
        memory: the file that remembers what was sent back.
        is_again: also those that were sent back before.

    Returns:
        How many were sent and how many were left out.

    Raises:
        Retryable: Kafka did not take all of them; none of this call is remembered then.
    """
    known = set() if is_again else remembered(memory)
    chosen, num_before, num_cut = [], 0, 0
    for letter in letters:
        if letter.position in known:
            num_before += 1
        elif letter.is_cut:
            num_cut += 1
        else:
            chosen.append(letter)
    send_back(bootstrap, chosen)
    remember(memory, chosen)
    return Replayed(len(chosen), num_before, num_cut)


def send_back(bootstrap: str, letters: Iterable[DeadLetter]) -> None:
    from confluent_kafka import Producer

    failures: list[str] = []
    settings = {"bootstrap.servers": bootstrap, "enable.idempotence": True, "partitioner": "murmur2_random"}
    limits = {"message.timeout.ms": int(SEND_TIMEOUT_SECONDS * 1000), "message.max.bytes": DEAD_LETTER_BYTES}
    producer = Producer({**settings, **limits, "log_level": 0})

    def note(error: Any, message: Any) -> None:
        if error is not None:
            failures.append(error.str())

    for letter in letters:
        headers = [(name, value) for name, value in letter.record.headers or () if not name.startswith(OWN_HEADERS)]
        while True:
            try:
                producer.produce(
                    letter.source_topic, letter.record.value, letter.record.key, headers=headers, on_delivery=note
                )
                break
            except BufferError:
                producer.poll(0.1)
    if producer.flush(SEND_TIMEOUT_SECONDS + 1) or failures:
        raise Retryable(f"Kafka did not take the dead letters back ({failures[:1] or 'no answer'}): try again")


def remembered(memory: Path) -> set[Position]:
    """What was sent back so far. A line that was cut off by a crash is passed over."""
    positions: set[Position] = set()
    if memory.exists():
        for line in memory.read_text().splitlines():
            try:
                topic, partition, offset = json.loads(line)
            except ValueError:
                continue
            positions.add((topic, partition, offset))
    return positions


def remember(memory: Path, letters: Iterable[DeadLetter]) -> None:
    """Adds to the memory, on the disk when this returns."""
    with memory.open("a") as file:
        for letter in letters:
            file.write(json.dumps(letter.position) + "\n")
        file.flush()
        os.fsync(file.fileno())
