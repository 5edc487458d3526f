"""What the benchmarks of ingest share: real lines as their shipper sends them, and the steps of the flow one by one."""

import gc
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

from moselle.demo.slice import HERE
from moselle.replay.files import LineFile, find_sources
from moselle.replay.merge import Options, merge
from services.common.broker.abstract import Output, Record, TopicPartition
from services.common.codec import Codec
from services.common.columns import Columns
from services.common.stage import Outputs, Table
from services.common.state import PartitionState
from services.common.topics import LOGS_PARSED, LOGS_RATES, LOGS_RAW
from services.ingest.core.events import build_events, content_of
from services.ingest.core.folding import Fold
from services.ingest.core.lines import Limits, Origin
from services.ingest.core.open_folds import OpenFolds
from services.ingest.core.parsing import LineParser
from services.ingest.core.payload import unpack
from services.ingest.core.rates import RateCounter
from services.ingest.core.shapes import read_lines
from services.ingest.core.sources import Sources
from services.ingest.core.times import TimeParser
from services.ingest.model.miner import MINER_VERSION, Miner
from services.ingest.pipeline import CHUNK_LINES

LIVE = Path(__file__).parents[3] / "shared" / "data" / "logs" / "openstack_live"
NOW = 1_795_300_000_000_000
BATCH_RECORDS = 5000
PARTITION = TopicPartition(LOGS_RAW.name, 0)
T = TypeVar("T")


def source_folder() -> Path:
    """The normal part of openstack_live where it lies beside the repository, else of the recording in the demo."""
    return (LIVE if LIVE.is_dir() else HERE) / "normal"


def raw_messages() -> list[tuple[bytes, bytes]]:
    """(key, value) of every line, in Fluent Bit's wrapper, by event time."""
    sources = find_sources([source_folder()], "text").sources
    files = [(source, LineFile(source.path)) for source in sources if not source.is_metrics]
    return [(shipment.key, shipment.value) for shipment in merge(files, Options())]


def raw_records(messages: Sequence[tuple[bytes, bytes]]) -> list[Record]:
    """The same as read from one partition."""
    return [Record(*PARTITION, offset, NOW // 1000, key, value) for offset, (key, value) in enumerate(messages)]


def tune_garbage_collection() -> None:
    """As the service does for itself."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 20)


class Steps:
    """The flow of `IngestStage` taken apart: each step over the same batches and chunks, with its CPU seconds.

    It follows the pipeline by hand, without privacy, pieces and completeness; `events` says that it made as many.
    """

    def __init__(self, codec: Codec) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self.outputs: list[Output] = []
        self.num_events = 0
        self._codec = codec
        self._parser = LineParser(TimeParser())
        self._folds = OpenFolds(PARTITION, PartitionState())
        self._miner = Miner()
        self._sources = Sources()
        self._limits = Limits()
        self._indexes = count()

    def run(self, records: Sequence[Record]) -> None:
        for start in range(0, len(records), BATCH_RECORDS):
            rates, outputs = RateCounter(), Outputs(self._codec.encode, None, self._codec.encode_all)
            batch = records[start : start + BATCH_RECORDS]
            for at in range(0, len(batch), CHUNK_LINES):
                self._chunk(batch[at : at + CHUNK_LINES], rates, outputs)
            self._timed("fold", self._folds.save)
            self._timed("encode", partial(self._add_rates, rates, outputs))
            self.outputs += outputs.records

    def _add_rates(self, rates: RateCounter, outputs: Outputs) -> None:
        for record in rates.records(NOW, "bench"):
            outputs.add(LOGS_RATES.name, record["entity_id"], record)

    def _timed(self, step: str, work: Callable[[], T]) -> T:
        began = time.process_time()
        done = work()
        self.seconds[step] += time.process_time() - began
        return done

    def _chunk(self, records: Sequence[Record], rates: RateCounter, outputs: Outputs) -> None:
        keys = [(record.key or b"").decode() for record in records]
        read = zip(records, keys, strict=True)
        shaped = self._timed("read", lambda: [read_lines(unpack(record.value, 2**24), key) for record, key in read])
        parse = self._parser.parse
        lines = self._timed("parse", lambda: [[parse(raw, NOW) for raw in each] for each in shaped])
        closed = self._timed("fold", partial(self._feed, lines))
        mined = self._timed("mine", lambda: self._mine([fold for _, fold in closed]))
        events = self._timed("build", lambda: self._build(closed, mined, rates))
        self._timed("encode", lambda: outputs.add_all({LOGS_PARSED.name: Table(events["entity_id"], events)}))
        self.num_events += len(closed)

    def _feed(self, lines: Sequence[Sequence[tuple[Origin, Any]]]) -> list[tuple[Origin, Fold]]:
        found: list[tuple[Origin, Fold]] = []
        closed: list[Fold] = []
        for offset, each in zip(self._indexes, lines, strict=False):
            for origin, line in each:
                source = self._folds.of(origin)
                source.feed(line, offset, 0, NOW, self._limits, closed)
                found += [(source.origin, fold) for fold in closed]
                closed.clear()
        return found

    def _mine(self, folds: Sequence[Fold]) -> list[Any]:
        contents = [content_of(fold) for fold in folds]
        mine = self._miner.mine
        return [(content, mine(content[1], NOW)) for content in contents]

    def _build(self, closed: Sequence[tuple[Origin, Fold]], mined: Sequence[Any], rates: RateCounter) -> Columns:
        folds = [fold for _, fold in closed]
        sources = self._sources.of_all((origin, fold.head.program) for origin, fold in closed)
        contents, found = zip(*mined, strict=True)
        events = build_events(folds, contents, sources, found, [PARTITION] * len(folds), MINER_VERSION, "bench")
        rates.count(events)
        return events


def step_micros(records: Sequence[Record], codec: Codec, rounds: int) -> tuple[dict[str, float], Steps]:
    """CPU microseconds a line of each step, the median of rounds; and the last round."""
    found: list[dict[str, float]] = []
    for _ in range(rounds):
        steps = Steps(codec)
        steps.run(records)
        found.append({step: seconds / len(records) * 1e6 for step, seconds in steps.seconds.items()})
    return {step: sorted(each[step] for each in found)[rounds // 2] for step in found[0]}, steps
