"""Messages of ten megabytes, whatever is in them."""

import gzip
import json
from collections.abc import Callable

import confluent_kafka as ck

from services.common.topics import MAX_RAW_BYTES, MAX_RECORD_BYTES
from services.ingest.core.events import MAX_BODY_CHARS, MAX_RAW_CHARS
from tests.integration.delivery.story import Place, Replica, Story, assert_each_line_once, line, shipped

MEGABYTE = 1_000_000
TEN = 10 * MEGABYTE
NUM_LINES = TEN // (len(line(0)) + 1)

LARGE: tuple[tuple[bytes, int, str], ...] = (
    (b"x" * TEN, 1, ""),
    ((line(1) + " word 12" * (TEN // 8))[:TEN].encode(), 1, ""),
    (json.dumps({"host": "h", "path": "/a.log", "log": "word 12 " * (TEN // 8 - 10)}).encode(), 1, ""),
    ("\n".join(line(i) for i in range(NUM_LINES)).encode(), NUM_LINES, ""),
    (gzip.compress(("\n".join(line(i) for i in range(NUM_LINES))).encode()), NUM_LINES, ""),
    (gzip.compress(b"\n" * TEN), 1, "too_many_lines"),
    (gzip.compress(b"a" * 2 * TEN), 1, "too_large"),
    (bytes(range(256)) * (TEN // 256), 1, "not_utf8"),
    (b"\xff" * TEN, 1, "not_utf8"),
)


def send_packed(story: Story, value: bytes) -> None:
    """As a shipper does whose client packs: the topic's limit is for what is packed."""
    limits = {"message.max.bytes": 60 * MEGABYTE, "compression.type": "zstd"}
    producer = ck.Producer({"bootstrap.servers": story.bootstrap, **limits})
    producer.produce(story.topic, value, b"k", 2)
    assert producer.flush(30) == 0
    story.published[2] += 1


def test_messages_of_ten_megabytes_are_read_or_refused_with_a_reason(
    delivery_bootstrap: str, start_replica: Callable[..., Replica]
) -> None:
    """Lines around them are there; what is written stays within its bounds, dead letters keep what they can."""
    story = Story(delivery_bootstrap, "large")
    for value, _, _ in LARGE:
        story.publish([value, shipped(line(1), "large-good")], 0)
    send_packed(story, b"y" * 40 * MEGABYTE)
    counts = {(0, 2 * at): number for at, (_, number, _) in enumerate(LARGE)}
    replica = start_replica(story)

    def lines_of(place: Place) -> int:
        return counts.get(place, 1)

    outcome = story.outcome()
    assert_each_line_once(story, outcome, lines_of)
    reasons = {(0, 2 * at): why for at, (_, _, why) in enumerate(LARGE) if why}
    assert outcome.reasons() == {**reasons, (2, 0): "too_large"}
    assert max(len(event["body"]) for event in outcome.events) == MAX_BODY_CHARS
    assert max(len(event["raw_line"]) for event in outcome.events) == MAX_RAW_CHARS
    sizes = {(letter.partition, len(letter.value or b"")) for letter in outcome.letters}
    assert MAX_RAW_BYTES - MAX_RECORD_BYTES < max(size for _, size in sizes) <= MAX_RAW_BYTES
    assert replica.is_alive


def test_a_larger_message_is_refused_to_its_shipper(delivery_bootstrap: str) -> None:
    """It hears so at once: no line is lost without anybody knowing."""
    story = Story(delivery_bootstrap, "too-large")
    failures: list[str] = []
    producer = ck.Producer({"bootstrap.servers": story.bootstrap, "message.max.bytes": 60 * MEGABYTE, "log_level": 0})
    producer.produce(story.topic, bytes(12 * 2**20), on_delivery=lambda error, _: failures.append(error.name()))
    producer.flush(30)
    assert failures == ["MSG_SIZE_TOO_LARGE"]
