"""Whether the stream computed the features that the batch computes from the same records, to the bit."""

import math
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from services.features.core.batch import Arrival, batch_features
from services.features.core.marks import StepRules

Json = dict[str, Any]
Key = tuple[str, int, str]

#: How many differences are described; all are counted.
MAX_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Parity:
    """What a comparison found.

    Attributes:
        rows: different (entity, step, feature set) that the stream wrote.
        mismatches: rows that differ, lack or are too many, by any field and bit.
        unfinished: rows of the batch that the stream may still write: the newest steps of their entity.
        repeated: records beyond the first for a row; the same bits, else they are mismatches.
        first: the first differences, for people.
    """

    rows: int
    mismatches: int
    unfinished: int
    repeated: int
    first: tuple[str, ...]

    def summary(self) -> Json:
        """The last line of `moselle features parity`."""
        return {
            "rows": self.rows, "parity_mismatches": self.mismatches, "unfinished": self.unfinished,
            "repeated": self.repeated, "first": list(self.first),
        }  # fmt: skip


def row_key(record: Mapping[str, Any]) -> Key:
    """What makes a row one row: entity, step, feature set."""
    return record["entity_id"], record["event_time"], record["feature_set"]


def compare(arrivals: Iterable[Arrival], written: Iterable[Mapping[str, Any]], rules: StepRules) -> Parity:
    """Compares what the stream wrote with what the batch computes.

    Args:
        arrivals: records of metrics.samples.v1 and logs.rates.v1, each partition's in its order, with Kafka's times.
        written: records of features.v1.
        rules: the settings of the stream.
    """
    streamed: dict[Key, Mapping[str, Any]] = {}
    repeated, differences = 0, []
    for record in written:
        first = streamed.setdefault(row_key(record), record)
        if first is not record:
            repeated += 1
            differences += described(first, record, "written twice, differently")
    batch = {row_key(record): record for record in batch_features(arrivals, rules)}
    newest: dict[tuple[str, str], int] = {}
    for entity_id, start, feature_set in streamed:
        newest[entity_id, feature_set] = max(start, newest.get((entity_id, feature_set), -1))
    unfinished = {key for key in batch if key not in streamed and key[1] > newest.get((key[0], key[2]), -1)}
    for key in sorted({*streamed, *batch} - unfinished):
        differences += described(batch.get(key), streamed.get(key), "")
    return Parity(len(streamed), len(differences), len(unfinished), repeated, tuple(differences[:MAX_SHOWN]))


def described(batch: Mapping[str, Any] | None, stream: Mapping[str, Any] | None, what: str) -> list[str]:
    """The difference of two records in words, or nothing."""
    given = stream if batch is None else batch
    assert given is not None
    row = " ".join(map(str, row_key(given)))
    if batch is None or stream is None:
        return [f"{row}: only in the {'stream' if batch is None else 'batch'}"]
    fields = [name for name in batch if name != "values" and batch[name] != stream.get(name)]
    values = different_values(batch["names"], batch["values"], stream["values"])
    return [f"{row}: {what or 'batch and stream differ'}: {', '.join(fields + values)}"] if fields or values else []


def different_values(names: Sequence[str], batch: Sequence[float], stream: Sequence[float]) -> list[str]:
    """The features whose bits differ. Every NaN is the same NaN."""
    if len(batch) != len(stream):
        return [f"{len(batch)} and {len(stream)} values"]
    found = zip(names, batch, stream, strict=False)
    return [f"{name} {a!r} {b!r}" for name, a, b in found if bits(a) != bits(b)]


def bits(value: float) -> bytes:
    """A number's bits."""
    return b"nan" if math.isnan(value) else struct.pack("<d", value)
