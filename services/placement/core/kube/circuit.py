"""Stops trying while trying takes too long: the scheduler has no breaker of its own and would wait at every pod."""

from services.common.clock import Clock


class Circuit:
    """Opens after several late answers in a row, and lets one through after a while to see. Times in seconds.

    Args:
        most_late: late answers in a row that open it.
        rest_seconds: how long nothing is tried then.
    """

    def __init__(self, clock: Clock, most_late: int, rest_seconds: float) -> None:
        self._clock = clock
        self._most_late = most_late
        self._rest_seconds = rest_seconds
        self._num_late = 0
        self._closed_again_at = 0.0

    @property
    def is_open(self) -> bool:
        """Whether nothing is to be tried now."""
        return self._num_late >= self._most_late and self._clock.monotonic() < self._closed_again_at

    def tell(self, is_late: bool) -> None:
        """How a try went."""
        self._num_late = self._num_late + 1 if is_late else 0
        if self._num_late >= self._most_late:
            self._closed_again_at = self._clock.monotonic() + self._rest_seconds
