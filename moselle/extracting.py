"""`moselle extract`: records of one kind, selected, out of Kafka, recorded files or the database into a file."""

import base64
import json
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from moselle.anonymizing import Report, anonymizing_options, make_engine
from moselle.progress import progress_bar
from moselle.selecting import FIRST, KINDS, LAST, Kind, Selection, select
from moselle.tables import Record, open_sink, schema_of
from services.common.clock import SystemClock
from services.common.errors import InvalidMessage, SettingsInvalid

#: Kafka's own time may lie so far behind a record's, milliseconds: a source's clock that is ahead by less is found.
CLOCK_MARGIN_MS = 24 * 3_600_000

#: Records of a kind out of one place, some of which may not be wanted.
Source = Callable[[Selection], Iterator[Record]]


@dataclass(slots=True)
class Counts:
    """What was looked at, and what could not be read."""

    read: int = 0
    rows: int = 0
    unreadable: int = 0


@click.command()
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path), metavar="[PATH...]")
@click.option(
    "--from", "place", type=click.Choice(["kafka", "files", "database"]), required=True,
    help="kafka: what the topics of a running stack hold; files: recorded logs and metrics at PATH, read by ingest as "
    "it would read them from Kafka, with its settings; database: the history, which holds all kinds but logs.",
)  # fmt: skip
@click.option("--kind", type=click.Choice(list(KINDS)), default="logs", show_default=True, help="What to extract.")
@click.option("--out", "-o", required=True, metavar="FILE|-", help=(
    "A name that ends in .parquet, or .jsonl with or without .gz, .xz or .zst; - is JSON lines on standard output."
))  # fmt: skip
@click.option("--since", metavar="TIME", help="From this event time on: RFC 3339, or so long ago as 90s, 15m, 2h, 7d.")
@click.option("--until", metavar="TIME", help="Up to this event time, not with it.")
@click.option("--service", "services", multiple=True, metavar="NAME", help="Of this program only. May be repeated.")
@click.option(
    "--severity", metavar="LEVEL", help="At least so bad: TRACE to CRITICAL; for alerts info, warning or critical."
)  # fmt: skip
@click.option(
    "--entity", "entities", multiple=True, metavar="ID",
    help="Of this entity or of what belongs to it: host:compute-1 takes its services too. Globs such as "
    "'service:nova-*@*' are fine; of placements it is the node. May be repeated.",
)  # fmt: skip
@click.option("--limit", type=click.IntRange(min=1), help="At most so many rows; reading stops there.")
@click.option(
    "--state", type=click.Path(file_okay=False, path_type=Path), envvar="MOSELLE_STATE",
    help="The state folder of an embedded stack, for its Kafka and database. [default: .moselle]",
)  # fmt: skip
@click.option("--bootstrap", "--kafka", "bootstrap", metavar="HOST:PORT", help="Another Kafka than that of --state.")
@click.option("--dsn", envvar="MOSELLE_DATABASE_DSN", help="Another database than that of --state.")
@click.option(
    "--anonymize", is_flag=True,
    help="Replace personal data in every field, as `moselle anonymize` does; secrets are gone already.",
)  # fmt: skip
@anonymizing_options
@click.option("--json", "is_json", is_flag=True, help="What was written, as the last line of standard output.")
def command(
    paths: tuple[Path, ...], place: str, kind: str, out: str, since: str | None, until: str | None,
    services: tuple[str, ...], severity: str | None, entities: tuple[str, ...], limit: int | None, state: Path | None,
    bootstrap: str | None, dsn: str | None, anonymize: bool, key_env: str | None, key_file: Path | None, key_id: str,
    kinds: str, hosts: bool, is_json: bool,
) -> None:  # fmt: skip
    """Select records by time, service, severity and entity, and write them to parquet or JSON lines.

    Columns and types are those of the topic's Avro schema, wherever the records are from: docs/extract.md. Rows come
    in the order in which they are read; memory does not grow with their number.
    """
    if bool(paths) != (place == "files"):
        raise click.UsageError("name PATHs with --from files, and only then")
    report = Report()
    clean = record_cleaner(key_env, key_file, key_id, kinds, hosts, report) if anonymize else None
    selection = select(kind, since, until, services, severity, entities, SystemClock().now())
    counts = Counts()
    source = make_source(place, paths, state, bootstrap, dsn, counts)
    target = None if out == "-" else Path(out)
    with open_sink(target, schema_of(selection.kind.topic)) as sink, progress_bar("extracting", limit or 0) as update:
        for record in selected(source, selection, limit, counts):
            sink.write(clean(record) if clean else record)
            update(lambda: counts.rows, f"{counts.rows} rows of {counts.read}")
    tell(selection, target, counts, report if anonymize else None, is_json)


def selected(source: Source, selection: Selection, limit: int | None, counts: Counts) -> Iterator[Record]:
    """The wanted records, at most `limit`."""
    with closing(source(selection)) as records:  # type: ignore[type-var]
        for record in records:
            counts.read += 1
            if selection.wants(record):
                counts.rows += 1
                yield record
                if counts.rows == limit:
                    return


def make_source(
    place: str, paths: tuple[Path, ...], state: Path | None, bootstrap: str | None, dsn: str | None, counts: Counts
) -> Source:
    """Where records come from.

    Raises:
        SettingsInvalid: no stack runs in the state folder.
    """
    if place == "files":
        return lambda selection: from_files(paths, selection.kind)
    if place == "kafka":
        where = bootstrap or str(_status(state, "kafka", "bootstrap", "--bootstrap"))
        return lambda selection: from_kafka(where, selection, counts)
    if not dsn:
        dsn = str(_status(state, "postgres", "dsn", "--dsn") or "")
    return lambda selection: from_database(dsn, selection)


def _status(state: Path | None, part: str, field: str, option: str) -> Any:
    from moselle.stack import control

    try:
        return control.status(state or Path(".moselle"))[part][field]
    except SettingsInvalid as error:
        raise SettingsInvalid(f"{error}, or give {option}") from None


def from_kafka(bootstrap: str, selection: Selection, counts: Counts) -> Iterator[Record]:
    """What the kind's topic holds now, committed records only; what cannot be read is counted."""
    from moselle.reading import TopicReader
    from services.common.broker.kafka import KafkaBroker
    from services.common.codec import Codec
    from services.common.schemas import SchemaRegistry

    codec = Codec()
    since_ms = None if selection.since == FIRST else max(0, selection.since // 1000 - CLOCK_MARGIN_MS)
    reader = TopicReader(bootstrap, selection.kind.topic, is_from_beginning=True, since_ms=since_ms)
    with closing(reader), closing(SchemaRegistry(KafkaBroker(bootstrap), codec)):
        for record in reader.to_end():
            if record.value is None:
                continue
            try:
                yield codec.decode(record.value)
            except InvalidMessage:
                counts.unreadable += 1


def from_files(paths: tuple[Path, ...], kind: Kind) -> Iterator[Record]:
    """What ingest, and features for their kind, make of recorded files."""
    from moselle.offline import derived_records

    derived = derived_records(paths)
    if kind.name == "features":
        from services.features.core.batch import feature_records

        yield from feature_records(derived)
    elif kind.name in ("logs", "samples"):
        yield from (record for topic, record in derived if topic == kind.topic)
    else:
        raise SettingsInvalid(f"files hold no {kind.name}, only logs, samples and features: take them from kafka")


def from_database(dsn: str, selection: Selection) -> Iterator[Record]:
    """Rows of the history as records of the kind's topic; fields that the database does not keep are missing.

    Raises:
        SettingsInvalid: there is no DSN, the server does not answer, or has no such tables.
    """
    if not selection.kind.table:
        raise SettingsInvalid("the database holds no log events: take them from kafka, or from files")
    if not dsn:
        raise SettingsInvalid("this stack has no database: give --dsn, or extract from kafka")
    import psycopg

    from services.features.adapters.database import describe, first_line
    from services.features.adapters.history_database import DatabaseHistory

    store = DatabaseHistory(dsn)
    try:
        for row in store.read(selection.kind.table, selection.since, min(selection.until, LAST)):
            yield record_of(row)
    except psycopg.Error as error:
        raise SettingsInvalid(
            f"the database {describe(dsn)} does not give its history ({first_line(error)}): check the DSN, and "
            "`moselle migrate` if it is new"
        ) from None
    finally:
        store.close()


def record_of(row: Record) -> Record:
    """A row of the history with the fields of its contract: those without a column of their own lie in `details`."""
    details = row.pop("details", None) or {}
    if isinstance(details.get("request"), str):
        details["request"] = base64.b64decode(details["request"])
    return {**details, **row}


def record_cleaner(
    key_env: str | None, key_file: Path | None, key_id: str, kinds: str, hosts: bool, report: Report
) -> Callable[[Record], Record]:
    """What makes a record anonymous; bytes in it, which nobody can look into, are dropped."""
    documents = make_engine(key_env, key_file, key_id, kinds, hosts, report)
    report.secrets = documents.secrets

    def clean(record: Record) -> Record:
        masked: Record = documents.record(
            {name: b"" if isinstance(value, bytes) else value for name, value in record.items()}
        )
        report.pseudonyms.update(documents.privacy.take_counts())
        return masked

    return clean


def tell(selection: Selection, target: Path | None, counts: Counts, report: Report | None, is_json: bool) -> None:
    """What was written: for scripts on standard output, for people on standard error."""
    summary: dict[str, Any] = {
        "kind": selection.kind.name, "rows": counts.rows, "read": counts.read, "unreadable": counts.unreadable,
        "files": [str(target)] if target else [],
    }  # fmt: skip
    if report is not None:
        summary["pseudonyms"] = dict(sorted(report.pseudonyms.items()))
        summary |= {"secrets": dict(sorted(report.secrets.items())), "key": report.key, "key_id": report.key_id}
    if is_json:
        click.echo(json.dumps(summary))
        return
    unreadable = f", {counts.unreadable} unreadable" if counts.unreadable else ""
    click.echo(f"{counts.rows} {selection.kind.name} of {counts.read} read{unreadable}", err=True)
