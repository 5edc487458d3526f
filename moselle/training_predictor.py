"""`moselle train predictor`: fits the LSTM on generated load, or on a recording beside it, and writes its artifact."""

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from moselle.forecast_series import read_series
from services.common.errors import MoselleError
from services.common.settings import read_settings
from services.predictor.settings import PredictorSettings

if TYPE_CHECKING:
    from services.predictor.core.targets import Floats


@click.command(help="Train the predictor's LSTM on generated load; needs .venv-train (torch), no GPU, some minutes.")
@click.option("--data", "folder", type=click.Path(path_type=Path), help="A recording to learn from as well.")
@click.option("--output", type=click.Path(path_type=Path), required=True, help="The artifact's folder; replaced whole.")
@click.option("--seed", type=int, default=7, show_default=True, help="The same seed gives the same network.")
@click.option("--series", "num_series", type=click.IntRange(100), default=24_000, show_default=True,
              help="How many series are generated.")  # fmt: skip
@click.option("--epochs", type=click.IntRange(1), default=14, show_default=True, help="How often each is learnt from.")
def train_predictor(folder: Path | None, output: Path, seed: int, num_series: int, epochs: int) -> None:
    """Exit codes: 0 done, 1 failed, 2 wrong usage."""
    try:
        from services.predictor.train.fit import Recipe
        from services.predictor.train.train import Plan, train
    except ImportError as error:
        raise click.ClickException(
            f"training needs torch and its exporter ({error}): run make setup-train, then .venv-train/bin/moselle train"
            " predictor"
        ) from None
    options = ["--output", _shown(output), "--seed", str(seed), "--series", str(num_series), "--epochs", str(epochs)]
    command = shlex.join(["moselle", "train", "predictor", *(["--data", _shown(folder)] if folder else []), *options])
    try:
        settings = read_settings(PredictorSettings)
        recorded = _recorded(folder, settings) if folder else None
        plan = Plan(num_series=num_series, recipe=Recipe(num_epochs=epochs))
        artifact = train(output, settings.horizons_seconds, settings.targets, seed, command, _say, recorded, plan)
    except MoselleError as error:
        raise click.ClickException(str(error)) from None
    click.echo(f"{output}: version {artifact.version}")


def _recorded(folder: Path, settings: PredictorSettings) -> Mapping[str, "Floats"]:
    found = read_series(folder, settings.targets)
    _say(f"{len(found)} series in {folder}")
    return found


def _shown(path: Path) -> str:
    """A path as the manifest names it: nothing of this machine."""
    return path.name if path.is_absolute() else str(path)


def _say(words: str) -> None:
    click.echo(words, err=True)
