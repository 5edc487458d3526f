"""Derived records (logs.parsed.v1, logs.templates.v1) as words in windows, as the stream would make them."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from services.common.errors import SettingsInvalid
from services.common.topics import LOGS_PARSED, LOGS_TEMPLATES
from services.logbert.core.events import LogEvent
from services.logbert.core.sequences import SECOND, Shape, cut
from services.logbert.core.words import Word, stand_in, word_text
from services.logbert.model.vocabulary import Entry, Vocabulary, Wording

#: One source's (event_time, word) in order of arrival.
Stream = list[tuple[int, Word]]


class Templates:
    """What the records of logs.templates.v1 tell: the texts of each id and of what it became."""

    def __init__(self) -> None:
        self._texts: dict[str, tuple[str, ...]] = {}
        self._alias_of: dict[str, str] = {}

    def take(self, record: Mapping[str, Any]) -> None:
        """One more record; later ones of the same id replace earlier."""
        self._texts[record["template_id"]] = tuple(dict.fromkeys((record["text"], record["first_form"])))
        if record["alias_of"]:
            self._alias_of[record["template_id"]] = record["alias_of"]

    def chain(self, template_id: str) -> list[str]:
        """The id, and what it became in turn."""
        chain = [template_id]
        while (other := self._alias_of.get(chain[-1])) is not None and other not in chain:
            chain.append(other)
        return chain

    def forms(self, template_id: str) -> tuple[str, ...]:
        """All its texts, what it became first."""
        chain = reversed(self.chain(template_id))
        return tuple(dict.fromkeys(text for name in chain for text in self._texts.get(name, ())))


class Recording(NamedTuple):
    """The events of a recording in order of arrival, and its templates as they were at its end."""

    events: list[LogEvent]
    templates: Templates

    @property
    def begin(self) -> int:
        """Event time of the first event, microseconds."""
        return min(event.event_time for event in self.events)

    @property
    def end(self) -> int:
        """Event time of the last event."""
        return max(event.event_time for event in self.events)


def read_recording(derived: Iterable[tuple[str, Mapping[str, Any]]]) -> Recording:
    """Takes what ingest wrote.

    Raises:
        SettingsInvalid: there is no log event in it.
    """
    events, templates = [], Templates()
    for topic, record in derived:
        if topic == LOGS_PARSED.name:
            events.append(LogEvent.from_record(record))
        elif topic == LOGS_TEMPLATES.name:
            templates.take(record)
    if not events:
        raise SettingsInvalid(
            "the data folder holds no log event: name one with text logs, laid out like openstack_live"
        )
    return Recording(events, templates)


def split(recording: Recording, share: float) -> tuple[list[LogEvent], list[LogEvent]]:
    """The first part by event time, and the rest: training never sees what comes after."""
    border = recording.begin + int(share * (recording.end - recording.begin))
    first = [event for event in recording.events if event.event_time < border]
    return first, [event for event in recording.events if event.event_time >= border]


def build_vocabulary(events: Iterable[LogEvent], forms: Callable[[str], Sequence[str]]) -> Vocabulary:
    """Every template with each status class that the events hold, the most frequent first."""
    counts: Counter[str] = Counter()
    others: dict[str, dict[str, None]] = {}
    for event in events:
        known = forms(event.template_id) or (stand_in(event.body),)
        texts = [word_text(text, event.status) for text in known]
        counts[texts[0]] += 1
        others.setdefault(texts[0], {}).update(dict.fromkeys(texts[1:]))
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return Vocabulary([Entry(text, sorted(others[text]), count) for text, count in ordered])


def streams(events: Iterable[LogEvent], wording: Wording) -> dict[str, Stream]:
    """Each source's words."""
    found: dict[str, Stream] = {}
    for event in events:
        found.setdefault(event.source_id, []).append((event.event_time, wording.word(event)))
    return found


def finished_windows(streams_by_source: Mapping[str, Stream], shape: Shape) -> list[tuple[Word, ...]]:
    """The windows that the stream would score, and each source's unfinished last one."""
    windows = []
    for words in streams_by_source.values():
        finished, rest = cut(shape, words)
        windows += [*finished, *([tuple(rest)] if rest else [])]
    return windows


def sliding_windows(streams_by_source: Mapping[str, Stream], shape: Shape, stride: int) -> list[tuple[Word, ...]]:
    """Windows that begin at every `stride`-th event, for training: it must not matter where a window begins."""
    windows = []
    for words in streams_by_source.values():
        for stretch in _stretches(words, shape):
            last = max(1, len(stretch) - shape.length // 2)
            windows += [tuple(stretch[begin : begin + shape.length]) for begin in range(0, last, stride)]
    return windows


def _stretches(words: Stream, shape: Shape) -> list[list[Word]]:
    found: list[list[Word]] = []
    last_time: int | None = None
    for event_time, word in words:
        if last_time is None or shape.is_gap(last_time, event_time):
            found.append([])
        found[-1].append(word)
        last_time = event_time
    return found


def seconds_of(events: Sequence[LogEvent]) -> float:
    """How much event time they span."""
    times = [event.event_time for event in events]
    return (max(times) - min(times)) / SECOND
