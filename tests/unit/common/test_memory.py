"""Memory that was used once goes back to the system."""

import platform
import subprocess
import sys

import pytest

from services.common.memory import give_back_memory

#: Blocks of a mebibyte and a half are freed, each with a small one behind it that stays.
PROGRAM = """
import psutil
from services.common.memory import give_back_memory
assert give_back_memory()
bytearray(24 * 2**20)
kept = []
for _ in range(60):
    block = bytearray(b"x") * (3 * 2**19)
    kept.append((block, bytearray(2000)))
before = psutil.Process().memory_info().rss
kept = [small for _, small in kept]
del block
print(before - psutil.Process().memory_info().rss)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has the option")
def test_large_blocks_are_returned_when_they_are_freed() -> None:
    """Ninety megabytes between small blocks that live on, after a larger one was freed."""
    found = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert int(found.stdout) > 80 * 2**20


def test_other_systems_are_left_as_they_are() -> None:
    """It says whether it could be done."""
    assert give_back_memory() is (platform.libc_ver()[0] == "glibc")
