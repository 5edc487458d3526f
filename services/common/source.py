"""The kernel's third mode: an HTTP or gRPC server that acknowledges a request when Kafka has it.

A handler calls `Source.accept`; when it returns, the broker has all of the request's records on all in-sync replicas.
Nothing is kept here: a request that was not acknowledged is the sender's to repeat.
"""

import threading
from collections.abc import Sequence

from services.common.broker.abstract import Broker, Output
from services.common.errors import Retryable


class Overloaded(Retryable):
    """As many records wait for the broker as may. Answer 429 or RESOURCE_EXHAUSTED with `retry_after_seconds`."""

    def __init__(self, waiting: int, limit: int, retry_after_seconds: float) -> None:
        super().__init__(
            f"{waiting} records wait for Kafka already, at most {limit} may: try again in {retry_after_seconds:g} s"
        )
        self.retry_after_seconds = retry_after_seconds


class Source:
    """Takes requests in from any number of threads.

    Args:
        broker: where records go.
        max_waiting_records: the most that may wait for the broker at once, over all requests.
        retry_after_seconds: what a refused sender is told.
    """

    def __init__(self, broker: Broker, max_waiting_records: int = 100_000, retry_after_seconds: float = 1.0) -> None:
        self._broker = broker
        self._limit = max_waiting_records
        self._retry_after = retry_after_seconds
        self._waiting = 0
        self._lock = threading.Lock()

    @property
    def num_waiting(self) -> int:
        """Records that wait for the broker now."""
        return self._waiting

    def accept(self, outputs: Sequence[Output]) -> None:
        """Returns when the broker has all of `outputs`.

        Raises:
            Overloaded: nothing was sent; the sender shall come back.
            Retryable: the broker did not take all of it; some may have been written, so readers must know repeats.
            InvalidMessage: `too_large`: a topic never takes one of them.
        """
        with self._lock:
            # A request larger than the limit is taken when nothing else waits: otherwise it could never be.
            if self._waiting and self._waiting + len(outputs) > self._limit:
                raise Overloaded(self._waiting, self._limit, self._retry_after)
            self._waiting += len(outputs)
        try:
            self._broker.publish(outputs)
        finally:
            with self._lock:
                self._waiting -= len(outputs)
