"""Runs ingest: `python -m services.ingest [stage|receiver]`, one role a process.

`stage` (the default) reads the raw topics; `receiver` takes remote_write and OTLP over HTTP and writes them there.
"""

import sys
from collections.abc import Callable, Sequence

from services.common.broker.abstract import Broker
from services.common.clock import SystemClock
from services.common.codec import Codec
from services.common.service import run_role, run_stage
from services.common.settings import CommonSettings
from services.common.topics import LOGS_PARSED, LOGS_RATES, LOGS_SEQUENCES, LOGS_TEMPLATES, METRICS_SAMPLES
from services.ingest.adapters.sources import source_pages
from services.ingest.adapters.templates import TemplateFeed
from services.ingest.core.completeness import Completeness
from services.ingest.core.pinned import check_topic_shapes
from services.ingest.core.privacy import make_privacy
from services.ingest.pipeline import IngestStage
from services.ingest.settings import IngestSettings

Run = Callable[[CommonSettings, IngestSettings], int]


def run_ingest(common: CommonSettings, settings: IngestSettings) -> int:
    """The stage."""
    make_privacy(settings)  # a key that is none stops it here, before it joins its group
    check_topic_shapes(settings.topic_shapes, settings.log_topics, settings.metric_topics)
    inputs = [*settings.log_topics, *settings.metric_topics]
    outputs = [LOGS_PARSED, LOGS_RATES, LOGS_SEQUENCES, LOGS_TEMPLATES, METRICS_SAMPLES]

    completeness = Completeness(settings.max_sources)

    def make_stage(broker: Broker, codec: Codec) -> IngestStage:
        return IngestStage(settings, common.cluster, SystemClock(), TemplateFeed(broker, codec), completeness)

    names = [topic.name for topic in outputs] + [f"{name}.dlq" for name in inputs]
    pages = source_pages(completeness, common.replica)
    return run_stage("ingest", inputs, names, make_stage, common, pages=pages)


def run_receiver(common: CommonSettings, settings: IngestSettings) -> int:
    """The HTTP server; the stage needs none of its libraries."""
    from services.ingest.adapters.receiver import run

    return run(common, settings)


ROLES: dict[str, Run] = {"stage": run_ingest, "receiver": run_receiver}


def main(arguments: Sequence[str]) -> int:
    """Runs the role until told to stop; returns the exit code."""
    return run_role("ingest", arguments, ROLES, IngestSettings)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
