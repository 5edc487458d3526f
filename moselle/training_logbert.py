"""`moselle train logbert`: BERT on the order of a recording's normal log lines, as an artifact."""

import json
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from moselle.offline import derived_records
from services.common.errors import MoselleError, SettingsInvalid


@click.command(help="Train logbert's BERT on the normal part of a recording; needs .venv-train (torch), no GPU.")
@click.option("--data", "folder", type=click.Path(path_type=Path), required=True,
              help="A folder of logs; of one with normal/ in it, that.")  # fmt: skip
@click.option("--minutes", type=click.FloatRange(min=0, min_open=True), default=12.0, show_default=True,
              help="How much of it, from its start. Four fifths teach, the rest calibrates.")  # fmt: skip
@click.option("--output", type=click.Path(path_type=Path), required=True, help="The artifact's folder; replaced whole.")
@click.option("--seed", type=int, default=1, show_default=True, help="The same seed gives the same network.")
@click.option("--steps", type=click.IntRange(1), default=2500, show_default=True, help="Batches to learn from.")
def train_logbert(folder: Path, minutes: float, output: Path, seed: int, steps: int) -> None:
    """The last line of standard output is JSON: version, figures, settings. Exit codes: 0 done, 1 failed, 2 usage."""
    try:
        from services.logbert.train.make_bert import make_artifact
        from services.logbert.train.train_bert import TrainSettings
    except ImportError as error:
        raise click.ClickException(
            f"training needs torch and its exporter ({error}): run `make setup-train`, then"
            " `.venv-train/bin/moselle train logbert`"
        ) from None
    from services.logbert.train.dataset import read_recording

    data, target = _shown(folder), _shown(output)
    options = ["--data", data, "--minutes", f"{minutes:g}", "--output", target, "--seed", str(seed)]
    command = shlex.join(["moselle", "train", "logbert", *options, "--steps", str(steps)])
    try:
        recording = read_recording(normal_records(folder, minutes * 60))
        click.echo(f"{len(recording.events)} events of {folder}; this takes a minute or two", err=True)
        source = f"{data}, normal operation, first {minutes:g} minutes"
        artifact = make_artifact(recording, output, TrainSettings(seed=seed, num_steps=steps), command, source)
    except MoselleError as error:
        raise click.ClickException(str(error)) from None
    click.echo(json.dumps({"version": artifact.version, "settings": artifact.settings, "metrics": artifact.metrics}))


def _shown(path: Path) -> str:
    """A path as the artifact may show it: of one from elsewhere on this machine only the name."""
    return path.name if path.is_absolute() or ".." in path.parts else path.as_posix()


def log_files(folder: Path) -> list[Path]:
    """The text logs of a folder.

    Raises:
        SettingsInvalid: there are none.
    """
    files = sorted(path for path in folder.glob("*.log*") if path.is_file())
    if not files:
        raise SettingsInvalid(f"{folder} holds no *.log, *.log.gz or *.log.xz: name a folder of text logs")
    return files


def normal_records(folder: Path, seconds: float | None = None) -> Iterator[tuple[str, dict[str, Any]]]:
    """What ingest makes of the normal part's logs, or of its first seconds."""
    normal = folder / "normal"
    return derived_records(log_files(normal if normal.is_dir() else folder), until_seconds=seconds)
