"""Calls into a client library that may never return.

librdkafka 2.16 was seen to sit in `send_offsets_to_transaction` for ever after its broker was killed and came back, its
own time-out notwithstanding. Such a call is left behind with its thread, and the session with it.
"""

import queue
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from services.common.errors import Retryable

T = TypeVar("T")


class DeadlineCaller:
    """Runs calls one after the other in a thread of its own. After one call has not returned, all others fail."""

    def __init__(self, name: str) -> None:
        self._calls: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._is_stuck = False
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def call(self, seconds: float, what: str, function: Callable[..., T], *args: Any) -> T:
        """`function(*args)`, with its result or its exception.

        Raises:
            Retryable: it has not returned after `seconds`, or an earlier call never did.
        """
        if self._is_stuck:
            raise Retryable(f"{what} was not tried: an earlier call never returned")
        done = threading.Event()
        outcome: list[Any] = []

        def run() -> None:
            try:
                outcome.extend((function(*args), None))
            except BaseException as error:  # handed to the caller, whatever it is
                outcome.extend((None, error))
            done.set()

        self._calls.put(run)
        if not done.wait(seconds):
            self._is_stuck = True
            raise Retryable(f"{what} has not returned after {seconds:.0f} s")
        result, error = outcome
        if error is not None:
            raise error
        return result  # type: ignore[no-any-return]

    def close(self) -> None:
        """Ends the thread once it is free; a stuck one is left behind."""
        self._calls.put(None)
        if not self._is_stuck:
            self._thread.join()

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            call()
