"""All that is known of one entity: its samples, its detectors' past, its open alert."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from services.anomaly.core.events import Samples
from services.anomaly.core.semantics import Meaning
from services.anomaly.core.words import Said, reason, summary
from services.anomaly.model.abstract import MetricDetector
from services.anomaly.model.assembly import Assembly, Batch
from services.anomaly.model.judgement import Outside, judge, shares
from services.anomaly.model.range_novelty import RangeNovelty
from services.anomaly.model.rhythm import Rhythm
from services.common.alerts import Evidence, Finding, OpenAlert, Resolved, Severity, Subject
from services.common.errors import ArtifactMismatch

STATE_VERSION = 1
SECOND = 1_000_000
FAMILY = "metric.anomaly"
MODEL_VERSION = "metrics-1"
#: Once warm, a range that is pushed doubles in a little over an hour: growing load is followed, a jump is not learnt
#: before it has been judged.
STEP_SHARE = 0.1
STEP_MICROS = 600 * SECOND
#: Signals named in the labels of an alert.
MAX_SHARES = 10


class Track(msgspec.Struct, array_like=True):
    """One signal that may alert; microseconds.

    Attributes:
        warm_at: from when on it may.
        marks: the last scrapes, the newest in the lowest bit, 1 where it lay outside.
        out_since: when it left its band, to stay outside until now; 0 inside.
        first_out: the time of the first of those scrapes that count for an alert.
        raised_at: when a value outside everything seen was last learnt.
    """

    warm_at: int
    marks: int = 0
    out_since: int = 0
    first_out: int = 0
    raised_at: int = 0


class EntityState(msgspec.Struct):
    """What is saved of an entity beside its detectors and samples; times in microseconds UTC.

    Attributes:
        warm_at: from when on it may alert.
        worst: score of each signal in the open alert, at its worst; of the last one when none is open.
        rhythms: each of its scrapes.
    """

    subject: Subject
    host: str
    began_at: int
    warm_at: int
    watermark: int = 0
    open: OpenAlert | None = None
    last: Resolved | None = None
    worst: dict[str, float] = msgspec.field(default_factory=dict)
    tracks: dict[str, Track] = msgspec.field(default_factory=dict)
    rhythms: dict[str, Rhythm] = msgspec.field(default_factory=dict)


class Rules(NamedTuple):
    """The settings that decide on signals, microseconds."""

    warmup: int
    refractory: int
    relearn: int
    runbook_url: str


class Verdict(NamedTuple):
    """What one batch of signals comes to.

    Attributes:
        findings: one a rule, the worst first; empty when nothing is to be said.
        is_bad: whether an open alert lasts.
        outside: signals that must not be learnt.
        accepted: signals whose new level is taken as normal from now on.
    """

    findings: list[Finding]
    is_bad: bool
    accepted: list[str]
    outside: frozenset[str]


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(EntityState)


class EntityModel:
    """One entity. `voters` must all agree on a signal; `advisers` only have their scores shown."""

    def __init__(
        self,
        state: EntityState,
        assembly: Assembly,
        voters: Sequence[MetricDetector],
        advisers: Sequence[MetricDetector],
        rules: Rules,
    ) -> None:
        self.state = state
        self.assembly = assembly
        self.voters = list(voters)
        self.advisers = list(advisers)
        self._rules = rules
        self._bounds = next((d for d in (*voters, *advisers) if isinstance(d, RangeNovelty)), None)

    @property
    def detectors(self) -> list[MetricDetector]:
        """All of them, voters first."""
        return [*self.voters, *self.advisers]

    def judge(self, batch: Batch, samples: Samples) -> Verdict:
        """Every signal of the batch against what is known; learns nothing."""
        state = self.state
        outside = self._outside(batch)
        speaking = [each for each in outside if self._counts(each, batch.time)]
        accepted = [each.key for each in outside if self._has_lasted(each.key, batch.time)]
        if state.open is None:
            speaking = [each for each in speaking if not self._is_old_news(each, batch.time)]
        findings = self._findings(speaking, outside, batch, samples) if speaking else []
        is_bad = any(self._meaning(each.key).role == "alerts" and each.key not in accepted for each in outside)
        return Verdict(findings, is_bad, accepted, frozenset(each.key for each in outside))

    def _outside(self, batch: Batch) -> list[Outside]:
        """The signals beyond their edge; notes for those that may alert that they are, or are not."""
        found = []
        is_open = self.state.open is not None
        for key, value in batch.values.items():
            meaning = self._meaning(key)
            outside = judge(key, value, meaning, self.voters, is_open and key in self.state.worst)
            if outside is not None:
                found.append(outside)
            if meaning.role == "alerts":
                self._mark(key, outside is not None, batch.time)
        return found

    def _meaning(self, key: str) -> Meaning:
        return self.assembly.signals[key].meaning

    def _mark(self, key: str, is_out: bool, time: int) -> None:
        state = self.state
        track = state.tracks.get(key)
        if track is None:
            # What appears once the entity is warm needs a warm-up of its own.
            warm_at = state.warm_at if time < state.warm_at else time + self._rules.warmup
            track = state.tracks[key] = Track(warm_at)
        is_out = is_out and time >= track.warm_at
        recent = (1 << self._meaning(key).of) - 1
        if is_out and not track.marks & (recent >> 1):
            track.first_out = time
        track.out_since = (track.out_since or time) if is_out else 0
        track.marks = ((track.marks << 1) | is_out) & recent

    def _counts(self, outside: Outside, time: int) -> bool:
        """Whether it has lain outside often enough of late; what nobody has any more counts at once."""
        meaning = self._meaning(outside.key)
        track = self.state.tracks.get(outside.key)
        if meaning.role != "alerts" or track is None or time < track.warm_at:
            return False
        is_gone = meaning.vanishing_is_zero and outside.value <= 0
        return is_gone or track.marks.bit_count() >= meaning.hits

    def _has_lasted(self, key: str, time: int) -> bool:
        track = self.state.tracks.get(key)
        return track is not None and track.out_since > 0 and time - track.out_since >= self._rules.relearn

    def _is_old_news(self, outside: Outside, time: int) -> bool:
        """Shortly after an alert the same signal is news only when it is worse."""
        last = self.state.last
        if last is None or time - last.resolved_at > self._rules.refractory:
            return False
        return outside.score <= self.state.worst.get(outside.key, 0.0)

    def learn(self, batch: Batch, verdict: Verdict) -> None:
        """Takes a batch in as normal, except what lies outside; nothing while an alert is open."""
        if self.state.open is not None:
            return
        is_warm_up = batch.time < self.state.warm_at
        x = batch.values if is_warm_up else self._inside(batch, verdict.outside)
        for detector in self.voters:
            detector.learn_one(x)
        if is_warm_up or not verdict.is_bad:
            for detector in self.advisers:
                detector.learn_one({**self.assembly.latest, **x} if detector.judges == "whole" else x)

    def _inside(self, batch: Batch, outside: frozenset[str]) -> dict[str, float]:
        """What may be learnt once warm: values inside, new extremes only as far as they may be believed.

        Signals that are only shown, and those that came late and are warming up by themselves, are learnt as they are.
        """
        x = {}
        for key, value in batch.values.items():
            track = self.state.tracks.get(key)
            if track is None or batch.time < track.warm_at:
                x[key] = value
            elif key not in outside:
                believed = self._believed(key, value, batch.time)
                if believed is not None:
                    x[key] = believed
        return x

    def _believed(self, key: str, value: float, time: int) -> float | None:
        """A new extreme widens what was seen by at most STEP_SHARE each STEP_MICROS; None when that was just done."""
        seen = self._bounds.seen(key) if self._bounds else None
        track = self.state.tracks.get(key)
        if seen is None or track is None or seen[0] <= value <= seen[1]:
            return value
        if time - track.raised_at < STEP_MICROS:
            return None
        track.raised_at = time
        room = STEP_SHARE * max(seen[1] - seen[0], self._meaning(key).min_change)
        return max(seen[0] - room, min(seen[1] + room, value))

    def accept(self, keys: Iterable[str]) -> None:
        """These signals are at their new normal: learnt anew."""
        held = list(keys)
        for detector in self.detectors:
            detector.forget(held)
        for key in held:
            self.assembly.forget(key)
            self.state.tracks.pop(key, None)
            self.state.worst.pop(key, None)

    def _findings(
        self, speaking: Sequence[Outside], outside: Sequence[Outside], batch: Batch, samples: Samples
    ) -> list[Finding]:
        """One finding a rule, of the signal that is worst by it; the worst rule first."""
        if self.state.open is None:
            self.state.worst = {}
        labels = self._labels(outside, batch)
        by_rule: dict[str, list[Outside]] = {}
        for each in sorted(speaking, key=lambda each: (-each.score, each.key)):
            by_rule.setdefault(self._meaning(each.key).rule, []).append(each)
            self.state.worst[each.key] = max(each.score, self.state.worst.get(each.key, 0.0))
        return [self._finding(rule, group, labels, batch, samples) for rule, group in by_rule.items()]

    def _finding(
        self, rule: str, group: Sequence[Outside], labels: dict[str, str], batch: Batch, samples: Samples
    ) -> Finding:
        worst = group[0]
        signal = self.assembly.signals[worst.key]
        track = self.state.tracks[worst.key]
        said = self._said(worst, batch.time)
        entity_id = self.state.subject.entity_id
        starts_at = min(self.state.tracks[each.key].first_out or batch.time for each in group)
        members = [self.assembly.signals[each.key].member for each in group]
        names = [detector.name for detector in self.voters]
        severity: Severity = "critical" if _is_critical(signal.meaning, worst.value) else "warning"
        return Finding(
            FAMILY, rule, "anomaly", starts_at, severity, worst.score, 0.5, summary(said, entity_id, signal.member),
            reason(said, names, track.marks.bit_count(), {each.key: each.score for each in group[1:]}),
            self.state.subject.program, tuple(_evidence(each, batch, samples) for each in group), (),
            tuple(dict.fromkeys(member for member in members if member)), labels, MODEL_VERSION,
            self._rules.runbook_url,
        )  # fmt: skip

    def _said(self, outside: Outside, time: int) -> Said:
        seen = self._bounds.seen(outside.key) if self._bounds else None
        minutes = (time - self.state.began_at) / (60 * SECOND)
        return Said(
            self._meaning(outside.key), outside.key, outside.value, outside.usual, outside.edge, seen, minutes
        )  # fmt: skip

    def _labels(self, outside: Sequence[Outside], batch: Batch) -> dict[str, str]:
        parts = list(shares(outside).items())[:MAX_SHARES]
        x = {**self.assembly.latest, **batch.values}
        scores = {detector.name: detector.score_one(x) for detector in self.detectors}
        return {
            "shares": ";".join(f"{key}={share:.2f}" for key, share in parts),
            "scores": ";".join(f"{name}={score:.3f}" for name, score in scores.items()),
        }

    def save(self) -> dict[str, bytes]:
        """The parts of its state by name: `entity`, the assembly's and each detector's."""
        parts = {"entity": _encoder.encode(self.state)}
        parts.update({f"samples.{name}": part for name, part in self.assembly.save().items()})
        for detector in self.detectors:
            parts.update({f"{detector.name}.{name}": part for name, part in detector.save().items()})
        return parts

    def load(self, parts: Mapping[str, bytes]) -> None:
        """Takes back all but `entity`. A detector of which nothing is saved begins to learn now."""
        self.assembly.load(_under("samples", parts))
        for detector in self.detectors:
            if own := _under(detector.name, parts):
                _load_detector(detector, own, is_needed=detector in self.voters)


def _load_detector(detector: MetricDetector, parts: Mapping[str, bytes], is_needed: bool) -> None:
    try:
        detector.load(parts)
    except ArtifactMismatch:
        if is_needed:
            raise


def _under(name: str, parts: Mapping[str, bytes]) -> dict[str, bytes]:
    return {key.removeprefix(f"{name}."): part for key, part in parts.items() if key.startswith(f"{name}.")}


def _is_critical(meaning: Meaning, value: float) -> bool:
    return meaning.signal == "oom_kills" or (meaning.vanishing_is_zero and value <= 0)


def _evidence(outside: Outside, batch: Batch, samples: Samples) -> Evidence:
    """The value that was judged, under the name of one of its series; the offsets lead to the samples."""
    return Evidence(
        batch.time, samples.entity_id, batch.series[outside.key], outside.value, "", samples.source_topic,
        samples.source_partition, samples.source_offsets, samples.source_index,
    )  # fmt: skip


def decode_state(payload: bytes, version: int) -> EntityState:
    """What `EntityModel.save` gave as `entity`.

    Raises:
        ArtifactMismatch: another version, or bytes that are no entity's state.
    """
    if version != STATE_VERSION:
        raise ArtifactMismatch(
            f"anomaly.state.v1 holds an entity of version {version}, this program reads {STATE_VERSION}: "
            "run the program that wrote it, or delete the topic to learn anew."
        )
    try:
        return _decoder.decode(payload)
    except msgspec.MsgspecError as error:
        raise ArtifactMismatch(f"An entity in anomaly.state.v1 cannot be read ({error}); delete the topic.") from error
