"""Follows one replay until everything that was published has been read, parsed and judged."""

import time
from collections.abc import Callable, Iterable
from dataclasses import replace

from moselle.demo.capture import Capture
from moselle.demo.lag import LagReader, Progress
from moselle.demo.live import View
from moselle.demo.processes import DemoFailed, MemoryWatch, Replay
from moselle.demo.scene import Scene, ServiceRow, alert_lines, fault_rows, service_rows
from moselle.demo.story import Json
from moselle.demo.watch import MEASURED, Watch
from moselle.stack.health import ask
from services.common.broker.kafka import KafkaBroker
from services.common.clock import from_micros
from services.common.errors import Retryable
from services.common.matching import Fault

_LOOK_SECONDS = 1.0
_REFRESH_SECONDS = 0.2
#: Consumed with nothing new for so long is the end: features closes its last steps after ten seconds without a record.
#: Longer where lines are still missing, which ingest may hold back.
_QUIET_SECONDS = 13.0
_MISSING_SECONDS = 20.0
#: Nothing new for so long while records wait is a failure.
_STUCK_SECONDS = 90.0


class Follower:
    """Reads topics and lag, tells the view, and knows when all is consumed.

    Args:
        services: as `moselle status --json` lists them.
        elapsed: seconds since the command.
    """

    def __init__(
        self,
        broker: KafkaBroker,
        capture: Capture,
        services: Iterable[Json],
        view: View,
        memory: MemoryWatch,
        elapsed: Callable[[], float],
    ) -> None:
        self.watch = Watch(broker)
        self._lag_reader = LagReader(broker.bootstrap, MEASURED)
        self._capture = capture
        self._faults = [Fault.from_label(label) for label in capture.labels]
        self._services = list(services)
        self._view = view
        self._memory = memory
        self._elapsed = elapsed
        self._progress: list[Progress] = []
        self._rows: list[ServiceRow] = []
        self._published = 0
        self._features = 0
        self._features_per_second = 0.0
        self._last_look = self._last_news = time.monotonic()

    def follow(self, replay: Replay) -> None:
        """Returns when the replay is done and nothing of it is left to do.

        Raises:
            DemoFailed: the replay failed, or the services stand still.
        """
        while True:
            if self.watch.refresh(_REFRESH_SECONDS):
                self._last_news = time.monotonic()
            if time.monotonic() - self._last_look >= _LOOK_SECONDS:
                self._look()
            is_published = replay.is_done()
            self._show("the last events" if is_published else "replaying")
            if is_published and self._is_consumed():
                return

    def close(self) -> None:
        self.watch.close()

    def _look(self) -> None:
        before = {entry.group: entry.consumed for entry in self._progress}
        try:
            progress = self._lag_reader.read(self.watch.seen.ends)
            self._published = self.watch.lines_published()
        except Retryable:
            return  # the broker is busy or away; the next look asks again
        now = time.monotonic()
        if {entry.group: entry.consumed for entry in progress} != before:
            self._last_news = now
        services = [{**service, "ready": _is_ready(service)} for service in self._services]
        self._rows = service_rows(services, progress, before, now - self._last_look)
        features = len(self.watch.seen.features)
        self._features_per_second = (features - self._features) / (now - self._last_look)
        self._features = features
        self._progress, self._last_look = progress, now

    def _is_consumed(self) -> bool:
        quiet = time.monotonic() - self._last_news
        behind = {entry.group: entry.lag for entry in self._progress if entry.lag}
        if quiet > _STUCK_SECONDS and (behind or not self._progress):
            raise DemoFailed(f"nothing moves any more, and these are behind: {behind or 'all services'}")
        if behind or not self._progress or quiet < _QUIET_SECONDS:
            return False
        seen = self.watch.seen
        return seen.lines_parsed + sum(seen.dead_letters.values()) >= self._published or quiet > _MISSING_SECONDS

    def _show(self, phase: str) -> None:
        seen = self.watch.seen
        capture = self._capture
        done = (seen.event_epoch - capture.start) / (capture.end - capture.start)
        scene = Scene(
            phase=phase,
            elapsed_seconds=self._elapsed(),
            share=min(1.0, max(0.0, done)),
            event_clock=f"{from_micros(round(seen.event_epoch * 1e6)):%H:%M:%S}" if seen.event_epoch else "",
            published=self._published,
            parsed=seen.lines_parsed,
            dead_letters=sum(seen.dead_letters.values()),
            memory_mb=self._memory.now_mb,
            features=len(seen.features),
            features_per_second=self._features_per_second,
            forecasts=len(seen.predictions),
            placed=len(seen.placements),
            services=self._rows,
            alerts=alert_lines(seen),
            faults=fault_rows(self._faults, seen),
        )
        self._view.show(replace(scene, phase=_phase_text(scene, capture, phase)))


def _phase_text(scene: Scene, capture: Capture, phase: str) -> str:
    if phase == "replaying":
        learning = scene.share * (capture.end - capture.start) < capture.fit_seconds
        return "replaying: learning ordinary operation" if learning else "replaying: watching"
    return f"waiting for {phase}"


def _is_ready(service: Json) -> bool:
    return ask(int(str(service["http"]).rpartition(":")[2]))[0]
