"""Replay into a real Kafka: everything arrives once, and a broker that is gone is one sentence."""

import json
from pathlib import Path

import pytest

from moselle.reading import TopicReader
from moselle.replay import publish as publishing
from moselle.replay.merge import Shipment
from moselle.replay.publish import Publisher, publish
from moselle.replay.run import replay
from moselle.stack.kafka import temporary_kafka
from moselle.stack.topics import create_topics
from services.common.errors import Retryable, SettingsInvalid
from services.common.topics import LOGS_RAW, METRICS_RAW, Topic

TOPIC = Topic("it-replay", "", "", (), (), None, transport_time="create", partitions=2)


@pytest.fixture(scope="module")
def bootstrap(kafka_bootstrap: str) -> str:
    create_topics(kafka_bootstrap, [LOGS_RAW, METRICS_RAW, TOPIC], 4)
    return kafka_bootstrap


def test_every_line_and_scrape_arrives_once(bootstrap: str, tmp_path: Path) -> None:
    """Blank lines too; one file's lines keep their order, because they share a key."""
    lines = [f"2026-11-21 05:51:{second:02}.000 1 INFO x line {second}" for second in range(60)] + ["", "no time"]
    (tmp_path / "nova-api.log").write_text("\n".join(lines) + "\n")
    (tmp_path / "metrics.jsonl").write_text('{"ts": 1795240300.0, "instance": "c-1", "metrics": {"up": 1}}\n')
    published = replay([tmp_path], bootstrap, topic=TOPIC.name)
    assert published == {"logs.raw": 0, "metrics.raw": 1, TOPIC.name: 62}
    reader = TopicReader(bootstrap, TOPIC.name, is_from_beginning=True)
    records = list(reader.to_end())
    reader.close()
    assert [json.loads(record.value or b"")["log"] for record in records] == lines
    assert {record.key for record in records} == {b"c-1|nova-api.log"}


def test_a_broker_that_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is read, the address and the remedy."""
    monkeypatch.setattr(publishing, "CONNECT_TIMEOUT_SECONDS", 1)
    (tmp_path / "a.log").write_text("x\n")
    with pytest.raises(SettingsInvalid, match=r"Kafka does not answer on 127\.0\.0\.1:1 .*moselle up"):
        replay([tmp_path], "127.0.0.1:1")


def test_a_missing_topic_is_named(bootstrap: str, tmp_path: Path) -> None:
    """A typing error after --topic creates nothing."""
    (tmp_path / "a.log").write_text("x\n")
    with pytest.raises(SettingsInvalid, match=r"the topic it-none does not exist"):
        replay([tmp_path], bootstrap, topic="it-none")


def test_a_broker_that_goes_away_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Messages that Kafka never took are not counted as published: the replay fails."""
    monkeypatch.setattr(publishing, "MESSAGE_TIMEOUT_MS", 1500)
    with temporary_kafka(tmp_path) as kafka:
        create_topics(kafka.bootstrap, [TOPIC], 1)
        publisher = Publisher(kafka.bootstrap, [TOPIC.name])
    with pytest.raises(Retryable, match="stopped taking messages"):
        publish(iter([Shipment(0.0, TOPIC.name, b"k", b"v")]), publisher, None, lambda sent: None)
