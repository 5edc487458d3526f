"""A share of a core for a process: Linux control groups, where this user may make one."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
#: Kafka's clients answer within milliseconds: a group that used up its share waits for the rest of so short a period.
PERIOD_MICROS = 20_000
#: By so many times it goes before what else wants the core, until its share is used up.
PRIORITY = 16


@contextmanager
def cpu_share(name: str, share: float) -> Iterator[Callable[[int], None] | None]:
    """A control group with a quota; yields what puts a process into it, or None where there can be none.

    Args:
        share: of one core; all threads of all its processes together get no more, and hardly less where others compete.
    """
    try:
        group = _make(f"{name}-{os.getpid()}", int(share * PERIOD_MICROS))
    except OSError:
        yield None
        return
    try:
        yield lambda pid: _write(group / "cgroup.procs", pid)
    finally:
        with suppress(OSError):  # not empty while a process that was ended is still going
            group.rmdir()


def _make(name: str, quota: int) -> Path:
    first = (ROOT / "cpu" / "cpu.cfs_quota_us").exists()
    group = (ROOT / "cpu" if first else ROOT) / name
    group.mkdir()
    try:
        if first:
            _write(group / "cpu.cfs_period_us", PERIOD_MICROS)
            _write(group / "cpu.cfs_quota_us", quota)
            _write(group / "cpu.shares", PRIORITY * 1024)
        else:
            _write(group / "cpu.max", f"{quota} {PERIOD_MICROS}")
            _write(group / "cpu.weight", PRIORITY * 100)
    except OSError:
        group.rmdir()
        raise
    return group


def _write(path: Path, value: object) -> None:
    if not path.parent.is_dir():
        raise FileNotFoundError(path)
    with path.open("r+") as file:  # never makes a file: a controller that is not there must be an error
        file.write(str(value))
