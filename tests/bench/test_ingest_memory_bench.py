"""Ingest's memory over ten million lines: the whole stage in this process, everything encoded, state saved.

The lines of the live capture (or of the demo's recording) again and again; each time a day later and with request ids
of their own, so that nothing can be remembered for ever. Prints the resident memory at each million and a line of
JSON. What is read and written passes through; only what the stage keeps may grow, and it may not.
"""

import json
import os
import sys
import time
from datetime import UTC, datetime, timedelta

import psutil
import pytest

from services.common.broker.abstract import Record
from services.common.clock import FakeClock
from services.common.codec import Codec
from services.common.memory import give_back_memory
from services.common.stage import Outputs
from services.common.state import PartitionState
from services.ingest.pipeline import IngestStage
from services.ingest.settings import IngestSettings
from tests.bench.ingest_parts import (
    BATCH_RECORDS,
    NOW,
    PARTITION,
    raw_messages,
    source_folder,
    tune_garbage_collection,
)
from tests.bench.test_ingest_bench import NoTemplates

#: Fewer for a quick look.
NUM_LINES = int(os.environ.get("MOSELLE_BENCH_LINES", "10000000"))
#: Growth after the first fifth that counts as flat, bytes.
FLAT_BYTES = 48 * 2**20
DAY = datetime(2026, 11, 21, tzinfo=UTC)


def variant(messages: list[tuple[bytes, bytes]], number: int) -> list[tuple[bytes, bytes]]:
    """The same lines `number` days later, of other requests."""
    day = (DAY + timedelta(days=number)).strftime("%Y-%m-%d").encode()
    request = b"req-%04x" % (number % 65_536)
    return [(key, value.replace(b"2026-11-21", day).replace(b"req-", request)) for key, value in messages]


@pytest.mark.bench
@pytest.mark.timeout(7200)
def test_memory_over_ten_million_lines() -> None:
    """The resident memory at the end is that after the first fifth."""
    messages, codec, clock = raw_messages(), Codec(), FakeClock(DAY + timedelta(days=1000))
    stage, state = IngestStage(IngestSettings(), "bench", clock, NoTemplates()), PartitionState()
    stage.assign(PARTITION, state)
    tune_garbage_collection()
    give_back_memory()
    process, began = psutil.Process(), time.process_time()
    sizes: list[int] = []
    num_lines = num_events = number = 0
    while num_lines < NUM_LINES:
        lines = variant(messages, number)
        number += 1
        for start in range(0, len(lines), BATCH_RECORDS):
            records = [
                Record(*PARTITION, num_lines + offset, NOW // 1000, key, value)
                for offset, (key, value) in enumerate(lines[start : start + BATCH_RECORDS])
            ]
            outputs = Outputs(codec.encode, None, codec.encode_all)
            stage.process(records, outputs)
            stage.tick(clock.now(), [PARTITION], outputs)
            state.take_changes()
            clock.advance(0.2)
            num_lines += len(records)
            num_events += sum(output.topic == "logs.parsed.v1" for output in outputs.records)
            if num_lines * 10 // NUM_LINES > len(sizes):
                sizes.append(process.memory_info().rss)
                sys.stdout.write(f"{num_lines:>12,} lines {sizes[-1] / 2**20:8.1f} MiB\n")
                sys.stdout.flush()
    figures = {
        "bench": "ingest_memory", "lines": num_lines, "events": num_events, "source": source_folder().parts[-2],
        "mib": [round(size / 2**20, 1) for size in sizes], "state_keys": len(state),
        "cpu_micros_a_line": round((time.process_time() - began) / num_lines * 1e6, 1),
    }  # fmt: skip
    sys.stdout.write(json.dumps(figures) + "\n")
    assert sizes[-1] - sizes[1] < FLAT_BYTES, "memory grows"
