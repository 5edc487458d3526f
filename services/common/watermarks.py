"""Event time per source: who has reached which time, and which clocks may be believed.

A source's watermark is the highest event time it has shown. The sources of a host share the host's clock, so a host's
clock is its sources' watermarks. A cluster's clock is the highest host clock that a second host bears out; with one
host it is that host's. A source or a host with a wrong clock therefore moves nobody else's time.
"""

import itertools
from collections.abc import Mapping
from enum import Enum
from typing import NamedTuple

import msgspec

from services.common.errors import ArtifactMismatch

SECOND = 1_000_000
STATE_VERSION = 1
#: Workers that share a file write their lines out of order by so much, microseconds.
DISORDER = SECOND


class Arrival(Enum):
    """How an event stands against its source's watermark."""

    ON_TIME = "on_time"
    #: Older than the allowed lateness.
    LATE = "late"
    #: Further ahead than a clock may jump, and not yet borne out.
    FUTURE = "future"
    #: The source's clock was set back: its watermark begins anew at this event.
    SET_BACK = "set_back"


class Seen(NamedTuple):
    """What one event did; microseconds.

    Attributes:
        watermark: the source's watermark after it.
        clock_before: the host's clock before it.
        pause: how long the source had been quiet while its host went on, when this event ended the quiet; else None.
    """

    arrival: Arrival
    watermark: int
    clock_before: int
    pause: int | None = None


class Tolerances(msgspec.Struct, frozen=True):
    """How wrong clocks may be, seconds; and how many events in a row make us believe a new time.

    When nobody on a host speaks for longer than `lull_seconds`, the rest of that time is nobody's silence.

    A clock that was set back goes on as fast as ours. Old events that arrive `set_back_pace` times as fast as they
    happened, or too few to tell (`set_back_seconds` of event time), are sent a second time: late, all of them.

    `trusts_pauses`: an event far ahead is believed at once where our own clock went on as far since the one before.
    """

    lateness_seconds: float = 60.0
    skew_seconds: float = 30.0
    jump_seconds: float = 600.0
    lull_seconds: float = 5.0
    num_to_jump: int = 3
    num_to_set_back: int = 50
    set_back_seconds: float = 10.0
    set_back_pace: float = 2.0
    trusts_pauses: bool = False


class SourceMark(msgspec.Struct, array_like=True):
    """One source. `is_off` while its clock stands apart from the rest of its host.

    `quiet_since` is its watermark, later by every lull of its whole host since: what its silence is measured from.
    `strange_since` and `strange_arrived` are event time and arrival of the first of `num_strange` events in a row.
    """

    watermark: int
    quiet_since: int
    num_strange: int = 0
    strange_time: int = 0
    is_off: bool = False
    strange_since: int = 0
    strange_arrived: int = 0


class HostMark(msgspec.Struct, array_like=True):
    """One host: its first event time, its clock, how long of it was not lull, its sources. In microseconds.

    `arrived` is when the event that moved the clock last reached us; 0 where nobody knows.
    `elsewhere` is how long it had lived in each other partition when that was last looked at.
    """

    started_at: int
    clock: int
    lived: int = 0
    sources: dict[str, SourceMark] = msgspec.field(default_factory=dict)
    elsewhere: dict[str, int] = msgspec.field(default_factory=dict)
    arrived: int = 0


class Watermarks:
    """The watermarks of the sources of some partitions. Not thread-safe."""

    def __init__(self, tolerances: Tolerances | None = None) -> None:
        self._tolerances = tolerances or Tolerances()
        self._lateness = int(self._tolerances.lateness_seconds * SECOND)
        self._jump = int(self._tolerances.jump_seconds * SECOND)
        self._lull = int(self._tolerances.lull_seconds * SECOND)
        self._skew = int(self._tolerances.skew_seconds * SECOND)
        self._set_back_span = int(self._tolerances.set_back_seconds * SECOND)
        self.hosts: dict[str, HostMark] = {}

    def observe(self, source_id: str, host: str, event_time: int, arrived: int | None = None) -> Seen:
        """Takes an event in. A repeated event changes nothing.

        Args:
            arrived: when it reached us, by our own clock, microseconds: it tells a clock that was set back from events
                that are sent a second time. None where nobody knows; then all count as the former.
        """
        mark = self.hosts.get(host)
        if mark is None:
            mark = self.hosts[host] = HostMark(event_time, event_time)
        source = mark.sources.get(source_id)
        if source is None:
            seen = self._observe_first(mark, source_id, event_time)
            self._note_arrival(mark, seen, arrived)
            return seen
        if event_time <= source.watermark and self._goes_on_late(source, event_time):
            return Seen(Arrival.LATE, source.watermark, mark.clock)
        if event_time >= source.watermark:
            seen = self._observe_newer(mark, source, event_time, arrived)
            self._note_arrival(mark, seen, arrived)
            return seen
        if source.watermark - event_time <= self._lateness:
            return Seen(Arrival.ON_TIME, source.watermark, mark.clock)
        is_borne_out = self._is_borne_out(source, event_time, self._tolerances.num_to_set_back)
        if source.num_strange <= 1:
            source.strange_since, source.strange_arrived = event_time, arrived or 0
        if not is_borne_out or not self._keeps_pace(source, event_time, arrived):
            return Seen(Arrival.LATE, source.watermark, mark.clock)
        before = mark.clock
        self._set_back(mark, source, event_time)
        return Seen(Arrival.SET_BACK, event_time, before)

    def _observe_first(self, mark: HostMark, source_id: str, event_time: int) -> Seen:
        before = mark.clock
        is_off = bool(mark.sources) and event_time - before > self._jump
        mark.sources[source_id] = source = SourceMark(event_time, event_time, is_off=is_off)
        self._advance(mark, source)
        return Seen(Arrival.ON_TIME, event_time, before)

    def _note_arrival(self, mark: HostMark, seen: Seen, arrived: int | None) -> None:
        if self._tolerances.trusts_pauses and (mark.clock > seen.clock_before or not mark.arrived):
            mark.arrived = arrived or 0

    def _observe_newer(self, mark: HostMark, source: SourceMark, event_time: int, arrived: int | None) -> Seen:
        before, previous = mark.clock, source.watermark
        ahead_of = previous if source.is_off or previous > before else before
        is_jump = event_time - ahead_of > self._jump and not self._has_passed(mark, source, event_time, arrived)
        if is_jump and not self._is_borne_out(source, event_time, self._tolerances.num_to_jump):
            return Seen(Arrival.FUTURE, previous, before)
        source.num_strange = 0
        source.is_off = source.is_off or (is_jump and len(mark.sources) > 1)
        source.watermark = event_time
        self._advance(mark, source)
        pause = max(0, mark.clock - source.quiet_since) if event_time > previous else None
        if event_time > previous:
            source.quiet_since = max(event_time, mark.clock) if not source.is_off else event_time
        return Seen(Arrival.ON_TIME, event_time, before, None if source.is_off or is_jump else pause)

    def _has_passed(self, mark: HostMark, source: SourceMark, event_time: int, arrived: int | None) -> bool:
        """Whether our own clock went on about as far as the event's: then nobody jumped, the host was only quiet."""
        if not self._tolerances.trusts_pauses or arrived is None or not mark.arrived or source.is_off:
            return False
        return arrived - mark.arrived >= event_time - mark.clock - self._jump

    def _goes_on_late(self, source: SourceMark, event_time: int) -> bool:
        """Whether a run of late events reaches the time that is still in time: its end was seen before, too."""
        is_near = source.watermark - event_time <= self._lateness
        if not is_near or source.num_strange < self._tolerances.num_to_jump:
            return False
        if not -DISORDER < event_time - source.strange_time <= self._jump:
            return False
        source.strange_time = max(event_time, source.strange_time)
        return True

    def _is_borne_out(self, source: SourceMark, event_time: int, num_needed: int) -> bool:
        """Whether enough different events in a row agree on a time far from the watermark."""
        agrees = -DISORDER < event_time - source.strange_time <= self._jump
        if event_time == source.strange_time:
            return False
        source.num_strange = source.num_strange + 1 if agrees else 1
        source.strange_time = max(event_time, source.strange_time) if agrees else event_time
        return source.num_strange >= num_needed

    def _keeps_pace(self, source: SourceMark, event_time: int, arrived: int | None) -> bool:
        """Whether a run of old events goes on about as fast as our own clock."""
        if arrived is None:
            return True
        span = event_time - source.strange_since
        return self._set_back_span <= span <= self._tolerances.set_back_pace * (arrived - source.strange_arrived)

    def _advance(self, mark: HostMark, source: SourceMark) -> None:
        if source.is_off:
            source.is_off = source.watermark - mark.clock > self._jump and not self._has_company(mark, source)
        if not source.is_off and source.watermark > mark.clock:
            self._step(mark, source.watermark, self._lull)

    def _step(self, mark: HostMark, clock: int, lived: int) -> None:
        """Moves the host's clock on; of the step, at most `lived` counts towards anybody's silence."""
        excess = max(0, clock - mark.clock - lived)
        mark.lived += clock - mark.clock - excess
        mark.clock = clock
        if excess:
            for source in mark.sources.values():
                source.quiet_since += excess

    def _has_company(self, mark: HostMark, source: SourceMark) -> bool:
        """Whether a second source of the host shows the same strange time: then the time is right."""
        others = (other for other in mark.sources.values() if other is not source)
        return any(abs(other.watermark - source.watermark) <= self._skew for other in others)

    def _set_back(self, mark: HostMark, source: SourceMark, event_time: int) -> None:
        source.watermark = source.quiet_since = event_time
        source.num_strange = 0
        source.is_off = False
        mark.clock = max(other.watermark for other in mark.sources.values() if not other.is_off)
        mark.started_at = min(mark.started_at, mark.clock)
        for other in mark.sources.values():
            other.quiet_since = min(other.quiet_since, mark.clock)

    def host_clock(self, host: str) -> int | None:
        """The host's clock, microseconds; None for a host never seen."""
        mark = self.hosts.get(host)
        return mark.clock if mark else None

    def cluster_clock(self) -> int | None:
        """The highest host clock that a second host bears out within the skew; of one host, its own.

        None when there is no host, or when no two of them agree.
        """
        clocks = sorted((mark.clock for mark in self.hosts.values()), reverse=True)
        if len(clocks) == 1:
            return clocks[0]
        pairs = itertools.pairwise(clocks)
        return next((higher for higher, lower in pairs if higher - lower <= self._skew), None)

    def is_in_step(self, host: str, cluster_clock: int | None) -> bool:
        """Whether the host's clock agrees with the cluster's."""
        mark = self.hosts.get(host)
        return mark is not None and cluster_clock is not None and abs(cluster_clock - mark.clock) <= self._skew

    def adopt(self, host: str, others: Mapping[str, HostMark]) -> bool:
        """Takes over what other partitions know of the host, where that is newer. Returns whether its clock moved.

        What it lived there since we last looked is time in which its sources here were silent; the rest was lull.

        Args:
            others: the host as each other partition has it, by a name that stays.
        """
        newest = max(others.values(), key=lambda mark: mark.clock)
        clock = newest.clock
        started_at = min(mark.started_at for mark in others.values())
        own = self.hosts.setdefault(host, HostMark(started_at, clock))
        grown = max(mark.lived - own.elsewhere.get(name, mark.lived) for name, mark in others.items())
        own.elsewhere.update({name: mark.lived for name, mark in others.items()})
        own.started_at = min(own.started_at, started_at)
        if clock <= own.clock:
            return False
        self._step(own, clock, max(0, grown))
        own.arrived = newest.arrived
        return True

    def look(self, host: str, others: Mapping[str, HostMark]) -> None:
        """Notes how long the host has lived in other partitions up to now; saved with the host."""
        self.hosts[host].elsewhere.update({name: mark.lived for name, mark in others.items()})

    def quiet(self, source_id: str, host: str) -> int:
        """For how long the source has been silent while its host went on, microseconds; 0 for one never seen."""
        mark = self.hosts.get(host)
        source = mark.sources.get(source_id) if mark else None
        return max(0, mark.clock - source.quiet_since) if mark and source and not source.is_off else 0

    def forget(self, source_id: str, host: str) -> None:
        """The source is gone for good."""
        mark = self.hosts.get(host)
        if mark:
            mark.sources.pop(source_id, None)

    def save_host(self, host: str) -> bytes:
        """MessagePack of STATE_VERSION."""
        return msgspec.msgpack.encode(self.hosts[host])

    def load_host(self, host: str, payload: bytes, version: int = STATE_VERSION) -> None:
        """Takes back what `save_host` gave.

        Raises:
            ArtifactMismatch: another version, or bytes that are no host's clocks.
        """
        if version != STATE_VERSION:
            raise ArtifactMismatch(
                f"The clocks of {host} were saved as version {version}, this program reads {STATE_VERSION}: run the "
                "program that wrote them, or delete the service's state topic to learn anew."
            )
        try:
            self.hosts[host] = msgspec.msgpack.decode(payload, type=HostMark)
        except msgspec.MsgspecError as error:
            raise ArtifactMismatch(f"The saved clock of {host} cannot be read ({error}).") from error
