"""Records of many entities judged together: each round holds at most one of an entity, in its own order."""

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from services.anomaly.core.events import Samples
from services.anomaly.model.assembly import Assembly, Complete
from services.anomaly.model.bank import Bands, Bools, Floats, Ints, Micros, within_bounds
from services.anomaly.model.desk import Verdict
from services.anomaly.model.drift_alerts import Drifted
from services.anomaly.model.entity import Entity, Registry
from services.anomaly.model.judgement import Judged, Outside, counts, judge, mark, step_scores
from services.anomaly.model.learning import Teacher
from services.anomaly.model.panel import Panel
from services.anomaly.model.plans import Layout, Layouts, Plan
from services.anomaly.model.speech import Scene, Speaker
from services.anomaly.model.store import NEVER, Store
from services.anomaly.model.together import Outcome, Together
from services.common.alerts import Finding

SECOND = 1_000_000
#: Samples that are judged in one go: the columns of so many stay near the processor.
ROUND_SAMPLES = 8192
#: Samples that wait at most.
MAX_WAITING = 65_536


class Rules(NamedTuple):
    """The settings that decide on signals, microseconds."""

    warmup: int
    refractory: int
    relearn: int


class Waiting(NamedTuple):
    """A record that is to be judged.

    Attributes:
        number: of the record among all, which orders what is said.
        source_id, source: its scrape and that one's number in the entity.
        pause: how long the scrape had been away, microseconds; None for unknown.
        watermark: the entity's after this record.
        nth: how many records of the entity were taken in with this one, in a count of its own.
    """

    number: int
    entity: Entity
    samples: Samples
    source_id: str
    source: int
    pause: int | None
    watermark: int
    nth: int = 0


class Round(NamedTuple):
    """Records that were judged in one go, as they were.

    Attributes:
        values: of all records, one after the other; `layout` says where in them which series stands.
        times, sources: (r,) of each record.
    """

    records: Sequence[Waiting]
    layout: Layout
    values: Floats
    times: Micros
    sources: Ints


class Rounds:
    """Takes records in, and judges them when it is asked to or when they are many.

    However records are cut into rounds, an entity's are judged in the order in which they came, so the same is said.

    The desk of an entity's partition hears the verdict whenever something is outside, or an alert is open.

    Attributes:
        fates: samples by what became of them.
        judged: all rounds since that was emptied.
    """

    def __init__(
        self, store: Store, registry: Registry, assembly: Assembly, panel: Panel, speaker: Speaker, rules: Rules,
        together: Together | None = None,
    ) -> None:  # fmt: skip
        self._store, self._registry, self._assembly = store, registry, assembly
        self._panel, self._speaker, self._rules = panel, speaker, rules
        self._teacher = Teacher(store, registry, panel)
        self._together = together
        self._layouts = Layouts()
        self._rounds: list[list[Waiting]] = []
        self._num_samples = 0
        self.fates: Counter[str] = Counter()
        self.judged: list[Round] = []
        self._is_repeating = False

    def take(self, waiting: Waiting) -> None:
        """A record comes; it may be judged later."""
        entity = waiting.entity
        if entity.num_waiting == len(self._rounds):
            self._rounds.append([])
        self._rounds[entity.num_waiting].append(waiting)
        entity.num_waiting += 1
        self._num_samples += len(waiting.samples.series)
        if self._num_samples > MAX_WAITING:
            self.flush()

    def flush(self) -> None:
        """Judges all that wait."""
        if not self._num_samples and not self._rounds:
            return
        rounds, self._rounds, self._num_samples = self._rounds, [], 0
        with np.errstate(all="ignore"):
            for each in rounds:
                for part in _parts(each):
                    self._run(part)
            self._panel.learn_queued()

    def repeat(self, records: Iterable[Waiting]) -> None:
        """Judges records again of which nothing was said: what is learnt of them is learnt, and nobody hears of it."""
        fates, self.fates, self._is_repeating = self.fates, Counter(), True
        for waiting in records:
            self.take(waiting)
        self.flush()
        self.fates, self._is_repeating = fates, False

    def _run(self, records: Sequence[Waiting]) -> None:
        plans, values = [], []
        sources, before = [], []
        vanishing: list[tuple[int, Ints]] = []
        for place, record in enumerate(records):
            entity, samples = record.entity, record.samples
            entity.num_waiting -= 1
            if record.pause is not None and entity.alerting.open is None:
                entity.rhythms[record.source_id].learn(record.pause / SECOND)
            plan = entity.plans.get(samples.series)
            num_refused = 0
            if plan is None or plan.fresh:
                plan, held, num_refused = self._planned(entity, samples)
            else:
                held = samples.values
            if (num_refused or entity.alerting.flood is not None) and not self._is_repeating:
                entity.desk.count_refused(record.number, entity, num_refused, record.watermark)
            plans.append(plan)
            values.append(held)
            sources.append(record.source)
            last = entity.source_times[record.source]
            before.append(last)
            if samples.event_time > last:
                entity.source_times[record.source] = samples.event_time
                if len(entity.vanishing) and last > NEVER:
                    vanishing.append((place, entity.vanishing))
        times = np.array([record.samples.event_time for record in records], np.int64)
        sources_, before_ = np.array(sources, np.int64), np.array(before, np.int64)
        gone = self._gone(vanishing, sources_, before_)
        layout = self._layouts.of(tuple(plans))
        flat = np.frombuffer(bytearray().join(values), np.float64)
        if not self._is_repeating:
            self.judged.append(Round(records, layout, flat, times, sources_))
        complete = self._assembly.take(layout, flat, times, sources_, self.fates)
        if gone is not None and len(gone.slots):
            self._judge(records, gone, before_, is_gone=True)
        if len(complete.slots):
            self._judge(records, complete, times)

    def _planned(self, entity: Entity, samples: Samples) -> tuple[Plan, "array[float]", int]:
        """A plan that may be a new one, the values that it is for, and how many series there was no room for."""
        series, values = samples.series, samples.values
        if len(set(series)) < len(series):
            series, values = self._each_once(series, values)
        is_finite = np.isfinite(np.frombuffer(values)).tolist() if len(values) else []
        plan = self._registry.plan(entity, series, is_finite)
        num_refused = sum(is_finite[place] for place in plan.fresh)
        self.fates["over_limit"] += num_refused
        self.fates["not_finite"] += len(plan.fresh) - num_refused
        return plan, values, num_refused

    def _each_once(self, series: tuple[str, ...], values: "array[float]") -> tuple[tuple[str, ...], "array[float]"]:
        """Of a series that stands in a record several times, the first finite sample counts."""
        chosen: dict[str, int] = {}
        for place, name in enumerate(series):
            held = chosen.setdefault(name, place)
            if not np.isfinite(values[held]) and np.isfinite(values[place]):
                chosen[name] = place
        places = sorted(chosen.values())
        self.fates["repeated"] += len(series) - len(places)
        return tuple(series[place] for place in places), array("d", [values[place] for place in places])

    def _gone(self, vanishing: Sequence[tuple[int, Ints]], sources: Ints, before: Micros) -> Complete | None:
        if not vanishing:
            return None
        record_of = np.repeat([place for place, _ in vanishing], [len(slots) for _, slots in vanishing])
        slots = np.concatenate([slots for _, slots in vanishing])
        return self._assembly.vanished(slots, record_of, sources[record_of], before[record_of])

    def _judge(self, records: Sequence[Waiting], complete: Complete, times: Micros, is_gone: bool = False) -> None:
        """What is outside, whether it alerts or ends an alert, what is learnt."""
        store, when = self._store, times[complete.record_of]
        kind = store.kind[complete.slots]
        warm_at = np.array([record.entity.warm_at for record in records], np.int64)
        is_open = np.array([record.entity.alerting.open is not None for record in records], bool)
        held = within_bounds(complete.values)
        bands = self._panel.bands(complete.slots, when)
        for column in self._panel.voters:
            column.remember(complete.slots, held, when)
        in_alert = is_open[complete.record_of] & store.is_worst[complete.slots]
        lines = store.line[complete.slots] if store.is_line_moved else None
        judged = judge(complete.values, store.kinds, kind, bands, in_alert, lines)
        warm_of = warm_at[complete.record_of]
        fresh = np.where(when < warm_of, warm_of, when + self._rules.warmup)
        mark(store.signals.rows, complete.slots, judged.is_outside, when, fresh, store.kinds.table, kind)
        if not self._is_repeating:
            self.note(records, complete, times, bands)
        wholes = self._judged_together(records, complete, times, is_gone)
        is_bad = np.zeros(len(records), bool)
        is_said = is_open.copy()
        is_said[[place for place, whole in wholes.items() if whole.speaks or whole.is_bad]] = True
        is_said[complete.record_of[judged.is_outside]] = True
        if is_said.any() and self._say(records, complete, times, judged, kind, is_said, is_open, is_bad, wholes):
            self._panel.turn(complete.slots, when)
        entities = [record.entity for record in records]
        self._teacher.learn(entities, complete, held, when, judged, kind, warm_of, is_open, is_bad)
        self._calibrate(records, complete, times, judged, is_open | is_bad)
        if store.watch is not None:
            self._drift(records, complete, held, when)

    def _calibrate(
        self, records: Sequence[Waiting], complete: Complete, times: Micros, judged: Judged, is_bad: Bools
    ) -> None:
        """Remembers how far out steps were that are as they should be."""
        steps = step_scores(judged, self._can_alert(complete), complete.record_of, len(records))
        store, good = self._store, np.flatnonzero((steps >= 0) & ~is_bad).tolist()
        warm = [place for place in good if times[place] >= records[place].entity.warm_at]
        rows = [records[place].entity.calibrated_at(store) for place in warm]
        if rows:
            store.calibration.learn(np.array(rows, np.int64), steps[warm])

    def _can_alert(self, complete: Complete) -> Bools:
        return self._store.kinds.can_alert[self._store.kind[complete.slots]]

    def _drift(self, records: Sequence[Waiting], complete: Complete, held: Floats, when: Micros) -> None:
        """Each value counts for drift, outside or not; what changed for good is forgotten, and learnt anew."""
        store = self._store
        assert store.watch is not None
        found, over = store.watch.update(complete.slots, held, when)
        if not len(found.which) and not len(over):
            return
        news: dict[int, tuple[list[Drifted], list[str]]] = {}
        for number, place in enumerate(found.which.tolist()):
            signal = store.signal(int(complete.slots[place]))
            drifted = Drifted(
                signal.key, signal.meaning.words, signal.meaning.unit, bool(found.is_spread[number]),
                int(found.since[number]), float(found.before[number]), float(found.after[number]),
                float(found.errors[number]),
            )  # fmt: skip
            news.setdefault(int(complete.record_of[place]), ([], []))[0].append(drifted)
        for place in over.tolist():
            key = store.signal(int(complete.slots[place])).key
            news.setdefault(int(complete.record_of[place]), ([], []))[1].append(key)
        for place in sorted(news) if not self._is_repeating else ():
            record = records[place]
            record.entity.desk.drift(record.number, record.entity, *news[place], record.watermark)

    def _judged_together(
        self, records: Sequence[Waiting], complete: Complete, times: Micros, is_gone: bool
    ) -> Mapping[int, Outcome]:
        """By place among the records, of entities whose scrape is complete."""
        if self._together is None or is_gone:
            return {}
        entities, sources = [record.entity for record in records], [record.source for record in records]
        found = self._together.judge(entities, sources, times, np.bincount(complete.record_of, minlength=len(records)))
        if not self._is_repeating:
            self.note_together(records, times, found)
        return found

    def note_together(self, records: Sequence[Waiting], times: Micros, found: Mapping[int, Outcome]) -> None:
        """Called with what was judged together, for those who want to know."""

    def note(self, records: Sequence[Waiting], complete: Complete, times: Micros, bands: Sequence[Bands]) -> None:
        """Called with what was judged, for those who want to know."""

    def _say(
        self, records: Sequence[Waiting], complete: Complete, times: Micros, judged: Judged, kind: Ints,
        is_said: Bools, is_open: Bools, is_bad: Bools, wholes: Mapping[int, Outcome],
    ) -> bool:  # fmt: skip
        """Hands verdicts on, entity by entity; notes in `is_open` and `is_bad` what they led to.

        Returns:
            Whether any signal's new level was accepted.
        """
        when, rows = times[complete.record_of], self._store.signals.take(complete.slots)
        may_speak = judged.is_outside & counts(rows, complete.values, when, self._store.kinds, kind)
        has_lasted = judged.is_outside & (rows["has_track"] > 0) & (rows["out_since"] > 0)
        has_lasted &= when - rows["out_since"] >= self._rules.relearn
        bad = judged.is_outside & self._store.kinds.can_alert[kind] & ~has_lasted
        begins = np.searchsorted(complete.record_of, np.arange(len(records) + 1))
        is_changed = False
        for place in np.flatnonzero(is_said & (begins[1:] > begins[:-1])).tolist():
            own = slice(begins[place], begins[place + 1])
            record = records[place]
            whole = wholes.get(place)
            is_bad[place] = bad[own].any() or (whole is not None and whole.is_bad)
            if self._is_repeating:
                continue
            accepted = complete.slots[own][has_lasted[own]].tolist()
            findings = self._findings(record, complete, int(times[place]), judged, may_speak, own)
            if whole is not None and whole.speaks:
                findings.append(self._speaker.together(record.entity, record.samples, int(times[place]), whole))
            verdict = Verdict(findings, bool(is_bad[place]), accepted)
            record.entity.desk.settle(record.number, record.entity, verdict, record.watermark)
            is_open[place] = record.entity.alerting.open is not None
            is_changed = is_changed or bool(accepted)
        return is_changed

    def _findings(
        self, record: Waiting, complete: Complete, time: int, judged: Judged, may_speak: Bools, own: slice
    ) -> list[Finding]:
        if not may_speak[own].any():
            return []
        slots, values = complete.slots[own].tolist(), complete.values[own].tolist()
        keys = [self._store.signal(slot).key for slot in slots]
        outside = [
            Outside(key, value, float(score), float(edge), float(usual))
            for key, value, score, edge, usual, is_out in zip(
                keys,
                values,
                judged.score[own],
                judged.edge[own],
                judged.usual[own],
                judged.is_outside[own],
                strict=True,
            )
            if is_out
        ]
        loud = {key for key, may in zip(keys, may_speak[own], strict=True) if may}
        speaking = [each for each in outside if each.key in loud]
        if record.entity.alerting.open is None:
            speaking = [each for each in speaking if not self._is_old_news(record.entity, each, time)]
        if not speaking:
            return []
        series = dict(zip(keys, complete.series[own].tolist(), strict=True))
        values_by_key = dict(zip(keys, values, strict=True))
        only = judged.of(own)
        [step] = step_scores(only, self._can_alert(complete)[own], np.zeros(len(slots), np.int64), 1).tolist()
        calibrated = self._store.calibration.score(record.entity.calibrated_at(self._store), step)
        scene = Scene(record.entity, record.samples, time, values_by_key, series, outside, calibrated)
        return self._speaker.findings(scene, speaking)

    def _is_old_news(self, entity: Entity, outside: Outside, time: int) -> bool:
        """Shortly after an alert the same signal is news only when it is worse."""
        last = entity.alerting.last
        if last is None or time - last.resolved_at > self._rules.refractory:
            return False
        return outside.score <= entity.alerting.worst.get(outside.key, 0.0)


def _parts(records: Sequence[Waiting]) -> Iterator[Sequence[Waiting]]:
    """The records in parts of about ROUND_SAMPLES."""
    begin, num = 0, 0
    for place, record in enumerate(records):
        if num > ROUND_SAMPLES:
            yield records[begin:place]
            begin, num = place, 0
        num += len(record.samples.series)
    yield records[begin:]
