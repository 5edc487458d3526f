"""Features of recorded data: for training, and to check the stream.

It shares the feature functions and the rule of which records are late (`Mark`) with the stream, and nothing else:
everything of an entity and step is grouped first, then computed. The same records give the same numbers to the bit.
"""

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import groupby
from operator import attrgetter
from typing import Any, NamedTuple

from services.common.errors import InvalidMessage
from services.common.topics import LOGS_RATES, METRICS_SAMPLES
from services.features.core import log_features, metric_features, node_features
from services.features.core.catalogue import LOGS, LOGS_HOST, METRICS_CORE, FeatureSet
from services.features.core.incoming import Incoming, as_contribution, read
from services.features.core.log_features import LogCounts
from services.features.core.marks import SECOND, Mark, StepRules, Verdict
from services.features.core.metric_features import MetricStep, Point
from services.features.core.rolling import WINDOW_SECONDS, Recent
from services.features.core.sources import CORE_METRICS, is_core
from services.features.core.steps import HOST_SETTLE_SECONDS, MAX_SERIES, Vectors, feature_record, signal_vectors


class Arrival(NamedTuple):
    """A record as a topic holds it. `appended` is Kafka's time, microseconds."""

    topic: str
    record: Mapping[str, Any]
    partition: int = 0
    offset: int = 0
    appended: int | None = None


def feature_records(
    records: Iterable[tuple[str, Mapping[str, Any]]],
    cluster: str | None = None,
    step_seconds: int = 10,
    lateness_seconds: float = 10.0,
) -> Iterator[dict[str, Any]]:
    """The records of features.v1 that the stream would write for these.

    Args:
        records: (topic, record) of metrics.samples.v1 and logs.rates.v1, each entity's in order of event time; others
            are left out.
        cluster: in place of the records' own.
        step_seconds, lateness_seconds: as in the settings of the service.

    Yields:
        Feature vectors by step, then entity, then feature set.
    """
    arrivals = (Arrival(topic, record) for topic, record in records)
    rules = StepRules(step_seconds=step_seconds, lateness_seconds=lateness_seconds)
    for record in batch_features(arrivals, rules):
        yield record if cluster is None else record | {"cluster": cluster}


def batch_features(arrivals: Iterable[Arrival], rules: StepRules) -> list[dict[str, Any]]:
    """The same from records with the times at which Kafka took them, each partition's in its order."""
    metrics: dict[str, list[Incoming]] = {}
    logs: dict[str, list[Incoming]] = {}
    hosts: dict[str, list[tuple[tuple[int, int, int], Incoming]]] = {}
    for number, arrival in enumerate(arrivals):
        incoming = _read(arrival)
        if incoming is None:
            continue
        if arrival.topic != LOGS_RATES.name:
            metrics.setdefault(incoming.entity_id, []).append(incoming)
            continue
        logs.setdefault(incoming.entity_id, []).append(incoming)
        contribution = as_contribution(incoming)
        if contribution is not None:
            order = (
                (-1, -1, number) if arrival.appended is None else (arrival.appended, arrival.partition, arrival.offset)
            )
            hosts.setdefault(contribution.entity_id, []).append((order, contribution))
    host_rules = StepRules(rules.step_seconds, rules.lateness_seconds, rules.quiet_seconds, HOST_SETTLE_SECONDS)
    found: list[dict[str, Any]] = []
    for entity in metrics.values():
        found += _each_epoch(entity, rules, _metric_vectors)
    for entity in logs.values():
        found += _each_epoch(entity, rules, partial(_log_vectors, LOGS))
    for numbered in hosts.values():
        entity = [incoming for _, incoming in sorted(numbered, key=lambda pair: pair[0])]
        found += _each_epoch(entity, host_rules, partial(_log_vectors, LOGS_HOST))
    return sorted(found, key=lambda record: (record["event_time"], record["entity_id"], record["feature_set"]))


def _read(arrival: Arrival) -> Incoming | None:
    """A record that makes features; None for those of other topics, and for those that the stream refuses."""
    try:
        is_ours = arrival.topic in (METRICS_SAMPLES.name, LOGS_RATES.name)
        return read(arrival.topic, arrival.record, arrival.appended) if is_ours else None
    except InvalidMessage:
        return None


Steps = Mapping[int, Sequence[Incoming]]
#: A source's records by step, to each step's vectors.
MakeVectors = Callable[[Steps, StepRules], Iterator[tuple[int, Vectors]]]


def _each_epoch(entity: Sequence[Incoming], rules: StepRules, vectors: MakeVectors) -> Iterator[dict[str, Any]]:
    """The vectors of one entity: its admitted records, cut where its clock began anew, grouped by step."""
    mark, epoch, admitted = Mark(), 0, []
    for incoming in entity:
        verdict = mark.admit(incoming.event_time, incoming.appended, rules)
        epoch += verdict is Verdict.BEGUN_ANEW
        if verdict in (Verdict.ADMITTED, Verdict.BEGUN_ANEW):
            admitted.append((epoch, incoming))
    for _, group in groupby(admitted, key=lambda pair: pair[0]):
        steps: dict[int, list[Incoming]] = {}
        for _, incoming in group:
            steps.setdefault(rules.start_of(incoming.event_time), []).append(incoming)
        ordered = dict(sorted(steps.items()))
        for start, made in vectors(ordered, rules):
            members = ordered[start]
            parents = next((one.parent_entity_ids for one in members if one.parent_entity_ids), ())
            ingest_time = max(map(attrgetter("ingest_time"), members))
            for feature_set, values in made:
                yield feature_record(
                    feature_set, members[0].entity_id, start, rules.step_seconds, ingest_time, members[0].cluster,
                    parents, values,
                )  # fmt: skip


def _metric_vectors(steps: Steps, rules: StepRules) -> Iterator[tuple[int, Vectors]]:
    points = {start: _points(members) for start, members in steps.items()}
    core: dict[int, list[float]] = {}
    signals: dict[int, dict[str, float]] = {}
    starts = list(steps)
    for place, start in enumerate(starts):
        told = MetricStep(rules.step_seconds, points[start], _before(points, starts, place))
        signals[start] = node_features.base_values(told)
        if not CORE_METRICS.isdisjoint(told.metrics):
            core[start] = metric_features.base_values(told)
    kept = {start: node_features.kept_values(base) for start, base in signals.items()}
    kept = {start: values for start, values in kept.items() if values}
    of_core, of_kept = list(core), list(kept)
    for start in steps:
        found: Vectors = []
        if start in core:
            recent = _recent(core, of_core, start, metric_features.CORE)
            found.append((METRICS_CORE, metric_features.with_rolling(core[start], recent)))
        looked_back = [(at, kept[at]) for at in _window(of_kept, start)]
        yield start, [*found, *signal_vectors(signals[start], looked_back)]


def _points(members: Sequence[Incoming]) -> dict[str, list[Point]]:
    """Series to its samples by time; of two for one time the first counts. MAX_SERIES of each kind."""
    found: dict[str, dict[int, float]] = {}
    num_kept = Counter[bool]()
    for incoming in members:
        for series, value in incoming.content:
            if series not in found:
                if num_kept[is_core(series)] >= MAX_SERIES:
                    continue
                num_kept[is_core(series)] += 1
            found.setdefault(series, {}).setdefault(incoming.event_time, value)
    return {series: sorted(points.items()) for series, points in found.items()}


def _before(points: Mapping[int, Mapping[str, Sequence[Point]]], starts: Sequence[int], place: int) -> dict[str, Point]:
    """Series to its last sample before a step, in the steps that a rate may reach back to."""
    # A step is an hour at most, and its samples lie up to a step after its start.
    earliest = starts[place] - (metric_features.MAX_GAP_SECONDS + 3600) * SECOND
    found: dict[str, Point] = {}
    for earlier in starts[bisect_left(starts, earliest) : place]:
        found |= {series: listed[-1] for series, listed in points[earlier].items()}
    return found


def _log_vectors(feature_set: FeatureSet, steps: Steps, rules: StepRules) -> Iterator[tuple[int, Vectors]]:
    counts: dict[int, LogCounts] = {}
    for start, members in steps.items():
        counts[start] = LogCounts()
        for incoming in members:
            counts[start].add(incoming.content)
    kept = {start: log_features.kept_values(found) for start, found in counts.items()}
    first = min(counts)
    starts = list(counts)
    for start, found in counts.items():
        recent = _recent(kept, starts, start, log_features.KEPT)
        rolling = log_features.rolling_values(recent, start, first, rules.step_seconds)
        yield start, [(feature_set, [*log_features.base_values(found, rules.step_seconds), *rolling])]


def _recent(
    values: Mapping[int, Sequence[float]], starts: Sequence[int], start: int, names: Sequence[str]
) -> dict[str, Recent]:
    """Name to its values in the steps of the last five minutes, `start` included."""
    window = _window(starts, start)
    return {name: [(at, values[at][place]) for at in window] for place, name in enumerate(names)}


def _window(starts: Sequence[int], start: int) -> Sequence[int]:
    """Of some steps, ascending, those of the last five minutes, `start` included."""
    return starts[bisect_right(starts, start - WINDOW_SECONDS * SECOND) : bisect_right(starts, start)]
