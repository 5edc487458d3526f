"""`moselle evaluate mining`: how well templates are mined, beside Drain3 on the same files."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from services.common.errors import MoselleError


@click.command(help="Score the template miner, and Drain3 beside it, on messages with known templates.")
@click.option("--data", "folder", type=click.Path(path_type=Path), required=True,
              help="A folder laid out like loghub_2k (a *_structured_corrected.csv for each system), or one that holds "
                   "oslo JSON logs: there mined templates are compared with the programs' own.")  # fmt: skip
@click.option("--json", "_is_json", is_flag=True, help="Accepted for likeness; the last line is JSON always.")
def evaluate_mining(folder: Path, _is_json: bool) -> None:
    """GA, PA, FGA, FTA (0 to 1) and lines per CPU second of each set, and the mean over the sets.

    Messages are mined in the order of their file, online, by a fresh miner for each set with one setting for all; each
    line counts with the template that its group has at the end. Exit codes: 0 done, 1 failed, 2 wrong usage.
    """
    try:
        figures = _evaluate(folder)
    except MoselleError as error:
        raise click.ClickException(str(error)) from None
    except OSError as error:
        raise click.ClickException(f"{error.filename} cannot be read: {error.strerror}") from None
    click.echo(json.dumps(figures))


def _evaluate(folder: Path) -> dict[str, Any]:
    from services.common.errors import SettingsInvalid
    from services.ingest.train import mining_rivals as rivals
    from services.ingest.train.mining_sets import given_sets, labelled_sets

    if not folder.is_dir():
        raise SettingsInvalid(f"{folder} is no folder: wanted is one with a *_structured_corrected.csv for each system")
    labelled, given = labelled_sets(folder), given_sets(folder)
    if not labelled and not given:
        raise SettingsInvalid(
            f"{folder} holds neither *_structured_corrected.csv nor oslo JSON logs (*.json.log): nothing to score"
        )
    ours, theirs = _figures("moselle", labelled, rivals.with_moselle), _figures("drain3", labelled, rivals.with_drain3)
    result: dict[str, Any] = {
        "settings": rivals.moselle_settings(), **ours,
        "rivals": {"drain3": {"settings": rivals.drain3_settings(), **theirs}},
    }  # fmt: skip
    if given:
        result["given"] = _figures("moselle", given, rivals.with_moselle)
        result["rivals"]["drain3"]["given"] = _figures("drain3", given, rivals.with_drain3)
    return result


def _figures(who: str, sets: Sequence[Any], mine: Any) -> dict[str, Any]:
    from services.ingest.train.mining_scores import scores, share_within

    figures: dict[str, dict[str, float]] = {}
    for name, messages, templates in sets:
        mined, seconds = mine(messages)
        scored = scores(templates, mined)
        figures[name] = {
            **{key: round(value, 4) for key, value in scored._asdict().items()},
            "lines_per_second": round(len(messages) / max(seconds, 1e-9)),
            "mined_within_true": round(share_within(mined, templates), 4),
            "true_within_mined": round(share_within(templates, mined), 4), "lines": len(messages),
            "templates": len(set(mined)), "true_templates": len(set(templates)),
        }  # fmt: skip
        words = "  ".join(f"{key} {value:.3f}" for key, value in scored._asdict().items())
        click.echo(f"{who:8s} {name:12s} {words}  {figures[name]['lines_per_second']:8.0f} lines/s", err=True)
    return {"sets": figures, "mean": _mean(list(figures.values()))}


def _mean(figures: Sequence[dict[str, float]]) -> dict[str, float]:
    keys = ("GA", "PA", "FGA", "FTA", "lines_per_second")
    return {key: round(sum(each[key] for each in figures) / len(figures), 4) for key in keys} if figures else {}
