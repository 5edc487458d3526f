"""`moselle evaluate anomaly`: what the metrics alone find, at what cost, beside trivial and well-known detectors."""

import itertools
import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import click

from moselle.offline import derived_records
from moselle.progress import progress_bar
from services.anomaly.settings import AnomalySettings
from services.common.errors import MoselleError
from services.common.settings import read_settings
from services.common.topics import METRICS_SAMPLES

#: Columns of the table of labelled streams; what a folder has none of is left out.
COLUMNS = {
    "nab_standard": "NAB, line by labels", "nab_standard_fixed": "NAB, as alerted", "auc_pr": "AUC-PR",
    "vus_pr": "VUS-PR", "precision_at_recall_50": "P at R .5", "precision_at_recall_70": "P at R .7",
    "event_precision": "event P", "event_recall": "event R", "alarms": "alarms",
    "false_alarms_per_day": "false/stream/day", "cpu_seconds": "CPU s",
}  # fmt: skip


class Choice(NamedTuple):
    """What of a folder is looked at."""

    only: tuple[str, ...]
    limit: int | None
    step_seconds: int | None


@click.command(help="Compare anomaly with trivial detectors, River's and scikit-learn's on labelled metrics.")
@click.option("--data", "folder", type=click.Path(path_type=Path), required=True,
              help="A folder laid out like openstack_live, nab, smd or asd.")  # fmt: skip
@click.option("--only", multiple=True, help="Only this detector (nab, smd, asd); may be given again.")
@click.option("--limit", type=click.IntRange(min=1), help="Only the first so many files (nab, smd, asd).")
@click.option("--step-seconds", type=click.IntRange(min=1),
              help="Time between rows of *.npz [default: 300 in a folder asd, else 60].")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Only the last line, one JSON object.")
def evaluate_anomaly(
    folder: Path, only: tuple[str, ...], limit: int | None, step_seconds: int | None, as_json: bool
) -> None:
    """Settings come from the environment, as the service reads them. Exit codes: 0 done, 1 failed, 2 wrong usage."""
    try:
        settings = read_settings(AnomalySettings)
        if (folder / "labels.jsonl").exists():
            figures = _of_recording(folder, settings, as_json)
        else:
            figures = _of_streams(folder, settings, Choice(only, limit, step_seconds), as_json)
    except MoselleError as error:
        raise click.ClickException(str(error)) from None
    except OSError as error:
        raise click.ClickException(f"{error.filename} cannot be read: {error.strerror}") from None
    click.echo(json.dumps(figures))


def _of_streams(folder: Path, settings: AnomalySettings, choice: Choice, is_quiet: bool) -> dict[str, Any]:
    from services.anomaly.train.benchmark import contenders, evaluate_streams
    from services.anomaly.train.labelled import read_streams
    from services.anomaly.train.nab_scoring import read_profiles

    known = contenders(settings)
    for name in choice.only:
        if name not in known:
            raise click.BadParameter(f"{name!r} is no detector here; wanted some of {', '.join(known)}")
    streams = list(itertools.islice(read_streams(folder, choice.step_seconds), choice.limit))
    profiles = read_profiles(folder) if (folder / "labels").is_dir() else None
    with _telling(is_quiet) as told:
        figures = evaluate_streams(streams, settings, profiles, choice.only, told)
    if not is_quiet:
        click.echo(as_table(figures), err=True)
    return figures


@contextmanager
def _telling(is_quiet: bool) -> Iterator[Any]:
    """A bar on a terminal for the detector that runs; elsewhere a line when one begins and one each half minute."""
    with progress_bar("judging", 1.0) as update:
        last = time.monotonic()

        def told(name: str, num_done: int, num_all: int) -> None:
            nonlocal last
            update(lambda: num_done / max(1, num_all), f"{name}: {num_done} of {num_all} streams")
            has_bar = sys.stderr.isatty()
            if not is_quiet and not has_bar and (num_done == 0 or time.monotonic() - last > 30):
                last = time.monotonic()
                click.echo(f"{name}: {num_done} of {num_all} streams", err=True)

        yield told


def as_table(figures: Mapping[str, Any]) -> str:
    """A line a detector, and what was judged."""
    rows = figures["detectors"]
    names = [name for name in COLUMNS if any(name in row for row in rows.values())]
    lines = [["detector", *(COLUMNS[name] for name in names)]]
    lines += [[name, *(_shown(row.get(column)) for column in names)] for name, row in rows.items()]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    told = ["  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) for line in lines]
    told.append(
        f"{figures['streams']} streams, {figures['series']} series, {figures['days']:g} days judged, "
        f"{figures['events']} labelled events; nothing is point-adjusted"
    )
    return "\n".join(told)


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}" if isinstance(value, float) else str(value)


def _of_recording(folder: Path, settings: AnomalySettings, is_quiet: bool) -> dict[str, Any]:
    from services.anomaly.train.evaluate import evaluate, read_faults

    faults = read_faults(folder)
    files = [folder / part / "metrics.jsonl.gz" for part in ("normal", "faults")]
    records = [record for topic, record in derived_records(files) if topic == METRICS_SAMPLES.name]
    if not is_quiet:
        click.echo(f"{len(records)} records of {folder}; some thirty ways to read them, seconds each", err=True)
    figures = evaluate(records, faults, settings)
    if not is_quiet:
        _print_recording(figures)
    return figures


def _print_recording(figures: Mapping[str, Any]) -> None:
    """For people; to standard error."""
    _print_faults(figures["faults"])
    for group in ("detectors", "stability"):
        for name, row in figures[group].items():
            counts = ", ".join(f"{word} {row[word]}" for word in ("found", "named", "alerts", "alerts_unmatched"))
            click.echo(f"{name.ljust(34)} {counts}", err=True)


def _print_faults(faults: Sequence[Mapping[str, Any]]) -> None:
    for row in faults:
        words = ("kind", "service", "found", "named", "seconds_to_detect", "num_alerts")
        click.echo("  ".join(str(row[word])[:22].ljust(22) for word in words), err=True)
