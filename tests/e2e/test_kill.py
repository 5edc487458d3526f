"""kill -9 in mid-stream: every line is counted once downstream, and no alert is missing or double."""

import json
import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from moselle.demo.processes import processes_of, sweep
from moselle.demo.slice import HERE
from services.common.matching import Fault, match_alerts
from tests.e2e.systems import Outcome, System
from tests.polling import TIMEOUT_SECONDS, poll_until

#: Event seconds in a second: the recorded 36 minutes take about half a minute.
SPEED = "72"
#: Where the blow falls: detectors have learnt, tracebacks are under way.
MID_STREAM_EVENTS = 24_000
#: Everything behind the parsed topics but logbert.
BEHIND = ("features", "features-history", "features-online", "anomaly", "predictor", "placement")


def run(state: Path, disturb: Callable[[System], None]) -> Outcome:
    """One stream through a fresh system, disturbed once in its middle."""
    system = System(state)
    replay = system.replay(HERE, SPEED)
    system.wait_until_parsed(MID_STREAM_EVENTS)
    disturb(system)
    said, _ = replay.communicate(timeout=2 * TIMEOUT_SECONDS)
    assert replay.returncode == 0, said
    system.wait_until_settled()
    outcome = system.outcome()
    system.down()
    return outcome


def kill(*names: str) -> Callable[[System], None]:
    """kill -9 of these at once; the supervisor starts them again."""

    def disturb(system: System) -> None:
        pids = system.pids()
        for name in names:
            os.kill(pids[name], signal.SIGKILL)

    return disturb


@pytest.fixture(scope="module")
def undisturbed() -> Iterator[Outcome]:
    """The same stream without any blow."""
    folder = Path(tempfile.mkdtemp(prefix="e2e-"))
    try:
        yield run(folder / "state", lambda system: None)
    finally:
        sweep(folder)
        shutil.rmtree(folder, ignore_errors=True)


def assert_nothing_lost_or_double(outcome: Outcome, undisturbed: Outcome) -> None:
    """Each line once; each alert whole: firing once, revisions without a gap, resolved at most once; the same faults.

    Two streams of one recording differ in the order in which services' lines arrive, so that two alerts of one moment
    may change places; the faults found may not.
    """
    assert outcome.lines.keys() == undisturbed.lines.keys()
    assert outcome.line_count == undisturbed.line_count
    assert [place for place, times in outcome.lines.items() if times != 1] == []
    assert [key for key, times in outcome.alerts.items() if times != 1] == []
    assert [life for life in outcome.revisions().values() if not is_whole(life)] == []
    assert faults_found(outcome) == faults_found(undisturbed)
    assert_every_service_kept_its_promise(outcome)


def assert_every_service_kept_its_promise(outcome: Outcome) -> None:
    """Features as the batch has them, a row for each record, each prediction once, and everything ready again."""
    assert outcome.parity["parity_mismatches"] == outcome.parity["unfinished"] == 0, outcome.parity["first"]
    assert outcome.parity["rows"] > 4000
    assert not any(outcome.missing_rows.values()), outcome.missing_rows
    assert [key for key, times in outcome.predictions.items() if times != 1] == []
    assert len(outcome.predictions) > 1000
    assert outcome.are_ready


def is_whole(life: list[tuple[int, str]]) -> bool:
    """Whether an alert's records have no gap and end at most once."""
    revisions, statuses = zip(*life, strict=True)
    middle = statuses[1:-1] if statuses[-1] == "resolved" else statuses[1:]
    is_gapless = revisions == tuple(range(len(life)))
    return is_gapless and statuses[0] == "firing" and all(status == "updated" for status in middle)


def faults_found(outcome: Outcome) -> set[str]:
    """The kinds of the labelled faults that raised an alert."""
    labels = [json.loads(line) for line in (HERE / "labels.jsonl").read_text().splitlines()]
    matched = match_alerts(outcome.records, [Fault.from_label(label) for label in labels], 0, 0)
    return {fault["kind"] for fault in matched["faults"] if fault["found"] and "logs" in fault["visible_in"]}


def test_an_undisturbed_stream_counts_every_line_once(undisturbed: Outcome) -> None:
    """The measure of the others: alerts there are, and nothing is double."""
    assert_nothing_lost_or_double(undisturbed, undisturbed)
    assert undisturbed.line_count == len(undisturbed.lines) > 70_000
    assert len(faults_found(undisturbed)) >= 9


@pytest.mark.parametrize("names", [("ingest", "logbert"), BEHIND, ("kafka",)], ids="+".join)
def test_a_killed_process_loses_and_doubles_nothing(
    names: tuple[str, ...], undisturbed: Outcome, run_folder: Path
) -> None:
    """A traceback half read, a window half full, a transaction half written."""
    assert_nothing_lost_or_double(run(run_folder / "state", kill(*names)), undisturbed)


def test_everything_killed_at_once_goes_on_where_it_stopped(undisturbed: Outcome, run_folder: Path) -> None:
    """All lines are with Kafka, half of them are read; `up` on the same folder reads the others."""
    system = System(run_folder / "state")
    replay = system.replay(HERE, "max")
    said, _ = replay.communicate(timeout=2 * TIMEOUT_SECONDS)
    assert replay.returncode == 0, said
    for process in processes_of(system.state):
        with suppress(psutil.NoSuchProcess):  # the children of one that is dead end with it
            process.kill()
    poll_until(lambda: not processes_of(system.state), "everything is dead")
    system.up()
    system.wait_until_settled()
    assert_nothing_lost_or_double(system.outcome(), undisturbed)
    system.down()
