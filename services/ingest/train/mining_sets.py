"""Recorded messages with the template that each truly has: loghub's tables, and oslo's JSON, which holds its own."""

import csv
import gzip
import json
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

from services.common.errors import SettingsInvalid
from services.ingest.core.templates import printf_template

#: Which table to take where there are several: the corrected one first.
_TABLES = ("*_structured_corrected.csv", "*_structured.csv")
_JSON = ("*.json.log", "*.json.log.gz")
_MAX_FIELD_CHARS = 1_000_000


class MiningSet(NamedTuple):
    """Messages in the order of their file, and of each the true template, as many."""

    name: str
    messages: list[str]
    templates: list[str]


def labelled_sets(folder: Path) -> list[MiningSet]:
    """A set for each table in the folder or in its folders, by name.

    Raises:
        SettingsInvalid: a table lacks a column that is needed, or has no line with a template.
    """
    tables: dict[str, Path] = {}
    for pattern in _TABLES:
        for path in sorted([*folder.glob(pattern), *folder.glob(f"*/{pattern}")]):
            tables.setdefault(path.name.split("_")[0], path)
    return [_read_table(name, path) for name, path in sorted(tables.items())]


def given_sets(folder: Path) -> list[MiningSet]:
    """A set for each folder with oslo JSON files: its messages, and as templates the `msg` that the program gave.

    Left out are lines that are no JSON, that have no `msg`, or whose `msg` has no arguments: whether such a text holds
    values nobody can tell.
    """
    files = sorted({path for pattern in _JSON for path in folder.rglob(pattern)})
    found: dict[str, MiningSet] = {}
    for path in files:
        name = str(path.parent.relative_to(folder)) if path.parent != folder else folder.name
        one = found.setdefault(name, MiningSet(name, [], []))
        for message, template in _given(path):
            one.messages.append(message)
            one.templates.append(template)
    return [one for one in found.values() if one.messages]


def _read_table(name: str, path: Path) -> MiningSet:
    csv.field_size_limit(_MAX_FIELD_CHARS)
    try:
        with path.open(newline="", encoding="utf-8", errors="replace") as file:
            rows = list(csv.DictReader(file))
    except csv.Error as error:
        raise SettingsInvalid(f"{path} is no table: {error}; it must be CSV with a header") from None
    lacking = [column for column in ("Content", "EventTemplate") if rows and column not in rows[0]]
    if not lacking:
        rows = [row for row in rows if row["EventTemplate"]]
    if not rows or lacking:
        what = f"the columns {', '.join(lacking)}" if lacking else "lines that have a template"
        raise SettingsInvalid(
            f"{path} lacks {what}: wanted are Content and EventTemplate, as loghub's tables have them"
        )
    return MiningSet(name, [row["Content"] or "" for row in rows], [row["EventTemplate"] for row in rows])


def _given(path: Path) -> Iterator[tuple[str, str]]:
    with _opened(path) as file:
        for line in file:
            try:
                record = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(record, dict) and record.get("args") and isinstance(record.get("msg"), str):
                yield str(record.get("message")).split("\n")[0], printf_template(record["msg"].split("\n")[0])


@contextmanager
def _opened(path: Path) -> Iterator[IO[Any]]:
    opener = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rt", encoding="utf-8", errors="replace") as file:
            yield file
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise SettingsInvalid(
            f"{path} cannot be read to its end ({error}): is it complete, and packed as its name says?"
        ) from None
