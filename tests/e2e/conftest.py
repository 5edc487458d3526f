"""A small capture, cut from the one that ships, and a short folder for what runs."""

import shutil
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from moselle.demo.processes import sweep
from moselle.demo.slice import HERE, Span, cut


def epoch(clock: str) -> float:
    """Seconds since 1970 of a time of the recorded day."""
    return datetime.fromisoformat(f"2026-11-21T{clock}").replace(tzinfo=UTC).timestamp()


@pytest.fixture(scope="session")
def small_capture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six minutes of ordinary operation and the first three faults: wrong tokens, a busy disk, a dead neutron."""
    folder = tmp_path_factory.mktemp("capture")
    cut(HERE, folder, Span(epoch("06:03:40"), epoch("06:13:05")))
    return folder


@pytest.fixture
def run_folder() -> Iterator[Path]:
    """A folder for state, with a short name (sockets lie below it); whatever still runs there is ended."""
    folder = Path(tempfile.mkdtemp(prefix="e2e-"))
    try:
        yield folder
    finally:
        sweep(folder)
        shutil.rmtree(folder, ignore_errors=True)
