"""`moselle evaluate logbert`: what BERT adds to the rules on a labelled recording, and what a simpler model would."""

import json
from pathlib import Path
from typing import Any

import click

from moselle.offline import derived_records
from moselle.training_logbert import log_files
from services.common.errors import MoselleError
from services.common.settings import read_settings
from services.logbert.settings import LogbertSettings


@click.command(help="Compare logbert's rules, its BERT, both, and a bigram in BERT's place on a labelled recording.")
@click.option("--data", "folder", type=click.Path(path_type=Path), required=True,
              help="A folder laid out like openstack_live: normal/, faults/, labels.jsonl.")  # fmt: skip
@click.option("--json", "_is_json", is_flag=True, help="Accepted for likeness; the last line is JSON always.")
def evaluate_logbert(folder: Path, _is_json: bool) -> None:
    """Settings come from the environment, as the service reads them. Exit codes: 0 done, 1 failed, 2 wrong usage."""
    try:
        figures = _evaluate(folder, read_settings(LogbertSettings))
    except MoselleError as error:
        raise click.ClickException(str(error)) from None
    except OSError as error:
        raise click.ClickException(f"{error.filename} cannot be read: {error.strerror}") from None
    click.echo(json.dumps(figures))


def _evaluate(folder: Path, settings: LogbertSettings) -> dict[str, Any]:
    from services.logbert.model.bert import SHIPPED, load_bert
    from services.logbert.train.dataset import read_recording
    from services.logbert.train.evaluate_bert import compare, make_rival, read_truth

    bert = load_bert(Path(settings.artifact) if settings.artifact else SHIPPED, settings.device)
    files = [path for part in ("normal", "faults") for path in log_files(folder / part)]
    records = list(derived_records(files))
    click.echo(f"{len(records)} records of {folder}; five ways to read them, some seconds each", err=True)
    normal = derived_records(log_files(folder / "normal"), until_seconds=settings.warmup_seconds)
    rival = make_rival(read_recording(normal), bert)
    ways = compare(records, read_truth(folder, records, settings), settings, bert, rival)
    chosen = {name: getattr(settings, name) for name in ("warmup_seconds", "bert_alone_windows", "device")}
    return {"settings": {**chosen, "artifact": bert.version}, **ways}
