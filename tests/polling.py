"""Waiting across processes without guessing how long."""

import time
from collections.abc import Callable

TIMEOUT_SECONDS = 60.0


def poll_until(question: Callable[[], object], what: str, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
    """Asks until the answer is true; fails with `what` was wanted when it never is."""
    deadline = time.monotonic() + timeout_seconds
    while not question():
        assert time.monotonic() < deadline, f"still not so after {timeout_seconds:.0f} s: {what}"
        time.sleep(0.05)
