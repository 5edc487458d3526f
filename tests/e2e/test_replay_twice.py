"""The same recording a second time: everything is known already."""

from pathlib import Path

from tests.e2e.systems import System
from tests.polling import TIMEOUT_SECONDS

TABLES = ("features", "scrapes", "predictions", "alerts")


def test_replaying_the_same_capture_twice_changes_no_row(small_capture: Path, run_folder: Path) -> None:
    """Not one row of the history is added, changed, or even written again with what it held."""
    system = System(run_folder / "state", warmup_seconds=240)
    replay_whole(system, small_capture)
    before = {table: system.digest(table) for table in TABLES}
    assert all(count > 5 for count, *_ in before.values()), before
    replay_whole(system, small_capture)
    assert {table: system.digest(table) for table in TABLES} == before
    system.down()


def replay_whole(system: System, folder: Path) -> None:
    """Returns when all of it is through."""
    replay = system.replay(folder, "max")
    said, _ = replay.communicate(timeout=TIMEOUT_SECONDS)
    assert replay.returncode == 0, said
    system.wait_until_settled()
