"""`moselle extract` from a real Kafka and a real database."""

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest

from moselle.selecting import KINDS
from services.common.broker.abstract import Output
from services.common.broker.kafka import KafkaBroker
from services.common.codec import Codec
from services.features.adapters.history_database import DatabaseHistory
from services.features.core.history import Row, to_row
from tests.conformance.history_cases import (
    FOREVER,
    make_alert,
    make_features,
    make_placement,
    make_prediction,
    make_scrape,
    write,
)
from tests.integration.commands import moselle

CODEC = Codec()
#: What a row of the history lacks.
EXTRA = {"source_topic": "", "source_partition": 0, "source_offsets": [], "request": b""}
SPAN = ("--since", "2026-11-21T06:00:00Z", "--until", "2026-11-21T06:00:20Z")


def published(broker: KafkaBroker, topic: str, *rows: Row) -> None:
    """Rows of the history as records of their topic."""
    broker.publish([Output(topic, b"k", CODEC.encode(topic, {**EXTRA, **row})) for row in rows])


def extract(*arguments: str) -> dict[str, Any]:
    """The last line of standard output."""
    done = moselle("extract", *arguments, "--json")
    assert done.returncode == 0, done.stderr
    summary: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return summary


def test_a_topic_is_read_to_its_end(quiet_broker: KafkaBroker, tmp_path: Path) -> None:
    """What it holds now, selected; what cannot be read is counted, a time of Kafka's choosing leaves nothing out."""
    hosts = ("host:it-extract-1", "host:it-extract-2")
    rows = [make_features(second, entity_id=host)[1] for host in hosts for second in (-1, 0, 19, 20)]
    kafka = ("--from", "kafka", "--bootstrap", quiet_broker.bootstrap, "--kind", "features")
    before = extract(*kafka, "--out", str(tmp_path / "before.parquet"))["unreadable"]
    published(quiet_broker, "features.v1", *rows)
    quiet_broker.publish([Output("features.v1", b"k", b"\xc3\x01not one of ours")])
    out = tmp_path / "features.parquet"
    summary = extract(*kafka, "--out", str(out), *SPAN, "--entity", "host:it-extract-*")
    assert (summary["rows"], summary["unreadable"]) == (4, before + 1)
    table = pyarrow.parquet.read_table(out)
    assert sorted(set(table["entity_id"].to_pylist())) == list(hosts)
    assert table["values"].to_pylist()[0] == [0.5, 0.25]


@pytest.mark.parametrize(
    ("kind", "make"),
    [
        ("samples", make_scrape), ("features", make_features), ("alerts", make_alert),
        ("predictions", make_prediction), ("placements", make_placement),
    ],
)  # fmt: skip
def test_a_table_gives_what_the_topic_gave(
    kind: str, make: Any, quiet_broker: KafkaBroker, database_dsn: str, tmp_path: Path
) -> None:
    """The same file by either way, but for what the history does not keep."""
    cluster = f"it-extract-{kind}"
    topic = KINDS[kind].topic
    row = make(cluster=cluster)[1]
    value = CODEC.encode(topic, {**EXTRA, **row.pop("details", {}), **row, "request": b"\x00\x01"})
    quiet_broker.publish([Output(topic, b"k", value)])
    with closing(DatabaseHistory(database_dsn)) as store:
        write(store, to_row(topic, CODEC.decode(value), FOREVER))
    written = []
    for place in (("kafka", "--bootstrap", quiet_broker.bootstrap), ("database", "--dsn", database_dsn)):
        out = tmp_path / f"{place[0]}.parquet"
        extract("--from", *place, "--kind", kind, "--out", str(out), *SPAN)
        rows = pyarrow.parquet.read_table(out).to_pylist()
        (only,) = [record for record in rows if record["cluster"] == cluster]
        written.append(only)
    kept = {name: value for name, value in written[1].items() if value is not None}
    assert kept == {name: written[0][name] for name in kept}
    assert len(kept) >= len(row) - 2


def test_a_place_that_does_not_answer_is_one_sentence(tmp_path: Path, database_dsn: str) -> None:
    """And the exit code is 1: a broker that is away, a database without tables, logs from a database."""
    out = str(tmp_path / "x.jsonl")
    for arguments, words in (
        (("kafka", "--bootstrap", "127.0.0.1:1"), "does not answer"),
        (("database", "--dsn", database_dsn, "--kind", "alerts"), "moselle migrate"),
        (("database", "--dsn", database_dsn), "no log events"),
    ):
        done = moselle("extract", "--from", *arguments, "--out", out)
        assert done.returncode == 1
        assert words in done.stderr
        assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
