"""Running `moselle` as a process of its own."""

import subprocess
import sys

from tests.polling import TIMEOUT_SECONDS


def moselle(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """Its exit code and what it printed."""
    command = [sys.executable, "-m", "moselle", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=TIMEOUT_SECONDS)
