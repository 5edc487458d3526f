"""Runs the predictor: `python -m services.predictor`."""

import sys

from services.common.broker.abstract import Broker
from services.common.clock import SystemClock
from services.common.codec import Codec
from services.common.errors import ArtifactMismatch, SettingsInvalid
from services.common.service import fail, run_stage
from services.common.settings import CommonSettings, read_settings
from services.common.topics import ALERTS, FEATURES, PREDICTIONS
from services.predictor.model.forecasters import make_forecasters
from services.predictor.pipeline import PredictorStage
from services.predictor.settings import PredictorSettings


def main() -> int:
    """Reads the settings, loads the artifact, wires the stage, runs until told to stop; returns the exit code."""
    try:
        common, settings = read_settings(CommonSettings), read_settings(PredictorSettings)
        forecasters = make_forecasters(settings.artifact, settings.horizons_seconds, settings.targets, settings.device)
    except (SettingsInvalid, ArtifactMismatch) as error:
        return fail("predictor", error)

    def make_stage(broker: Broker, codec: Codec) -> PredictorStage:
        return PredictorStage(settings, codec.decode, SystemClock(), forecasters)

    outputs = [PREDICTIONS.name, ALERTS.name, f"{FEATURES.name}.dlq"]
    return run_stage("predictor", [FEATURES.name], outputs, make_stage, common)


if __name__ == "__main__":
    sys.exit(main())
