"""Questions of a scheduler in, answers out, in time or neutral.

A neutral answer lets every node pass and marks all alike: the scheduler then decides as if we were not there. It is
given at once when the pod cannot be read, the matrix is stale, the world is busy for too long, or was so just now.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import TypeVar

import msgspec

from services.common.clock import Clock
from services.common.logging import get_logger
from services.placement import metrics
from services.placement.core.kube.advice import NOBODY_REFUSED, Adviser, Passed, read_asked
from services.placement.core.kube.circuit import Circuit
from services.placement.core.kube.marks import NEUTRAL
from services.placement.core.kube.objects import read_pod
from services.placement.core.kube.pods import Asked
from services.placement.errors import InvalidRequest, NotReady

T = TypeVar("T")
#: filter and prioritize of one pod come with the same bytes, and several schedulers may ask in turn.
_MOST_REMEMBERED = 64


class Desk:
    """Thread-safe.

    Args:
        check_fresh: raises NotReady when too little is known to answer.
        deadline_seconds: how long an answer may wait for the world.
    """

    def __init__(
        self,
        adviser: Adviser,
        lock: threading.RLock,
        clock: Clock,
        circuit: Circuit,
        check_fresh: Callable[[], None],
        deadline_seconds: float,
    ) -> None:
        self._adviser = adviser
        self._lock = lock
        self._clock = clock
        self._circuit = circuit
        self._check_fresh = check_fresh
        self._deadline = deadline_seconds
        self._asked: OrderedDict[bytes, Asked] = OrderedDict()

    def filter(self, pod: msgspec.Raw, names: Sequence[str]) -> Passed:
        """Which nodes pass."""
        return self._answer("filter", pod, NOBODY_REFUSED, lambda asked: self._adviser.filter(asked, names))

    def prioritize(self, pod: msgspec.Raw, names: Sequence[str]) -> list[int]:
        """Marks 0..10 in the order of the names."""
        neutral = [NEUTRAL] * len(names)
        return self._answer("prioritize", pod, neutral, lambda asked: self._adviser.prioritize(asked, names))

    def preempt(self, pod: msgspec.Raw, names: Sequence[str]) -> list[str]:
        """The nodes on which other pods may be ended for this one."""
        return self._answer("preempt", pod, list(names), lambda asked: self._adviser.preempt(asked, names))

    def _answer(self, verb: str, pod: msgspec.Raw, neutral: T, work: Callable[[Asked], T]) -> T:
        began = self._clock.monotonic()
        try:
            answer, reason = self._try(pod, work)
        except Exception as error:
            # A mistake of ours must not keep a pod waiting; the log tells where it is.
            get_logger().exception("extender_failed", verb=verb, error=repr(error))
            answer, reason = None, "error"
        metrics.EXTENDER_SECONDS.labels(verb).observe(self._clock.monotonic() - began)
        if answer is None:
            metrics.EXTENDER_NEUTRAL.labels(verb, reason).inc()
            return neutral
        return answer

    def _try(self, pod: msgspec.Raw, work: Callable[[Asked], T]) -> tuple[T | None, str]:
        """An answer, or why there is none."""
        if self._circuit.is_open:
            return None, "circuit_open"
        began = self._clock.monotonic()
        if not self._lock.acquire(timeout=self._deadline):
            self._circuit.tell(True)
            return None, "late"
        try:
            self._check_fresh()
            return work(self._read(pod)), ""
        except NotReady:
            return None, "stale"
        except (InvalidRequest, ValueError):
            return None, "unreadable"
        finally:
            self._lock.release()
            self._circuit.tell(self._clock.monotonic() - began > self._deadline)

    def _read(self, raw: msgspec.Raw) -> Asked:
        key = bytes(raw)
        asked = self._asked.get(key)
        if asked is None:
            asked = self._asked[key] = read_asked(read_pod(raw))
            if len(self._asked) > _MOST_REMEMBERED:
                self._asked.popitem(last=False)
        return asked
