"""A record of metrics.samples.v1 as the detectors see it."""

from collections.abc import Mapping
from typing import Any, NamedTuple


class Samples(NamedTuple):
    """The fields of metrics.samples.v1 that are judged; `event_time` in microseconds UTC."""

    event_time: int
    cluster: str
    entity_id: str
    parent_entity_ids: tuple[str, ...]
    series: tuple[str, ...]
    values: tuple[float, ...]
    job: str
    source_topic: str
    source_partition: int
    source_offsets: tuple[int, ...]
    source_index: int
    ingest_time: int

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> "Samples":
        """A record of metrics.samples.v1. Raises KeyError, TypeError or ValueError for one that is not."""
        series, values = tuple(record["series"]), tuple(map(float, record["values"]))
        if len(series) != len(values):
            raise ValueError(f"{len(series)} series and {len(values)} values")
        return cls(
            int(record["event_time"]), str(record["cluster"]), str(record["entity_id"]),
            tuple(record["parent_entity_ids"]), series, values, record.get("job") or _family(series),
            record["source_topic"], record["source_partition"], tuple(record["source_offsets"]),
            record["source_index"], record["ingest_time"],
        )  # fmt: skip

    @property
    def host(self) -> str:
        """Whose clock it follows: the name of its host, or of itself when it names none."""
        for entity_id in (self.entity_id, *self.parent_entity_ids):
            kind, _, name = entity_id.partition(":")
            if kind in ("host", "node"):
                return name
        return self.entity_id

    @property
    def source_id(self) -> str:
        """One scrape of one entity: what comes again and again, and is missed when it stops."""
        return f"{self.entity_id} {self.job}"


def _family(series: tuple[str, ...]) -> str:
    """Who sent it, when no job is named: the first word of the first series, such as `node` or `namedprocess`."""
    return series[0].partition("{")[0].partition("_")[0] if series else ""
