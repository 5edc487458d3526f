"""The flow: raw records to lines, lines to folds, closed folds to events, events to templates and rates; metrics to
samples. One call of `process` is one transaction."""

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from functools import lru_cache
from itertools import compress, starmap
from typing import Any, Protocol

from services.common.broker.abstract import Record, TopicPartition
from services.common.clock import Clock, to_micros
from services.common.columns import Columns
from services.common.errors import InvalidMessage
from services.common.stage import Outputs, Table
from services.common.state import PartitionState
from services.common.topics import LOGS_PARSED, LOGS_RATES, LOGS_SEQUENCES, LOGS_TEMPLATES, METRICS_SAMPLES
from services.ingest import metrics
from services.ingest.core.completeness import Completeness, Seen
from services.ingest.core.events import MAX_BODY_CHARS, MAX_PARAMETER_CHARS, Content, build_events, content_of
from services.ingest.core.folding import Fold, SourceFolds
from services.ingest.core.lines import Limits, Origin, ParsedLine, RawLine
from services.ingest.core.metric_shapes import read_metrics
from services.ingest.core.naming import name
from services.ingest.core.open_folds import OpenFolds
from services.ingest.core.payload import unpack
from services.ingest.core.pieces import Joined
from services.ingest.core.privacy import make_privacy
from services.ingest.core.rates import RateCounter
from services.ingest.core.requests import RecentRequests, request_of
from services.ingest.core.samples import Samples
from services.ingest.core.shapes import read_lines, unwrap
from services.ingest.core.sources import Sources
from services.ingest.core.times import MAX_SECONDS
from services.ingest.core.zones import Parse, TopicParsers
from services.ingest.model.miner import MINER_VERSION, Mined, Miner
from services.ingest.model.templates import template_id_of
from services.ingest.settings import IngestSettings

REFRESH_MICROS = 1_000_000
#: Of a key, this much tells sources apart: a key may be as large as a record.
MAX_KEY_BYTES = 1024
#: A line's time this far after it was read is counted as from the future.
FUTURE_MICROS = 60_000_000
UNEXPECTED = "unexpected_error"
#: So many lines, or so many characters of them, are taken through one step before the next step begins. The code of a
#: step then stays in the processor's cache: line by line a batch takes half as long again. Measured: from 64 lines on.
CHUNK_LINES = 256
CHUNK_CHARS = 2**20

#: A transaction takes no further record after so long: Kafka gives one 30 seconds, and a batch of hostile messages must
#: not take minutes. Far more than 5000 ordinary lines need.
WORK_SECONDS = 2.0

_Lines = Sequence[tuple[Origin, ParsedLine | RawLine]]
#: A closed fold, with what its record does not say of itself.
_Closed = tuple[Fold, Origin, TopicPartition]


class TemplateSource(Protocol):
    """What all replicas have mined."""

    def start(self, apply: Callable[[dict[str, Any]], None]) -> None: ...
    def refresh(self) -> None: ...
    def close(self) -> None: ...


class _Batch:
    """What one transaction writes beside its events, and what is on its way to them."""

    def __init__(self, outputs: Outputs, now: int) -> None:
        self.outputs = outputs
        self.now = now
        self.read: list[tuple[Record, list[RawLine]]] = []
        self.num_lines_read = self.num_chars_read = 0
        self.closed: list[_Closed] = []
        self.rates = RateCounter()
        self.shapes: Counter[str] = Counter()
        self.seen = Seen()
        self.num_lines = self.num_folded = self.num_future = self.num_keyless = 0
        #: Something was written, or may have taken long, since it was last asked whether this is enough.
        self.has_worked = False

    def count(self, folds: Sequence[Fold], events: Columns) -> None:
        """Notes what was written, as columns, and the folds it was made of."""
        lines, horizon = events["line_count"], self.now + FUTURE_MICROS
        self.shapes.update(events["shape"])
        self.num_lines += sum(lines)
        self.num_folded += len(lines) - lines.count(1)
        self.num_future += sum([time > horizon for time in events["event_time"]])
        of_source = self.seen.folds
        for source_id, fold in zip(events["source_id"], folds, strict=True):
            of_source[source_id].append(fold)


class IngestStage:
    """Ingest as the kernel runs it.

    Args:
        cluster: the `cluster` setting, in every record.
        clock: wall time; it stamps `ingest_time` and closes idle folds.
        templates: what all replicas have mined; read before the first record.
        completeness: where it is counted what sources send; it outlives the stage.
    """

    def __init__(
        self,
        settings: IngestSettings,
        cluster: str,
        clock: Clock,
        templates: TemplateSource,
        completeness: Completeness | None = None,
    ) -> None:
        self._settings = settings
        self._cluster = cluster
        self._clock = clock
        self._limits = Limits(
            settings.fold_max_seconds, settings.fold_max_lines, settings.fold_max_chars,
            settings.fold_idle_ms * 1000, settings.traceback_idle_ms * 1000,
        )  # fmt: skip
        self._metric_topics = frozenset(settings.metric_topics)
        self._topic_shapes = settings.topic_shapes
        self._parsers = TopicParsers(settings.timezone, settings.source_timezones, settings.topic_shapes)
        self._privacy = make_privacy(settings)
        self._sources = Sources()
        self._miner = Miner(settings.max_templates, cluster)
        self._folds: dict[tuple[str, int], OpenFolds] = {}
        self._requests: dict[TopicPartition, RecentRequests] = {}
        self._templates = templates
        self._completeness = Completeness() if completeness is None else completeness
        self._completeness.begin()
        self._is_live = self._is_in_turn = False
        self._refreshed_at = to_micros(clock.now())
        templates.start(self._miner.load)

    def assign(self, partition: TopicPartition, state: PartitionState) -> None:
        """Goes on with the folds that were open when the partition's last transaction ended."""
        self._folds[partition] = OpenFolds(partition, state)
        self._requests[partition] = RecentRequests(state)

    def revoke(self, partition: TopicPartition) -> None:
        """Forgets the partition."""
        self._folds.pop(partition, None)
        self._requests.pop(partition, None)

    def close(self) -> None:
        """Stops reading templates."""
        self._templates.close()

    def process(self, records: Sequence[Record], outputs: Outputs) -> int:
        """Handles a batch, or as much of it as one transaction shall hold; never raises for what a record holds."""
        self._settle()
        self._is_in_turn = True
        batch = _Batch(outputs, to_micros(self._clock.now()))
        until = self._clock.monotonic() + WORK_SECONDS
        num_taken = 0
        for record in records:
            num_taken += 1
            request = request_of(record.headers) if record.headers else None
            if request is not None:
                self._take_request(request, record, batch)
            else:
                self._take(record, batch)
            if batch.num_lines_read >= CHUNK_LINES or batch.num_chars_read >= CHUNK_CHARS:
                self._flush(batch)
            if batch.has_worked:
                batch.has_worked = False
                if outputs.is_full or self._clock.monotonic() > until:
                    break
        self._finish(batch)
        return num_taken

    def _settle(self) -> None:
        """Counts what the last batch says of its sources: the next one has begun, so it is committed."""
        totals = self._completeness.settle(self._is_live)
        if totals is not None:
            metrics.GAPS.inc(totals.gaps)
            metrics.LATE.inc(totals.late_lines)
            metrics.REPEATED.inc(totals.repeated_events)
            metrics.UNPARSED.inc(totals.unparsed_lines)
            metrics.SOURCES.set(len(self._completeness))

    def _take(self, record: Record, batch: _Batch) -> None:
        if record.topic in self._metric_topics:
            self._take_metrics(record, batch)
        else:
            self._take_lines(record, batch)

    def _take_request(self, request: bytes, record: Record, batch: _Batch) -> None:
        """A receiver's record: nothing, if the request was handled before. One that was refused may come again."""
        known = self._requests[TopicPartition(record.topic, record.partition)]
        if request in known:
            metrics.REPEATED_REQUESTS.labels(record.topic).inc()
            return
        num_dead = batch.outputs.dead_letters.total()
        self._take(record, batch)
        self._flush(batch)
        if batch.outputs.dead_letters.total() == num_dead:
            known.remember(request, record.timestamp_ms)

    def tick(self, now: datetime, caught_up: Collection[TopicPartition], outputs: Outputs) -> None:
        """Lets silent folds go where nothing more can be on its way; looks at what others mined once a second."""
        self._is_live = self._folds.keys() <= set(caught_up)
        if not self._is_in_turn:  # else this belongs to the transaction of the last batch
            self._settle()
        self._is_in_turn = False
        micros = to_micros(now)
        batch = _Batch(outputs, micros)
        for partition in caught_up:
            folds = self._folds.get(partition)
            if folds is not None and folds.sources:
                self._close_idle(folds, batch)
        if not 0 <= micros - self._refreshed_at < REFRESH_MICROS:
            self._refreshed_at = micros
            self._templates.refresh()
        self._finish(batch)

    def _close_idle(self, folds: OpenFolds, batch: _Batch) -> None:
        for joined in folds.idle_partials(batch.now, self._limits):
            self._take_joined(joined, batch.now, folds, batch)
        for key, source in folds.sources.items():
            for fold in source.close_idle(batch.now, self._limits):
                folds.changed[key] = None
                batch.closed.append((fold, source.origin, folds.partition))

    def _take_metrics(self, record: Record, batch: _Batch) -> None:
        batch.has_worked = True
        settings = self._settings
        samples = Samples(_transport_micros(record, batch.now), settings.collectd_rates, settings.graphite_prefix)
        try:
            for number, sample in enumerate(self._samples(record, samples)):
                sample.update(ingest_time=batch.now, cluster=self._cluster, source_index=number)
                batch.outputs.add(METRICS_SAMPLES.name, sample["entity_id"], sample)
        except Exception as error:
            _dead_letter(record, error, batch.outputs)
            return
        metrics.SAMPLES.inc(samples.num_samples)
        for reason, number in samples.left_out.items():
            metrics.LEFT_OUT.labels(reason).inc(number)

    def _samples(self, record: Record, samples: Samples) -> list[dict[str, Any]]:
        pinned, limit = self._topic_shapes.get(record.topic, ""), self._settings.max_expanded_bytes
        shape = read_metrics(record.value, _headers(record), samples, limit, pinned)
        records = samples.records()
        if self._privacy is not None:
            self._privacy.samples(records)
        for sample in records:
            sample.update(source_topic=record.topic, source_partition=record.partition, source_offsets=[record.offset])
        metrics.METRIC_MESSAGES.labels(shape or "unknown").inc()
        return records

    def _take_lines(self, record: Record, batch: _Batch) -> None:
        try:
            value = unpack(record.value, self._settings.max_expanded_bytes)
            # A receiver's key is its request's digest, which names no source.
            key = "" if request_of(record.headers) else _key_text(record.key)
            lines = read_lines(value, key, self._topic_shapes.get(record.topic, ""))
        except Exception as error:
            batch.has_worked = True
            _dead_letter(record, error, batch.outputs)
            return
        batch.read.append((record, lines))
        batch.num_lines_read += len(lines)
        batch.num_chars_read += len(lines[0].text) if len(lines) == 1 else sum(len(line.text) for line in lines)

    def _flush(self, batch: _Batch) -> None:
        """Parses and folds the lines that were read, and writes the folds that were closed."""
        read, batch.read = batch.read, []
        batch.num_lines_read = batch.num_chars_read = 0
        batch.has_worked = True
        parsed = [(record, self._parse(record, lines, batch)) for record, lines in read]
        for record, lines in parsed:
            self._fold(record, lines, batch)
        closed, batch.closed = batch.closed, []
        try:
            if closed:
                self._write(closed, batch)
        except Exception:
            for each in closed:
                self._write_alone(each, batch)
        batch.outputs.pass_on()

    def _fold(self, record: Record, lines: _Lines, batch: _Batch) -> None:
        folds = self._folds[record[:2]]
        index = 0
        closed: list[Fold] = []
        for origin, line in lines:
            source = folds.of(origin)
            if isinstance(line, RawLine):
                index += self._take_piece(line, source, record, index, folds, batch)
                continue
            if self._privacy is not None and source.folds:
                line = self._privacy.continued(line, source.folds.values())
            index += source.feed(line, record.offset, index, batch.now, self._limits, closed)
            if closed:
                for fold in closed:
                    batch.closed.append((fold, source.origin, folds.partition))
                closed.clear()

    def _note_keyless(self, lines: _Lines, batch: _Batch) -> None:
        for origin, line in lines:
            program = line.program if isinstance(line, ParsedLine) else ""
            batch.seen.keyless[self._sources.of(origin, program).source_id] += 1

    def _parse(self, record: Record, raw_lines: Sequence[RawLine], batch: _Batch) -> _Lines:
        """The lines of a record; a piece of a line that was cut can be read only when it is whole."""
        parse = self._parsers[record.topic]
        try:
            transport = _transport_micros(record, batch.now)
            lines: _Lines = [(raw.origin, raw) if raw.piece else parse(raw, transport) for raw in raw_lines]
            if self._privacy is not None:
                lines = list(starmap(self._privacy.line, lines))
        except Exception as error:
            _dead_letter(record, error, batch.outputs)
            return ()
        if record.key is None:
            batch.num_keyless += 1
            self._note_keyless(lines, batch)
        return lines

    def _take_piece(
        self, piece: RawLine, source: SourceFolds, record: Record, index: int, folds: OpenFolds, batch: _Batch
    ) -> int:
        """Joins a piece with what came before; returns how many places among the record's events it takes."""
        num_places = 0
        for joined in source.join(piece, record.offset, index, batch.now, self._limits):
            num_places += self._take_joined(joined, _transport_micros(record, batch.now), folds, batch)
        return max(1, num_places)

    def _take_joined(self, joined: Joined, transport: int, folds: OpenFolds, batch: _Batch) -> int:
        """A line that is whole again: it may wrap others, as any line may. All but the first are the last record's."""
        lines = self._parse_joined(joined.line, transport, self._parsers[folds.partition.topic])
        for position, (origin, line) in enumerate(lines):
            source, closed = folds.of(origin), list[Fold]()
            index = joined.source_index + position
            if position == 0:
                source.feed_joined(line, joined, batch.now, self._limits, closed)
            else:
                source.feed(line, joined.offsets[-1], index, batch.now, self._limits, closed)
            for fold in closed:
                batch.closed.append((fold, source.origin, folds.partition))
        return len(lines)

    def _parse_joined(self, raw: RawLine, transport: int, parse: Parse) -> list[tuple[Origin, ParsedLine]]:
        """Never raises: pieces of the line are of records that are already counted."""
        try:
            lines = [parse(line, transport) for line in unwrap(raw, 1)]
            return lines if self._privacy is None else list(starmap(self._privacy.parsed, lines))
        except Exception as error:
            metrics.UNREADABLE.inc()
            body = f"content withheld: {type(error).__name__} while reading this line"
            return [(raw.origin, ParsedLine("unreadable", transport, "transport", "", body))]

    def _mine(self, head: ParsedLine, content: Content) -> Mined:
        message, event_time = content[1], head.event_time
        if head.template is not None:
            return self._miner.given(head.template, event_time), list(head.parameters)
        if len(message) <= MAX_PARAMETER_CHARS:
            return self._miner.mine(message, event_time)
        template_id, parameters = self._miner.mine(message[:MAX_BODY_CHARS], event_time)
        return template_id, [parameter[:MAX_PARAMETER_CHARS] for parameter in parameters]

    def _write(self, closed: Sequence[_Closed], batch: _Batch) -> None:
        """Writes an event for each fold; for none of them when one cannot be built."""
        contents = [content_of(fold) for fold, _, _ in closed]
        mined = [self._mine(each[0].head, content) for each, content in zip(closed, contents, strict=True)]
        self._add(closed, contents, mined, batch)

    def _write_alone(self, closed: _Closed, batch: _Batch) -> None:
        """Writes one event. Should building it fail, its lines are still counted, with their content withheld."""
        try:
            self._write([closed], batch)
        except Exception as error:
            metrics.UNREADABLE.inc()
            fold, _, partition = closed
            body = f"content withheld: {type(error).__name__} while building this event"
            fold.head = ParsedLine("unreadable", fold.ingest_time, "transport", "", body)
            self._add([(fold, Origin(), partition)], [(body, body, None)], [(template_id_of(body), [])], batch)

    def _add(
        self, closed: Sequence[_Closed], contents: Sequence[Content], mined: Sequence[Mined], batch: _Batch
    ) -> None:
        folds, origins, partitions = zip(*closed, strict=True)
        sources = self._sources.of_all(zip(origins, [fold.head.program for fold in folds], strict=True))
        events = build_events(folds, contents, sources, mined, partitions, MINER_VERSION, self._cluster)
        tables = {LOGS_PARSED.name: Table(events["entity_id"], events)}
        if self._settings.sequences:
            tables[LOGS_SEQUENCES.name] = _sequences(events)
        batch.outputs.add_all(tables)
        batch.rates.count(events)
        batch.count(folds, events)

    def _finish(self, batch: _Batch) -> None:
        self._flush(batch)
        for folds in self._folds.values():
            if folds.changed:
                for joined in folds.overflowing_partials(self._settings.max_open_folds):
                    self._take_joined(joined, batch.now, folds, batch)
                for origin, fold in folds.overflow(self._settings.max_open_folds):
                    batch.closed.append((fold, origin, folds.partition))
                folds.save()
        self._flush(batch)
        for requests in self._requests.values():
            requests.save()
        self._completeness.take(batch.seen, batch.now)
        for rate in batch.rates.records(batch.now, self._cluster):
            batch.outputs.add(LOGS_RATES.name, rate["entity_id"], rate)
        for template in self._miner.take_changes():
            batch.outputs.add(LOGS_TEMPLATES.name, template["template_id"], template)
        if self._privacy is not None:
            for kind, number in self._privacy.take_counts().items():
                metrics.MASKED.labels(kind).inc(number)
        for shape, number in batch.shapes.items():
            metrics.EVENTS.labels(shape).inc(number)
        metrics.LINES.inc(batch.num_lines)
        metrics.FOLDED.inc(batch.num_folded)
        metrics.FUTURE.inc(batch.num_future)
        metrics.KEYLESS.inc(batch.num_keyless)
        metrics.TEMPLATES.set(len(self._miner))
        metrics.OPEN_FOLDS.set(sum(len(s.folds) for folds in self._folds.values() for s in folds.sources.values()))


def _headers(record: Record) -> dict[str, str]:
    """A record's headers, their names in lower case; most records have none."""
    if not record.headers:
        return {}
    return {name.lower(): value.decode(errors="replace") for name, value in record.headers if value is not None}


def _key_text(key: bytes | None) -> str:
    return _short_text(key[:MAX_KEY_BYTES]) if key else ""


@lru_cache(4096)
def _short_text(key: bytes) -> str:
    return name(key.decode(errors="replace"))


def _transport_micros(record: Record, now: int) -> int:
    """Kafka's time; the wall time for a record that has none, or one that is no time."""
    return record.timestamp_ms * 1000 if 0 < record.timestamp_ms < MAX_SECONDS * 1000 else now


def _dead_letter(record: Record, error: Exception, outputs: Outputs) -> None:
    if not isinstance(error, InvalidMessage):
        error = InvalidMessage(UNEXPECTED, type(error).__name__)  # its text could hold the line's secrets
    metrics.DEAD_LETTERS.labels(error.reason).inc()
    outputs.dead_letter(record, error)


def _sequences(events: Columns) -> Table:
    """The events that name a request, else an instance, by that."""
    keys = [request or instance for request, instance in zip(events["request_id"], events["instance_id"], strict=True)]
    columns = {name: list(compress(values, keys)) for name, values in events.items()}
    return Table(list(compress(keys, keys)), columns)
