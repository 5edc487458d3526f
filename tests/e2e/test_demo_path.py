"""The demonstration's own path on a small slice: faults go in, the right alerts come out, nothing is left running."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from moselle.demo.processes import processes_of
from tests.integration.commands import moselle
from tests.polling import TIMEOUT_SECONDS, poll_until

SPEED = "25"
#: What stands in the first fault's and the third fault's own lines.
GUILTY = {
    "invalid_tokens": ("keystone", "Authorization failed"),
    "neutron_server_down": ("neutron-server", "Unable to establish connection to http://127.0.0.1:9696"),
}

Json = dict[str, Any]


def start_demo(folder: Path, *options: str) -> "subprocess.Popen[str]":
    """`moselle demo` with its state and its reports below `folder`."""
    command = [sys.executable, "-m", "moselle", "demo", "--plain", "--output-dir", str(folder), *options]
    env = {**os.environ, "TMPDIR": str(folder), "PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def tail(state: Path, topic: str) -> list[Json]:
    """Every record of a topic."""
    done = moselle("tail", topic, "--state", str(state), "--json", "--from-beginning", "--until-idle", "2")
    assert done.returncode == 0, done.stderr
    return [json.loads(line)["value"] for line in done.stdout.splitlines()]


def assert_nothing_left(folder: Path) -> None:
    """No process and no state folder."""
    poll_until(lambda: not processes_of(folder), "every process ended")
    assert list(folder.glob("moselle-demo-*")) == []


def test_injected_faults_raise_alerts_with_the_guilty_line(small_capture: Path, run_folder: Path) -> None:
    """Two faults are found and named, every line is counted, the evidence holds the line, and `down` ends it all."""
    demo = start_demo(run_folder, "--data", str(small_capture), "--speed", SPEED, "--keep")
    said, _ = demo.communicate(timeout=2 * TIMEOUT_SECONDS)
    assert demo.returncode == 0, said
    report = json.loads((run_folder / "demo-report.json").read_text())
    assert report["lines_published"] == report["lines_parsed"] + report["dead_letters"] > 5000
    assert_each_service_gave_something(report)
    faults = {fault["kind"]: fault for fault in report["faults"]}
    (state,) = run_folder.glob("moselle-demo-*")
    alerts = tail(state, "alerts.v1")
    for kind, (service, line) in GUILTY.items():
        assert (faults[kind]["found"], faults[kind]["named"]) == (True, True)
        assert any(alert["service"] == service and line in str(alert["evidence"]) for alert in alerts), kind
    assert "<svg" in (run_folder / "demo-report.html").read_text()
    assert moselle("down", "--state", str(state)).returncode == 0
    poll_until(lambda: not processes_of(run_folder), "every process ended")


def assert_each_service_gave_something(report: Json) -> None:
    """Features as the batch has them, forecasts, placements within every constraint, alerts of logs and of metrics."""
    assert report["features"]["rows"] > 1000
    assert report["features"]["parity_mismatches"] == 0
    assert report["forecasts"]["made"] > 300
    assert report["forecasts"]["compared"] > 0
    assert report["placement"]["decisions"] > 10
    assert report["placement"]["violations"] == 0
    assert {"log.rules", "metric.anomaly"} <= report["by_detector"].keys()


@pytest.mark.parametrize("moment", ["starting Kafka", "replaying"])
def test_ctrl_c_leaves_nothing_behind(moment: str, small_capture: Path, run_folder: Path) -> None:
    """While the system starts, and in mid-stream: no process, no folder, no report."""
    demo = start_demo(run_folder, "--data", str(small_capture), "--speed", SPEED)
    assert demo.stdout is not None
    assert any(moment in line for line in demo.stdout), "it ended before"
    demo.send_signal(signal.SIGINT)
    said, _ = demo.communicate(timeout=TIMEOUT_SECONDS)
    assert demo.returncode == 130, said
    assert_nothing_left(run_folder)
    assert not (run_folder / "demo-report.json").exists()
