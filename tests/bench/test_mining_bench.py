"""Template mining beside Drain3, the same lines, the same run. Prints a line of JSON; asserts nothing about speed.

Lines: nova's of openstack_fault_injection where the data lies beside the repository, else generated ones. Best of five
rounds a side, alternating, CPU seconds of this process; the median ratio is the figure.
"""

import json
import lzma
import random
import statistics
import sys
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import pytest
from drain3 import TemplateMiner
from drain3.masking import MaskingInstruction
from drain3.template_miner_config import TemplateMinerConfig

from services.ingest.core.headers import parse_oslo
from services.ingest.model.miner import Miner

DATA = Path(__file__).parents[3] / "shared" / "data" / "logs" / "openstack_fault_injection" / "Nova_nodebug.log.xz"
NUM_LINES = 200_000
ROUNDS = 3
#: The masks that Drain3's users give it for OpenStack.
MASKS = [
    (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "UUID"),
    (r"\b[0-9a-f]{32}\b", "HEX"),
    (r"\b\d{1,3}(?:\.\d{1,3}){3}\b", "IP"),
    (r"\b\d+(?:\.\d+)?\b", "NUM"),
]


def bodies() -> tuple[str, list[str]]:
    """(where from, messages without their headers)."""
    if not DATA.exists():
        dice = random.Random(7)
        return "generated", [f"Took {dice.random():.2f} seconds to {dice.choice('abcdef')} the instance on h{i % 9}"
                             for i in range(NUM_LINES)]  # fmt: skip
    with lzma.open(DATA, "rt", errors="replace") as file:
        lines = (line.rstrip("\n").split("\t")[-1] for line in file)
        headers = (parse_oslo(line) for line in lines)
        return DATA.name, list(islice((h.body for h in headers if h is not None and h.body), NUM_LINES))


def with_moselle(lines: list[str]) -> int:
    """Mines all; the number of templates."""
    miner = Miner()
    for line in lines:
        miner.mine(line, 0)
    return len(miner)


def with_drain3(lines: list[str]) -> int:
    """The same by Drain3 with its masks."""
    config = TemplateMinerConfig()
    config.masking_instructions = [MaskingInstruction(pattern, name) for pattern, name in MASKS]
    config.profiling_enabled = False
    miner = TemplateMiner(config=config)
    for line in lines:
        miner.add_log_message(line)
    return len(miner.drain.clusters)


def timed(mine: Callable[[list[str]], int], lines: list[str]) -> tuple[float, int]:
    """(lines per CPU second, templates)."""
    began = time.process_time()
    templates = mine(lines)
    return len(lines) / (time.process_time() - began), templates


@pytest.mark.bench
def test_mining_beside_drain3() -> None:
    """Lines a second of both, and the median of the ratios."""
    source, lines = bodies()
    ours, theirs = [], []
    for _ in range(ROUNDS):
        ours.append(timed(with_moselle, lines))
        theirs.append(timed(with_drain3, lines))
    ratios = [mine[0] / peer[0] for mine, peer in zip(ours, theirs, strict=True)]
    figures = {
        "bench": "mining", "lines": len(lines), "source": source, "rounds": ROUNDS,
        "lines_per_second": round(statistics.median(rate for rate, _ in ours)), "templates": ours[0][1],
        "drain3_lines_per_second": round(statistics.median(rate for rate, _ in theirs)),
        "drain3_templates": theirs[0][1],
        "ratio_median": round(statistics.median(ratios), 2), "ratio_min": round(min(ratios), 2),
    }  # fmt: skip
    sys.stdout.write(json.dumps(figures) + "\n")
    assert ours[0][1] > 0
