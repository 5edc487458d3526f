"""Samples of a message, whatever its shape, to records: one per entity and time.

A sample that cannot be used is left out and counted by its reason; the others of its message are kept. A NaN says that
there is no value now, and a stale marker that there will be none: both are left out. Infinities are kept.
"""

import math
import struct
from collections import Counter
from collections.abc import Mapping
from sys import getsizeof
from typing import Any, NamedTuple

from services.common.entities import Entity, sample_entity, series_name
from services.common.errors import InvalidMessage
from services.ingest.core.secrets import MASK, mask
from services.ingest.core.times import MAX_SECONDS, MICROS

#: Series of one record, and characters of one series' name, so that a record stays below Kafka's largest.
MAX_SERIES = 1000
MAX_SERIES_CHARS = 4096
MAX_RECORD_CHARS = 200_000
#: Samples of one message, those left out included: a small packed one must not fill a transaction.
MAX_SAMPLES = 50_000
#: Labels of one series; Prometheus' own default for a scrape is no limit, and real series have up to some dozens.
MAX_LABELS = 128
#: Why samples are left out although nothing is wrong with them; a message of such alone is no dead letter.
HARMLESS = frozenset(("stale", "nan", "metadata", "exemplar"))
#: The NaN by which Prometheus says that a series has ended; any other NaN is a value that is not there.
STALE_BITS = 0x7FF0000000000002
#: Series whose names are remembered, and bytes of them: one of a dozen labels takes 2 to 3 kB.
KNOWN_SERIES = 50_000
KNOWN_BYTES = 128 * 2**20
FORGET_FACTOR = 10
_SERIES_BYTES, _LABEL_BYTES = 600, 64

Labels = tuple[tuple[str, str], ...]


class Identity(NamedTuple):
    """What a metric with its labels is called: the series, its entity, and the job that sent it."""

    series: str
    entity: Entity
    job: str


class KnownSeries:
    """Series, entity and job of metrics with labels: made once, since series come again with every scrape.

    Secrets are masked; labels without a value count as not there.

    What is there stays when the table is full, since a scrape of more series than it holds would otherwise throw each
    out before it comes again; after as many misses as FORGET_FACTOR tables it begins anew. Long ones are not kept.
    """

    def __init__(self) -> None:
        self._table: dict[tuple[str, Labels], Identity] = {}
        self._misses = self._num_bytes = 0

    def get(self, metric: str, labels: Labels) -> Identity:
        found = self._table.get((metric, labels))
        return self._make(metric, labels) if found is None else found

    def _make(self, metric: str, labels: Labels) -> Identity:
        if _num_chars(metric, labels) > _FAR_TOO_LONG:
            return _NOBODY
        clean = {mask(name): _masked(name, value) for name, value in labels if value}
        made = Identity(series_name(mask(metric), clean), sample_entity(clean, metric), clean.get("job", "")[:256])
        self._misses += 1
        if self._misses > FORGET_FACTOR * KNOWN_SERIES:
            self.clear()
        if len(self._table) < KNOWN_SERIES and _num_chars(metric, labels) <= MAX_SERIES_CHARS:
            self._keep(metric, labels, made)
        return made

    def _keep(self, metric: str, labels: Labels, made: Identity) -> None:
        size = _SERIES_BYTES + 2 * getsizeof(made.series)
        size += sum(_LABEL_BYTES + getsizeof(name) + getsizeof(value) for name, value in labels)
        if self._num_bytes + size <= KNOWN_BYTES:
            self._num_bytes += size
            self._table[metric, labels] = made

    def clear(self) -> None:
        self._table.clear()
        self._misses = self._num_bytes = 0

    def __len__(self) -> int:
        return len(self._table)


def _num_chars(metric: str, labels: Labels) -> int:
    return len(metric) + sum(len(name) + len(value) for name, value in labels)


#: Even secrets that are masked do not make a series of this length a short one.
_FAR_TOO_LONG = 4 * MAX_SERIES_CHARS
#: What is far too long has no name.
_NOBODY = Identity("", Entity(""), "")
known_series = KnownSeries()


def _masked(name: str, value: str) -> str:
    """A label's value; `***` when its name says that it is a secret."""
    pair = f'{name}="{value}"'
    return mask(value) if len(pair) > MAX_SERIES_CHARS or mask(pair) == pair else _hidden(value)


def _hidden(value: str) -> str:
    found = mask(value)
    return MASK if found == value else found


def is_stale(value: float) -> bool:
    """Whether a NaN is Prometheus' stale marker."""
    return bool(struct.unpack("<Q", struct.pack("<d", value))[0] == STALE_BITS)


def usable(micros: int) -> int | None:
    """A time after 1970 and before 2200, else None."""
    return micros if 0 < micros < MAX_SECONDS * MICROS else None


class Samples:
    """Takes the samples of one message.

    Args:
        transport_micros: Kafka's time, for samples that have none of their own.
        collectd_rates: whether collectd made rates of its counters.
        graphite_prefix: what stands before the host in Graphite's paths.
    """

    def __init__(self, transport_micros: int, collectd_rates: bool = True, graphite_prefix: str = "") -> None:
        self.transport_micros = transport_micros
        self.collectd_rates = collectd_rates
        self.graphite_prefix = graphite_prefix
        self.num_samples = 0
        self._num_seen = 0
        #: How many samples, or parts of the message, could not be used, by reason.
        self.left_out: Counter[str] = Counter()
        self._open: dict[tuple[str, int], tuple[dict[str, Any], int]] = {}
        self._full: list[dict[str, Any]] = []

    def add(self, metric: str, labels: Labels, micros: int | None, value: float) -> None:
        """Takes a sample; one that is not a number is left out.

        Raises:
            InvalidMessage: `too_many_samples`.
        """
        self._see()
        if math.isnan(value):
            self.leave_out("stale" if is_stale(value) else "nan")
            return
        if not metric:
            self.leave_out("bad_name")
            return
        if len(labels) > MAX_LABELS:
            self.leave_out("too_many_labels")
            return
        series, entity, job = known_series.get(metric, labels)
        if not 0 < len(series) <= MAX_SERIES_CHARS:
            self.leave_out("series_too_long")
            return
        self.num_samples += 1
        if self.num_samples > MAX_SAMPLES:
            raise _too_many()
        key = (entity.entity_id, self.transport_micros if micros is None else micros)
        record, chars = self._open.get(key) or (_empty(key[1], entity, job), 0)
        if not record["parent_entity_ids"]:
            record["parent_entity_ids"] = list(entity.parent_entity_ids)
        record["series"].append(series)
        record["values"].append(float(value))
        chars += len(series)
        if len(record["series"]) >= MAX_SERIES or chars > MAX_RECORD_CHARS:
            self._open.pop(key, None)
            self._full.append(record)
        else:
            self._open[key] = (record, chars)

    def leave_out(self, reason: str, number: int = 1) -> None:
        """Counts what cannot be used.

        Raises:
            InvalidMessage: `too_many_samples`.
        """
        if number:
            self._see()
            self.left_out[reason] += number

    def _see(self) -> None:
        self._num_seen += 1
        if self._num_seen > 2 * MAX_SAMPLES:
            raise _too_many()

    def records(self) -> list[dict[str, Any]]:
        """Records with entity, time, job, series and values; several of an entity and time when they are many.

        Raises:
            InvalidMessage: nothing can be used; its reason is that of most of what was left out, else `no_samples`.
        """
        found = [*self._full, *(record for record, _ in self._open.values())]
        if not found:
            self._explain()
        return found

    def _explain(self) -> None:
        wrong = Counter({reason: number for reason, number in self.left_out.items() if reason not in HARMLESS})
        if wrong:
            reason, number = wrong.most_common(1)[0]
            raise InvalidMessage(reason, f"nothing of this message can be used: {number} times {reason}")
        if not self.left_out:
            raise InvalidMessage("no_samples", "not one number in this message")


def _too_many() -> InvalidMessage:
    return InvalidMessage("too_many_samples", f"more than {MAX_SAMPLES} in one message: send smaller ones")


def _empty(time: int, entity: Entity, job: str) -> dict[str, Any]:
    return {
        "event_time": time, "entity_id": entity.entity_id, "parent_entity_ids": list(entity.parent_entity_ids),
        "series": [], "values": [], "job": job,
    }  # fmt: skip


def text_labels(labels: Mapping[Any, Any]) -> Labels:
    """Labels out of JSON: numbers and truths as text, others left out."""
    return tuple((str(name), value if isinstance(value, str) else str(value)) for name, value in labels.items()
                 if isinstance(value, (str, int, float)))  # fmt: skip
