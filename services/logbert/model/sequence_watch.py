"""One entity's lines as BERT sees them: a window for each source, what was normal, and what the windows told."""

from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from services.common.alerts import Evidence
from services.common.errors import ArtifactMismatch
from services.logbert.core.events import LogEvent, member_of
from services.logbert.core.sequences import SECOND, cut, score_of
from services.logbert.core.verdict import ALONE_THRESHOLD, Verdict
from services.logbert.core.words import Word
from services.logbert.model.bert import Bert
from services.logbert.model.scorer import Scored

#: Sources watched per entity; of more, those heard longest ago are forgotten.
MAX_SOURCES = 32
#: A line in the state is for eyes; the offsets lead to the whole.
MAX_LINE_CHARS = 200
#: How many unlikely lines an alert shows.
MAX_SHOWN = 5
#: An entity of which BERT knows less than this share of words, when it warmed up, is not scored.
LEAST_KNOWN = 0.5
#: How far above the most surprising window of its own warm-up an entity must be, and how quickly that may rise.
OWN_MARGIN, RISE, RISE_EVERY = 1.2, 1.1, 3600 * SECOND
#: A finished window speaks for its source for so long.
FRESH = 60 * SECOND


class Seen(msgspec.Struct, array_like=True):
    """An event in a window: its word, and what leads back to it."""

    word: Word
    event_time: int
    line: str
    template_id: str
    topic: str
    partition: int
    offsets: tuple[int, ...]
    index: int

    @classmethod
    def of(cls, event: LogEvent, word: Word) -> "Seen":
        """The event, cut short."""
        return cls(
            word, event.event_time, event.raw_line[:MAX_LINE_CHARS], event.template_id, event.source_topic,
            event.source_partition, event.source_offsets, event.source_index,
        )  # fmt: skip

    def is_same(self, event: LogEvent) -> bool:
        """Whether it was made of the same raw records."""
        place = (self.topic, self.partition, self.offsets, self.index)
        return place == (event.source_topic, event.source_partition, event.source_offsets, event.source_index)

    def evidence(self, entity_id: str) -> Evidence:
        """As an alert shows it."""
        return Evidence(
            self.event_time, entity_id, self.line, None, self.template_id, self.topic, self.partition, self.offsets,
            self.index,
        )  # fmt: skip


class SourceWindow(msgspec.Struct, array_like=True):
    """One source's unfinished window, and what its finished ones told.

    Attributes:
        seen: the events of the window.
        last_time: event time of the last event, microseconds.
        is_trouble: an alert was open while it was filled, so it says nothing of a trouble of its own.
        finished: (event time, excess) of the last finished window; the excess is NaN-free.
        num_unlikely: finished windows in a row that lay above ALONE_THRESHOLD.
        unlikely: the least likely events of those windows.
    """

    seen: list[Seen] = msgspec.field(default_factory=list)
    last_time: int = 0
    is_trouble: bool = False
    finished: tuple[int, float] | None = None
    num_unlikely: int = 0
    unlikely: list[Seen] = msgspec.field(default_factory=list)

    @property
    def words(self) -> tuple[Word, ...]:
        return tuple(seen.word for seen in self.seen)


class WatchState(msgspec.Struct):
    """What is saved. `highest` is the largest excess of an entity's own normal windows, raised at `raised_at`."""

    version: str
    sources: dict[str, SourceWindow] = msgspec.field(default_factory=dict)
    num_words: int = 0
    num_unknown: int = 0
    highest: float = 0.0
    raised_at: int = 0


class Finished(NamedTuple):
    """A window that is over.

    Attributes:
        score: 0 to 1; None when it could not be scored.
        num_unlikely: so many windows in a row, this one included, were unlikely enough to speak alone.
        evidence: the least likely events of these windows, in order of time; empty unless unlikely.
        expected: what BERT expected instead of the least likely one of the last window, a template's text.
    """

    score: float | None
    num_unlikely: int
    evidence: tuple[Evidence, ...] = ()
    expected: str = ""


class SequenceWatch:
    """Feeds an entity's words to BERT. All that lasts is in the state, so that a restart changes nothing.

    Args:
        saved: what `save` gave; windows of another artifact are begun anew.

    Raises:
        ArtifactMismatch: `saved` are bytes that `save` did not give.
    """

    def __init__(self, bert: Bert, entity_id: str, saved: bytes = b"") -> None:
        self._bert = bert
        self._entity_id = entity_id
        self._state = _decode(saved, bert.version)

    def preview(self, source_id: str, words: Iterable[tuple[int, Word]]) -> list[tuple[Word, ...]]:
        """The windows that these words would finish, so that a whole batch is scored at once. Changes nothing."""
        if self.is_blind:
            return []
        window = self._state.sources.get(source_id) or SourceWindow()
        finished, _ = cut(self._bert.shape, words, window.words, window.last_time)
        return finished

    def take(self, event: LogEvent, word: Word, is_warming: bool, is_open: bool) -> Finished | None:
        """Adds an event to its source's window, unless the window has it. What it finished, if it did.

        Args:
            is_warming: the entity is learning what is normal.
            is_open: an alert of the entity is firing.
        """
        window = self._window(event.source_id)
        if any(seen.is_same(event) for seen in window.seen):
            return None
        finished = None
        if window.seen and self._bert.shape.is_gap(window.last_time, event.event_time):
            finished = self._finish(window, is_warming, is_open)
        window.seen.append(Seen.of(event, word))
        window.last_time = event.event_time
        window.is_trouble = window.is_trouble or is_open
        if is_warming:
            self._state.num_words += 1
            self._state.num_unknown += isinstance(word, str)
        if len(window.seen) >= self._bert.shape.length:
            finished = self._finish(window, is_warming, is_open)
        return finished

    def _window(self, source_id: str) -> SourceWindow:
        """The source's window, put last in the order of use."""
        sources = self._state.sources
        window = sources.pop(source_id) if source_id in sources else SourceWindow()
        sources[source_id] = window
        if len(sources) > MAX_SOURCES:
            del sources[next(iter(sources))]
        return window

    @property
    def is_blind(self) -> bool:
        """Whether BERT knows too few of the entity's words to judge it."""
        state = self._state
        return state.num_words > 0 and state.num_unknown > (1 - LEAST_KNOWN) * state.num_words

    @property
    def _line(self) -> float:
        return max(self._bert.calibration.line, OWN_MARGIN * self._state.highest)

    def _finish(self, window: SourceWindow, is_warming: bool, is_open: bool) -> Finished:
        seen, is_trouble = window.seen, window.is_trouble or is_open
        window.seen, window.is_trouble = [], is_open
        is_idle = self.is_blind and not is_warming
        scored = None if is_idle else self._bert.scorer.score(tuple(one.word for one in seen))
        if scored is None:
            window.finished, window.num_unlikely, window.unlikely = None, 0, []
            return Finished(None, 0)
        excess = self._bert.calibration.excess(scored.surprises)
        window.finished = (window.last_time, excess)
        score = score_of(excess, self._line)
        if is_warming or not is_trouble:
            self._learn(excess, is_warming, window.last_time)
        if is_warming or is_trouble or score <= ALONE_THRESHOLD or self.is_blind:
            window.num_unlikely, window.unlikely = 0, []
            return Finished(None if self.is_blind else score, 0)
        least = _least_likely(seen, scored, self._bert.calibration.mean)
        window.num_unlikely += 1
        window.unlikely = [*window.unlikely, *least][:MAX_SHOWN]
        return Finished(score, window.num_unlikely, self._evidence(window), self._expected(seen, scored))

    def _learn(self, excess: float, is_warming: bool, event_time: int) -> None:
        """In the warm-up everything is normal; later what is normal rises by a tenth an hour at most."""
        state = self._state
        if excess <= state.highest:
            return
        if is_warming:
            state.highest = excess
        elif state.highest > 0 and abs(event_time - state.raised_at) >= RISE_EVERY:
            state.highest = min(excess, RISE * state.highest)
            state.raised_at = event_time

    def _evidence(self, window: SourceWindow) -> tuple[Evidence, ...]:
        ordered = sorted(window.unlikely, key=lambda seen: seen.event_time)
        return tuple(seen.evidence(self._entity_id) for seen in ordered)

    def _expected(self, seen: list[Seen], scored: Scored) -> str:
        place = max(range(len(seen)), key=lambda number: scored.surprises[number])
        return self._bert.vocabulary.text(scored.expected[place])

    def verdict(self, source_id: str) -> Verdict:
        """BERT's word on a source as it stands: its unfinished window, or its last one when that is worse."""
        window = self._state.sources.get(source_id)
        if self.is_blind:
            return Verdict("not_scored", 0.0, "it knows too few of this program's templates; train it on this cloud")
        if window is None or not (window.seen or self._is_fresh(window)):
            return Verdict("not_scored", 0.0, "no event stands in its window")
        excesses = [window.finished[1]] if window.finished and self._is_fresh(window) else []
        scored = self._bert.scorer.score(window.words) if window.seen else None
        if scored is not None:
            excesses.append(self._bert.calibration.excess(scored.surprises))
        if not excesses:
            return Verdict("not_scored", 0.0, "the network gave no finite number")
        about = f"the last {len(window.seen) or self._bert.shape.length} events of {member_of(source_id)}"
        num_unknown = sum(isinstance(word, str) for word in window.words)
        if num_unknown:
            about += f" ({num_unknown} of templates that it never saw)"
        return Verdict.of(score_of(max(excesses), self._line), about)

    def _is_fresh(self, window: SourceWindow) -> bool:
        return window.finished is not None and window.last_time - window.finished[0] <= FRESH

    def save(self) -> bytes:
        """MessagePack."""
        return msgspec.msgpack.encode(self._state)


def _least_likely(seen: list[Seen], scored: Scored, normal: float) -> list[Seen]:
    """The events whose surprise lies above the normal mean: at most MAX_SHOWN, least likely first."""
    order = sorted(range(len(seen)), key=lambda number: -scored.surprises[number])
    return [seen[number] for number in order[:MAX_SHOWN] if scored.surprises[number] > normal]


def _decode(saved: bytes, version: str) -> WatchState:
    if not saved:
        return WatchState(version)
    try:
        state = msgspec.msgpack.decode(saved, type=WatchState)
    except msgspec.MsgspecError as error:
        raise ArtifactMismatch(f"Windows in logbert.state.v1 cannot be read ({error}); delete the topic.") from error
    # Numbers of another vocabulary mean other words, and its excesses are on another scale.
    return state if state.version == version else WatchState(version)
