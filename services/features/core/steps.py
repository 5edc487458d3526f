"""The step machine: what the stream keeps of each entity, and the vectors that it lets go.

One machine for all feature sets. Its state is a value that can be written down: versioned msgpack, bounded.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeVar

import msgspec

from services.common.errors import ArtifactMismatch
from services.features.core import log_features, metric_features, node_features
from services.features.core.catalogue import (
    LOGS,
    LOGS_HOST,
    METRICS_CORE,
    METRICS_NODE,
    METRICS_WORKLOAD,
    FeatureSet,
)
from services.features.core.incoming import Incoming
from services.features.core.log_features import LogCounts
from services.features.core.marks import SECOND, Mark, StepRules, Verdict
from services.features.core.metric_features import MetricStep, Point
from services.features.core.rolling import WINDOW_SECONDS
from services.features.core.sources import CORE_METRICS, is_core

#: Series of one entity and step that are kept of those that `metrics.core` reads, and as many of the others; more are
#: ignored, in order of arrival.
MAX_SERIES = 2000
#: A host's services report over several partitions: so long, by Kafka's time, their reports may lie apart.
HOST_SETTLE_SECONDS = 2.0
#: The first byte of a saved state. Another number is another encoding.
STATE_VERSION = 1

Record = dict[str, Any]


def feature_record(
    feature_set: FeatureSet,
    entity_id: str,
    start: int,
    step_seconds: int,
    ingest_time: int,
    cluster: str,
    parent_entity_ids: Sequence[str],
    values: Sequence[float],
) -> Record:
    """A record of features.v1. `start` and `ingest_time` are microseconds."""
    assert len(values) == len(feature_set.features), f"{feature_set.name}: {len(values)} values"
    return {
        "event_time": start, "step_seconds": step_seconds, "ingest_time": ingest_time, "cluster": cluster,
        "entity_id": entity_id, "parent_entity_ids": list(parent_entity_ids), "feature_set": feature_set.name,
        "feature_set_version": feature_set.version, "names": feature_set.names, "values": list(values),
    }  # fmt: skip


class OpenStep(msgspec.Struct, array_like=True):
    """What has come for a step: samples by series, or log counts.

    Cluster and parents are the first record's that names any. `others` are series that `metrics.core` does not read.
    """

    cluster: str
    parent_entity_ids: list[str]
    ingest_time: int
    points: dict[str, list[Point]] = msgspec.field(default_factory=dict)
    counts: LogCounts = msgspec.field(default_factory=LogCounts)
    others: dict[str, list[Point]] = msgspec.field(default_factory=dict)


class Past(msgspec.Struct, array_like=True):
    """What rolling features need of a closed step."""

    start: int
    values: list[float]


class EntityState(msgspec.Struct, array_like=True):
    """One entity in one feature set.

    Attributes:
        mark: which steps are open.
        next_offsets: partition of the source to the offset after the last record taken in; earlier ones are repeats.
        open: start of the step to what has come for it.
        past: the closed steps of the last five minutes, ascending.
        before: series to its last sample in closed steps.
        first_start: of the entity's first step; None before it closed.
        past_signals: of the same steps what signals of nodes look back on, where they have any.
        waiting: reports that may still be overtaken: (Kafka's time, partition, offset, report).
    """

    mark: Mark = msgspec.field(default_factory=Mark)
    next_offsets: dict[int, int] = msgspec.field(default_factory=dict)
    open: dict[int, OpenStep] = msgspec.field(default_factory=dict)
    past: list[Past] = msgspec.field(default_factory=list)
    before: dict[str, Point] = msgspec.field(default_factory=dict)
    first_start: int | None = None
    waiting: list[tuple[int, int, int, "Report"]] = msgspec.field(default_factory=list)
    past_signals: list[Past] = msgspec.field(default_factory=list)

    def is_repeat(self, partition: int, offset: int) -> bool:
        """Whether a record was taken in before; if not, from now on it was."""
        if offset < self.next_offsets.get(partition, 0):
            return True
        self.next_offsets[partition] = offset + 1
        return False


class Report(msgspec.Struct, array_like=True):
    """A service's log counts on their way into its host's steps."""

    event_time: int
    ingest_time: int
    cluster: str
    counts: LogCounts


_ENCODE = msgspec.msgpack.Encoder().encode
_DECODE = msgspec.msgpack.Decoder(EntityState).decode


def encode_state(state: EntityState) -> bytes:
    """The state as a table keeps it."""
    return bytes([STATE_VERSION]) + _ENCODE(state)


def decode_state(data: bytes) -> EntityState:
    """What `encode_state` made.

    Raises:
        ArtifactMismatch: it was written in another encoding.
    """
    if not data or data[0] != STATE_VERSION:
        raise ArtifactMismatch(
            f"a saved state of features has encoding {data[:1]!r}, wanted {STATE_VERSION}: run the version that wrote"
            " it, or delete the moselle-features-*-changelog topics to begin without past"
        )
    try:
        return _DECODE(data[1:])
    except msgspec.MsgspecError as error:
        raise ArtifactMismatch(
            f"a saved state of features cannot be read ({error}): delete the moselle-features-*-changelog topics to"
            " begin without past"
        ) from None


#: Feature sets with a step's vectors.
Vectors = list[tuple[FeatureSet, list[float]]]


class StepContent(Protocol):
    """What feature sets of one source do with a step."""

    def add(self, step: OpenStep, incoming: Incoming) -> None:
        """Takes a record into its step."""
        ...

    def close(self, state: EntityState, start: int, step: OpenStep, rules: StepRules) -> Vectors:
        """The step's vectors; leaves in `state` what later steps need."""
        ...


class MetricContent:
    """`metrics.core`, `metrics.node` and `metrics.workload`."""

    def add(self, step: OpenStep, incoming: Incoming) -> None:
        for series, value in incoming.content:
            kept = step.points if is_core(series) else step.others
            points = kept.get(series)
            if points is None:
                if len(kept) >= MAX_SERIES:
                    continue
                points = kept[series] = []
            if all(time != incoming.event_time for time, _ in points):
                points.append((incoming.event_time, value))

    def close(self, state: EntityState, start: int, step: OpenStep, rules: StepRules) -> Vectors:
        points = {series: sorted(listed) for kept in (step.points, step.others) for series, listed in kept.items()}
        told = MetricStep(rules.step_seconds, points, state.before)
        vectors = [*self._core(state, start, told), *self._signals(state, start, told)]
        state.before |= {series: listed[-1] for series, listed in points.items()}
        reach = start + rules.step - metric_features.MAX_GAP_SECONDS * SECOND
        state.before = {series: point for series, point in state.before.items() if point[0] >= reach}
        return vectors

    def _core(self, state: EntityState, start: int, told: MetricStep) -> Vectors:
        if CORE_METRICS.isdisjoint(told.metrics):
            return []
        base = metric_features.base_values(told)
        recent = remember(state, start, base[: len(metric_features.CORE)], metric_features.CORE)
        return [(METRICS_CORE, metric_features.with_rolling(base, recent))]

    def _signals(self, state: EntityState, start: int, told: MetricStep) -> Vectors:
        base = node_features.base_values(told)
        state.past_signals = within(state.past_signals, start)
        kept = node_features.kept_values(base)
        if kept:
            state.past_signals.append(Past(start, kept))
        return signal_vectors(base, [(past.start, past.values) for past in state.past_signals])


def signal_vectors(base: Mapping[str, float], recent: Sequence[tuple[int, Sequence[float]]]) -> Vectors:
    """`metrics.node` and `metrics.workload`, each where it tells anything; see `node_features.with_recent`."""
    if not base:
        return []
    values = node_features.with_recent(base, recent)
    both = (METRICS_NODE, node_features.node_vector(values)), (METRICS_WORKLOAD, node_features.workload_vector(values))
    return [(feature_set, listed) for feature_set, listed in both if listed]


class LogContent:
    """`logs` and `logs.host`."""

    def __init__(self, feature_set: FeatureSet) -> None:
        self._feature_set = feature_set

    def add(self, step: OpenStep, incoming: Incoming) -> None:
        step.counts.add(incoming.content)

    def close(self, state: EntityState, start: int, step: OpenStep, rules: StepRules) -> Vectors:
        if state.first_start is None:
            state.first_start = start
        recent = remember(state, start, log_features.kept_values(step.counts), log_features.KEPT)
        rolling = log_features.rolling_values(recent, start, state.first_start, rules.step_seconds)
        return [(self._feature_set, [*log_features.base_values(step.counts, rules.step_seconds), *rolling])]


def within(past: list[Past], start: int) -> list[Past]:
    """Without what is older than five minutes."""
    earliest = start - WINDOW_SECONDS * SECOND
    return [one for one in past if one.start > earliest]


def remember(
    state: EntityState, start: int, values: Sequence[float], names: Sequence[str]
) -> dict[str, list[tuple[int, float]]]:
    """Adds a closed step to the past and forgets what is older than five minutes; returns the past by name."""
    state.past = within(state.past, start)
    state.past.append(Past(start, list(values)))
    return {name: [(past.start, past.values[place]) for past in state.past] for place, name in enumerate(names)}


class StepMachine:
    """Takes records of entities in and lets vectors go. Keeps nothing itself: state is handed in.

    Args:
        content: what its feature set does.
        rules: how steps are cut and closed.
    """

    def __init__(self, content: StepContent, rules: StepRules) -> None:
        self._content = content
        self.rules = rules

    def offer(self, state: EntityState, incoming: Incoming) -> tuple[Verdict, list[Record]]:
        """Takes one record in; returns what became of it, and the vectors of steps that closed by it."""
        began = state.mark.closed_until
        verdict = state.mark.admit(incoming.event_time, incoming.appended, self.rules)
        records = []
        if verdict is Verdict.BEGUN_ANEW:
            records = self._close(state, incoming.entity_id, None)
            state.past, state.past_signals, state.before, state.first_start = [], [], {}, None
        if verdict in (Verdict.ADMITTED, Verdict.BEGUN_ANEW):
            # Steps that closed because nothing had come for long hold none of this record.
            self._add(state, incoming)
        if state.mark.closed_until != began:
            records += self._close(state, incoming.entity_id, state.mark.closed_until)
        return verdict, records

    def advance(self, state: EntityState, entity_id: str, now: int) -> list[Record]:
        """Kafka's time is `now` and every earlier record was offered: the vectors of steps that closed by that."""
        state.mark.advance(now, self.rules)
        return self._close(state, entity_id, state.mark.closed_until)

    def _add(self, state: EntityState, incoming: Incoming) -> None:
        start = self.rules.start_of(incoming.event_time)
        step = state.open.get(start)
        if step is None:
            step = OpenStep(incoming.cluster, list(incoming.parent_entity_ids), incoming.ingest_time)
            state.open[start] = step
        step.ingest_time = max(step.ingest_time, incoming.ingest_time)
        step.parent_entity_ids = step.parent_entity_ids or list(incoming.parent_entity_ids)
        self._content.add(step, incoming)

    def _close(self, state: EntityState, entity_id: str, until: int | None) -> list[Record]:
        records = []
        for start in sorted(start for start in state.open if until is None or start < until):
            step = state.open.pop(start)
            records += [
                feature_record(
                    feature_set, entity_id, start, self.rules.step_seconds, step.ingest_time, step.cluster,
                    step.parent_entity_ids, values,
                )
                for feature_set, values in self._content.close(state, start, step, self.rules)
            ]  # fmt: skip
        return records


Machine = TypeVar("Machine", bound=StepMachine)


def metric_machine(rules: StepRules) -> StepMachine:
    """The machine of samples."""
    return StepMachine(MetricContent(), rules)


def log_machine(rules: StepRules) -> StepMachine:
    """The machine of `logs`."""
    return StepMachine(LogContent(LOGS), rules)


def host_machine(rules: StepRules) -> StepMachine:
    """The machine of `logs.host`: its services' reports settle for a while."""
    settled = msgspec.structs.replace(rules, settle_seconds=HOST_SETTLE_SECONDS)
    return StepMachine(LogContent(LOGS_HOST), settled)
