"""Counts per window of event time, with the first events of each, for rules that say "more than ever"."""

import math

import msgspec

from services.common.alerts import Evidence
from services.logbert.core.events import Learning

SECOND = 1_000_000
MAX_WINDOWS = 12
MAX_EVIDENCE = 10
LEARN_EVERY = 3600 * SECOND


class Window(msgspec.Struct, array_like=True):
    """One window's count and the first events that were counted. `is_trouble` when an alert was open in it."""

    count: int = 0
    first: list[Evidence] = msgspec.field(default_factory=list)
    is_trouble: bool = False


class Past(msgspec.Struct):
    """The recent windows, and the most that one window ever held while things were normal.

    Attributes:
        most: the highest normal count.
        raised_at: event time at which `most` last rose after the warm-up, microseconds.
    """

    most: int = 0
    raised_at: int = 0
    windows: dict[int, Window] = msgspec.field(default_factory=dict)

    def count(self, event_time: int, width: int) -> int:
        """How many the event's window holds already."""
        window = self.windows.get(event_time // width)
        return window.count if window else 0

    def first(self, event_time: int, width: int) -> tuple[Evidence, ...]:
        """The first events of the event's window."""
        window = self.windows.get(event_time // width)
        return tuple(window.first) if window else ()

    def take(self, piece: Evidence, width: int, learning: Learning) -> None:
        """Counts an event in its window, and learns as much as allowed."""
        number = piece.event_time // width
        window = self.windows.get(number)
        if window is None:
            if learning == "slow":
                self._learn_slowly(piece.event_time)
            window = self._open(number)
        window.count += 1
        window.is_trouble = window.is_trouble or learning == "held"
        # An open alert has its evidence; keeping it twice would only make the state large in a storm.
        if learning != "held" and len(window.first) < MAX_EVIDENCE:
            window.first.append(piece)
        if learning == "warm_up":
            self.most = max(self.most, window.count)

    def _open(self, number: int) -> Window:
        """A new window. Only it and its neighbour keep events: state is written often, old ones explain nothing."""
        for other, held in self.windows.items():
            if other < number - 1:
                held.first.clear()
        window = self.windows[number] = Window()
        while len(self.windows) > MAX_WINDOWS:
            del self.windows[min(self.windows)]
        return window

    def _learn_slowly(self, event_time: int) -> None:
        """Raises the most ever seen by one an hour at most, and only by whole windows in which no alert was open.

        So neither a burst that is under way nor a trouble that creeps in becomes normal.
        """
        highest = max((window.count for window in self.windows.values() if not window.is_trouble), default=0)
        if highest > self.most and abs(event_time - self.raised_at) >= LEARN_EVERY:
            self.most += 1
            self.raised_at = event_time


def limit(most: int, allowance: int) -> float:
    """The highest count that is still normal: the most ever seen, twice its root for chance, and an allowance.

    Counts of independent events scatter by their root (Poisson), so twice that is what another day may bring.
    """
    return most + 2.0 * math.sqrt(most) + allowance


def burst_score(count: int, most: int, allowance: int) -> float:
    """0 to 1; above one half exactly when the count lies above the limit."""
    line = math.floor(limit(most, allowance)) + 0.5
    return count / (count + line)
