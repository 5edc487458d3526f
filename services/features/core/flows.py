"""What becomes of the records of one topic: states change, vectors and reports go out. Knows neither Faust nor Kafka.

A flow holds the states of all entities of its partitions in memory; whoever runs it writes the outputs first and the
changed states after them, so that a state never says that something was written which was not.
"""

from abc import ABC, abstractmethod
from bisect import bisect_right, insort
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from services.common.broker.abstract import Output, Record
from services.common.errors import InvalidMessage
from services.common.stage import Encode, dead_letter_output
from services.common.topics import FEATURES, FEATURES_ROLLUP
from services.features.core.catalogue import LOGS
from services.features.core.incoming import Incoming, as_contribution, read, read_contribution
from services.features.core.log_features import COUNTED, LogCounts
from services.features.core.marks import SECOND, StepRules
from services.features.core.steps import EntityState, Report, StepMachine, decode_state, encode_state
from services.features.core.steps import host_machine as make_host_machine
from services.features.core.steps import log_machine as make_log_machine
from services.features.core.steps import metric_machine as make_metric_machine

Decode = Callable[[bytes | None], dict[str, Any]]

#: An entity that nothing was heard of for so long, by Kafka's time, is forgotten; its source keeps no longer either.
FORGET_SECONDS = 3 * 24 * 3600
#: Reports of one host that wait for slower partitions; beyond it the oldest are taken as they are.
MAX_WAITING = 5000
#: The feature set of a record in features.rollup.v1 that only says how far a partition of logs.rates.v1 is.
MARK = "logs.mark"
_REPORT_NAMES = [*COUNTED, "source_partition", "source_offset", "appended_micros"]
_MARK_NAMES = ["source_partition", "reached_micros"]


@dataclass(slots=True)
class Effects:
    """What a batch led to.

    Attributes:
        outputs: to be written, and acknowledged, before the states are.
        changed, forgotten: keys of states to write and to delete.
        verdicts: records by what became of them.
        vectors: by feature set.
        dead_letters: by reason.
    """

    outputs: list[Output] = field(default_factory=list)
    changed: set[str] = field(default_factory=set)
    forgotten: set[str] = field(default_factory=set)
    verdicts: Counter[str] = field(default_factory=Counter)
    vectors: Counter[str] = field(default_factory=Counter)
    dead_letters: Counter[str] = field(default_factory=Counter)


def state_key(partition: int, entity_id: str) -> str:
    """The key of a state: it names its partition, so that it always lies where its records do."""
    return f"{partition}|{entity_id}"


def split_key(key: str) -> tuple[int, str]:
    """(partition, entity_id) of `state_key`."""
    partition, _, entity_id = key.partition("|")
    return int(partition), entity_id


class Flow(ABC):
    """The states of one feature set in some partitions.

    Args:
        machine: what it does with a record.
        decode, encode: of records.
    """

    def __init__(self, machine: StepMachine, decode: Decode, encode: Encode) -> None:
        self._machine = machine
        self._decode = decode
        self._encode = encode
        self.states: dict[str, EntityState] = {}
        #: Keys with something that waits for time to pass.
        self._pending: set[str] = set()

    def restore(self, saved: Iterable[tuple[str, bytes]]) -> None:
        """Takes the states that were saved in place of those it has.

        Raises:
            ArtifactMismatch: one of them cannot be read.
        """
        self.states = {key: decode_state(data) for key, data in saved}
        self._pending = {key for key, state in self.states.items() if state.open or state.waiting}

    def saved(self, key: str) -> bytes:
        """A state as it is to be written."""
        return encode_state(self.states[key])

    def apply(self, records: Sequence[Record]) -> Effects:
        """Takes records in. Never raises for what one holds: unreadable ones become dead letters."""
        effects = Effects()
        for record in records:
            try:
                self._take(record, self._decode(record.value), effects)
            except InvalidMessage as error:
                effects.outputs.append(dead_letter_output(record, error))
                effects.dead_letters[error.reason] += 1
        return effects

    @abstractmethod
    def _take(self, record: Record, fields: Mapping[str, Any], effects: Effects) -> None:
        """Takes one decoded record in. Raises InvalidMessage for one that is of another form."""

    def advance(self, reached: Mapping[int, int]) -> Effects:
        """Time passed: closes what has been quiet.

        Args:
            reached: partition to Kafka's time, microseconds, up to which every record was taken in.
        """
        effects = Effects()
        for key in [key for key in self._pending if split_key(key)[0] in reached]:
            partition, entity_id = split_key(key)
            vectors = self._machine.advance(self.states[key], entity_id, reached[partition])
            self._let_go(key, vectors, effects)
        return effects

    def forget(self, reached: Mapping[int, int]) -> Effects:
        """Forgets entities that nothing was heard of for FORGET_SECONDS."""
        effects = Effects()
        for key, state in list(self.states.items()):
            now = reached.get(split_key(key)[0])
            if now is not None and key not in self._pending and now - state.mark.heard_at > FORGET_SECONDS * SECOND:
                del self.states[key]
                effects.forgotten.add(key)
        return effects

    def _state(self, key: str) -> EntityState:
        state = self.states.get(key)
        if state is None:
            state = self.states[key] = EntityState()
        return state

    def _offer(self, key: str, incoming: Incoming, effects: Effects) -> None:
        verdict, vectors = self._machine.offer(self.states[key], incoming)
        effects.verdicts[verdict.value] += 1
        effects.changed.add(key)
        self._let_go(key, vectors, effects)

    def _let_go(self, key: str, vectors: Iterable[Mapping[str, Any]], effects: Effects) -> None:
        for vector in vectors:
            data = self._encode(FEATURES.name, vector)
            effects.outputs.append(Output(FEATURES.name, vector["entity_id"].encode(), data))
            effects.vectors[vector["feature_set"]] += 1
            effects.changed.add(key)
        state = self.states[key]
        if state.open or state.waiting:
            self._pending.add(key)
        else:
            self._pending.discard(key)


class SourceFlow(Flow):
    """metrics.samples.v1 or logs.rates.v1: each record belongs to one entity, whose records come in order."""

    def _take(self, record: Record, fields: Mapping[str, Any], effects: Effects) -> None:
        incoming = read(record.topic, fields, record.timestamp_ms * 1000)
        if incoming is None:
            effects.verdicts["unknown"] += 1
            return
        key = state_key(record.partition, incoming.entity_id)
        if self._state(key).is_repeat(record.partition, record.offset):
            effects.verdicts["repeated"] += 1
            return
        self._offer(key, incoming, effects)
        self._report(record, incoming, effects)

    def _report(self, record: Record, incoming: Incoming, effects: Effects) -> None:
        """What else becomes of a record that was taken in."""


class LogFlow(SourceFlow):
    """logs.rates.v1: each record is also reported to its host."""

    def _report(self, record: Record, incoming: Incoming, effects: Effects) -> None:
        contribution = as_contribution(incoming)
        if contribution is None:
            return
        counts: LogCounts = contribution.content
        given = [float(getattr(counts, name)) for name in COUNTED]
        values = [*given, float(record.partition), float(record.offset), float(record.timestamp_ms * 1000)]
        report = _rollup(
            incoming.event_time, self._machine.rules, incoming.ingest_time, incoming.cluster, incoming.entity_id,
            list(incoming.parent_entity_ids), LOGS.name, _REPORT_NAMES, values,
        )  # fmt: skip
        data = self._encode(FEATURES_ROLLUP.name, report)
        effects.outputs.append(Output(FEATURES_ROLLUP.name, contribution.entity_id.encode(), data))

    def marks(self, reached: Mapping[int, int], num_partitions: int) -> list[Output]:
        """Tells every partition of features.rollup.v1 how far these partitions are.

        Behind its reports in the same partition a mark says: all that Kafka took up to this time was reported.
        """
        outputs = []
        for partition, micros in reached.items():
            values = [float(partition), float(micros)]
            mark = _rollup(micros, self._machine.rules, 0, "", "", [], MARK, _MARK_NAMES, values)
            data = self._encode(FEATURES_ROLLUP.name, mark)
            outputs += [Output(FEATURES_ROLLUP.name, b"", data, None, number) for number in range(num_partitions)]
        return outputs


class HostFlow(Flow):
    """features.rollup.v1: reports of services, each partition's in order, all together in order of Kafka's time.

    Args:
        num_sources: partitions of logs.rates.v1; a host's time passes when all of them have said how far they are.
    """

    def __init__(self, machine: StepMachine, decode: Decode, encode: Encode, num_sources: int) -> None:
        super().__init__(machine, decode, encode)
        self._num_sources = num_sources
        self._reached: dict[int, dict[int, int]] = {}

    def apply(self, records: Sequence[Record]) -> Effects:
        effects = super().apply(records)
        for partition in {record.partition for record in records}:
            low = self.low(partition)
            if low is not None:
                self._release_all(partition, low, effects)
        return effects

    def low(self, partition: int) -> int | None:
        """Up to which of Kafka's times every report of this partition has come; None before all sources spoke."""
        reached = self._reached.get(partition, {})
        return min(reached.values()) if len(reached) >= self._num_sources else None

    def _take(self, record: Record, fields: Mapping[str, Any], effects: Effects) -> None:
        given = dict(zip(fields["names"], fields["values"], strict=False))
        if fields["feature_set"] == MARK:
            number, micros = (int(given.get(name, 0.0)) for name in _MARK_NAMES)
            reached = self._reached.setdefault(record.partition, {})
            reached[number] = max(reached.get(number, 0), micros)
            return
        if any(name not in given for name in _REPORT_NAMES):
            raise InvalidMessage("not_a_report", f"names {fields['names']}, wanted {_REPORT_NAMES}")
        source, offset, appended = (int(given[name]) for name in _REPORT_NAMES[-3:])
        key = state_key(record.partition, (record.key or b"").decode(errors="replace"))
        state = self._state(key)
        if state.is_repeat(source, offset):
            effects.verdicts["repeated"] += 1
            return
        incoming = read_contribution(fields, appended, split_key(key)[1])
        report = Report(incoming.event_time, incoming.ingest_time, incoming.cluster, incoming.content)
        insort(state.waiting, (appended, source, offset, report), key=_order)
        self._pending.add(key)
        effects.changed.add(key)
        if len(state.waiting) > MAX_WAITING:
            effects.verdicts["forced"] += 1
            self._release(key, state.waiting[0][0], effects)

    def _release_all(self, partition: int, low: int, effects: Effects) -> None:
        for key in [key for key in self._pending if split_key(key)[0] == partition]:
            self._release(key, low, effects)
            vectors = self._machine.advance(self.states[key], split_key(key)[1], low)
            self._let_go(key, vectors, effects)

    def _release(self, key: str, low: int, effects: Effects) -> None:
        """Takes in the reports that Kafka took up to `low`, in its order."""
        state = self.states[key]
        count = bisect_right(state.waiting, low, key=lambda item: item[0])
        ready, state.waiting = state.waiting[:count], state.waiting[count:]
        for appended, _, _, report in ready:
            host = split_key(key)[1]
            incoming = Incoming(
                host, report.event_time, appended, report.ingest_time, report.cluster, (), report.counts
            )
            self._offer(key, incoming, effects)


def _order(item: tuple[int, int, int, Report]) -> tuple[int, int, int]:
    return item[:3]


def _rollup(
    event_time: int, rules: StepRules, ingest_time: int, cluster: str, entity_id: str, parents: list[str],
    feature_set: str, names: list[str], values: list[float],
) -> dict[str, Any]:  # fmt: skip
    return {
        "event_time": event_time, "step_seconds": rules.step_seconds, "ingest_time": ingest_time, "cluster": cluster,
        "entity_id": entity_id, "parent_entity_ids": parents, "feature_set": feature_set,
        "feature_set_version": LOGS.version, "names": names, "values": values,
    }  # fmt: skip


def metric_flow(rules: StepRules, decode: Decode, encode: Encode) -> SourceFlow:
    """`metrics.core` from metrics.samples.v1."""
    return SourceFlow(make_metric_machine(rules), decode, encode)


def log_flow(rules: StepRules, decode: Decode, encode: Encode) -> LogFlow:
    """`logs` from logs.rates.v1, and the reports to hosts."""
    return LogFlow(make_log_machine(rules), decode, encode)


def host_flow(rules: StepRules, decode: Decode, encode: Encode, num_sources: int) -> HostFlow:
    """`logs.host` from features.rollup.v1."""
    return HostFlow(make_host_machine(rules), decode, encode, num_sources)
