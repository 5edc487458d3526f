"""A progress bar on standard error for what takes longer than two seconds."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

PATIENCE_SECONDS = 2.0
INTERVAL_SECONDS = 0.2

#: Told how to find out how much is done, and words beside it. Cheap to call often.
Update = Callable[[Callable[[], float], str], None]


@contextmanager
def progress_bar(what: str, total: float) -> Iterator[Update]:
    """Shows nothing before two seconds are over, and nothing at all when standard error is no terminal."""
    if not sys.stderr.isatty():
        yield lambda done, words: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (TextColumn(what), BarColumn(), TaskProgressColumn(), TextColumn("{task.fields[words]}"))
    progress = Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True)
    task = progress.add_task(what, total=total, words="")
    begun = last = time.monotonic()
    is_shown = False

    def update(done: Callable[[], float], words: str) -> None:
        nonlocal last, is_shown
        now = time.monotonic()
        if now - begun < PATIENCE_SECONDS or now - last < INTERVAL_SECONDS:
            return
        if not is_shown:
            progress.start()
            is_shown = True
        last = now
        progress.update(task, completed=done(), words=words)

    try:
        yield update
    finally:
        if is_shown:
            progress.stop()
