"""Which parser the lines of a topic go through: the one of its shape, in the time zone of their source."""

import re
from collections.abc import Callable, Mapping
from fnmatch import translate
from functools import partial

from services.ingest.core.lines import Origin, ParsedLine, RawLine
from services.ingest.core.parsing import LineParser
from services.ingest.core.shapes import HEADER_SHAPES
from services.ingest.core.times import TimeParser

#: A raw line and Kafka's time, microseconds, to the line's origin and what it says.
Parse = Callable[[RawLine, int], tuple[Origin, ParsedLine]]
#: A pattern that begins so is of topics.
TOPIC = "topic:"
_MEMO_SIZE = 10_000


class TopicParsers(dict[str, Parse]):
    """The parser of each topic, made when the topic is first met. Topics of one zone share the times they remember.

    Args:
        timezone: IANA name of the zone of times that name none.
        source_timezones: other zones by pattern, as the setting has them; the first that matches counts.
        topic_shapes: the shape that a topic is pinned to.
    """

    def __init__(self, timezone: str, source_timezones: Mapping[str, str], topic_shapes: Mapping[str, str]) -> None:
        self._timezone = timezone
        self._zones = [(pattern, re.compile(translate(pattern)), zone) for pattern, zone in source_timezones.items()]
        self._shapes = topic_shapes
        names = {timezone, *source_timezones.values()}
        self._parsers = {zone: LineParser(TimeParser(zone)) for zone in sorted(names)}

    def __missing__(self, topic: str) -> Parse:
        found = self[topic] = self._zoned(topic) if self._zones else self._of(topic, self._timezone)
        return found

    def _of(self, topic: str, zone: str) -> Parse:
        pinned, parser = self._shapes.get(topic, ""), self._parsers[zone]
        return partial(parser.parse_as, pinned) if pinned in HEADER_SHAPES else parser.parse

    def _zoned(self, topic: str) -> Parse:
        """Of a topic's own patterns the first ends the list: it matches every source."""
        sources: list[tuple[re.Pattern[str], bool, Parse]] = []
        for pattern, expression, zone in self._zones:
            parse = self._of(topic, zone)
            if not pattern.startswith(TOPIC):
                sources.append((expression, "|" in pattern, parse))
            elif expression.fullmatch(TOPIC + topic):
                return _ZonedParser(sources, parse) if sources else parse
        return _ZonedParser(sources, self._of(topic, self._timezone)) if sources else self._of(topic, self._timezone)


class _ZonedParser:
    """Parses each line in its source's zone; what zone that is, it remembers."""

    def __init__(self, patterns: list[tuple[re.Pattern[str], bool, Parse]], otherwise: Parse) -> None:
        self._patterns = patterns
        self._otherwise = otherwise
        self._memo: dict[Origin, Parse] = {}

    def __call__(self, raw: RawLine, transport_micros: int) -> tuple[Origin, ParsedLine]:
        parse = self._of(raw.origin)
        origin, line = parse(raw, transport_micros)
        if origin is not raw.origin and (others := self._of(origin)) is not parse:
            return others(raw, transport_micros)  # a syslog header tells whose clock it was
        return origin, line

    def _of(self, origin: Origin) -> Parse:
        found = self._memo.get(origin)
        if found is None:
            if len(self._memo) >= _MEMO_SIZE:
                self._memo.clear()
            found = self._memo[origin] = self._look_up(origin)
        return found

    def _look_up(self, origin: Origin) -> Parse:
        source = f"{origin.host}|{origin.path or origin.app}"
        for pattern, has_path, parse in self._patterns:
            if pattern.fullmatch(source if has_path else origin.host):
                return parse
        return self._otherwise
