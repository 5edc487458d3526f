"""Forecasts in the simulated world, by the predictor's own engine from metrics as old as a scheduler's."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from services.placement.train.physics import SCRAPE_SECONDS, Floats
from services.predictor.core.lookback import LOOKBACK_STEPS
from services.predictor.core.targets import STEP_SECONDS
from services.predictor.model.engine import Due, Engine
from services.predictor.model.forecasters import NO_ARTIFACT, make_forecasters
from services.predictor.settings import HORIZONS_SECONDS

TARGET = "cpu_used_ratio"
EVERY_SECONDS = 60
NUM_RESIDUALS, SWITCH_MARGIN = 64, 0.05


class PredictorForecasts:
    """What the predictor would say of (n,) nodes: each minute, the forecaster that its backtest prefers.

    Metrics come each 30 s and the predictor's steps are of 10 s; it fills such gaps.

    Args:
        artifact: the network's; `none` for the simple forecasters alone, which cost a tenth.
    """

    def __init__(self, num_nodes: int, artifact: str = NO_ARTIFACT) -> None:
        self._forecasters = make_forecasters(artifact, HORIZONS_SECONDS, [TARGET])
        self._engine = Engine(
            self._forecasters, [TARGET], HORIZONS_SECONDS, EVERY_SECONDS, NUM_RESIDUALS, SWITCH_MARGIN
        )
        self._slots = [self._engine.table.take_slot() for _ in range(num_nodes)]
        self._history: Floats = np.full((num_nodes, LOOKBACK_STEPS), np.nan)

    def take(self, taken_at: float, used: Floats) -> Iterator[dict[str, Any]]:
        """Learns the loads of a time; at each full minute says what comes."""
        steps = int(SCRAPE_SECONDS // STEP_SECONDS)
        self._history = np.roll(self._history, -steps, axis=1)
        self._history[:, -steps:] = np.nan
        self._history[:, -1] = used
        if taken_at % EVERY_SECONDS:
            return
        turn = int(taken_at // EVERY_SECONDS)
        made = self._engine.make(
            [Due(slot, turn, row[None]) for slot, row in zip(self._slots, self._history, strict=True)]
        )
        for node, values, speaker, confidence in zip(
            made.of.tolist(), made.values.tolist(), made.speaker.tolist(), made.confidence.tolist(), strict=True
        ):
            yield {
                "node": node, "event_time": taken_at, "valid_until": taken_at + 2 * EVERY_SECONDS,
                "horizons_seconds": list(HORIZONS_SECONDS), "values": values, "confidence": confidence,
                "spoken_by": self._forecasters[speaker].name,
            }  # fmt: skip
