"""How far the rules carry over: rounds of the fault-injection data set, each with or without any alert.

    python -m services.logbert.train.evaluate_injection FOLDER [--tests 1000]

Learns from the fault-free rounds of the first tests, one after the other, saves what was learnt, and reads each later
round by itself from that saved state: the test beds ran at the same time, so rounds overlap and cannot be one stream.
Positive: round 1 labelled FAILURE. Negative: round 2 labelled NO_FAILURE. Rounds that were injected and did not fail
are reported apart. Test numbers are in the order of time.
"""

import argparse
import csv
import json
import lzma
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from services.common.settings import read_settings
from services.logbert.settings import LogbertSettings
from services.logbert.train.evaluate_rules import Replay
from services.logbert.train.read_oslo import read_lines

Round = tuple[str, str]
#: Between two rounds read one after the other, microseconds.
GAP = 5_000_000


def read_labels(folder: Path) -> dict[Round, str]:
    """(test, round) to FAILURE or NO_FAILURE, Nova's campaign."""
    with (folder / "rounds_labels.tsv").open() as lines:
        rows = list(csv.DictReader(lines, delimiter="\t"))
    return {(row["test"], row["round"]): row["label"] for row in rows if row["campaign"] == "Nova"}


def read_rounds(path: Path, limit: int) -> Iterator[tuple[Round, list[dict[str, Any]]]]:
    """Each round's events by time, in file order, of the first `limit` tests."""
    with lzma.open(path, "rt", errors="replace") as lines:
        split = (line.rstrip("\n").split("\t", 3) for line in lines)
        rows = (row for row in split if len(row) == 4)
        for number, (name, group) in enumerate(groupby(rows, key=lambda row: (row[0], row[1]))):
            if number >= 2 * limit:
                return
            yield name, _events(group, number)


def _events(rows: Iterator[list[str]], number: int) -> list[dict[str, Any]]:
    files: dict[str, list[str]] = defaultdict(list)
    for _, _, path, line in rows:
        files[path.replace("/", "-")].append(line)
    events = [event for path, lines in files.items() for event in read_lines(lines, path, "c1")]
    for place, event in enumerate(events):
        event["source_partition"], event["source_index"] = number, place
    return sorted(events, key=lambda event: int(event["event_time"]))


def follow(events: Sequence[dict[str, Any]], begin: int) -> list[dict[str, Any]]:
    """The events moved so that the first one happens at `begin`, microseconds."""
    shift = begin - events[0]["event_time"]
    return [{**event, "event_time": event["event_time"] + shift} for event in events]


def learn(rounds: Sequence[Sequence[dict[str, Any]]], settings: LogbertSettings) -> tuple[Replay, int]:
    """Reads rounds one after the other. Returns the replay with its saved state, and the time of its end."""
    replay, end = Replay(settings), 0
    for events in rounds:
        moved = follow(events, end + GAP)
        replay.read(moved)
        end = moved[-1]["event_time"]
    return replay, end


def evaluate(folder: Path, num_tests: int, fit_share: float) -> dict[str, Any]:
    """Rounds with any alert against their labels."""
    labels = read_labels(folder)
    rounds = [one for one in read_rounds(folder / "Nova_nodebug.log.xz", num_tests) if one[1]]
    rounds.sort(key=lambda one: int(one[0][0].partition("_")[2]))
    fit = [events for name, events in rounds[: int(fit_share * len(rounds))] if name[1] == "2"]
    lasted = sum(events[-1]["event_time"] - events[0]["event_time"] + GAP for events in fit)
    settings = read_settings(LogbertSettings).model_copy(update={"warmup_seconds": lasted / 1e6})
    learnt, end = learn(fit, settings)
    counts = {"tp": 0, "fn": 0, "fp": 0, "tn": 0, "injected_without_failure": 0, "of_these_alerted": 0}
    num_alerts = 0
    for name, events in rounds[int(fit_share * len(rounds)) :]:
        replay = Replay(settings, 1, learnt.states).read(follow(events, end + GAP))
        firing = sum(record["status"] == "firing" for record in replay.records)
        num_alerts += firing
        _count(counts, name, labels.get(name, ""), firing > 0)
    precision = counts["tp"] / max(1, counts["tp"] + counts["fp"])
    recall = counts["tp"] / max(1, counts["tp"] + counts["fn"])
    figures = {"precision": round(precision, 3), "recall": round(recall, 3), "alerts": num_alerts}
    return {**figures, **counts, "rounds_fit": len(fit), "alerts_while_fitting": len(learnt.records)}


def _count(counts: dict[str, int], name: Round, label: str, is_alerted: bool) -> None:
    if name[1] == "1" and label == "FAILURE":
        counts["tp" if is_alerted else "fn"] += 1
    elif name[1] == "2" and label == "NO_FAILURE":
        counts["fp" if is_alerted else "tn"] += 1
    elif name[1] == "1":
        counts["injected_without_failure"] += 1
        counts["of_these_alerted"] += is_alerted


def main() -> int:
    """Runs the evaluation and prints one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--tests", type=int, default=1000, help="how many tests of the file")
    parser.add_argument("--fit-share", type=float, default=0.4)
    arguments = parser.parse_args()
    figures = evaluate(arguments.folder, arguments.tests, arguments.fit_share)
    print(json.dumps(figures))  # noqa: T201 the command's result
    return 0


if __name__ == "__main__":
    sys.exit(main())
