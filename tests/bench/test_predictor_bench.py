"""The predictor: 10,000 series at one step with the forecaster that speaks for each, and one entity alone.

Prints lines of JSON; asserts nothing about speed. Records are real Avro in and out; the state is put as in service.
CPU seconds of this process on one thread; beside them the same without the LSTM, and the LSTM's network alone.
"""

import json
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from services.common.broker.abstract import Record, TopicPartition
from services.common.clock import FakeClock
from services.common.codec import Codec
from services.common.service import _tune_garbage_collection
from services.common.stage import Outputs
from services.common.state import PartitionState
from services.predictor.core.lookback import NUM_BINS, NUM_CHANNELS
from services.predictor.model.forecasters import SHIPPED, make_forecasters
from services.predictor.model.lstm import OnnxRuntime, run_in_batches
from services.predictor.pipeline import PredictorStage
from services.predictor.settings import PredictorSettings

PARTITION = TopicPartition("features.v1", 0)
START = 1_800_000_000_000_000
TARGETS = PredictorSettings().targets[:5]
NUM_SERIES = 10_000
#: Artifact, whether predictions are encoded, and what it is called.
CASES = (("", True, "with_lstm"), ("", False, "with_lstm_predictions_not_encoded"), ("none", True, "without_lstm"))
#: The LSTM speaks only where it was measured: so much is read before the clock starts.
WARM_STEPS = 78


class Bench:
    """A stage with many entities, warmed up by as many steps as a backtest needs."""

    def __init__(self, num_entities: int, artifact: str, is_encoded: bool = True) -> None:
        _tune_garbage_collection()
        self._is_encoded = is_encoded
        self._codec, self._dice = Codec(), np.random.default_rng(7)
        settings = PredictorSettings()
        forecasters = make_forecasters(artifact, settings.horizons_seconds, settings.targets)
        self._stage = PredictorStage(settings, self._codec.decode, FakeClock(), forecasters)
        self.state = PartitionState()
        self._stage.assign(PARTITION, self.state)
        self._num_entities, self._step = num_entities, 0
        for _ in range(WARM_STEPS):
            self.turn()

    def turn(self) -> tuple[float, list[Any]]:
        """One step of all entities in one `process` call: (CPU seconds, predictions)."""
        records = [self._record(number) for number in range(self._num_entities)]
        self._step += 1
        outputs = Outputs(self._codec.encode if self._is_encoded else lambda topic, record: b"")
        began = time.process_time()
        self._stage.process(records, outputs)
        return time.process_time() - began, [out for out in outputs.records if out.topic == "predictions.v1"]

    def _record(self, number: int) -> Record:
        load = 2 + np.sin(self._step / 6 + number) + self._dice.normal(0, 0.1, len(TARGETS))
        fields = {
            "event_time": START + self._step * 10_000_000, "step_seconds": 10, "ingest_time": 0, "cluster": "c",
            "entity_id": f"service:s{number}@h{number % 50}", "parent_entity_ids": [f"host:h{number % 50}"],
            "feature_set": "metrics.core", "feature_set_version": 1, "names": list(TARGETS),
            "values": np.abs(load).tolist(),
        }  # fmt: skip
        value = self._codec.encode("features.v1", fields)
        return Record(*PARTITION, self._step * self._num_entities + number, 0, b"", value)


def minutes(bench: Bench, num: int) -> tuple[list[float], list[float], int, int]:
    """CPU seconds of steps with and without predictions, how many predictions one had, bytes of state put by it."""
    due, quiet, made, put = [], [], 0, 0
    while len(due) < num:
        bench.state.take_changes()
        seconds, predictions = bench.turn()
        if not predictions:
            quiet.append(seconds)
            continue
        due.append(seconds)
        made, put = len(predictions), sum(len(saved.payload) for _, saved in bench.state.take_changes() if saved)
    return due, quiet, made, put


def best_of(run: Callable[[], Any], rounds: int = 3) -> float:
    """The least CPU seconds."""
    seconds = []
    for _ in range(rounds):
        began = time.process_time()
        run()
        seconds.append(time.process_time() - began)
    return min(seconds)


def network_alone() -> float:
    """The network for as many series, without anything around it."""
    runtime = OnnxRuntime(SHIPPED / "model.onnx")
    inputs = np.random.default_rng(1).normal(size=(NUM_SERIES, NUM_BINS, NUM_CHANNELS)).astype(np.float32)
    return best_of(lambda: run_in_batches(runtime, inputs))


@pytest.mark.bench
def test_ten_thousand_series_at_one_step() -> None:
    """CPU seconds from 2,000 vectors on the wire to 10,000 predictions on the wire, state included."""
    figures: dict[str, Any] = {
        "bench": "predictor",
        "series": NUM_SERIES,
        "network_alone_seconds": round(network_alone(), 3),
    }
    for artifact, is_encoded, name in CASES:
        due, quiet, made, put = minutes(Bench(NUM_SERIES // len(TARGETS), artifact, is_encoded), 3)
        assert made == NUM_SERIES
        figures[name] = {
            "seconds_median": round(statistics.median(due), 3), "seconds_max": round(max(due), 3),
            "step_without_predictions_seconds": round(statistics.median(quiet), 3), "state_bytes": put,
        }  # fmt: skip
    sys.stdout.write(json.dumps(figures) + "\n")


@pytest.mark.bench
def test_one_entity_alone() -> None:
    """CPU milliseconds for the vector of one entity to its five predictions, median and 95th percentile."""
    due, _, made, _ = minutes(Bench(1, ""), 100)
    assert made >= len(due), "each minute has its predictions"
    ordered = sorted(seconds * 1000 for seconds in due)
    figures = {
        "bench": "predictor_single", "predictions": made, "milliseconds_p50": round(ordered[50], 2),
        "milliseconds_p95": round(ordered[94], 2),
    }  # fmt: skip
    sys.stdout.write(json.dumps(figures) + "\n")
