"""Runs logbert: `python -m services.logbert`."""

import sys
from pathlib import Path

from services.common.broker.abstract import Broker
from services.common.clock import SystemClock
from services.common.codec import Codec
from services.common.errors import ArtifactMismatch, SettingsInvalid
from services.common.service import fail, run_stage
from services.common.settings import CommonSettings, read_settings
from services.common.topics import ALERTS, LOGS_PARSED
from services.logbert.adapters.aliases import TemplateAliases
from services.logbert.model.bert import SHIPPED, Bert, load_bert
from services.logbert.pipeline import LogbertStage
from services.logbert.settings import LogbertSettings


def main() -> int:
    """Reads the settings, wires the stage, runs until told to stop; returns the exit code."""
    try:
        common, settings = read_settings(CommonSettings), read_settings(LogbertSettings)
        bert = _load(settings)
    except (SettingsInvalid, ArtifactMismatch) as error:
        return fail("logbert", error)

    def make_stage(broker: Broker, codec: Codec) -> LogbertStage:
        return LogbertStage(settings, codec.decode, SystemClock(), TemplateAliases(broker, codec), bert)

    return run_stage("logbert", [LOGS_PARSED.name], [ALERTS.name, f"{LOGS_PARSED.name}.dlq"], make_stage, common)


def _load(settings: LogbertSettings) -> Bert | None:
    if settings.artifact == "none":
        return None
    return load_bert(Path(settings.artifact) if settings.artifact else SHIPPED, settings.device)


if __name__ == "__main__":
    sys.exit(main())
