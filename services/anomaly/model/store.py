"""What is known of all series and signals of the process, in columns; each entity owns some of the rows."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from services.anomaly.core.semantics import Meaning
from services.anomaly.core.signals import Signal
from services.anomaly.model.bank import Bools, Floats, Ints, Rows
from services.anomaly.model.calibration import Calibration
from services.anomaly.model.columns import Columns
from services.anomaly.model.slots import Slots
from services.anomaly.model.watch import Watch

#: Before every time.
NEVER = -(2**62)

#: A series' newest sample.
SAMPLE: np.dtype[Any] = np.dtype([("time", "<i8"), ("value", "<f8")])
SAMPLE_PARTS: Mapping[str, tuple[str, ...]] = {"last": ("time", "value")}

#: A signal. `done`: when it was complete last, of how many series, and by which of its entity's scrapes (from 1 on;
#: 0 for never). `pending`: what came of it since, `num` series of one time; the first of them by its number in the
#: entity, 0 for none. A track, which signals that may alert have: from when on they may; the last scrapes, the newest
#: in the lowest bit, 1 where it lay outside; when it left its band to stay outside until now (0 inside); the first of
#: those scrapes that count; and when a value outside everything seen was last learnt.
SIGNAL: np.dtype[Any] = np.dtype([
    ("done_time", "<i8"), ("done_num", "<i4"), ("done_source", "<i4"), ("latest", "<f8"), ("has_latest", "u1"),
    ("time", "<i8"), ("above", "<f8"), ("below", "<f8"), ("num", "<i4"), ("series", "<i4"),
    ("warm_at", "<i8"), ("out_since", "<i8"), ("first_out", "<i8"), ("raised_at", "<i8"), ("marks", "<u4"),
    ("has_track", "u1"),
])  # fmt: skip
#: Fields that change at one pace.
SIGNAL_PARTS: Mapping[str, tuple[str, ...]] = {
    "done": ("done_time", "done_num", "done_source", "latest", "has_latest"),
    "pending": ("time", "above", "below", "num", "series"),
    "tracks": ("warm_at", "out_since", "first_out", "raised_at", "marks", "has_track"),
}


#: What the meaning of a kind of signal comes to.
KIND: np.dtype[Any] = np.dtype([
    ("can_alert", "?"), ("may_lead", "?"), ("is_ratio", "?"), ("vanishes", "?"), ("up", "?"), ("down", "?"),
    ("min_change", "<f8"), ("up_factor", "<f8"), ("down_factor", "<f8"), ("hits", "<i8"), ("recent", "<i8"),
])  # fmt: skip


class Kinds(NamedTuple):
    """What the meaning of each kind of signal comes to, a column each; and a row each in `table`.

    `can_alert`: by itself; `may_lead`: an alert of what the entity's signals say together.
    """

    can_alert: Bools
    may_lead: Bools
    is_ratio: Bools
    vanishes: Bools
    up: Bools
    down: Bools
    min_change: Floats
    up_factor: Floats
    down_factor: Floats
    hits: Ints
    recent: Ints
    table: Rows


def kinds_of(meanings: Sequence[Meaning]) -> Kinds:
    """The columns of these meanings."""
    columns = (
        np.array([m.role == "alerts" for m in meanings], bool),
        np.array([m.role in ("alerts", "leads") for m in meanings], bool),
        np.array([bool(m.over) for m in meanings], bool),
        np.array([m.vanishing_is_zero for m in meanings], bool),
        np.array([m.direction in ("high", "both") for m in meanings], bool),
        np.array([m.direction in ("low", "both") for m in meanings], bool),
        np.array([m.min_change for m in meanings], np.float64),
        np.array([max(1.0, m.min_factor) for m in meanings], np.float64),
        np.array([min(1.0, m.min_factor) for m in meanings], np.float64),
        np.array([m.hits for m in meanings], np.int64),
        np.array([(1 << m.of) - 1 for m in meanings], np.int64),
    )
    table = np.zeros(len(meanings), KIND)
    for name, column in zip(KIND.names or (), columns, strict=True):
        table[name] = column
    return Kinds(*columns, table)


class Store:
    """Rows for series and signals, given to entities and taken back.

    Args:
        columns: of each detector that judges signals by themselves.
        watch: signals' drift, if that is looked at.

    Attributes:
        kind: which of `kinds` each signal is.
        is_worst: signals that have spoken in the alert that is open, or in the last one.
        line: how many times as far as without people's words each signal's line lies; `is_line_moved`: any of them.
    """

    def __init__(self, columns: Sequence[Columns], watch: Watch | None = None) -> None:
        self.watch = watch
        self.calibration = Calibration()
        self.samples = Slots("samples", SAMPLE)
        self.signals = Slots("signals", SIGNAL)
        self.columns = list(columns)
        self.described: list[Signal | None] = []
        self.origins: list[str] = []
        self.kind = np.zeros(0, np.int64)
        self.is_worst = np.zeros(0, bool)
        self.line = np.ones(0)
        self.is_line_moved = False
        self._by_need: dict[tuple[Any, ...], int] = {}
        self._meanings: list[Meaning] = []
        self.kinds = kinds_of([])

    def add_samples(self, num: int) -> Ints:
        """Slots for new series."""
        slots = self.samples.add(num)
        self.samples.rows["time"][slots] = NEVER
        return slots

    def free_samples(self, slots: Ints) -> None:
        """These series are gone."""
        self.samples.free(slots)

    def add_signals(self, signals: Sequence[Signal], origins: Sequence[str]) -> Ints:
        """Slots for new signals, the same in all columns.

        Args:
            origins: a series that each is made of.
        """
        slots = self.signals.add(len(signals))
        for columns in self.columns:
            columns.add(len(signals))  # which gives the same slots, being asked for and given back alike
        size = len(self.signals.rows)
        if size > len(self.kind):
            self.described += [None] * (size - len(self.described))
            self.origins += [""] * (size - len(self.origins))
            self.kind = np.resize(self.kind, size)
            self.is_worst = np.concatenate([self.is_worst, np.zeros(size - len(self.is_worst), bool)])
            self.line = np.concatenate([self.line, np.ones(size - len(self.line))])
        for slot, signal, origin in zip(slots.tolist(), signals, origins, strict=True):
            self.described[slot], self.origins[slot] = signal, origin
            self.kind[slot] = self._kind_of(signal.meaning)
        return slots

    def _kind_of(self, meaning: Meaning) -> int:
        need = (
            meaning.role, bool(meaning.over), meaning.vanishing_is_zero, meaning.direction, meaning.min_change,
            meaning.min_factor, meaning.hits, meaning.of,
        )  # fmt: skip
        kind = self._by_need.get(need)
        if kind is None:
            kind = self._by_need[need] = len(self._meanings)
            self._meanings.append(meaning)
            self.kinds = kinds_of(self._meanings)
        return kind

    def free_signals(self, slots: Ints) -> None:
        """These signals are gone."""
        self.signals.free(slots)
        self.is_worst[slots] = False
        self.line[slots] = 1.0
        if self.watch is not None:
            self.watch.free(slots)
        for columns in self.columns:
            columns.free(slots)
        for slot in slots.tolist():
            self.described[slot], self.origins[slot] = None, ""

    def move_lines(self, slots: Ints, times: Floats) -> bool:
        """Signals' lines lie so many times as far from the usual value from now on. Returns whether any did not."""
        is_moved = bool((self.line[slots] != times).any())
        self.line[slots] = times
        self.is_line_moved = self.is_line_moved or bool((times != 1.0).any())
        return is_moved

    def forget(self, slots: Ints) -> None:
        """These signals are learnt anew."""
        self.signals.clear(slots)
        self.is_worst[slots] = False
        for columns in self.columns:
            columns.clear(slots)

    def signal(self, slot: int) -> Signal:
        """What is in a slot."""
        signal = self.described[slot]
        assert signal is not None, f"slot {slot} is free"
        return signal
