"""What the counts of sources mean: shares, silences, and what is worth a look, worst first. For page and command."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import median
from typing import Any

#: From here on a figure is worth a look. docs/completeness.md gives the reasons.
AHEAD_SECONDS = 1.0
BEHIND_SECONDS = 60.0
#: From so many sources on, the median of their delays is what is usual.
MIN_DELAYS = 3
LATE_SHARE = 0.01
REPEATED_SHARE = 0.01
#: Programs write a line twice at one moment now and then; two shippers of one file do it always.
TWIN_SHARE = 0.2
UNPARSED_SHARE = 0.05

Row = dict[str, Any]
_COUNTS = (
    "lines", "events", "gaps", "late_lines", "repeated_events", "twin_events",
    "unheaded_lines", "untimed_lines", "keyless_lines",
)  # fmt: skip
_HIGHEST = ("last_event_time", "last_ingest_time", "longest_gap_seconds", "usual_pause_seconds", "gap_seconds")


def merge(tables: Iterable[Sequence[Mapping[str, Any]]]) -> list[Row]:
    """The rows of several replicas as one table: a source may have moved, or be spread over partitions."""
    found: dict[str, Row] = {}
    for table in tables:
        for row in table:
            known = found.get(row["source_id"])
            found[row["source_id"]] = dict(row) if known is None else _joined(known, row)
    return list(found.values())


def _joined(one: Row, other: Mapping[str, Any]) -> Row:
    newer = other if other["last_ingest_time"] > one["last_ingest_time"] else one
    sums = {name: one[name] + other[name] for name in _COUNTS}
    highest = {
        name: max((row[name] for row in (one, other) if row[name] is not None), default=None) for name in _HIGHEST
    }
    return {**newer, **sums, **highest}


def judged(rows: Iterable[Mapping[str, Any]]) -> list[Row]:
    """The rows with shares, silence and notes, worst first.

    A source is silent by the event times of the others: the newest of all is now. It is behind by the delay of the
    others, where there are some: a replay of old logs makes nobody's clock wrong.
    """
    table = [dict(row) for row in rows]
    now = max((row["last_event_time"] for row in table), default=0)
    delays = [row["delay_seconds"] for row in table if row["delay_seconds"] is not None]
    usual = max(0.0, median(delays)) if len(delays) >= MIN_DELAYS else 0.0
    for row in table:
        row["silent_seconds"] = (now - row["last_event_time"]) / 1e6
        row.update(_shares(row))
        weight, row["notes"] = _notes(row, usual)
        row["weight"] = weight
    return sorted(table, key=lambda row: (-row["weight"], -row["lines"], row["source_id"]))


def _shares(row: Row) -> dict[str, float]:
    lines, events = max(1, row["lines"]), max(1, row["events"])
    # Where no line has a header there is none to miss; then it counts which have no time at all.
    unparsed = row["unheaded_lines"] if row["unheaded_lines"] < row["lines"] else row["untimed_lines"]
    return {
        "late_share": row["late_lines"] / lines, "repeated_share": row["repeated_events"] / events,
        "twin_share": row["twin_events"] / events,
        "unparsed_share": unparsed / lines, "keyless_share": min(1.0, row["keyless_lines"] / lines),
    }  # fmt: skip


def _notes(row: Row, usual_delay: float) -> tuple[int, list[str]]:
    """How bad it is, and why in words: a power of two for each, so that the first ones outweigh all behind them."""
    delay = row["delay_seconds"]
    found = [
        (64, _is_silent(row), f"silent for {seconds(row['silent_seconds'])}"),
        (32, delay is not None and delay < -AHEAD_SECONDS, f"clock {seconds(-(delay or 0))} ahead"),
        (32, delay is not None and delay > usual_delay + BEHIND_SECONDS, f"{seconds(delay or 0)} behind"),
        (16, row["gaps"] > 0, _gaps(row)),
        (8, row["repeated_share"] >= REPEATED_SHARE, f"{percent(row['repeated_share'])} sent again"),
        (8, row["twin_share"] >= TWIN_SHARE, f"{percent(row['twin_share'])} twice: two shippers?"),
        (4, row["late_share"] >= LATE_SHARE, f"{percent(row['late_share'])} late"),
        (2, row["unparsed_share"] >= UNPARSED_SHARE, f"{percent(row['unparsed_share'])} not parsed"),
        (1, row["keyless_lines"] > 0, "no Kafka key"),
    ]
    return sum(weight for weight, is_so, _ in found if is_so), [words for _, is_so, words in found if is_so]


def _gaps(row: Row) -> str:
    longest = seconds(row["longest_gap_seconds"])
    return f"a gap of {longest}" if row["gaps"] == 1 else f"{row['gaps']} gaps, the longest {longest}"


def _is_silent(row: Row) -> bool:
    return row["gap_seconds"] is not None and row["silent_seconds"] > row["gap_seconds"]


def seconds(value: float) -> str:
    """A duration as people say it: `0.2 s`, `45 s`, `12 min`, `3.5 h`, `4 d`."""
    if value < 10:
        return f"{value:.1f} s"
    if value < 120:
        return f"{value:.0f} s"
    if value < 7200:
        return f"{value / 60:.0f} min"
    if value < 172_800:
        return f"{value / 3600:.1f} h"
    return f"{value / 86_400:.0f} d"


def percent(share: float) -> str:
    """A share as people say it: `0`, `<0.1 %`, `2.5 %`, `40 %`."""
    if share == 0:
        return "0"
    if share < 0.001:
        return "<0.1 %"
    return f"{share * 100:.1f} %" if share < 0.1 else f"{share * 100:.0f} %"


#: Columns as page and command show them: title, what it says, how a row fills it.
COLUMNS: tuple[tuple[str, str, Callable[[Row], str]], ...] = (
    ("lines", "lines read", lambda row: f"{row['lines']:,}".replace(",", "\u202f")),
    ("newest", "behind the newest line of all sources, event time", lambda row: seconds(row["silent_seconds"])),
    ("pause", "usual: nine in ten pauses are shorter", lambda row: _or_dash(row["usual_pause_seconds"])),
    ("gaps", "pauses over five times the usual", lambda row: str(row["gaps"])),
    ("late", "over 10 s behind the source's own newest line", lambda row: percent(row["late_share"])),
    ("repeated", "sent before, and now after newer lines", lambda row: percent(row["repeated_share"])),
    ("delay", "from a line's time to its reading, median", lambda row: _or_dash(row["delay_seconds"])),
    ("unparsed", "no header where others have one, or no time", lambda row: percent(row["unparsed_share"])),
    ("keyless", "in records without a Kafka key", lambda row: percent(row["keyless_share"])),
)  # fmt: skip


def _or_dash(value: float | None) -> str:
    if value is None:
        return "–"
    return f"−{seconds(-value)}" if value < 0 else seconds(value)
