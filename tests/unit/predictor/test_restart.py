"""The predictor in the kernel: real Avro on the in-memory broker, killed between any two transactions."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.common.broker.abstract import Broker, Output, TopicPartition
from services.common.broker.memory import MemoryBroker
from services.common.clock import FakeClock
from services.common.codec import Codec
from services.common.errors import ArtifactMismatch
from services.common.http import Health
from services.common.service import StageRunner
from services.common.settings import CommonSettings
from services.common.state import PartitionState
from services.predictor.model.forecasters import SHIPPED, make_forecasters
from services.predictor.pipeline import PredictorStage
from services.predictor.settings import PredictorSettings
from tests.unit.predictor.streams import SETTINGS, Replica, wavy

TOPICS = ("features.v1", "predictions.v1", "alerts.v1", "predictor.state.v1", "features.v1.dlq")
FORECASTERS = make_forecasters("", SETTINGS.horizons_seconds, SETTINGS.targets)
STORY = [record for steps in zip(wavy(range(150)), wavy(range(150), "host:c2"), strict=True) for record in steps]


class Cloud:
    """A broker with features on it, and predictors that can be killed."""

    def __init__(self) -> None:
        self._now_ms = 0
        self.broker = MemoryBroker({topic: 2 for topic in TOPICS}, lambda: self._now_ms)
        self.codec, self.clock = Codec(), FakeClock()
        for record in STORY:
            self._now_ms = record["event_time"] // 1000
            value = self.codec.encode("features.v1", record)
            self.broker.publish([Output("features.v1", record["entity_id"].encode(), value)])

    def run(self, turns: int, batch_records: int) -> None:
        """A process that lives for some transactions and is then killed: nothing is closed or flushed."""
        common = CommonSettings(batch_records=batch_records)
        runner = StageRunner(
            self.broker, self.codec, "predictor", ["features.v1"], self._stage, self.clock, Health(self.clock), common
        )
        session = self.broker.open_session("moselle-predictor", "0", ["features.v1"])
        stage = self._stage(self.broker, self.codec)
        for _ in range(turns):
            self.clock.advance(0.06)
            runner.turn(session, stage)

    def _stage(self, broker: Broker, codec: Codec) -> PredictorStage:
        return PredictorStage(SETTINGS, codec.decode, self.clock, FORECASTERS)

    def predictions(self) -> list[dict[str, Any]]:
        """Everything committed, in an order that does not depend on partitions."""
        logs = (self.broker.log(TopicPartition("predictions.v1", number)) for number in range(2))
        found = [self.codec.decode(record.value) for log in logs for record in log]
        return sorted(found, key=lambda p: (p["event_time"], p["entity_id"], p["target"]))


@pytest.fixture(scope="module")
def undisturbed() -> list[dict[str, Any]]:
    """What one long life commits."""
    cloud = Cloud()
    cloud.run(20, 50)
    return cloud.predictions()


@pytest.mark.parametrize(("lives", "turns", "batch"), [(60, 1, 7), (20, 2, 23)])
def test_killed_at_any_time_the_same_predictions_once_each(
    lives: int, turns: int, batch: int, undisturbed: list[dict[str, Any]]
) -> None:
    """One long life and many short ones commit the same records, to the last bit."""
    cloud = Cloud()
    for _ in range(lives):
        cloud.run(turns, batch)
    assert len(undisturbed) == 2 * 24 * 3
    assert cloud.predictions() == undisturbed


@given(cuts=st.lists(st.tuples(st.integers(1, 60), st.booleans()), min_size=1, max_size=12))
@settings(max_examples=8, deadline=None)
def test_batches_and_restarts_change_nothing(cuts: list[tuple[int, bool]]) -> None:
    """However the stream is cut and wherever it is restarted, each record comes out the same."""
    whole = Replica(artifact=str(SHIPPED)).take(STORY, 300).predictions
    replica, begin = Replica(artifact=str(SHIPPED)), 0
    for size, restarts in cuts:
        replica.take(STORY[begin : begin + size])
        begin += size
        if restarts:
            replica.restart()
    replica.take(STORY[begin:])
    assert _sorted(replica.predictions) == _sorted(whole)


def _sorted(predictions: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(predictions, key=lambda p: (p["event_time"], p["entity_id"], p["target"]))


def test_state_of_other_settings_is_fitted_in() -> None:
    """With fewer targets, other horizons or no LSTM a restart goes on from the steps that it knows."""
    replica = Replica(artifact=str(SHIPPED)).take(STORY[:200])
    for other in (
        Replica(PredictorSettings(targets=("cpu_cores",))),
        Replica(PredictorSettings(horizons_seconds=(60, 120))),
        Replica(PredictorSettings(num_residuals=20)),
    ):
        other.state = PartitionState(dict(replica.state.items()))
        other.restart()
        assert other.take(STORY[200:240]).predictions


@pytest.mark.parametrize(("key", "version"), [("steps|host:c1", 1), ("past|host:c1", 1), ("steps|host:c1", 2)])
def test_a_state_that_cannot_be_read_is_refused(key: str, version: int) -> None:
    """Broken bytes or another version stop the start with a sentence that says what to do."""
    replica = Replica().take(STORY[:40])
    payload = b"\xc1broken" if version == 1 else replica.state.get(key).payload  # type: ignore[union-attr]
    replica.state.put(key, payload, version)
    with pytest.raises(ArtifactMismatch, match="delete the topic"):
        replica.restart()
