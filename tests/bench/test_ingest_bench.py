"""Ingest without Kafka: from raw bytes to encoded records, lines a second of one process, and what each part costs.

Lines: openstack_live's normal part as Fluent Bit sends it where the data lies beside the repository, else generated
ones. CPU seconds of this process; best of ROUNDS, since other work on the machine only ever slows it. Prints JSON;
asserts nothing about speed.
"""

import gzip
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest

from services.common.broker.abstract import Record, TopicPartition
from services.common.clock import FakeClock
from services.common.codec import Codec
from services.common.stage import Outputs
from services.common.state import PartitionState
from services.ingest.core.parsing import LineParser
from services.ingest.core.payload import read_text
from services.ingest.core.secrets import mask
from services.ingest.core.shapes import recognise
from services.ingest.core.times import TimeParser
from services.ingest.model.miner import Miner
from services.ingest.pipeline import IngestStage
from services.ingest.settings import IngestSettings

LIVE = Path(__file__).parents[3] / "shared" / "data" / "logs" / "openstack_live" / "normal"
ROUNDS = 5
BATCH = 2000
GENERATED = (
    "2026-11-21 06:12:{second:02d}.862 24053 INFO nova.compute.manager [None req-{number:08x}-0000-4000-8000-000000000"
    " u p - - default default] Took {number} seconds to spawn the instance on the hypervisor."
)


class NoTemplates:
    """Nobody else mines."""

    def start(self, apply: Callable[[dict[str, Any]], None]) -> None: ...
    def refresh(self) -> None: ...
    def close(self) -> None: ...


def lines() -> Iterator[tuple[str, str]]:
    """(path, line)."""
    if not LIVE.is_dir():
        yield from (("nova-compute.log", GENERATED.format(second=i % 60, number=i)) for i in range(24_000))
        return
    for path in sorted(LIVE.glob("*.log.gz")):
        with gzip.open(path, "rt") as file:
            yield from ((path.name.removesuffix(".gz"), line.rstrip("\n")) for line in file)


def records() -> list[Record]:
    """Raw records as `moselle replay` sends them."""
    values = (
        orjson.dumps({"date": 1795241380.5, "host": "controller-1", "path": path, "log": line})
        for path, line in lines()
    )
    return [Record("logs.raw", 0, i, 1_795_241_380_000, b"controller-1", value) for i, value in enumerate(values)]


def run_stage(raw: list[Record], encode: Callable[[str, Mapping[str, Any]], bytes]) -> None:
    """The whole stage over the records, in batches."""
    stage = IngestStage(IngestSettings(), "bench", FakeClock(datetime(2026, 11, 21, 7, tzinfo=UTC)), NoTemplates())
    stage.assign(TopicPartition("logs.raw", 0), PartitionState())
    for start in range(0, len(raw), BATCH):
        stage.process(raw[start : start + BATCH], Outputs(encode))


def micros_per_line(work: Callable[[], None], num_lines: int) -> float:
    """CPU microseconds a line, the best of ROUNDS."""
    best = float("inf")
    for _ in range(ROUNDS):
        began = time.process_time()
        work()
        best = min(best, time.process_time() - began)
    return round(best / num_lines * 1e6, 2)


@pytest.mark.bench
def test_ingest_in_process() -> None:
    """Lines a second and a table of parts."""
    raw, codec = records(), Codec()
    texts = [read_text(record.value, 2**24) for record in raw]
    shaped = [line for text in texts for line in recognise(text)]
    parser = LineParser(TimeParser())
    bodies = [parser.parse(line, 0)[1].body for line in shaped]
    events: list[dict[str, Any]] = []

    def keep(name: str, record: Mapping[str, Any]) -> bytes:
        if name == "logs.parsed.v1":
            events.append(dict(record))
        return b""

    run_stage(raw, keep)
    num_lines = len(raw)

    def mine() -> None:
        miner = Miner()
        for body in bodies:
            miner.mine(body, 0)

    parts = {
        "decode": micros_per_line(lambda: [None for r in raw if read_text(r.value, 2**24) is None] and None, num_lines),
        "recognise": micros_per_line(lambda: [None for t in texts if not recognise(t)] and None, num_lines),
        "parse": micros_per_line(lambda: [None for s in shaped if not parser.parse(s, 0)] and None, num_lines),
        "of_which_mask": micros_per_line(lambda: [None for s in shaped if mask(s.text) is None] and None, num_lines),
        "mine": micros_per_line(mine, num_lines),
        "encode_events": micros_per_line(
            lambda: [codec.encode("logs.parsed.v1", e) for e in events] and None, num_lines
        ),
    }
    whole = micros_per_line(lambda: run_stage(raw, codec.encode), num_lines)
    unencoded = micros_per_line(lambda: run_stage(raw, lambda name, record: b""), num_lines)
    figures = {
        "bench": "ingest_in_process", "lines": num_lines, "events": len(events), "rounds": ROUNDS, "batch": BATCH,
        "source": "openstack_live/normal" if LIVE.is_dir() else "generated", "lines_per_second": round(1e6 / whole),
        "micros_per_line": whole, "micros_per_line_without_encoding": unencoded, "parts_micros": parts,
    }  # fmt: skip
    sys.stdout.write(json.dumps(figures) + "\n")
    assert len(events) > 0
