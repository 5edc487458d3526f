"""The lines and scrapes of all files in the order of event time, read lazily."""

import heapq
import time
from collections.abc import Callable, Iterator, Sequence
from operator import attrgetter
from typing import Any, NamedTuple

import orjson

from moselle.replay.files import Format, LineFile, Source
from moselle.replay.messages import fluent_bit, telegraf
from moselle.replay.times import find_time, line_time, shift_json, shift_line
from services.common.errors import SettingsInvalid
from services.common.topics import LOGS_RAW, METRICS_RAW

#: Before any time was seen: such lines come first.
NO_TIME = float("-inf")


class Shipment(NamedTuple):
    """One message for Kafka. `order` is the event time by which files are merged, before any shift."""

    order: float
    topic: str
    key: bytes
    value: bytes


class Options(NamedTuple):
    """How files become messages.

    Attributes:
        host: for files whose folder names none.
        shift_seconds: added to every event time.
        log_topic: where log lines go.
    """

    form: Format = "text"
    host: str | None = None
    shift_seconds: int = 0
    log_topic: str = LOGS_RAW.name


def merge(files: Sequence[tuple[Source, LineFile]], options: Options) -> Iterator[Shipment]:
    """All messages by event time; within a file the order of its lines stays."""
    streams = [ship_file(source, lines, options) for source, lines in files]
    return heapq.merge(*streams, key=attrgetter("order"))


def ship_file(source: Source, lines: LineFile, options: Options) -> Iterator[Shipment]:
    """The messages of one file."""
    if source.is_metrics:
        return ship_metrics(source, lines, options)
    return ship_log(source, lines, options)


def ship_log(source: Source, lines: LineFile, options: Options) -> Iterator[Shipment]:
    host = options.host or source.host or "localhost"
    key = f"{host}|{source.name}".encode()
    make = json_message if options.form == "json" else text_message
    last = NO_TIME
    for line in lines:
        epoch, value = make(line, last, host, source.name, options.shift_seconds)
        # A line whose clock went back stays behind the one before it.
        last = max(last, epoch)
        yield Shipment(last, options.log_topic, key, value)


def text_message(line: str, last: float, host: str, path: str, shift_seconds: int) -> tuple[float, bytes]:
    """(event time, what Fluent Bit would send); a line without a time has its file's last one."""
    found = find_time(line)
    epoch = found.epoch if found else last
    date = epoch + shift_seconds if epoch != NO_TIME else time.time()
    if shift_seconds and found:
        line = shift_line(line, shift_seconds)
    return epoch, fluent_bit(date, host, path, line)


def json_message(line: str, last: float, host: str, path: str, shift_seconds: int) -> tuple[float, bytes]:
    """(event time, the line itself): a shipper that reads JSON logs sends their records as they are."""
    epoch = line_time(line)
    if shift_seconds:
        line = shift_json(line, shift_seconds)
    return last if epoch is None else epoch, line.encode()


def ship_metrics(source: Source, lines: LineFile, options: Options) -> Iterator[Shipment]:
    last = NO_TIME
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        scrape = parse_scrape(source, number, line)
        host = options.host or str(scrape.get("instance") or source.host or "localhost")
        last = max(last, float(scrape["ts"]))
        value = telegraf(scrape, host, options.shift_seconds)
        yield Shipment(last, METRICS_RAW.name, f"{host}|{source.name}".encode(), value)


def parse_scrape(source: Source, number: int, line: str) -> dict[str, Any]:
    """Raises SettingsInvalid when a line of a metrics file is no scrape."""
    try:
        scrape = orjson.loads(line)
        float(scrape["ts"]), scrape["metrics"].items()
    except (ValueError, KeyError, TypeError, AttributeError):
        raise SettingsInvalid(
            f'{source.path} line {number} is no scrape ({line[:80]!r}): wanted {{"ts", "metrics": {{..}}}}'
        ) from None
    return dict(scrape)


def latest_time(sources: Sequence[Source], tick: Callable[[], None] = lambda: None) -> float | None:
    """The last event time in all files: reads them once more, because a shift must be known before the first line."""
    latest = NO_TIME
    for source in sources:
        for line in LineFile(source.path):
            latest = max(latest, line_time(line) or NO_TIME)
        tick()
    return None if latest == NO_TIME else latest
