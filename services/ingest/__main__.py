"""Runs ingest: `python -m services.ingest`."""

import sys

from services.common.broker.abstract import Broker
from services.common.clock import SystemClock
from services.common.codec import Codec
from services.common.errors import SettingsInvalid
from services.common.service import fail, run_stage
from services.common.settings import CommonSettings, read_settings
from services.common.topics import LOGS_PARSED, LOGS_RATES, LOGS_SEQUENCES, LOGS_TEMPLATES, METRICS_SAMPLES
from services.ingest.adapters.templates import TemplateFeed
from services.ingest.pipeline import IngestStage
from services.ingest.settings import IngestSettings


def main() -> int:
    """Reads the settings, wires the stage, runs until told to stop; returns the exit code."""
    try:
        common, settings = read_settings(CommonSettings), read_settings(IngestSettings)
    except SettingsInvalid as error:
        return fail("ingest", error)
    inputs = [*settings.log_topics, *settings.metric_topics]
    outputs = [LOGS_PARSED, LOGS_RATES, LOGS_SEQUENCES, LOGS_TEMPLATES, METRICS_SAMPLES]

    def make_stage(broker: Broker, codec: Codec) -> IngestStage:
        return IngestStage(settings, common.cluster, SystemClock(), TemplateFeed(broker, codec))

    names = [topic.name for topic in outputs] + [f"{name}.dlq" for name in inputs]
    return run_stage("ingest", inputs, names, make_stage, common)


if __name__ == "__main__":
    sys.exit(main())
