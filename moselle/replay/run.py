"""One replay from paths to the last acknowledged message."""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from moselle.progress import progress_bar
from moselle.replay.files import Format, LineFile, Source, find_sources
from moselle.replay.merge import Options, latest_time, merge
from moselle.replay.publish import Publisher, publish
from services.common.errors import SettingsInvalid
from services.common.topics import LOGS_RAW, METRICS_RAW

Say = Callable[[str], None]


def say_on_stderr(words: str) -> None:
    sys.stderr.write(words + "\n")


def replay(
    paths: Sequence[Path],
    bootstrap: str,
    *,
    topic: str = LOGS_RAW.name,
    form: Format = "text",
    speed: float | None = None,
    is_shifted_to_now: bool = False,
    host: str | None = None,
    say: Say = say_on_stderr,
) -> dict[str, int]:
    """Publishes what the paths hold; returns how many messages went to each topic, once Kafka has them all.

    Args:
        topic: where log lines go; scrapes always go to metrics.raw.
        speed: event seconds per wall second; None for as fast as it goes.
        is_shifted_to_now: moves all event times, also those in the lines, so that the last one is now.
        host: stands in for what folders and scrapes say.

    Raises:
        SettingsInvalid: a path, a file, the broker or a topic is not as it must be.
        Retryable: the broker went away.
    """
    found = find_sources(paths, form)
    if found.left_out:
        say(f"left out: {', '.join(str(path) for path in found.left_out)}")
    topics = {METRICS_RAW.name if source.is_metrics else topic for source in found.sources}
    publisher = Publisher(bootstrap, sorted({LOGS_RAW.name, METRICS_RAW.name, *topics}))
    shift = shift_to_now(found.sources) if is_shifted_to_now else 0
    files = [(source, LineFile(source.path)) for source in found.sources]
    options = Options(form, host, shift, topic)
    with reading_progress([lines for _, lines in files]) as tick:
        publish(merge(files, options), publisher, speed, tick)
    if publisher.too_large:
        say(f"left out: {publisher.too_large} lines longer than Kafka takes (1 MB)")
    return dict(publisher.published)


def shift_to_now(sources: Sequence[Source]) -> int:
    """The whole seconds that bring the last event time to now."""
    latest = latest_time(sources)
    if latest is None:
        raise SettingsInvalid("no line of these files names a time: leave out --shift-to-now")
    return int(time.time() - latest)


@contextmanager
def reading_progress(files: Sequence[LineFile]) -> Iterator[Callable[[int], None]]:
    """A bar over the bytes of all files."""
    total = sum(lines.path.stat().st_size for lines in files)
    with progress_bar("replaying", total) as update:
        yield lambda sent: update(lambda: sum(lines.position for lines in files), f"{sent:,} messages")
