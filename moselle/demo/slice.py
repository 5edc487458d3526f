"""Cuts a slice of a capture and packs it with xz: what the demonstration ships, and what its tests replay.

    python -m moselle.demo.slice FOLDER [--into FOLDER] [--since TIME] [--until TIME]

FOLDER is laid out like the captures: `normal/` and `faults/` with `*.log` and `metrics.jsonl` (plain, .gz or .xz) and
`labels.jsonl`. Taken are the text logs, the metrics, and of the labels what the demonstration reads.
"""

import argparse
import gzip
import json
import lzma
import re
import shutil
import sys
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, NamedTuple

PARTS = ("normal", "faults")
LABELS = "labels.jsonl"
HERE = Path(__file__).parent / "data"

#: What of a label the demonstration reads; the rest of a capture's labels are long lists of ids.
LABEL_FIELDS = (
    "kind", "service", "alarm", "start", "end", "start_epoch", "end_epoch", "note", "events", "visible_in", "evidence",
)  # fmt: skip

_ISO = re.compile(r"^(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d(?:[.,]\d{1,6})?)")
_CTIME = re.compile(r"\[(\w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d \d{4})\]")
_ENDINGS = (".xz", ".gz", "")


class Span(NamedTuple):
    """Event times from `since` (included) to `until` (not included), seconds since 1970 UTC."""

    since: float = float("-inf")
    until: float = float("inf")

    def holds(self, moment: float) -> bool:
        return self.since <= moment < self.until


class SliceError(Exception):
    """The folder cannot be cut; the text says what was wanted."""


def line_time(line: str) -> float | None:
    """The time that a text line states, seconds since 1970 UTC; None for a line that belongs to the one before."""
    iso = _ISO.match(line)
    if iso:
        text = f"{iso[1]}T{iso[2].replace(',', '.')}"
        return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()
    ctime = _CTIME.search(line[:400])
    if ctime:
        return datetime.strptime(ctime[1], "%a %b %d %H:%M:%S %Y").replace(tzinfo=UTC).timestamp()
    return None


def lines_within(lines: Iterable[str], span: Span) -> Iterator[str]:
    """The lines of the span; lines without a time go where the line before them went."""
    is_inside = span.since == float("-inf")
    for line in lines:
        moment = line_time(line)
        if moment is not None:
            is_inside = span.holds(moment)
        if is_inside:
            yield line


def scrapes_within(lines: Iterable[str], span: Span) -> Iterator[str]:
    """The scrapes of the span."""
    return (line for line in lines if span.holds(json.loads(line)["ts"]))


def slim_label(label: dict[str, Any]) -> dict[str, Any]:
    """A label without what the demonstration does not read."""
    return {name: label[name] for name in LABEL_FIELDS if name in label}


def open_text(path: Path) -> IO[str]:
    """Opens a plain, .gz or .xz file; whatever bytes it holds survive a round trip."""
    openers = {".gz": gzip.open, ".xz": lzma.open}
    opener: Any = openers.get(path.suffix, open)
    stream: IO[str] = opener(path, "rt", encoding="utf-8", errors="surrogateescape", newline="\n")
    return stream


def captured_files(folder: Path) -> list[Path]:
    """The text logs and the metrics of one part, each in its best packed form, sorted by name."""
    found: dict[str, Path] = {}
    for ending in _ENDINGS:
        for pattern in ("*.log", "metrics.jsonl"):
            for path in folder.glob(pattern + ending):
                found.setdefault(path.name.removesuffix(ending), path)
    return [found[name] for name in sorted(found)]


def cut(source: Path, into: Path, span: Span) -> int:
    """Writes the slice of `source` to `into`; returns its size in bytes.

    Raises:
        SliceError: `source` is not laid out as wanted.
    """
    if not (source / LABELS).is_file():
        raise SliceError(f"{source} has no {LABELS}: wanted a capture with normal/, faults/ and {LABELS}")
    into.mkdir(parents=True, exist_ok=True)
    size = _cut_labels(source / LABELS, into / LABELS, span)
    for part in PARTS:
        files = captured_files(source / part)
        if not files:
            raise SliceError(f"{source / part} holds no *.log, *.log.gz or *.log.xz")
        shutil.rmtree(into / part, ignore_errors=True)
        (into / part).mkdir()
        size += sum(_cut_file(path, into / part, span) for path in files)
    return size


def _cut_labels(source: Path, target: Path, span: Span) -> int:
    labels = [json.loads(line) for line in source.read_text().splitlines() if line.strip()]
    kept = [slim_label(label) for label in labels if span.holds(label["start_epoch"])]
    return target.write_text("".join(json.dumps(label) + "\n" for label in kept))


def _cut_file(path: Path, folder: Path, span: Span) -> int:
    name = path.name.removesuffix(".gz").removesuffix(".xz")
    choose = scrapes_within if name.endswith(".jsonl") else lines_within
    with open_text(path) as stream:
        text = "".join(choose(stream, span))
    target = folder / f"{name}.xz"
    target.write_bytes(lzma.compress(text.encode("utf-8", "surrogateescape"), preset=9 | lzma.PRESET_EXTREME))
    return target.stat().st_size


def _moment(text: str) -> float:
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m moselle.demo.slice", description="Cut a slice of a capture.")
    parser.add_argument("folder", type=Path, help="a capture: normal/, faults/, labels.jsonl")
    parser.add_argument("--into", type=Path, default=HERE, help="where to write; default: what the demo ships")
    parser.add_argument("--since", type=_moment, default=Span().since, help="first event time, ISO 8601, UTC")
    parser.add_argument("--until", type=_moment, default=Span().until, help="event time to stop before")
    given = parser.parse_args(arguments)
    try:
        size = cut(given.folder, given.into, Span(given.since, given.until))
    except SliceError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stderr.write(f"{given.into}: {size / 1e6:.2f} MB\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
