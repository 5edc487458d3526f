"""`moselle evaluate anomaly`: which labelled faults the metrics alone find, and what trivial detectors would."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from moselle.offline import derived_records
from services.anomaly.settings import AnomalySettings
from services.common.errors import MoselleError
from services.common.settings import read_settings
from services.common.topics import METRICS_SAMPLES


@click.command(help="Compare anomaly on the metrics of a labelled recording with River's detectors and three sigma.")
@click.option("--data", "folder", type=click.Path(path_type=Path), required=True,
              help="A folder laid out like openstack_live, nab, smd or asd.")  # fmt: skip
@click.option("--json", "_is_json", is_flag=True, help="Accepted for likeness; the last line is JSON always.")
def evaluate_anomaly(folder: Path, _is_json: bool) -> None:
    """Settings come from the environment, as the service reads them. Exit codes: 0 done, 1 failed, 2 wrong usage."""
    try:
        figures = _evaluate(folder, read_settings(AnomalySettings))
    except MoselleError as error:
        raise click.ClickException(str(error)) from None
    except OSError as error:
        raise click.ClickException(f"{error.filename} cannot be read: {error.strerror}") from None
    click.echo(json.dumps(figures))


def _evaluate(folder: Path, settings: AnomalySettings) -> dict[str, Any]:
    from services.anomaly.train.evaluate import evaluate, read_faults

    if not (folder / "labels.jsonl").exists() and (any(folder.glob("*.npz")) or (folder / "labels").is_dir()):
        from services.anomaly.train.labelled import evaluate_streams

        return evaluate_streams(folder, settings)
    faults = read_faults(folder)
    files = [folder / part / "metrics.jsonl.gz" for part in ("normal", "faults")]
    records = [record for topic, record in derived_records(files) if topic == METRICS_SAMPLES.name]
    click.echo(f"{len(records)} records of {folder}; some thirty ways to read them, seconds each", err=True)
    figures = evaluate(records, faults, settings)
    _print_table(figures)
    return figures


def _print_table(figures: Mapping[str, Any]) -> None:
    """For people; to standard error."""
    for row in figures["faults"]:
        words = ("kind", "service", "found", "named", "seconds_to_detect", "num_alerts")
        click.echo("  ".join(str(row[word])[:22].ljust(22) for word in words), err=True)
    for group in ("detectors", "stability"):
        for name, row in figures[group].items():
            counts = ", ".join(f"{word} {row[word]}" for word in ("found", "named", "alerts", "alerts_unmatched"))
            click.echo(f"{name.ljust(34)} {counts}", err=True)
