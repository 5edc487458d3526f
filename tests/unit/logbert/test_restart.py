"""Logbert in the kernel: real Avro on the in-memory broker, killed between any two transactions."""

import pytest

from services.common.broker.abstract import Broker, Output, TopicPartition
from services.common.broker.memory import MemoryBroker
from services.common.clock import FakeClock
from services.common.codec import Codec
from services.common.http import Health
from services.common.service import StageRunner
from services.common.settings import CommonSettings
from services.logbert.pipeline import LogbertStage
from tests.unit.logbert.berts import make_bert
from tests.unit.logbert.streams import SETTINGS, make_error, make_record, numbered, steady

TOPICS = ("logs.parsed.v1", "alerts.v1", "logbert.state.v1", "logs.parsed.v1.dlq")
#: What the schema wants beside the fields that logbert reads.
REST = {
    "event_time_source": "line", "ingest_time": 0, "shape": "oslo_text", "severity_text": "", "process_id": None,
    "miner_version": "m-1", "parameters": [], "line_count": 1, "attributes": {},
}  # fmt: skip


class Cloud:
    """A broker with events on it, and logbert processes that can be killed."""

    def __init__(self) -> None:
        self._now_ms = 0
        self._bert = make_bert()
        self.broker = MemoryBroker({topic: 2 for topic in TOPICS}, lambda: self._now_ms)
        self.codec, self.clock = Codec(), FakeClock()
        silent = steady(range(90, 120), ["nova-api"])
        odd = [make_record(second, "glance-api", body="odd thing") for second in range(90, 100)]
        glance = [*steady(range(90), ["glance-api"]), *odd, *steady(range(100, 129), ["glance-api"])]
        story = numbered([*steady(range(90)), *silent, *glance, make_error(95), make_record(5, "rare")])
        for record in story:
            self._now_ms = record["event_time"] // 1000
            value = self.codec.encode("logs.parsed.v1", {**record, **REST})
            self.broker.publish([Output("logs.parsed.v1", record["entity_id"].encode(), value)])

    def run(self, turns: int, batch_records: int) -> None:
        """A process that lives for some transactions and is then killed: nothing is closed or flushed."""
        settings = CommonSettings(batch_records=batch_records)
        runner = StageRunner(
            self.broker,
            self.codec,
            "logbert",
            ["logs.parsed.v1"],
            self._stage,
            self.clock,
            Health(self.clock),
            settings,
        )
        session = self.broker.open_session("moselle-logbert", "0", ["logs.parsed.v1"])
        stage = self._stage(self.broker, self.codec)
        for _ in range(turns):
            self.clock.advance(0.06)
            runner.turn(session, stage)

    def _stage(self, broker: Broker, codec: Codec) -> LogbertStage:
        return LogbertStage(SETTINGS, codec.decode, self.clock, None, self._bert)

    def alerts(self) -> list[tuple[str, str, str, int]]:
        """(entity, rule, status, revision) of everything committed, sorted."""
        logs = (self.broker.log(TopicPartition("alerts.v1", number)) for number in range(2))
        found = [self.codec.decode(record.value) for log in logs for record in log]
        return sorted((a["entity_id"], a["rule"], a["status"], a["revision"]) for a in found)


@pytest.mark.parametrize(("lives", "turns", "batch"), [(1, 60, 50), (30, 2, 10), (60, 1, 7)])
def test_killed_at_any_time_no_alert_is_missing_or_double(lives: int, turns: int, batch: int) -> None:
    """One long life and many short ones commit the same alerts."""
    cloud = Cloud()
    for _ in range(lives):
        cloud.run(turns, batch)
    assert cloud.alerts() == [
        ("service:glance-api@c1", "unlikely_sequence", "firing", 0),
        ("service:glance-api@c1", "unlikely_sequence", "resolved", 1),
        ("service:keystone@c1", "silence", "firing", 0),
        ("service:nova-api@c1", "error_burst", "firing", 0),
        ("service:nova-api@c1", "error_burst", "resolved", 1),
    ]
