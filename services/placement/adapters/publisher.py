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
    """One request's records and what became of them.

    Attributes:
        woken: set when it is done, or when it is this lot's turn to send all that wait.
    """

    def __init__(self, outputs: Sequence[Output]) -> None:
        self.outputs = outputs
        self.woken = threading.Event()
        self.is_done = False
        self.error: MoselleError | None = None


class Publisher:
    """Hands records to Kafka for all requests, on the requests' own threads.

    Whoever finds nobody sending sends, and for all that wait; then the first of those that came meanwhile does. A
    thread of its own would cost a single request two changes of threads.

    Args:
        source: what acknowledges when Kafka has them; Overloaded comes through it.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._waiting: list[_Lot] = []
        self._has_changed = threading.Condition()
        self._is_sending = False
        self._is_closing = False

    def publish(self, outputs: Sequence[Output]) -> None:
        """Returns when Kafka has them.

        Raises:
            Retryable: it has not taken all of them; some may have been written.
        """
        lot = _Lot(outputs)
        with self._has_changed:
            if self._is_closing:
                raise Retryable("the service is stopping: ask another replica")
            self._waiting.append(lot)
            is_mine = not self._is_sending
            self._is_sending = True
        if not is_mine and not lot.woken.wait(_WAIT_SECONDS):
            self._give_up(lot)
        if not lot.is_done:
            self._send()
        if lot.error is not None:
            raise lot.error

    def _give_up(self, lot: _Lot) -> None:
        """Unless its turn came this moment."""
        with self._has_changed:
            if lot.woken.is_set():
                return
            if lot in self._waiting:
                self._waiting.remove(lot)
        raise Retryable(f"Kafka has not answered for {_WAIT_SECONDS:g} s")

    def _send(self) -> None:
        """All that wait; then the turn goes to the first of those that came meanwhile."""
        with self._has_changed:
            lots, self._waiting = self._waiting, []
        try:
            self._source.accept([output for lot in lots for output in lot.outputs])
        except MoselleError as error:
            for lot in lots:
                lot.error = error
        finally:
            for lot in lots:
                lot.is_done = True
                lot.woken.set()
            self._pass_on()

    def _pass_on(self) -> None:
        with self._has_changed:
            self._is_sending = bool(self._waiting)
            if self._waiting:
                self._waiting[0].woken.set()
            self._has_changed.notify_all()

    def close(self) -> None:
        """Takes nothing more; returns when what waits was sent."""
        with self._has_changed:
            self._is_closing = True
            self._has_changed.wait_for(lambda: not self._is_sending)
