"""What features, predictor and placement gave, collected at the end of a demonstration."""

from collections.abc import Iterator, Sequence
from typing import Any

import psycopg

from moselle.demo import forecasts, placing
from moselle.demo.placing import Ask
from moselle.demo.processes import DemoFailed
from moselle.demo.story import Json, Results
from moselle.demo.watch import Seen
from moselle.features import check
from moselle.placement_check import placements_of, violations
from services.common import topics
from services.common.broker.kafka import KafkaBroker
from services.common.codec import Codec


def collect(broker: KafkaBroker, dsn: str, seen: Seen, asks: Sequence[Ask]) -> Results:
    """Everything from the topics and the database; nothing from the services' own words.

    Raises:
        DemoFailed: the database does not answer.
    """
    features = list(seen.features.values())
    inventory = _read(broker, topics.ENTITIES.name)
    broken = violations(inventory, placements_of(_read(broker, topics.PLACEMENTS.name)))
    return Results(
        forecasts=forecasts.figures(seen.predictions, features),
        placement=placing.figures(asks, len(broken)),
        features=_feature_figures(broker.bootstrap, dsn, seen),
        forecast_stories=tuple(forecasts.stories(seen.predictions, features)),
        placement_stories=tuple(placing.stories(asks)),
    )


def _read(broker: KafkaBroker, topic: str) -> Iterator[dict[str, Any]]:
    codec = Codec()
    for partition in range(broker.num_partitions(topic)):
        for record in broker.read_to_end(topic, partition):
            if record.value is not None:
                yield codec.decode(record.value)


def _feature_figures(bootstrap: str, dsn: str, seen: Seen) -> Json:
    """Rows in the database, how many of the stream's rows differ from the batch's or are missing, rows a second."""
    parity = check(bootstrap)
    first, last = seen.features_span or (0.0, 0.0)
    rate = round(len(seen.features) / (last - first), 1) if last > first else 0.0
    rows, differing = num_rows(dsn, "features"), parity.mismatches + parity.unfinished
    return {"rows": rows, "parity_mismatches": differing, "per_second": rate}


def num_rows(dsn: str, table: str) -> int:
    """How many rows a table of the history has."""
    try:
        with psycopg.connect(dsn) as connection:
            query = psycopg.sql.SQL("SELECT count(*) FROM {}").format(psycopg.sql.Identifier(table))
            row = connection.execute(query).fetchone()
    except psycopg.Error as error:
        raise DemoFailed(f"the history database does not answer: {' '.join(str(error).split())}") from None
    return int(row[0]) if row else 0
