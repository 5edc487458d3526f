"""Decisions handed to those who watch, as they are read back from the log."""

import queue
import threading
from collections.abc import Iterator

from services.common.errors import Retryable
from services.placement.core.decision import Decision
from services.placement.errors import TooMany

_HELD_PER_WATCHER = 1000
_LOOK_SECONDS = 0.25
_STOPPING = "this replica stops: watch another one, with from_micros of the last decision that came"


class Watcher:
    """One who watches. Its queue is bounded: one who reads too slowly is let go."""

    def __init__(self) -> None:
        self._queue: queue.Queue[Decision] = queue.Queue(_HELD_PER_WATCHER)
        self._is_over = threading.Event()
        self._is_late = False
        self._is_stopping = False

    def offer(self, decision: Decision) -> None:
        """Hands a decision over; never waits."""
        try:
            self._queue.put_nowait(decision)
        except queue.Full:
            self._is_late = True
            self._is_over.set()

    def close(self, is_stopping: bool = False) -> None:
        """Ends `decisions` soon."""
        self._is_stopping |= is_stopping
        self._is_over.set()

    def decisions(self) -> Iterator[Decision | None]:
        """What was offered, as it comes; None now and then, so that a caller can look whether anybody still listens.

        Raises:
            TooMany: the reader is more than a thousand decisions behind.
            Retryable: the service ends.
        """
        while not self._is_over.is_set():
            try:
                yield self._queue.get(timeout=_LOOK_SECONDS)
            except queue.Empty:
                yield None
        if self._is_stopping:
            raise Retryable(_STOPPING)
        if self._is_late:
            raise TooMany(
                f"this watcher is more than {_HELD_PER_WATCHER} decisions behind: read faster, or begin again with "
                "from_micros"
            )


class Watchers:
    """All who watch now."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._open: list[Watcher] = []
        self._lock = threading.Lock()
        self._is_stopping = False

    def __len__(self) -> int:
        return len(self._open)

    def open(self) -> Watcher:
        """A new one.

        Raises:
            TooMany: as many watch already as may.
            Retryable: the service ends.
        """
        with self._lock:
            if self._is_stopping:
                raise Retryable(_STOPPING)
            if len(self._open) >= self._most:
                raise TooMany(f"{self._most} watch already: end one, or raise MOSELLE_PLACEMENT_MAX_WATCHERS")
            watcher = Watcher()
            self._open.append(watcher)
            return watcher

    def close(self, watcher: Watcher) -> None:
        """It no longer listens."""
        watcher.close()
        with self._lock:
            if watcher in self._open:
                self._open.remove(watcher)

    def offer(self, decision: Decision) -> None:
        """Hands a decision to everybody."""
        with self._lock:
            for watcher in self._open:
                watcher.offer(decision)

    def close_all(self) -> None:
        """The service ends."""
        with self._lock:
            self._is_stopping = True
            for watcher in self._open:
                watcher.close(is_stopping=True)
