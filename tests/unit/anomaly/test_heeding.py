"""A stage that hears what people say: lines move, for the signals and the entity that it is about."""

import json
from collections.abc import Callable
from typing import Any

from services.anomaly.pipeline import AnomalyStage
from services.common.broker.abstract import Record
from services.common.clock import to_micros
from tests.unit.anomaly.streams import PARTITION, SETTINGS, Reader, normal, slow, story
from tests.unit.anomaly.streams import _decode as decode

API = "service:nova-api@c1"


class Words:
    """A view of feedback.v1 that holds what a test puts there."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.num_read = 0
        self.is_closed = False

    def open(self, apply: Callable[[Record], None]) -> "Words":
        """A new reader, which begins at the beginning."""
        self._apply, self.num_read = apply, 0
        return self

    def refresh(self, timeout_seconds: float = 0.0) -> int:
        """What has come."""
        new = self.records[self.num_read :]
        self.num_read += len(new)
        for record in new:
            self._apply(record)
        return len(new)

    def close(self) -> None:
        """Nothing more is read."""
        self.is_closed = True

    def say(self, reader: Reader, verdict: str, **fields: Any) -> None:
        """Puts a record of feedback.v1."""
        word = {
            "subject_id": f"a{len(self.records)}", "verdict": verdict, "entity_id": API, "detector": "metric.anomaly",
            "signals": ["latency"], "rules": ["latency"], "given_at": to_micros(reader.clock.now()), "starts_at": None,
        }  # fmt: skip
        self.put(json.dumps(word | fields).encode())

    def put(self, value: bytes) -> None:
        """Puts whatever bytes."""
        self.records.append(Record("feedback.v1", 0, len(self.records), 0, None, value))


def listening(words: Words) -> Reader:
    """A warm stage that reads these words."""
    reader = Reader()
    reader.stage.revoke(PARTITION)
    reader.stage = AnomalyStage(SETTINGS, decode, reader.clock, open_words=words.open)
    reader.stage.assign(PARTITION, reader.state)
    return reader.read(normal())


def slow_for_a_while(reader: Reader, latency: float) -> Reader:
    """The API is slow, some seconds after a word was said."""
    reader.tick(5)
    return reader.read(story(200, 230, api=slow(latency)))


def smallest_alert() -> float:
    """A latency that just alerts while nobody says a word."""
    latencies = [0.4, 0.5, 0.6, 0.8, 1.0, 1.5, 2.0]
    return next(latency for latency in latencies if slow_for_a_while(listening(Words()), latency).alerts)


def test_a_wrong_alert_is_not_given_again() -> None:
    """What just alerted does not any more; what is far beyond still does."""
    words, small = Words(), smallest_alert()
    reader = listening(words)
    words.say(reader, "wrong")
    words.say(reader, "wrong")
    assert slow_for_a_while(reader, small).alerts == []
    assert slow_for_a_while(listening(words), 30.0).alerts


def test_a_missed_trouble_is_found_the_next_time() -> None:
    """A little below what alerts, after a word that it was one."""
    words, small = Words(), smallest_alert()
    below = small * 0.8
    assert slow_for_a_while(listening(Words()), below).alerts == []
    reader = listening(words)
    for _ in range(2):
        words.say(
            reader, "missed", subject_id=f"missed:{API}", signals=[], detector="", starts_at=len(words.records) + 1
        )
    assert slow_for_a_while(reader, below).alerts


def test_words_on_others_change_nothing() -> None:
    """Another entity, another signal, another detector, an alert of the logs, bytes that are no record."""
    words, small = Words(), smallest_alert()
    reader = listening(words)
    for other in ({"entity_id": "host:c1"}, {"signals": ["errors"]}, {"detector": "log.rules"}, {"signals": []}):
        for _ in range(3):
            words.say(reader, "wrong", **other)
    words.put(b"\xff")
    words.put(b'{"verdict": "wrong"}')
    assert slow_for_a_while(reader, small).alerts


def test_a_restart_hears_all_words_again() -> None:
    """They are not state: a new process reads the topic from its beginning, before it judges."""
    words, small = Words(), smallest_alert()
    reader = listening(words)
    words.say(reader, "wrong")
    words.say(reader, "wrong")
    reader.tick(5)
    reader.stage.close()
    assert words.is_closed
    reader.stage = AnomalyStage(SETTINGS, decode, reader.clock, open_words=words.open)
    reader.stage.assign(PARTITION, reader.state)
    assert reader.read(story(200, 230, api=slow(small))).alerts == []


def test_words_are_forgotten_over_weeks() -> None:
    """After fourteen weeks the line is where it was."""
    words, small = Words(), smallest_alert()
    reader = listening(words)
    words.say(reader, "wrong")
    words.say(reader, "wrong")
    reader.tick(5)
    reader.tick(15 * 7 * 86_400.0, caught_up=())
    assert slow_for_a_while(reader, small).alerts


def test_past_alerts_are_named_with_what_was_said_of_them() -> None:
    """The second alert names the first, and that it was right."""
    words = Words()
    reader = slow_for_a_while(listening(words), 3.0).read(story(230, 800))
    words.say(reader, "right", subject_id=reader.alerts[0]["alert_id"])
    reader.tick(5).read(story(800, 830, api=slow(3.0)))
    assert reader.alerts[-1]["labels"]["similar"].endswith(":right")
