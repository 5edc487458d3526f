"""Whether an entity's signals are unusual together, though each may be usual by itself; many entities in one call.

An entity of FEWEST signals or more has one row of `Reconstruction`, as wide as the next power of two; one of fewer has
a row of `SeasonalNovelty` a signal. When signals come, the row begins anew and the entity warms up once more here: what
is new looks strange until its ways are known, and would move the line. Signals beyond MOST are not looked at here.

Letters: `n` entities of one width; `W` the width.
"""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import numpy as np

from services.anomaly.model import tail
from services.anomaly.model.abstract import LARGEST
from services.anomaly.model.bank import Bools, Floats, Ints, Micros, Rows, ratio_scores
from services.anomaly.model.compiled import compiled
from services.anomaly.model.entity import Entity
from services.anomaly.model.reconstruction import LEARNING_LEVEL, Reconstruction
from services.anomaly.model.seasonal_novelty import SeasonalNovelty
from services.anomaly.model.slots import Slots
from services.anomaly.model.store import NEVER, Store

SECOND = 1_000_000
DAY = 86_400 * SECOND
FEWEST = 3
SMALLEST_WIDTH, MOST = 8, 64
LINE = 0.5
#: (hits, of): in so many of the last so many scrapes it must be above its line. A range that was left is learnt at once
#: and news only once.
PERSISTENCE = {False: (1, 1), True: (2, 3)}
#: A line that one score in a thousand exceeds cannot be drawn from fewer; nothing is said before.
FEWEST_SCORES = 1000
#: What was never usual for so long is learnt: what is normal has changed. What is learnt after an hour, as is right for
#: a signal by itself, hides the rest of a long trouble and the next one.
LASTING = 7 * DAY
#: The worst scores of the day before are remembered by the half hour.
BIN = DAY // 48
#: How fast the mean time between scrapes follows, and how much of a pause counts, in such times.
PACE, LONGEST = 1.0 / 64, 8
#: Of the largest parts one must be a signal that may alert, on its bad side.
LEADING = 3
#: Signals that are named.
MAX_NAMED = 10


class Course(msgspec.Struct, array_like=True):
    """How one entity's score went; times in microseconds.

    Attributes:
        marks: the last scrapes, the newest in the lowest bit, 1 where the score lay above its line.
        first_out: since when there have been such scrapes; means nothing while there are none.
        running: the worst score since then; `has_spoken`: whether anything was said of it.
        peaks: the worst scores of what is over, by the half hour of its end; a lesser one counts only a day later.
        warm_at: from when on it may say something, as the entity's own.
        judged_at, interval: when it was judged last, and how long that usually takes; 0 for not known.
        usual_at: when the last step was learnt as usual, or in the warm-up.
        scrapes: by the number of a scrape its newest time, how many signals came then, and how many are waited for.
    """

    score: float = 0.0
    marks: int = 0
    first_out: int = 0
    running: float = 0.0
    has_spoken: bool = False
    peaks: dict[int, float] = msgspec.field(default_factory=dict)
    warm_at: int = 0
    scrapes: dict[int, tuple[int, int, int]] = msgspec.field(default_factory=dict)
    judged_at: int = NEVER
    interval: float = 0.0
    usual_at: int = NEVER

    def is_complete(self, source: int, time: int, num: int) -> bool:
        """So many signals came. True once as many came as the time before; with fewer, fewer are expected next time."""
        last, held, expected = self.scrapes.get(source, (NEVER, 0, 0))
        if time < last:
            return False
        is_judged = time == last and held >= expected
        if time > last:
            expected, held = min(held, expected), 0
        held += num
        is_due = held >= expected and not is_judged
        self.scrapes[source] = (time, held, held if held >= expected else expected)
        return is_due

    def follow(self, score: float, time: int, is_out: bool, of: int) -> None:
        """Takes the score of a scrape in."""
        if not self.marks and self.running:
            self._put_away(time)
            self.running, self.has_spoken = 0.0, False
        if is_out and not self.marks:
            self.first_out = time
        self.marks = (self.marks << 1 | is_out) & ((1 << of) - 1)
        self.score = score

    def _put_away(self, time: int) -> None:
        now = time // BIN
        self.peaks = {at: peak for at, peak in self.peaks.items() if at >= now - DAY // BIN}
        self.peaks[now] = max(self.running, self.peaks.get(now, 0.0))

    def tick(self, time: int) -> None:
        """A scrape is judged: how long they are apart. A pause is no time in which anything was unusual."""
        if self.judged_at > NEVER:
            apart = max(0, time - self.judged_at)
            usual = self.interval or float(apart)
            self.usual_at += max(0, apart - round(LONGEST * usual))
            self.interval = usual + PACE * (min(apart, LONGEST * usual) - usual)
        self.judged_at = time

    def has_lasted(self, time: int, limit: int) -> bool:
        """Whether it has been above its line for so long."""
        return self.marks > 0 and time - self.first_out >= limit

    def is_worse(self, time: int, is_open: bool) -> bool:
        """Whether the score is above all of the day before, and above what was said already and is over."""
        begin = (time - DAY) // BIN
        bar = max((peak for at, peak in self.peaks.items() if at >= begin), default=0.0)
        return self.score > (max(bar, self.running) if self.has_spoken and not is_open else bar)

    def set_back(self, delta: int) -> None:
        """The source's clock was set back by so much."""
        self.scrapes.clear()
        self.first_out -= delta
        self.warm_at -= delta
        self.judged_at, self.usual_at = max(NEVER, self.judged_at - delta), max(NEVER, self.usual_at - delta)
        self.peaks = {at - delta // BIN: peak for at, peak in self.peaks.items()}


class Whole:
    """What is known of one entity.

    Attributes:
        names: its signals in the order of the columns; of few, of the slots.
        width: of its row; 0 for a row a signal.
        slots: where its rows are; `places` where its signals are in the store, -1 for none.
    """

    __slots__ = ("course", "names", "places", "slots", "version", "width")

    def __init__(self) -> None:
        self.names: list[str] = []
        self.width = 0
        self.slots = self.places = np.zeros(0, np.int64)
        self.version = -1
        self.course = Course()

    @property
    def persistence(self) -> tuple[int, int]:
        """(hits, of)."""
        return PERSISTENCE[self.width > 0]


class Part(NamedTuple):
    """One signal's share of the whole, its value and what is usual."""

    key: str
    share: float
    value: float
    low: float
    high: float


class Outcome(NamedTuple):
    """What one entity's scrape comes to.

    Attributes:
        speaks: whether there is something to say; `parts` of it then, most first.
        line: what the score had to exceed.
        is_bad: whether what was said lasts.
        first_out, hits, of: since when, and in how many of the last how many scrapes.
    """

    score: float
    line: float
    speaks: bool
    is_bad: bool
    parts: Sequence[Part]
    first_out: int
    hits: int
    of: int


class Seen(NamedTuple):
    """(n,) scores, their lines, and which of these are to be trusted; (n, W) what each signal adds, its value and what
    is usual, NaN for what is missing."""

    scores: Floats
    lines: Floats
    is_sure: Bools
    parts: Floats
    values: Floats
    low: Floats
    center: Floats
    high: Floats


class Together:
    """Judges entities, each when its scrape is complete, and learns what is usual.

    Args:
        gap: what has not come for so long is missing; microseconds.
        warmup: for so long new signals are taken as normal.
        relearn: what has lasted for so long is said no more.
        quiet: the line lies where the scores of a row come to once in so long; microseconds.
        is_heard: whether anything may be said; else there are only scores.
    """

    def __init__(self, store: Store, gap: int, warmup: int, relearn: int, quiet: int, is_heard: bool) -> None:
        self._store, self._gap, self._warmup, self._relearn, self._quiet = store, gap, warmup, relearn, quiet
        self.is_heard = is_heard
        self._novelty = SeasonalNovelty()
        self._banks: dict[int, Reconstruction] = {}
        self._tables: dict[int, Slots] = {0: Slots(SeasonalNovelty.name, SeasonalNovelty.dtype)}

    def bank(self, width: int) -> Reconstruction:
        """Of all rows of one width."""
        if width not in self._banks:
            bank = self._banks[width] = Reconstruction(width)
            self._tables[width] = Slots(bank.name, bank.dtype)
        return self._banks[width]

    def table(self, width: int) -> Slots:
        """Where the rows of a width are; 0 for a row a signal."""
        if width:
            self.bank(width)
        return self._tables[width]

    def free(self, entity: Entity) -> None:
        """The entity is gone."""
        whole: Whole | None = entity.together
        if whole is not None:
            self.table(whole.width).free(whole.slots)
            entity.together = None

    def fit(self, entity: Entity, time: int) -> Whole:
        """The entity's rows as its signals are now."""
        whole: Whole | None = entity.together
        if whole is None:
            whole = entity.together = Whole()
        if whole.version != entity.version:
            known, most = set(whole.names), MOST if len(entity.signals) >= FEWEST else FEWEST
            new = [key for key in entity.signals if key not in known][: most - len(known)]
            if new:
                self._begin(whole, new, len(entity.signals) >= FEWEST)
                whole.course.warm_at = time + self._warmup
            self.place(entity, whole)
        return whole

    def place(self, entity: Entity, whole: Whole) -> None:
        """Notes where its signals are in the store."""
        whole.places = np.full(whole.width or len(whole.names), -1, np.int64)
        whole.places[: len(whole.names)] = [entity.signals.get(key, -1) for key in whole.names]
        whole.version = entity.version

    def _begin(self, whole: Whole, new: list[str], is_row: bool) -> None:
        """Of many signals nothing is known together, of few all that was; how the score went is over."""
        scrapes, names = whole.course.scrapes, [*whole.names, *new]
        if is_row:
            self.table(whole.width).free(whole.slots)
            whole.width = SMALLEST_WIDTH
            while whole.width < len(names):
                whole.width *= 2
            whole.slots = self.table(whole.width).add(1)
        else:
            whole.slots = np.concatenate([whole.slots, self.table(0).add(len(new))])
        whole.names, whole.course = names, Course(scrapes=scrapes)

    def judge(
        self, entities: Sequence[Entity], sources: Sequence[int], times: Micros, nums: Ints
    ) -> dict[int, Outcome]:
        """Outcomes by place among the entities, of those whose scrape is complete.

        Args:
            nums: how many signals of each are complete now, at its time.
        """
        groups: dict[int, list[tuple[int, Whole]]] = {}
        known = zip(entities, sources, times.tolist(), nums.tolist(), strict=True)
        for place, (entity, source, time, num) in enumerate(known):
            if not num:
                continue
            whole: Whole | None = entity.together
            if whole is None or whole.version != entity.version:
                whole = self.fit(entity, time)
            if whole.names and whole.course.is_complete(source, time, num):
                whole.course.tick(time)
                groups.setdefault(whole.width, []).append((place, whole))
        found: dict[int, Outcome] = {}
        for width, group in groups.items():
            places, wholes = [place for place, _ in group], [whole for _, whole in group]
            when = times[places]
            warm_at = np.array([max(entities[place].warm_at, whole.course.warm_at) for place, whole in group])
            is_warm = when >= warm_at
            seen = self._see_rows(width, wholes, when, ~is_warm) if width else self._see_signals(wholes, when)
            is_out = is_warm & seen.is_sure & (seen.scores > seen.lines)
            facts = zip(group, when.tolist(), seen.scores.tolist(), is_out.tolist(), strict=True)
            for at, ((place, whole), time, score, out) in enumerate(facts):
                whole.course.follow(score, time, out, whole.persistence[1])
                found[place] = self._outcome(entities[place], whole, time, out, seen, at)
        return found

    def _values(self, places: Ints, when: Micros) -> Floats:
        """The signals' latest values; NaN for what has not come for long."""
        values = np.empty(len(places))
        _find_values(self._store.signals.rows, places, when, self._gap, LARGEST, values)
        return values

    def _see_rows(self, width: int, wholes: Sequence[Whole], when: Micros, is_cold: Bools) -> Seen:
        bank, table = self.bank(width), self.table(width)
        slots = np.concatenate([whole.slots for whole in wholes])
        places = np.concatenate([whole.places for whole in wholes])
        values = self._values(places, np.repeat(when, width)).reshape(-1, width)
        rows, (low, center, high) = table.rows, self._usual(table.rows, slots, values)
        usual_at = np.array([whole.course.usual_at for whole in wholes])
        line, gate = rows["line"][slots], rows["gate"][slots]
        judged = bank.judge_at(rows, slots, values, is_cold | (when - usual_at >= LASTING))
        for at in np.flatnonzero(is_cold | (rows["surprise"][slots] <= gate)).tolist():
            wholes[at].course.usual_at = int(when[at])
        is_sure = rows["tail"][slots].sum(axis=1) >= FEWEST_SCORES
        lines = self._lines(rows, slots, wholes, line, is_sure & (judged.score > LINE))
        return Seen(judged.score, lines, is_sure, judged.parts, values, low, center, high)

    def _usual(self, rows: Rows, slots: Ints, values: Floats) -> tuple[Floats, Floats, Floats]:
        """(n, W): low, center and high, as they are now; where nobody is heard nobody is asked."""
        if not self.is_heard:
            return values, values, values
        center, room = rows["center"][slots], 3.0 * np.sqrt(rows["spread"][slots]) * rows["unit"][slots]
        return center - room, center, center + room

    def _lines(self, rows: Rows, slots: Ints, wholes: Sequence[Whole], line: Floats, is_asked: Bools) -> Floats:
        """(n,): the scores that those that are asked for exceed once in a quiet time; never below LINE."""
        lines, which = np.full(len(slots), LINE), np.flatnonzero(is_asked)
        if len(which):
            share = np.array([wholes[at].course.interval for at in which.tolist()]) / self._quiet
            far = tail.beyond(rows[slots[which]], LEARNING_LEVEL, np.maximum(share, 1e-12))
            lines[which] = np.maximum(LINE, ratio_scores(far, line[which]))
        return lines

    def _see_signals(self, wholes: Sequence[Whole], when: Micros) -> Seen:
        sizes = [len(whole.names) for whole in wholes]
        width, owner = max(sizes), np.repeat(np.arange(len(wholes)), sizes)
        column = np.concatenate([np.arange(size) for size in sizes])
        slots, times = np.concatenate([whole.slots for whole in wholes]), when[owner]
        values = self._values(np.concatenate([whole.places for whole in wholes]), times)
        parts, shown, *bands = (np.full((len(wholes), width), np.nan) for _ in range(5))
        there = np.flatnonzero(~np.isnan(values))
        rows, at = self.table(0).take(slots[there]), (owner[there], column[there])
        parts[at] = self._novelty.score(rows, values[there], times[there])
        shown[at] = values[there]
        for band, edge in zip(bands, self._novelty.bands(rows, times[there]), strict=True):
            band[at] = edge
        self._novelty.learn(rows, values[there], times[there])
        self.table(0).put(slots[there], rows)
        lines, is_sure = np.full(len(wholes), LINE), np.ones(len(wholes), bool)
        return Seen(np.fmax(parts, 0.0).max(axis=1), lines, is_sure, parts, shown, *bands)

    def _outcome(self, entity: Entity, whole: Whole, time: int, is_out: bool, seen: Seen, at: int) -> Outcome:
        course, (hits, of) = whole.course, whole.persistence
        num, alert = course.marks.bit_count(), entity.alerting.open
        if not is_out:
            return Outcome(course.score, float(seen.lines[at]), False, False, (), course.first_out, num, of)
        parts: Sequence[Part] = ()
        is_lasting = self.is_heard and not course.has_lasted(time, self._relearn)
        if is_lasting and num >= hits and course.is_worse(time, alert is not None):
            parts = self._parts(whole, seen, at)
        course.running = max(course.running, course.score)
        course.has_spoken = course.has_spoken or bool(parts)
        is_bad = is_lasting and course.has_spoken
        return Outcome(
            course.score, float(seen.lines[at]), bool(parts), is_bad, parts, course.first_out, num, of
        )  # fmt: skip

    def _parts(self, whole: Whole, seen: Seen, at: int) -> Sequence[Part]:
        """Most first; empty where no signal that may alert is among the leading ones on its bad side."""
        size = len(whole.names)
        parts, values = np.nan_to_num(seen.parts[at, :size]), seen.values[at, :size]
        order = np.argsort(-parts, kind="stable")
        order = order[(parts[order] > 0) & (whole.places[order] >= 0) & ~np.isnan(values[order])]
        leading = order[:LEADING]
        kinds, kind = self._store.kinds, self._store.kind[whole.places[leading]]
        center = seen.center[at, leading]
        is_bad = (kinds.up[kind] & (values[leading] > center)) | (kinds.down[kind] & (values[leading] < center))
        if not (kinds.may_lead[kind] & is_bad).any():
            return ()
        total = float(parts.sum())
        return [
            Part(
                whole.names[place], float(parts[place]) / total, float(values[place]),
                float(seen.low[at, place]), float(seen.high[at, place]),
            )
            for place in order[:MAX_NAMED].tolist()
        ]  # fmt: skip


@compiled
def _find_values(rows: Rows, places: Ints, when: Micros, gap: int, largest: float, values: Floats) -> None:
    """Fills in the latest values of these signals, held within bounds; NaN for what has not come for long."""
    for number in range(len(places)):
        values[number] = np.nan
        if places[number] >= 0:
            row = rows[places[number]]
            if row.has_latest > 0 and when[number] - row.done_time <= gap and np.isfinite(row.latest):
                values[number] = min(max(row.latest, -largest), largest)
