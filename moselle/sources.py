"""`moselle sources`: how complete what each source sends is, over all replicas of ingest."""

import json
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import ProxyHandler, build_opener

import click

from services.common.errors import Retryable, SettingsInvalid
from services.ingest.core.source_report import COLUMNS, judged, merge

TIMEOUT_SECONDS = 10.0
#: Whatever proxy the environment names, replicas are asked directly.
_OPENER = build_opener(ProxyHandler({}))
#: The command line knows `--state`; here it is a plain option, since this module is imported only when it is called.
STATE = click.option(
    "--state",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(".moselle"),
    envvar="MOSELLE_STATE",
    help="The state folder of the embedded stack. [default: .moselle]",
)

Json = dict[str, Any]


@click.command()
@STATE
@click.option("--json", "is_json", is_flag=True, help="One JSON object, for scripts.")
@click.option("--limit", type=click.IntRange(min=1), default=40, show_default=True, help="At most so many rows.")
def command(state: Path, is_json: bool, limit: int) -> None:
    """Show what each source sends, worst first: gaps, late and repeated lines, clocks, lines not parsed.

    What the columns mean and what to do: docs/completeness.md.
    """
    from moselle.stack import control

    tables = [table for service in control.status(state)["services"] if (table := read_table(service)) is not None]
    if not tables:
        raise SettingsInvalid("no ingest runs here: start the stack with `moselle up`")
    rows = judged(merge(table["sources"] for table in tables))
    if is_json:
        forgotten = sum(table["forgotten"] for table in tables)
        click.echo(json.dumps({"replicas": len(tables), "forgotten": forgotten, "sources": rows}, ensure_ascii=False))
        return
    for line in as_lines(rows[:limit]):
        click.echo(line)
    if len(rows) > limit:
        click.echo(f"{len(rows) - limit} more: --limit, or --json", err=True)


def read_table(service: Json) -> Json | None:
    """What a replica of ingest has; None for services without such a page.

    Raises:
        Retryable: it does not answer.
    """
    if service["name"].partition("-")[0] != "ingest":
        return None
    try:
        with _OPENER.open(f"http://{service['http']}/sources.json", timeout=TIMEOUT_SECONDS) as answer:
            table: Json = json.load(answer)
            return table
    except HTTPError:
        return None  # a receiver
    except (OSError, ValueError) as error:
        raise Retryable(f"{service['name']} at {service['http']} does not answer ({error}): try again") from error


def as_lines(rows: list[Json]) -> list[str]:
    """The table as text: figures in columns, what is worth a look at the end of each line."""
    titles = ["source", *(title for title, _, _ in COLUMNS), "worth a look"]
    cells = [[row["source_id"], *(fill(row) for _, _, fill in COLUMNS), "; ".join(row["notes"])] for row in rows]
    widths = [max(len(line[at]) for line in [titles, *cells]) for at in range(len(titles) - 1)]
    return [_line(line, widths) for line in [titles, *cells]] if rows else ["nothing has been read yet"]


def _line(cells: list[str], widths: list[int]) -> str:
    figures = [cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=False)]
    return "  ".join([cells[0].ljust(widths[0]), *figures, cells[-1]]).rstrip()
