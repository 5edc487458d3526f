"""Template mining beside Drain3, the same lines, the same run; and its memory over ten million lines. Each prints a
line of JSON and asserts nothing about speed.

Lines: nova's of openstack_fault_injection where the data lies beside the repository, else generated ones. Best of
ROUNDS a side, alternating, CPU seconds of this process; the median ratio is the figure. Drain3 has its OpenStack masks
and is else as it comes.
"""

import gc
import json
import lzma
import random
import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import psutil
import pytest

from services.ingest.core.headers import parse_oslo
from services.ingest.model.miner import Miner
from services.ingest.train.mining_rivals import Mined, drain3_settings, with_drain3, with_moselle

DATA = Path(__file__).parents[3] / "shared" / "data" / "logs" / "openstack_fault_injection" / "Nova_nodebug.log.xz"
NUM_LINES = 500_000
ROUNDS = 3
MILLION = 1_000_000
NUM_MILLIONS = 10
#: Of the endless stream, so many lines in a thousand are of words that were never seen, and hold keys with such values.
NEW_WORDS_PER_MILLE = 5


def bodies(number: int) -> tuple[str, list[str]]:
    """(where from, messages without their headers)."""
    if not DATA.exists():
        dice = random.Random(7)
        return "generated", [f"Took {dice.random():.2f} seconds to {dice.choice('abcdef')} the instance on h{i % 9}"
                             for i in range(number)]  # fmt: skip
    with lzma.open(DATA, "rt", errors="replace") as file:
        lines = (line.rstrip("\n").split("\t")[-1] for line in file)
        headers = (parse_oslo(line) for line in lines)
        return DATA.name, list(islice((h.body for h in headers if h is not None and h.body), number))


def timed(mine: Callable[[Sequence[str]], Mined], lines: list[str]) -> tuple[float, int]:
    """(lines per CPU second, templates)."""
    gc.collect()
    mined, seconds = mine(lines)
    return len(lines) / seconds, len(set(mined))


@pytest.mark.bench
@pytest.mark.timeout(1200)
def test_mining_beside_drain3() -> None:
    """Lines a second of both, and the median of the ratios."""
    source, lines = bodies(NUM_LINES)
    ours, theirs = [], []
    for _ in range(ROUNDS):
        ours.append(timed(with_moselle, lines))
        theirs.append(timed(with_drain3, lines))
    ratios = [mine[0] / peer[0] for mine, peer in zip(ours, theirs, strict=True)]
    figures = {
        "bench": "mining", "lines": len(lines), "source": source, "rounds": ROUNDS,
        "lines_per_second": round(statistics.median(rate for rate, _ in ours)), "templates": ours[0][1],
        "drain3_lines_per_second": round(statistics.median(rate for rate, _ in theirs)),
        "drain3_templates": theirs[0][1], "drain3_settings": drain3_settings(),
        "ratio_median": round(statistics.median(ratios), 2), "ratio_min": round(min(ratios), 2),
        "ratio_max": round(max(ratios), 2),
    }  # fmt: skip
    sys.stdout.write(json.dumps(figures) + "\n")
    assert len(ours) == ROUNDS


def endless(lines: list[str]) -> Iterator[str]:
    """Real lines over and over, their digits drawn anew; a few of words that were never seen."""
    dice = random.Random(11)
    letters = "abcdefghijklmnopqrstuvwxyz"
    while True:
        table = str.maketrans("0123456789", "".join(dice.choices("0123456789", k=10)))
        for line in lines:
            if dice.random() * 1000 < NEW_WORDS_PER_MILLE:
                new = ("".join(dice.choices(letters, k=9)) for _ in range(6))
                yield " ".join((*new, f"user={next(iter(dice.choices(letters)))}{dice.random()}", f"key={line[:40]}"))
            else:
                yield line.translate(table)


@pytest.mark.bench
@pytest.mark.timeout(3600)
def test_memory_over_ten_million_lines() -> None:
    """The memory of this process after each million, and the templates by then."""
    source, lines = bodies(NUM_LINES)
    miner, stream, process = Miner(), endless(lines), psutil.Process()
    memory, templates = [], []
    for _ in range(NUM_MILLIONS):
        for line in islice(stream, MILLION):
            miner.mine(line, 0)
        miner.take_changes()
        memory.append(round(process.memory_info().rss / 2**20, 1))
        templates.append(len(miner))
        sys.stderr.write(f"{len(memory)} million lines: {memory[-1]} MiB, {templates[-1]} templates\n")
    figures = {"bench": "mining memory", "source": source, "lines": NUM_MILLIONS * MILLION, "rss_mib": memory,
               "templates": templates, "max_templates": 20_000}  # fmt: skip
    sys.stdout.write(json.dumps(figures) + "\n")
    assert len(miner) <= 20_001
