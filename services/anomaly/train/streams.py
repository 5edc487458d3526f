"""Other streams made of a recorded one, to see what hangs on the one recording."""

import itertools
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from services.common.series import is_counter, parse_series

Record = Mapping[str, Any]


def half_of(records: Sequence[Record], which: int) -> Iterator[Record]:
    """The records with only those series whose name's checksum is odd (1) or even (0)."""
    for record in records:
        kept = [
            (name, value)
            for name, value in zip(record["series"], record["values"], strict=True)
            if zlib.crc32(name.encode()) % 2 == which
        ]
        if kept:
            yield {**record, "series": [name for name, _ in kept], "values": [value for _, value in kept]}


def rotated(records: Sequence[Record], by_micros: int) -> Iterator[Record]:
    """The records from `by_micros` after the first one on, then the ones before, as one stream that goes on in time.

    Counters go on too: the second part grows from where the first part ended.
    """
    begin, end = records[0]["event_time"], max(record["event_time"] for record in records)
    cut = begin + by_micros
    length = end - begin + _interval(records)
    first: dict[tuple[str, str], float] = {}
    last: dict[tuple[str, str], float] = {}
    for record in records:
        for name, value in zip(record["series"], record["values"], strict=True):
            first.setdefault((record["entity_id"], name), value)
            last[record["entity_id"], name] = value
    yield from (record for record in records if record["event_time"] >= cut)
    for record in records:
        if record["event_time"] < cut:
            values = [
                value - first[record["entity_id"], name] + last[record["entity_id"], name]
                if is_counter(parse_series(name).metric)
                else value
                for name, value in zip(record["series"], record["values"], strict=True)
            ]
            yield {**record, "event_time": record["event_time"] + length, "values": values}


def _interval(records: Sequence[Record]) -> int:
    """The most frequent step of time, of the first thousand records."""
    times = sorted({int(record["event_time"]) for record in records[:1000]})
    steps = [after - before for before, after in itertools.pairwise(times)]
    return max(set(steps), key=steps.count) if steps else 0
