"""Waiting across processes without guessing how long: what is true at last costs nothing, however long one may wait."""

import time
from collections.abc import Callable
from typing import TypeVar

#: For whatever may hang, also on a slow machine under load.
TIMEOUT_SECONDS = 240.0

T = TypeVar("T")


def poll_until(question: Callable[[], T], what: str, timeout_seconds: float = TIMEOUT_SECONDS) -> T:
    """Asks until the answer is true, and returns it; fails with `what` was wanted when it never is."""
    deadline = time.monotonic() + timeout_seconds
    while not (answer := question()):
        assert time.monotonic() < deadline, f"still not so after {timeout_seconds:.0f} s: {what}"
        time.sleep(0.05)
    return answer
