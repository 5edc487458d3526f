"""Ingest without Kafka: from raw bytes to encoded records, lines a second of one process, and what each step costs.

Lines: openstack_live's normal part as Fluent Bit sends it where the data lies beside the repository, else the recording
that ships with the demo. CPU seconds of this process, medians of ROUNDS. fastavro's writer is timed beside ours on the
same events. Prints JSON; asserts nothing about speed.
"""

import io
import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from statistics import median
from typing import Any

import pytest
from fastavro import schemaless_writer

from services.common.broker.abstract import Record
from services.common.clock import FakeClock
from services.common.codec import Codec
from services.common.stage import Encode, EncodeAll, Outputs
from services.common.state import PartitionState
from services.common.topics import LOGS_PARSED
from services.ingest.pipeline import IngestStage
from services.ingest.settings import IngestSettings
from tests.bench.ingest_parts import (
    BATCH_RECORDS,
    PARTITION,
    raw_messages,
    raw_records,
    source_folder,
    step_micros,
    tune_garbage_collection,
)

ROUNDS = 5


class NoTemplates:
    """Nobody else mines."""

    def start(self, apply: Callable[[dict[str, Any]], None]) -> None: ...
    def refresh(self) -> None: ...
    def close(self) -> None: ...


def run_stage(raw: list[Record], encode: Encode, encode_all: EncodeAll | None = None) -> None:
    """The whole stage over the records, in batches."""
    stage = IngestStage(IngestSettings(), "bench", FakeClock(datetime(2026, 11, 21, 7, tzinfo=UTC)), NoTemplates())
    stage.assign(PARTITION, PartitionState())
    for start in range(0, len(raw), BATCH_RECORDS):
        stage.process(raw[start : start + BATCH_RECORDS], Outputs(encode, None, encode_all))


def micros_per_line(work: Callable[[], object], num_lines: int) -> float:
    """CPU microseconds a line, the median of ROUNDS."""
    found = []
    for _ in range(ROUNDS):
        began = time.process_time()
        work()
        found.append((time.process_time() - began) / num_lines * 1e6)
    return round(median(found), 2)


@pytest.mark.bench
def test_ingest_in_process() -> None:
    """Lines a second and a table of steps."""
    raw, codec = raw_records(raw_messages()), Codec()
    tune_garbage_collection()
    events: list[dict[str, Any]] = []

    def keep(name: str, record: Mapping[str, Any]) -> bytes:
        if name == LOGS_PARSED.name:
            events.append(dict(record))
        return b""

    run_stage(raw, keep)
    num_lines, parsed = len(raw), codec.schema(LOGS_PARSED.name).parsed
    whole = micros_per_line(lambda: run_stage(raw, codec.encode, codec.encode_all), num_lines)
    unencoded = micros_per_line(lambda: run_stage(raw, lambda name, record: b""), num_lines)
    ours = micros_per_line(lambda: [len(codec.encode(LOGS_PARSED.name, event)) for event in events], len(events))
    theirs = micros_per_line(lambda: [schemaless_writer(io.BytesIO(), parsed, event) for event in events], len(events))
    steps, last = step_micros(raw, codec, ROUNDS)
    figures = {
        "bench": "ingest_in_process", "lines": num_lines, "events": len(events), "rounds": ROUNDS,
        "batch": BATCH_RECORDS, "source": source_folder().parts[-2], "lines_per_second": round(1e6 / whole),
        "micros_per_line": whole, "micros_per_line_without_encoding": unencoded,
        "steps_micros": {step: round(micros, 2) for step, micros in steps.items()},
        "sum_of_steps": round(sum(steps.values()), 2), "encode_an_event_micros": {"compiled": ours, "fastavro": theirs},
        "load_average": round(os.getloadavg()[0], 1),
    }  # fmt: skip
    sys.stdout.write(json.dumps(figures) + "\n")
    assert last.num_events == len(events)
