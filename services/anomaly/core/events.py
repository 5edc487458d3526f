"""A record of metrics.samples.v1 as the detectors see it."""

from array import array
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

#: Seventy thousand years: a time beyond counts as that, so that differences of times stay within 64 bits.
LARGEST_TIME = 2**61


class Samples(NamedTuple):
    """The fields of metrics.samples.v1 that are judged; `event_time` in microseconds UTC."""

    event_time: int
    cluster: str
    entity_id: str
    parent_entity_ids: tuple[str, ...]
    series: tuple[str, ...]
    values: "array[float]"
    job: str
    source_topic: str
    source_partition: int
    source_offsets: tuple[int, ...]
    source_index: int
    ingest_time: int

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> "Samples":
        """A record of metrics.samples.v1.

        Raises:
            KeyError, TypeError, ValueError, OverflowError: it is none.
        """
        series, values = tuple(record["series"]), array("d", record["values"])
        if len(series) != len(values):
            raise ValueError(f"{len(series)} series and {len(values)} values")
        event_time = max(-LARGEST_TIME, min(LARGEST_TIME, int(record["event_time"])))
        return cls(
            event_time, str(record["cluster"]), str(record["entity_id"]), tuple(record["parent_entity_ids"]),
            series, values, record.get("job") or _family(series), record["source_topic"],
            record["source_partition"], tuple(record["source_offsets"]), record["source_index"], record["ingest_time"],
        )  # fmt: skip

    @property
    def host(self) -> str:
        """Whose clock it follows: the name of its host, or of itself when it names none."""
        return _host_of(self.entity_id, self.parent_entity_ids)

    @property
    def source_id(self) -> str:
        """One scrape of one entity: what comes again and again, and is missed when it stops."""
        return f"{self.entity_id} {self.job}"


@lru_cache(maxsize=100_000)
def _host_of(entity_id: str, parent_entity_ids: tuple[str, ...]) -> str:
    for name in (entity_id, *parent_entity_ids):
        kind, _, rest = name.partition(":")
        if kind in ("host", "node"):
            return rest
    return entity_id


def _family(series: tuple[str, ...]) -> str:
    """Who sent it, when no job is named: the first word of the first series, such as `node` or `namedprocess`."""
    return series[0].partition("{")[0].partition("_")[0] if series else ""
