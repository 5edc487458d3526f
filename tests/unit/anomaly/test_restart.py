"""Anomaly in the kernel: real Avro on the in-memory broker, killed between any two transactions."""

import pytest

from services.anomaly.model.journal import EVERY
from services.anomaly.pipeline import AnomalyStage
from services.common.broker.abstract import Broker, Output, TopicPartition
from services.common.broker.memory import MemoryBroker
from services.common.clock import FakeClock
from services.common.codec import Codec
from services.common.errors import ArtifactMismatch
from services.common.http import Health
from services.common.service import StageRunner
from services.common.settings import CommonSettings
from services.common.state import PartitionState
from tests.unit.anomaly.streams import (
    PARTITION,
    SETTINGS,
    WITH_TREES,
    Reader,
    make_compute,
    normal,
    slow,
    story,
)

TOPICS = ("metrics.samples.v1", "alerts.v1", "anomaly.state.v1", "metrics.samples.v1.dlq")


class Cloud:
    """A broker with samples on it, and anomaly processes that can be killed."""

    def __init__(self) -> None:
        self._now_ms = 0
        self.broker = MemoryBroker({topic: 2 for topic in TOPICS}, lambda: self._now_ms)
        self.codec, self.clock = Codec(), FakeClock()
        gone = story(250, 280, api=None, compute=lambda s: make_compute(s, {"nova-compute-1": 0}))
        for record in [*normal(), *story(200, 250, api=slow(5.0, until=215)), *gone]:
            self._now_ms = record["event_time"] // 1000
            value = self.codec.encode("metrics.samples.v1", {**record, "ingest_time": 0})
            self.broker.publish([Output("metrics.samples.v1", record["entity_id"].encode(), value)])

    def run(self, turns: int, batch_records: int) -> None:
        """A process that lives for some transactions and is then killed: nothing is closed or flushed."""
        settings = CommonSettings(batch_records=batch_records)
        inputs = ["metrics.samples.v1"]
        runner = StageRunner(
            self.broker, self.codec, "anomaly", inputs, self._stage, self.clock, Health(self.clock), settings
        )
        session = self.broker.open_session("moselle-anomaly", "0", inputs)
        stage = self._stage(self.broker, self.codec)
        for _ in range(turns):
            self.clock.advance(0.06)
            runner.turn(session, stage)

    def _stage(self, broker: Broker, codec: Codec) -> AnomalyStage:
        return AnomalyStage(SETTINGS, codec.decode, self.clock)

    def alerts(self) -> list[tuple[str, str, str, int]]:
        """(entity, rule, status, revision) of everything committed, sorted."""
        found = []
        for partition in range(2):
            for record in self.broker.read_to_end("alerts.v1", partition):
                alert = self.codec.decode(record.value)
                found.append((alert["entity_id"], alert["rule"], alert["status"], alert["revision"]))
        return sorted(found)


def unharmed() -> list[tuple[str, str, str, int]]:
    cloud = Cloud()
    cloud.run(60, 10)
    return cloud.alerts()


@pytest.mark.parametrize("turns", [1, 7])
def test_killed_after_any_transaction_the_alerts_are_the_same(turns: int) -> None:
    """Each process lives for a few transactions; nothing is missing, nothing is double."""
    cloud = Cloud()
    for _ in range(60 // turns):
        cloud.run(turns, 10)
    assert cloud.alerts() == unharmed()
    assert {(entity, rule) for entity, rule, _, _ in cloud.alerts()} == {
        ("service:nova-api@c1", "latency"),
        ("service:nova-compute@c1", "processes_lost"),
    }


def test_a_restart_changes_nothing_of_the_state() -> None:
    """With all detectors, restarted after every thirtieth record: each byte of state is as if it had never stopped."""
    records = [*normal(0, 260), *story(260, 300, api=slow(5.0))]
    steady, restarted = Reader(WITH_TREES), Reader(WITH_TREES)
    for begin in range(0, len(records), 30):
        steady.read(records[begin : begin + 30])
        restarted.restart()
        restarted.read(records[begin : begin + 30])
    assert restarted.saved == steady.saved
    assert restarted.alerts == steady.alerts


def test_only_what_changed_is_put() -> None:
    """A scrape of one entity writes that entity's changing parts when their turn comes, and no names."""
    reader = Reader().read(normal())
    reader.state.take_changes()
    reader.read([make_compute(200 + 0.5 * n) for n in range(EVERY)])
    keys = [key for key, _ in reader.state.take_changes()]
    assert "samples.last|service:nova-compute@c1" in keys
    assert all(key in ("host|c1",) or key.endswith("|service:nova-compute@c1") for key in keys)
    assert not any(".names|" in key for key in keys)


@pytest.mark.parametrize("part", ["entity", "samples.last", "range_novelty.bounds", "robust_z.kept"])
def test_state_of_something_else_stops_the_service_with_a_sentence(part: str) -> None:
    """It must not begin to judge with half of what it knew."""
    saved = dict(Reader().read(normal(0, 20)).state.items())
    key = f"{part}|service:nova-api@c1"
    saved[key] = saved[key]._replace(payload=b"\xc1")
    stage = AnomalyStage(SETTINGS, lambda value: {}, FakeClock())
    with pytest.raises(ArtifactMismatch, match="cannot be read"):
        stage.assign(PARTITION, PartitionState(saved))


def test_trees_of_another_river_begin_anew() -> None:
    """They only advise; the rest of the entity goes on as it was."""
    reader = Reader(WITH_TREES).read(normal())
    key = "half_space_trees.drawn|host:c1"
    saved = dict(reader.state.items())
    saved[key] = saved[key]._replace(payload=saved[key].payload[:-3] + b"abc")
    reader.state = PartitionState(saved)
    reader.restart()
    reader.read(story(200, 220, api=slow(5.0)))
    assert [rule for _, rule, _ in reader.life] == ["latency"]


def test_a_revoked_partition_is_forgotten_and_taken_up_again() -> None:
    """Its next owner reads what was committed."""
    reader = Reader().read(normal())
    reader.stage.revoke(PARTITION)
    reader.stage.assign(TopicPartition("metrics.samples.v1", 1), PartitionState())
    reader.restart()
    assert [rule for _, rule, _ in reader.read(story(200, 220, api=slow(5.0))).life] == ["latency"]


def test_parts_without_their_entity_are_dropped() -> None:
    """A detector that was switched off leaves them when its entity is forgotten."""
    reader = Reader().read(normal(0, 20))
    reader.state.put("half_space_trees.drawn|host:gone", b"x")
    reader.restart()
    assert "half_space_trees.drawn|host:gone" not in reader.saved


def test_a_detector_may_change_its_role() -> None:
    """What it learnt as an adviser it knows as a voter."""
    reader = Reader().read(normal())
    reader._settings = SETTINGS.model_copy(update={"voters": ("range_novelty", "gaussian"), "advisers": ()})
    reader.restart()
    assert reader.read(story(200, 210, api=slow(5.0))).alerts != []
