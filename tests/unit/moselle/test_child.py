"""A child is started again when it died: at once the first time, then with growing waits."""

import sys
from pathlib import Path

import pytest

from moselle.stack.child import BACKOFF_SECONDS, STABLE_SECONDS, Child, ChildSpec
from services.common.clock import FakeClock
from tests.polling import poll_until


def make_child(folder: Path, clock: FakeClock, code: str = "import sys; sys.exit('no such setting')") -> Child:
    return Child(ChildSpec("it", lambda: [sys.executable, "-c", code], folder / "it.log"), clock)


def die(child: Child) -> None:
    poll_until(lambda: child.death, "the child has ended")


def test_the_first_restart_is_immediate(tmp_path: Path) -> None:
    """No wall time passes between the first death and the second start; the next death waits."""
    clock = FakeClock()
    child = make_child(tmp_path, clock)
    child.start()
    for restarts in (1, 1):
        die(child)
        child.watch()
        assert child.restarts == restarts
    clock.advance(BACKOFF_SECONDS[1])
    child.watch()
    assert child.restarts == 2
    die(child)


def test_a_long_life_forgives(tmp_path: Path) -> None:
    """A child that lived long enough is started again at once, whatever came before."""
    clock = FakeClock()
    child = make_child(tmp_path, clock)
    child.start()
    for _ in range(3):
        die(child)
        clock.advance(STABLE_SECONDS + 1)
        child.watch()
    assert child.restarts == 3
    die(child)


def test_a_death_says_why_and_where_to_look(tmp_path: Path) -> None:
    """The sentence holds the code, the child's last words and the log."""
    child = make_child(tmp_path, FakeClock())
    child.start()
    die(child)
    assert child.death == f"it ended with code 1: no such setting; its log is {tmp_path / 'it.log'}"


@pytest.mark.parametrize("code", ["import time; time.sleep(60)"])
def test_stop_ends_it(tmp_path: Path, code: str) -> None:
    """After stop there is no process, and no restart was counted."""
    child = make_child(tmp_path, FakeClock(), code)
    child.start()
    assert child.pid is not None
    child.stop()
    assert (child.pid, child.restarts) == (None, 0)
