"""All that is known of one entity beside its columns: its names, its scrapes, its alert."""

from collections.abc import Sequence
from itertools import count
from typing import Any

import msgspec
import numpy as np

from services.anomaly.core.signals import Signal, Unknown, terms_of
from services.anomaly.model.abstract import MetricDetector
from services.anomaly.model.drift_alerts import DriftState
from services.anomaly.model.plans import MAX_PLANS, Plan
from services.anomaly.model.rhythm import Rhythm
from services.anomaly.model.store import NEVER, SIGNAL_PARTS, Store
from services.common.alerts import OpenAlert, Resolved, Subject

#: Of the whole of what is saved of an entity. 1: each signal as MessagePack, each detector by itself.
#: 2: all rows with each scrape.
STATE_VERSION = 3
#: Series of one signal, on average, that an entity may have.
SERIES_A_SIGNAL = 8


class Who(msgspec.Struct, array_like=True):
    """What hardly changes; microseconds UTC. `warm_at`: from when on it may alert."""

    subject: Subject
    host: str
    began_at: int
    warm_at: int


class Clock(msgspec.Struct, array_like=True):
    """What changes with each scrape: how far it was heard, its scrapes' newest times in their order, their rhythms.

    Attributes:
        number, count: as in `Entity`.
        lines: of its signals, in their order; empty where nobody's words moved any.
    """

    watermark: int
    sources: list[tuple[str, int]]
    rhythms: dict[str, Rhythm]
    number: int
    count: int
    lines: list[float]


class Alerting(msgspec.Struct, array_like=True):
    """The open alert, what is remembered of the last one, and each signal's worst score in either.

    `flood` is another one: while it is open, series of the entity are not taken in for want of room. `drift` is the
    one about signals that changed for good.
    """

    open: OpenAlert | None = None
    last: Resolved | None = None
    worst: dict[str, float] = msgspec.field(default_factory=dict)
    flood: OpenAlert | None = None
    drift: DriftState = msgspec.field(default_factory=DriftState)


class Entity:
    """One entity. Whoever changes its names, alert or clocks says so by `has_new_names` and `is_alert_changed`.

    Attributes:
        samples: its series and their numbers, from 1 on; `sample_slots` where they are kept, by number.
        signals: its signals and their slots; all of them in `signal_slots`, those that count when gone in `vanishing`.
        sources: its scrapes and their numbers, from 1 on; `source_times` their newest samples' times, by number.
        version: counts changes of the names.
        number: what the partition's journal calls it; never given to another.
        count, saved_count: records of it that were taken in, and how many its saved rows know of.
        segment: of the journal, where the first record stands that these do not know of; None for none.
        num_waiting: records of it that were taken in and are not judged yet.
        watched: where its first signals' drift is kept, in their order.
        calibration_row: where its steps' scores are kept; -1 for none yet.
        trees: what the half-space trees keep of it; `together` what is known of its signals together.
        individuals: detectors of its own, by name.
        desk: where its alerts are decided on.
        is_unsaved: whether this process has never saved it.
        is_disturbed: whether something came to it that reading its records again would not bring back, other than
            new names or news of its alert.
    """

    __slots__ = (
        "alerting", "began_at", "calibration_row", "count", "desk", "entity_id", "has_new_names", "host",
        "individuals", "is_alert_changed", "is_disturbed", "is_unsaved", "is_who_changed", "num_waiting", "number",
        "plans", "rhythms", "sample_slots", "samples", "saved_count", "segment", "signal_slots", "signals",
        "source_times", "sources", "subject", "together", "trees", "vanishing", "version", "warm_at", "watched",
        "watermark",
    )  # fmt: skip

    def __init__(self, who: Who, desk: Any) -> None:
        self.desk = desk
        self.entity_id = who.subject.entity_id
        self.subject, self.host, self.began_at, self.warm_at = who.subject, who.host, who.began_at, who.warm_at
        self.watermark = 0
        self.rhythms: dict[str, Rhythm] = {}
        self.alerting = Alerting()
        self.samples: dict[str, int] = {}
        self.signals: dict[str, int] = {}
        self.sources: dict[str, int] = {}
        self.source_times: list[int] = [NEVER]
        self.plans: dict[tuple[str, ...], Plan] = {}
        self.version = 0
        self.num_waiting = 0
        self.trees: Any = None
        self.together: Any = None
        self.individuals: dict[str, MetricDetector] = {}
        self.calibration_row = -1
        self.sample_slots = self.signal_slots = self.vanishing = self.watched = np.zeros(0, np.int64)
        self.number = self.count = self.saved_count = 0
        self.segment: Any = None
        self.has_new_names = self.is_alert_changed = self.is_who_changed = self.is_unsaved = True
        self.is_disturbed = False

    @property
    def who(self) -> Who:
        """The part of its state that hardly changes."""
        return Who(self.subject, self.host, self.began_at, self.warm_at)

    def clock(self, store: Store) -> Clock:
        """The part of its state that changes with each scrape."""
        sources = list(zip(self.sources, self.source_times[1:], strict=True))
        lines = store.line[self.signal_slots] if store.is_line_moved else np.ones(0)
        moved = lines.tolist() if (lines != 1.0).any() else []
        return Clock(self.watermark, sources, self.rhythms, self.number, self.count, moved)

    @property
    def is_to_save(self) -> bool:
        """Whether its rows must be saved at once, since its records alone do not lead to them."""
        return self.is_alert_changed or self.is_disturbed or self.has_new_names or self.is_who_changed

    def source(self, source_id: str) -> int:
        """The number of a scrape, which may be a new one."""
        number = self.sources.get(source_id)
        if number is None:
            number = self.sources[source_id] = len(self.source_times)
            self.source_times.append(NEVER)
            self.is_disturbed = True
        return number

    def keep(self, store: Store, samples: Sequence[str], signals: Sequence[Signal], origins: Sequence[str]) -> None:
        """Takes new names in and asks for their slots. `origins`: a series of each signal."""
        self.samples.update(zip(samples, count(len(self.samples) + 1), strict=False))
        self.sample_slots = np.concatenate([self.sample_slots, store.add_samples(len(samples))])
        slots = store.add_signals(signals, origins)
        self.signals.update(zip((signal.key for signal in signals), slots.tolist(), strict=True))
        self.signal_slots = np.concatenate([self.signal_slots, slots])
        self.vanishing = self.signal_slots[store.kinds.vanishes[store.kind[self.signal_slots]]]
        if store.watch is not None:
            store.watch.add(self.signal_slots)
            self.watched = store.watch.rows_of(self.signal_slots)
        self.version += 1
        self.has_new_names = True

    def set_back(self, store: Store, delta: int) -> None:
        """The source's clock was set back by so much: what comes now is newer than anything before."""
        self.warm_at -= delta
        self.is_who_changed = True
        rows, slots = store.signals.rows, self.signal_slots
        rows["warm_at"][slots] -= delta
        rows["raised_at"][slots] -= delta
        out_since = rows["out_since"][slots]
        rows["out_since"][slots] = np.where(out_since != 0, np.maximum(1, out_since - delta), 0)
        if self.together is not None:
            self.together.course.set_back(delta)
        if store.watch is not None:
            store.watch.set_back(slots, delta)
        self._forget_times(store)

    def _forget_times(self, store: Store) -> None:
        store.free_samples(self.sample_slots)
        self.samples, self.sample_slots = {}, np.zeros(0, np.int64)
        self.plans.clear()
        self.source_times[1:] = [NEVER] * (len(self.source_times) - 1)
        rows = store.signals.rows
        for field in SIGNAL_PARTS["pending"]:
            rows[field][self.signal_slots] = 0
        rows["done_time"][self.signal_slots] = NEVER
        self.version += 1
        self.has_new_names = True

    def drop(self, store: Store, keys: Sequence[str]) -> None:
        """These signals are not looked at any more."""
        store.free_signals(np.array([self.signals.pop(key) for key in keys], np.int64))
        self.signal_slots = np.array(list(self.signals.values()), np.int64)
        self.keep(store, [], [], [])
        if store.watch is not None:
            store.watch.mark(self.watched)

    def calibrated_at(self, store: Store) -> int:
        """Where its steps' scores are kept."""
        if self.calibration_row < 0:
            self.calibration_row = store.calibration.add()
        return self.calibration_row

    def free(self, store: Store) -> None:
        """Gives its rows back."""
        if self.calibration_row >= 0:
            store.calibration.free(self.calibration_row)
        store.free_samples(self.sample_slots)
        store.free_signals(self.signal_slots)


class Registry:
    """Makes plans for records, and takes new series in as long as there is room.

    Attributes:
        version: counts changes of any entity's names.
    """

    def __init__(self, store: Store, unknown_metrics: Unknown, max_signals: int) -> None:
        self._store = store
        self.unknown_metrics: Unknown = unknown_metrics
        self._max_signals = max_signals
        self.version = 0

    def plan(self, entity: Entity, series: tuple[str, ...], is_finite: "list[bool] | None" = None) -> Plan:
        """The plan for a record's series, which are different ones.

        Args:
            is_finite: of each value whether it is; None for all.
        """
        plan = entity.plans.get(series)
        if plan is None:
            plan = self._made(entity, series)
        if plan.fresh:
            wanted = [place for place in plan.fresh if is_finite is None or is_finite[place]]
            is_known = plan.version == entity.version and plan.refused.issuperset(wanted)
            if wanted and not is_known:
                return self._tried(entity, series, plan, wanted)
        return plan

    def _made(self, entity: Entity, series: tuple[str, ...]) -> Plan:
        if len(entity.plans) >= MAX_PLANS:
            entity.plans.clear()
        terms = [terms_of(name, self.unknown_metrics) for name in series]
        plan = entity.plans[series] = Plan(series, terms, entity.samples, entity.sample_slots, entity.signals)
        return plan

    def _tried(self, entity: Entity, series: tuple[str, ...], plan: Plan, wanted: list[int]) -> Plan:
        """Takes in as many new series as there is room for; the plan that this leads to."""
        new_samples: list[str] = []
        new_signals: dict[str, tuple[Signal, str]] = {}
        for place in wanted:
            name = series[place]
            if name in entity.samples:
                continue
            terms = terms_of(name, self.unknown_metrics)
            keys = [term.signal for term in terms if term.signal.key not in entity.signals]
            unknown = [signal for signal in keys if signal.key not in new_signals]
            is_full = len(entity.samples) + len(new_samples) >= SERIES_A_SIGNAL * self._max_signals
            if is_full or (unknown and len(entity.signals) + len(new_signals) >= self._max_signals):
                continue
            new_samples.append(name)
            new_signals.update({signal.key: (signal, name) for signal in unknown})
        if new_samples:
            signals, origins = [each for each, _ in new_signals.values()], [name for _, name in new_signals.values()]
            entity.keep(self._store, new_samples, signals, origins)
            self.version += 1
        if new_samples or plan.version != entity.version:
            plan = self._made(entity, series)
        plan.version = entity.version
        plan.refused = plan.refused | {place for place in wanted if series[place] not in entity.samples}
        return plan
