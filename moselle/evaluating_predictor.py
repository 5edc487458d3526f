"""`moselle evaluate predictor`: what was forecast against what came, over recorded data, beside the plain rivals."""

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from moselle.forecast_series import feature_vectors, table_vectors
from services.common.artifact import fingerprint_files
from services.common.errors import MoselleError
from services.common.settings import read_settings
from services.predictor.settings import PredictorSettings

#: The horizons that are told.
TOLD_SECONDS = (60, 300, 600, 900)
#: Of a table, its last rows.
TABLE_ROWS = 1200


@click.command(help="Forecast a recording in its order and compare with what came; nothing is fitted.")
@click.option("--data", "folders", type=click.Path(path_type=Path), multiple=True, required=True,
              help="A folder laid out like openstack_live, or with .npz tables; may be given again.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Only the last line, one JSON object.")
def evaluate_predictor(folders: tuple[Path, ...], as_json: bool) -> None:
    """Exit codes: 0 done, 1 failed, 2 wrong usage."""
    from services.predictor.model.forecasters import make_forecasters

    try:
        settings = read_settings(PredictorSettings)
        forecasters = make_forecasters(settings.artifact, settings.horizons_seconds, settings.targets, settings.device)
        records = [record for folder in folders for record in _vectors(folder, as_json)]
    except MoselleError as error:
        raise click.ClickException(str(error)) from None
    found = evaluate(records, settings, forecasters)
    found["model_versions"] = {forecaster.name: forecaster.version for forecaster in forecasters}
    found["data"] = {folder.name: _fingerprint(folder) for folder in folders}
    if not as_json:
        click.echo(as_table(found), err=True)
    click.echo(json.dumps(found))


def _vectors(folder: Path, is_quiet: bool) -> list[dict[str, Any]]:
    if not is_quiet:
        click.echo(f"reading {folder}", err=True)
    if any(folder.glob("*.npz")):
        return list(table_vectors(folder, TABLE_ROWS))
    return list(feature_vectors(folder))


def evaluate(
    records: Iterable[Mapping[str, Any]], settings: PredictorSettings, forecasters: Sequence[Any]
) -> dict[str, Any]:
    """The figures of services/predictor/train/evaluate.py, with the settings and the time that it took."""
    from services.predictor.train.evaluate import Replay, report

    replay = Replay(settings, forecasters)
    began = time.process_time()
    replay.take(sorted(records, key=lambda record: int(record["event_time"])))
    seconds = time.process_time() - began
    names = [forecaster.name for forecaster in forecasters]
    found = report(replay, names, list(settings.horizons_seconds), TOLD_SECONDS)
    return {"evaluate": "predictor", **found, "cpu_seconds": round(seconds, 2), "settings": settings.model_dump()}


def as_table(found: Mapping[str, Any]) -> str:
    """The figures over all series for people, and what they mean in a sentence."""
    lines = [f"{found['predictions']} predictions; spoke: {found['spoke']}; alerts: {len(found['alerts'])}"]
    lines.append("error over each series' size, by seconds ahead (less is better):")
    for seconds, row in found["scaled"].items():
        errors = "  ".join(f"{name} {error:.3f}" for name, error in row.get("scaled_error", {}).items())
        covered = row.get("interval_coverage")
        lines.append(f"  {seconds:>4} s: {errors}  coverage of the 90 % interval {covered}")
    lines.append(_verdict(found))
    return "\n".join(lines)


def _verdict(found: Mapping[str, Any]) -> str:
    """Whether the network earned its place here."""
    worse = []
    for seconds, row in found["scaled"].items():
        errors = row.get("scaled_error", {})
        rivals = [errors[name] for name in ("persistence", "ewma") if name in errors]
        if "lstm" in errors and errors["lstm"] >= min(rivals):
            worse.append(f"{seconds} s")
    if worse:
        return f"The LSTM does NOT beat persistence and EWMA at {', '.join(worse)}."
    return "The LSTM, where there is one, beats persistence and EWMA at each of these horizons."


def _measured(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.npz")) or sorted(folder.rglob("metrics.jsonl*"))


def _fingerprint(folder: Path) -> str:
    return fingerprint_files({str(p.relative_to(folder)): p for p in _measured(folder)})
