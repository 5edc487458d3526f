"""Tries the rules on a folder laid out like openstack_live, without a broker.

    python -m services.logbert.train.evaluate_rules FOLDER [--partitions 4]

Fits on the first part of `normal/` (the warm-up setting), then reads on through `faults/`. The last line of standard
output is one JSON object with the figures of services/common/matching.py.
"""

import argparse
import gzip
import heapq
import json
import sys
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from services.common.broker.abstract import Record, TopicPartition
from services.common.clock import Clock, FakeClock
from services.common.matching import Fault, match_alerts
from services.common.settings import read_settings
from services.common.stage import Outputs
from services.common.state import PartitionState
from services.common.topics import LOGS_PARSED
from services.logbert.pipeline import Decode, LogbertStage
from services.logbert.settings import LogbertSettings
from services.logbert.train.read_oslo import read_lines

BATCH = 500

MakeStage = Callable[[LogbertSettings, Decode, Clock], LogbertStage]


def read_folder(folder: Path, host: str = "controller-1") -> Iterator[dict[str, Any]]:
    """The events of the folder's text logs, merged by the time at which a shipper would send them."""
    files = sorted(path for path in folder.glob("*.log.gz") if not path.name.startswith("metrics"))
    return heapq.merge(*(_in_order(path, host) for path in files), key=lambda event: int(event["sent_at"]))


def _in_order(path: Path, host: str) -> Iterator[dict[str, Any]]:
    """A file's events with `sent_at`: the highest time the file has shown, since a line cannot overtake another."""
    highest = 0
    with gzip.open(path, "rt", errors="replace") as lines:
        for number, event in enumerate(read_lines(lines, path.name, host)):
            highest = max(highest, event["event_time"])
            origin = f"{path.parent.name}/{path.name}"
            yield {**event, "sent_at": highest, "source_topic": f"logs.raw/{origin}", "source_index": number}


class Replay:
    """A stage that reads events without a broker, ticking after each batch.

    Args:
        states: the saved state of each partition to go on from; it is copied. New ones when None.
        make_stage: the stage to try.

    Attributes:
        records: the alert records so far.
        num_events, seconds: how many were read, and the CPU seconds that process and tick took.
    """

    def __init__(
        self,
        settings: LogbertSettings,
        num_partitions: int = 1,
        states: Sequence[PartitionState] | None = None,
        make_stage: MakeStage = LogbertStage,
    ) -> None:
        self._settings = settings
        self._clock = FakeClock(datetime(2100, 1, 1, tzinfo=UTC))
        self._held: dict[bytes, Mapping[str, Any]] = {}
        self._stage = make_stage(settings, lambda value: self._held[value or b""], self._clock)
        self._partitions = [TopicPartition(LOGS_PARSED.name, number) for number in range(num_partitions)]
        self.states = [PartitionState(dict(state.items())) for state in states or [PartitionState()] * num_partitions]
        self.records: list[dict[str, Any]] = []
        self.num_events, self.seconds = 0, 0.0
        for partition, state in zip(self._partitions, self.states, strict=True):
            self._stage.assign(partition, state)

    def read(self, events: Iterable[Mapping[str, Any]], batch: int = BATCH) -> "Replay":
        """Reads on."""
        waiting: list[Record] = []
        for event in events:
            key = str(self.num_events % (2 * batch)).encode()
            self._held[key] = event
            place = zlib.crc32(event["entity_id"].encode()) % len(self._partitions)
            waiting.append(Record(LOGS_PARSED.name, place, self.num_events, 0, None, key))
            self.num_events += 1
            if len(waiting) >= batch:
                self._take(waiting)
                waiting = []
        self._take(waiting)
        return self

    def finish(self) -> "Replay":
        """Lets the wall time pass after which open alerts end."""
        self._clock.advance(self._settings.source_silent_seconds + 1)
        self._take([])
        return self

    def _take(self, records: Sequence[Record]) -> None:
        outputs = Outputs(_encode)
        began = time.process_time()
        self._stage.process(records, outputs)
        self._stage.tick(self._clock.now(), self._partitions, outputs)
        self.seconds += time.process_time() - began
        self.records += [json.loads(output.value or b"") for output in outputs.records]


def _encode(_: str, record: Mapping[str, Any]) -> bytes:
    return json.dumps(record).encode()


def evaluate(folder: Path, settings: LogbertSettings, num_partitions: int, batch: int = BATCH) -> dict[str, Any]:
    """The figures for a folder with `normal/`, `faults/` and labels.jsonl."""
    normal = list(read_folder(folder / "normal"))
    events = [*normal, *read_folder(folder / "faults")]
    replay = Replay(settings, num_partitions).read(events, batch).finish()
    faults = [Fault.from_label(json.loads(line)) for line in (folder / "labels.jsonl").read_text().splitlines()]
    fit_end = normal[0]["event_time"] + int(settings.warmup_seconds * 1e6)
    figures = match_alerts(replay.records, faults, fit_end, max(event["event_time"] for event in events))
    figures["records"] = replay.records
    return {**figures, "events": replay.num_events, "events_per_second": round(replay.num_events / replay.seconds)}


def print_table(figures: Mapping[str, Any]) -> None:
    """The faults and the alerts, for people; to standard error."""
    for row in figures["faults"]:
        words = ("kind", "service", "found", "named", "seconds_to_detect", "num_alerts")
        print(*(str(row[word])[:22].ljust(22) for word in words), file=sys.stderr)  # noqa: T201 a command's words
    for record in figures["records"]:
        if record["status"] == "firing":
            start = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=record["starts_at"])
            line = f"{start:%H:%M:%S} {record['entity_id']} {record['rule']} -> {record['service']}: "
            print(line + record["summary"][:120], file=sys.stderr)  # noqa: T201 a command's words


def main() -> int:
    """Runs the evaluation and prints it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--partitions", type=int, default=4)
    parser.add_argument("--batch", type=int, default=BATCH)
    arguments = parser.parse_args()
    figures = evaluate(arguments.folder, read_settings(LogbertSettings), arguments.partitions, arguments.batch)
    print_table(figures)
    del figures["records"]
    print(json.dumps(figures))  # noqa: T201 the command's result
    return 0


if __name__ == "__main__":
    sys.exit(main())
