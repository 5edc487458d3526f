"""The page `/sources`: one table, readable without anything else, worst first."""

from collections.abc import Sequence
from html import escape
from typing import Any

from services.ingest.core.source_report import COLUMNS

#: More rows than anybody reads; /sources.json has all of them.
MAX_ROWS = 500
_STYLE = """
:root{color-scheme:light dark;
--line:#d8dee6;--soft:#5b6775;--head:#f4f6f8;--bad:#b3261e;--badback:#fdeceb;--odd:#fafbfc}
@media(prefers-color-scheme:dark){
:root{--line:#343c46;--soft:#9aa7b5;--head:#1d232b;--bad:#ffb4ab;--badback:#4a1f1b;--odd:#161b21}}
body{font:15px/1.45 system-ui,sans-serif;margin:2rem auto;max-width:92rem;padding:0 1.25rem}
h1{font-size:1.5rem;margin:0}
p{color:var(--soft);margin:.3rem 0 1.2rem;max-width:60rem}
.tiles{display:flex;flex-wrap:wrap;gap:1rem 2.2rem;margin:1rem 0 1.3rem}
.tiles b{display:block;font-size:1.35rem;font-variant-numeric:tabular-nums}
.tiles span{color:var(--soft);font-size:.85rem}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th{background:var(--head);font-weight:600;position:sticky;top:0;font-size:.85rem;vertical-align:bottom}
th small{display:block;color:var(--soft);font-weight:400;line-height:1.25;font-size:.72rem}
th,td{padding:.45rem .6rem;border-bottom:1px solid var(--line);text-align:right}
td{white-space:nowrap}
th:first-child,td:first-child,td.notes,th.notes{text-align:left}
td:first-child,td.notes{white-space:normal}
td:first-child{overflow-wrap:anywhere;min-width:14rem}
td.notes{min-width:16rem}
td:first-child i{font-style:normal;color:var(--soft);display:block;font-size:.85rem}
tr:nth-child(even) td{background:var(--odd)}
.note{display:inline-block;background:var(--badback);color:var(--bad);border-radius:.7rem;padding:.05rem .6rem;
margin:.1rem .25rem .1rem 0;font-size:.82rem;white-space:nowrap}
.fine{color:var(--soft)}
"""
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Sources - Moselle</title>
<meta name="viewport" content="width=device-width"><meta http-equiv="refresh" content="15">
<style>{style}</style></head><body>
<h1>Sources</h1>
<p>{about} Counted since this process began, transaction by transaction; times are event times.
Rules and what to do: docs/completeness.md. All rows: <a href="/sources.json">/sources.json</a>.</p>
<div class="tiles">{tiles}</div>
<table><thead><tr><th>source<small>host, and file or program</small></th>{heads}
<th class="notes">worth a look</th></tr></thead>
<tbody>{rows}</tbody></table>{more}</body></html>"""
_FINE = '<span class="fine">fine</span>'


def as_html(rows: Sequence[dict[str, Any]], about: str, num_forgotten: int = 0) -> bytes:
    """The whole page.

    Args:
        rows: judged ones, worst first.
        about: a sentence that says whose sources these are.
        num_forgotten: sources that had to be forgotten.
    """
    tiles = [
        (len(rows), "sources"), (sum(1 for row in rows if row["notes"]), "worth a look"),
        (sum(row["lines"] for row in rows), "lines"), (sum(row["gaps"] for row in rows), "gaps"),
        (sum(row["late_lines"] for row in rows), "late lines"),
        (sum(row["repeated_events"] for row in rows), "events sent again"),
    ]  # fmt: skip
    heads = "".join(f"<th>{title}<small>{meaning}</small></th>" for title, meaning, _ in COLUMNS)
    page = _PAGE.format(
        style=_STYLE, about=escape(about), heads=heads, more=_more(len(rows) - MAX_ROWS, num_forgotten),
        tiles="".join(f"<div><b>{number:,}</b><span>{what}</span></div>" for number, what in tiles),
        rows="".join(map(_row, rows[:MAX_ROWS])) or _NOTHING,
    )  # fmt: skip
    return page.encode()


_NOTHING = f'<tr><td colspan="{len(COLUMNS) + 2}" class="fine">Nothing has been read yet.</td></tr>'


def _row(row: dict[str, Any]) -> str:
    host, _, path = row["source_id"].partition("|")
    cells = "".join(f"<td>{escape(fill(row))}</td>" for _, _, fill in COLUMNS)
    notes = (
        "".join(f'<span class="note">{escape(note)}</span>' for note in row["notes"])
        or '<span class="fine">fine</span>'
    )
    return f'<tr><td>{escape(host)}<i>{escape(path)}</i></td>{cells}<td class="notes">{notes}</td></tr>'


def _more(num_hidden: int, num_forgotten: int) -> str:
    sentences = []
    if num_hidden > 0:
        sentences.append(f"{num_hidden} further sources are in /sources.json.")
    if num_forgotten:
        sentences.append(f"{num_forgotten} sources that wrote longest ago were forgotten: there were too many.")
    return f"<p>{' '.join(sentences)}</p>" if sentences else ""
