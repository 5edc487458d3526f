"""`moselle features`: the catalogue, features of recorded data, and whether stream and batch agree."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from services.common.errors import InvalidMessage

if TYPE_CHECKING:
    from moselle.parity import Parity
    from services.common.codec import Codec
    from services.features.core.batch import Arrival

state_option = click.option(
    "--state", type=click.Path(file_okay=False, path_type=Path), default=Path(".moselle"), envvar="MOSELLE_STATE",
    help="The state folder of the embedded stack. [default: .moselle]",
)  # fmt: skip


@click.group(name="features", invoke_without_command=True)
@click.pass_context
def command(context: click.Context) -> None:
    """The features that models read: list them, compute them, check them.

    Without a command it lists every feature set with its features.
    """
    if context.invoked_subcommand is None:
        for line in catalogue():
            click.echo(line)


def catalogue() -> Iterator[str]:
    """Every feature set and feature in one line each."""
    from services.features.core.catalogue import FEATURE_SETS

    for feature_set in FEATURE_SETS:
        yield f"{feature_set.name} {feature_set.version}: {feature_set.description} ({feature_set.entities})"
        yield from (f"  {feature.name} [{feature.unit}] {feature.description}" for feature in feature_set.features)


@command.command()
@click.option(
    "--data", type=click.Path(exists=True, file_okay=False, path_type=Path), required=True,
    help="A folder of recorded logs and metrics, laid out like openstack_live.",
)  # fmt: skip
@click.option("--step-seconds", type=click.IntRange(1, 3600), default=10, show_default=True, help="Length of a step.")
@click.option("--json", "as_json", is_flag=True, help="One feature vector a line, then the counts.")
def batch(data: Path, step_seconds: int, as_json: bool) -> None:
    """Compute the features of recorded data, as the stream would."""
    from moselle.offline import derived_records
    from services.features.core.batch import feature_records

    counts: dict[str, int] = {}
    for record in feature_records(derived_records(data), step_seconds=step_seconds):
        counts[record["feature_set"]] = counts.get(record["feature_set"], 0) + 1
        if as_json:
            click.echo(json.dumps(nan_as_null(record)))
    click.echo(json.dumps({"rows": sum(counts.values()), "by_feature_set": counts}))


@command.command()
@state_option
@click.option("--json", "as_json", is_flag=True, help="Only the last line: one JSON object.")
def parity(state: Path, as_json: bool) -> None:
    """Compute the features of a running stack again from its topics, and compare them to the bit.

    Exits with 1 when any row differs. Settings of the stream are read from the environment, as the stream does.
    """
    from moselle.stack import control

    bootstrap = str((control.status(state)["kafka"] or {}).get("bootstrap", ""))
    found = check(bootstrap)
    if not as_json:
        for line in found.first:
            click.echo(line, err=True)
    click.echo(json.dumps(found.summary()))
    if found.mismatches:
        raise SystemExit(1)


def check(bootstrap: str) -> "Parity":
    """Compares batch and stream on a broker.

    Raises:
        SettingsInvalid: it does not answer, or has no such topics.
    """
    from moselle.parity import compare
    from services.common.codec import Codec
    from services.common.settings import read_settings
    from services.common.topics import FEATURES, LOGS_RATES, METRICS_SAMPLES
    from services.features.core.marks import StepRules
    from services.features.settings import FeaturesSettings

    settings, codec = read_settings(FeaturesSettings), Codec()
    rules = StepRules(settings.step_seconds, settings.lateness_seconds, settings.quiet_seconds)
    written = [arrival.record for arrival in arrivals(bootstrap, FEATURES.name, codec)]
    sources = (arrival for topic in (METRICS_SAMPLES, LOGS_RATES) for arrival in arrivals(bootstrap, topic.name, codec))
    return compare(sources, written, rules)


def arrivals(bootstrap: str, topic: str, codec: "Codec") -> "Iterator[Arrival]":
    """What a topic holds now, decoded; what cannot be read is left out, as the stream does."""
    from moselle.reading import TopicReader
    from services.features.core.batch import Arrival

    reader = TopicReader(bootstrap, topic, is_from_beginning=True)
    try:
        for record in reader.to_end():
            try:
                fields = codec.decode(record.value)
            except InvalidMessage:
                continue
            yield Arrival(topic, fields, record.partition, record.offset, record.timestamp_ms * 1000)
    finally:
        reader.close()


def nan_as_null(record: dict[str, Any]) -> dict[str, Any]:
    """JSON has no NaN."""
    return record | {"values": [None if value != value else value for value in record["values"]]}
