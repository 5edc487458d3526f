"""Decisions to Kafka, acknowledged, several requests' in one go.

While one lot is on its way, what comes meanwhile waits and then goes together: a single request waits for nobody, and
many at once share their round trips.
"""

import threading
from collections.abc import Sequence

from services.common.broker.abstract import Output
from services.common.errors import MoselleError, Retryable
from services.common.source import Source

_WAIT_SECONDS = 35.0


class _Lot:
    """One request's records and what became of them."""

    def __init__(self, outputs: Sequence[Output]) -> None:
        self.outputs = outputs
        self.done = threading.Event()
        self.error: MoselleError | None = None


class Publisher:
    """One thread that hands records to Kafka for all requests.

    Args:
        source: what acknowledges when Kafka has them; Overloaded comes through it.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._waiting: list[_Lot] = []
        self._has_work = threading.Condition()
        self._is_closing = False
        self._thread = threading.Thread(target=self._run, name="publisher", daemon=True)
        self._thread.start()

    def publish(self, outputs: Sequence[Output]) -> None:
        """Returns when Kafka has them.

        Raises:
            Retryable: it has not taken all of them; some may have been written.
        """
        lot = _Lot(outputs)
        with self._has_work:
            if self._is_closing:
                raise Retryable("the service is stopping: ask another replica")
            self._waiting.append(lot)
            self._has_work.notify()
        if not lot.done.wait(_WAIT_SECONDS):
            raise Retryable(f"Kafka has not answered for {_WAIT_SECONDS:g} s")
        if lot.error is not None:
            raise lot.error

    def close(self) -> None:
        """Sends what waits, then ends."""
        with self._has_work:
            self._is_closing = True
            self._has_work.notify()
        self._thread.join()

    def _run(self) -> None:
        while lots := self._take():
            try:
                self._source.accept([output for lot in lots for output in lot.outputs])
            except MoselleError as error:
                for lot in lots:
                    lot.error = error
            for lot in lots:
                lot.done.set()

    def _take(self) -> list[_Lot]:
        """All that wait; waits for the first. Empty at the end."""
        with self._has_work:
            self._has_work.wait_for(lambda: self._waiting or self._is_closing)
            lots, self._waiting = self._waiting, []
            return lots
