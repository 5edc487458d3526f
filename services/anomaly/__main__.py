"""Runs anomaly: `python -m services.anomaly`."""

import sys

from services.anomaly.settings import AnomalySettings
from services.common.broker.abstract import Broker
from services.common.clock import SystemClock
from services.common.codec import Codec
from services.common.errors import SettingsInvalid
from services.common.service import fail, run_stage
from services.common.settings import CommonSettings, read_settings
from services.common.topics import ALERTS, FEEDBACK, METRICS_SAMPLES


def main() -> int:
    """Reads the settings, wires the stage, runs until told to stop; returns the exit code."""
    try:
        common, settings = read_settings(CommonSettings), read_settings(AnomalySettings)
    except SettingsInvalid as error:
        return fail("anomaly", error)
    # River brings scipy and pandas: a second that a wrong setting need not wait for.
    from services.anomaly.model.making import check_names
    from services.anomaly.model.rehearsal import rehearse
    from services.anomaly.pipeline import AnomalyStage

    try:
        check_names([*settings.voters, *settings.advisers])
    except SettingsInvalid as error:
        return fail("anomaly", error)

    rehearse(settings)

    def make_stage(broker: Broker, codec: Codec) -> AnomalyStage:
        num_partitions = broker.num_partitions(METRICS_SAMPLES.name)
        return AnomalyStage(
            settings, codec.decode, SystemClock(), num_partitions=num_partitions,
            open_words=lambda apply: broker.open_view([FEEDBACK.name], apply),
        )  # fmt: skip

    return run_stage(
        "anomaly", [METRICS_SAMPLES.name], [ALERTS.name, f"{METRICS_SAMPLES.name}.dlq"], make_stage, common
    )


if __name__ == "__main__":
    sys.exit(main())
