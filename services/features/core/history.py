"""What of the stream becomes history: which row a record is, and which of two records of one row stays.

A row is a plain dict by column name; times are microseconds since 1970 UTC. The rules:

- A name of a row (entity_id, target ..) has at most 500 bytes: longer ones fit no index.
- A time lies after 1970, a row's own also before `latest`: each month or week of wild times would be a table.
- NUL characters, which PostgreSQL refuses, become U+FFFD; NaN and infinities stay in arrays, and are null in JSON.
- Arrays that belong together have the same length. They may be as long as a record allows.

What breaks one of the others is an `InvalidMessage`.
"""

import base64
import hashlib
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

from services.common.errors import InvalidMessage
from services.common.topics import ALERTS, FEATURES, METRICS_SAMPLES, PLACEMENTS, PREDICTIONS

Row = dict[str, Any]
#: Rows by the name of their table.
Rows = Mapping[str, Sequence[Row]]

MAX_KEY_BYTES = 500
#: The end of year 9999: what a calendar holds.
LAST_MICROS = 253_402_300_800_000_000
DAY_MICROS = 86_400_000_000
#: A step so long after its records were read came from a clock that was ahead: the true step gets its place later.
#: upsert_features.sql has the same number.
AHEAD_MICROS = 600_000_000


class HistoryStore(Protocol):
    """Rows for months, in a database or in memory: tests/conformance/test_history.py holds both."""

    def check(self) -> None:
        """Makes sure that it can be written now.

        Raises:
            Retryable: it does not answer; the text says who and what to do.
            SettingsInvalid: it is not as it must be.
        """
        ...

    def upsert(self, rows: Rows) -> Mapping[str, int]:
        """Writes all of it or nothing. What is there and says the same, or something newer, stays as it is.

        Returns:
            How many rows were added or changed, by table.

        Raises:
            InvalidMessage: the database refuses a row for what it holds. Which one, halving finds out.
            Retryable, SettingsInvalid: as `check`.
        """
        ...

    def read(self, table: str, since: int, until: int, entity_id: str | None = None) -> Iterator[Row]:
        """The rows with since <= time < until, in order of time, then of their names.

        Args:
            table: a key of TABLES.
            since, until: microseconds since 1970 UTC.
            entity_id: of this entity only; of placements, of this node.
        """
        ...

    def maintain(self, now: int) -> int:
        """Prepares for the rows to come and drops, in large parts, what is older than is kept; returns how many."""
        ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Table:
    """How the records of one topic are kept.

    Attributes:
        name: of the table.
        time: the column that the table is divided by.
        names: the columns that are the row's name, with `time`.
        entity: the column that `read` asks for an entity.
        make: record to row.
        join: (what is there, what came) to what shall be there; the first itself when nothing changes.
    """

    name: str
    time: str
    names: tuple[str, ...]
    entity: str
    make: Callable[[Mapping[str, Any]], Row]
    join: Callable[[Row, Row], Row]

    def key(self, row: Row) -> tuple[Any, ...]:
        """What makes it this row: the time first."""
        return (row[self.time], *(row[name] for name in self.names))


def to_row(topic: str, record: Mapping[str, Any], latest: int) -> tuple[str, Row]:
    """The table and row of a record as it was decoded.

    Args:
        latest: the newest time that a row may have; beyond it no clock is believed.

    Raises:
        InvalidMessage: by the rules above.
    """
    table = BY_TOPIC[topic]
    row = table.make(record)
    for name in (*table.names, table.entity):
        if isinstance(row[name], str) and len(row[name].encode()) > MAX_KEY_BYTES:
            raise InvalidMessage("name_too_long", f"{name} has more than {MAX_KEY_BYTES} bytes")
    for name in _TIMES & row.keys():
        check_time(name, row[name], latest if name == table.time else LAST_MICROS)
    return table.name, row


def check_time(name: str, micros: int | None, before: int) -> None:
    """Raises InvalidMessage unless the time lies in [1970, before); None is no time and fine."""
    if micros is not None and not 0 <= micros < before:
        raise InvalidMessage("time_out_of_range", f"{name} is {micros} microseconds; wanted 0 to {before}")


def fold(table: Table, rows: Iterable[Row]) -> list[Row]:
    """Several rows of one name become one; sorted by name, so that two writers never wait for each other in a ring."""
    folded: dict[tuple[Any, ...], Row] = {}
    for row in rows:
        key = table.key(row)
        present = folded.get(key)
        folded[key] = row if present is None else table.join(present, row)
    return [folded[key] for key in sorted(folded)]


@lru_cache(maxsize=200_000)
def name_id(*names: str) -> int:
    """The id of a series' name, or of a vector's names: the same in every process and database, so none is asked.

    64 bits: among a million names two are the same with a chance of 3 in a hundred million.
    """
    text = "\x00".join(names).encode(errors="surrogatepass")
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big", signed=True)


def clean(value: Any) -> Any:
    """The same without what PostgreSQL refuses in text and JSON; bytes become base64."""
    if isinstance(value, str):
        return value.replace("\0", "\ufffd") if "\0" in value else value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, Mapping):
        return {clean(name): clean(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [clean(item) for item in value]
    return value


def _copy(record: Mapping[str, Any], names: Iterable[str]) -> Row:
    """The named fields; numbers of arrays as they are, everything else cleaned."""
    return {name: record[name] if name in _NUMBERS else clean(record[name]) for name in names}


def _check_lengths(names: Sequence[Any], values: Sequence[Any], what: str) -> None:
    if len(names) != len(values):
        raise InvalidMessage("length_mismatch", f"{len(values)} values of {len(names)} {what}")


def _make_features(record: Mapping[str, Any]) -> Row:
    _check_lengths(record["names"], record["values"], "names")
    return _copy(record, _FEATURES)


def _make_scrape(record: Mapping[str, Any]) -> Row:
    """Series ascending by id; of one that stands there twice, the first."""
    _check_lengths(record["series"], record["values"], "series")
    row = _copy(record, _SCRAPES)
    pairs: dict[str, float] = {}
    for series, value in zip(clean(record["series"]), record["values"], strict=True):
        pairs.setdefault(series, value)
    return _with_pairs(row, pairs)


def _make_prediction(record: Mapping[str, Any]) -> Row:
    _check_lengths(record["horizons_seconds"], record["values"], "horizons")
    if record["quantiles"]:
        _check_lengths(record["horizons_seconds"], record["quantiles"], "horizons")
    for quantiles in record["quantiles"]:
        _check_lengths(record["quantile_levels"], quantiles, "quantile levels")
    row = _copy(record, _PREDICTIONS)
    # An array of empty arrays is an empty array to PostgreSQL.
    return row if record["quantile_levels"] else {**row, "quantiles": []}


def _make_placement(record: Mapping[str, Any]) -> Row:
    row = _copy(record, _PLACEMENTS)
    if row["outcome"] is not None and row["outcome_time"] is None:
        row["outcome_time"] = row["decided_at"]
    row["details"] = {name: clean(value) for name, value in record.items() if name not in row}
    return row


def _make_alert(record: Mapping[str, Any]) -> Row:
    return _copy(record, _ALERTS)


def _keep_first(present: Row, added: Row) -> Row:
    return present


def _keep_better_vector(present: Row, added: Row) -> Row:
    """The higher version; then one that was not made ahead of its time; then the first."""
    return added if _vector_rank(added) > _vector_rank(present) else present


def _vector_rank(row: Row) -> tuple[int, bool]:
    return row["feature_set_version"], row["event_time"] <= row["ingest_time"] + AHEAD_MICROS


def _keep_newer_outcome(present: Row, added: Row) -> Row:
    return added if (added["outcome_time"] or 0) > (present["outcome_time"] or 0) else present


def _join_scrapes(present: Row, added: Row) -> Row:
    """The parts of a scrape together; of a series that both have, the value that came first."""
    pairs = dict(zip(present["series"], present["values"], strict=True))
    size = len(pairs)
    for series, value in zip(added["series"], added["values"], strict=True):
        pairs.setdefault(series, value)
    return present if len(pairs) == size else _with_pairs(present, pairs)


def _with_pairs(row: Row, pairs: Mapping[str, float]) -> Row:
    series = sorted(pairs, key=name_id)
    return {**row, "series": series, "values": [pairs[name] for name in series]}


_FEATURES = (
    "cluster", "entity_id", "feature_set", "event_time", "feature_set_version", "step_seconds", "ingest_time",
    "parent_entity_ids", "names", "values",
)  # fmt: skip
_SCRAPES = ("cluster", "entity_id", "event_time", "job", "ingest_time", "parent_entity_ids")
_PREDICTIONS = (
    "cluster", "entity_id", "target", "event_time", "parent_entity_ids", "step_seconds", "horizons_seconds", "values",
    "quantile_levels", "quantiles", "confidence", "spoken_by", "model_version", "valid_until", "reasons",
)  # fmt: skip
_PLACEMENTS = (
    "cluster", "request_id", "decided_at", "workload", "node", "score", "alternatives", "reasons", "mode",
    "model_version", "outcome", "outcome_time",
)  # fmt: skip
_ALERTS = (
    "fingerprint", "alert_id", "revision", "status", "starts_at", "ends_at", "detected_at", "published_at", "cluster",
    "entity_id", "parent_entity_ids", "service", "detector", "rule", "kind", "severity", "score", "threshold",
    "summary", "reason", "evidence", "mentions", "labels", "model_version", "runbook_url",
)  # fmt: skip
_NUMBERS = frozenset({"values", "horizons_seconds", "quantile_levels", "quantiles", "confidence", "score", "threshold"})
_TIMES = frozenset({
    "event_time", "ingest_time", "valid_until", "starts_at", "ends_at", "detected_at", "published_at", "decided_at",
    "outcome_time",
})  # fmt: skip

BY_TOPIC: Mapping[str, Table] = {
    FEATURES.name: Table(
        "features", "event_time", ("cluster", "entity_id", "feature_set"), "entity_id",
        _make_features, _keep_better_vector,
    ),
    METRICS_SAMPLES.name: Table(
        "scrapes", "event_time", ("cluster", "entity_id", "job"), "entity_id", _make_scrape, _join_scrapes
    ),
    ALERTS.name: Table(
        "alerts", "starts_at", ("alert_id", "status", "revision"), "entity_id", _make_alert, _keep_first
    ),
    PREDICTIONS.name: Table(
        "predictions", "event_time", ("cluster", "entity_id", "target"), "entity_id", _make_prediction, _keep_first
    ),
    PLACEMENTS.name: Table(
        "placements", "decided_at", ("cluster", "request_id"), "node", _make_placement, _keep_newer_outcome
    ),
}  # fmt: skip
TABLES: Mapping[str, Table] = {table.name: table for table in BY_TOPIC.values()}
