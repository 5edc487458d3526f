"""The history writer as a process: features, scrapes, alerts, forecasts and placements go to the database."""

from datetime import timedelta

from services.common.broker.abstract import Broker
from services.common.clock import SystemClock
from services.common.codec import Codec
from services.common.errors import Retryable
from services.common.logging import configure_logging, get_logger
from services.common.service import run_stage
from services.common.settings import CommonSettings
from services.features.adapters.history_database import DatabaseHistory
from services.features.adapters.history_writer import HistoryWriter
from services.features.core.history import BY_TOPIC
from services.features.settings import FeaturesSettings

SERVICE = "features-history"


def run(common: CommonSettings, settings: FeaturesSettings) -> int:
    """Writes until told to stop; returns the exit code.

    Raises:
        SettingsInvalid: no DSN, a server that is not as it must be, or a user who may not make the tables.
    """
    keep = timedelta(days=settings.history_retention_days)
    store = DatabaseHistory(common.database_dsn.get_secret_value(), keep)
    configure_logging(common.log_level, service=SERVICE, replica=common.replica)
    try:
        store.check()
    except Retryable as error:
        # Not a reason to stop: the stage waits for it, and says so.
        get_logger().warning("database_away", reason=str(error))

    def make_stage(broker: Broker, codec: Codec) -> HistoryWriter:
        return HistoryWriter(store, codec.decode, SystemClock(), keep)

    try:
        return run_stage(
            SERVICE, list(BY_TOPIC), [f"{topic}.dlq" for topic in BY_TOPIC], make_stage, common, is_stateful=False
        )
    finally:
        store.close()
