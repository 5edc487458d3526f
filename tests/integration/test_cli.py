"""The commands as a person or a script types them."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Producer

from moselle.feedback import connected
from moselle.stack import control
from services.common.broker.abstract import Output
from tests.integration.commands import moselle


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A running stack without services."""
    folder = tmp_path_factory.mktemp("cli") / "state"
    control.up(folder, services=())
    yield folder
    control.down(folder)


def test_wrong_usage_is_2() -> None:
    """An unknown option, a pace that is none, half an --external: exit code 2 and a hint."""
    assert moselle("status", "--nonsense").returncode == 2
    assert moselle("replay", "x.log", "--speed", "fast").returncode == 2
    assert moselle("up", "--external").returncode == 2


def test_a_failure_is_1_and_one_sentence(tmp_path: Path) -> None:
    """Nothing runs: one line on standard error that names the remedy, none on standard output."""
    for command in (
        ["status"],
        ["down"],
        ["tail", "alerts.v1"],
        ["replay", str(tmp_path)],
        ["dlq", "list"],
        ["feedback", "was-one", "123456"],
    ):
        done = moselle(*command, "--state", str(tmp_path / "none"))
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.count("\n") == 1
        assert "moselle up --state" in done.stderr


def test_a_folder_of_another_version_is_refused(tmp_path: Path) -> None:
    """`up` does not touch what another version made."""
    (tmp_path / "VERSION").write_text("99\n")
    done = moselle("up", "--detach", "--state", str(tmp_path))
    assert done.returncode == 1
    assert "has version '99'" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["VERSION"]


def test_a_word_on_an_alert_reaches_feedback(state: Path) -> None:
    """`moselle feedback` finds the alert by its first digits and writes what it was about; an unknown one fails."""
    bootstrap = control.status(state)["kafka"]["bootstrap"]
    alert = {
        "fingerprint": "f", "alert_id": "3f2a9c0411", "revision": 0, "status": "firing", "starts_at": 5,
        "detected_at": 6, "published_at": 6, "cluster": "c", "entity_id": "host:c1", "service": "host",
        "detector": "metric.anomaly", "rule": "resource_pressure", "kind": "anomaly", "severity": "warning",
        "score": 0.7, "threshold": 0.5, "summary": "s", "reason": "r", "labels": {"shares": "disk_busy=1.00"},
        "model_version": "m",
    }  # fmt: skip
    with connected(bootstrap) as (broker, codec):
        broker.publish([Output("alerts.v1", b"f", codec.encode("alerts.v1", alert))])
    where = ("--state", str(state))
    said = json.loads(moselle("feedback", "not-an-anomaly", "3f2a9c", "--by", "me", "--note", "test", *where).stdout)
    assert said["signals"] == ["disk_busy"]
    line = moselle("tail", "feedback.v1", "--json", "--from-beginning", "--until-idle", "1", *where).stdout
    value = json.loads(line)["value"]
    assert (value["subject_id"], value["verdict"], value["given_by"]) == ("3f2a9c0411", "wrong", "me")
    assert "alerts.v1 holds no alert" in moselle("feedback", "was-one", "aaaaaaaa", *where).stderr


def test_status_has_exactly_the_promised_form(state: Path) -> None:
    """kafka, postgres and services, and in them what scripts rely on."""
    status = json.loads(moselle("status", "--json", "--state", str(state)).stdout)
    assert set(status) == {"kafka", "postgres", "services"}
    assert set(status["kafka"]) == {"bootstrap", "pid"}
    assert set(status["postgres"]) == {"dsn", "pid"}


def test_up_beside_a_running_stack_tells_its_addresses(state: Path) -> None:
    """A second up is no error and starts nothing."""
    done = moselle("up", "--detach", "--state", str(state))
    assert done.returncode == 0
    assert "already running" in done.stderr
    assert control.status(state)["kafka"]["bootstrap"] in done.stdout


def test_a_dead_letter_goes_back_once(state: Path) -> None:
    """dlq replay sends original key and bytes to the source topic; a second time only with --again."""
    producer = Producer({"bootstrap.servers": control.status(state)["kafka"]["bootstrap"]})
    headers = [("moselle.source_topic", b"metrics.raw"), ("moselle.error", b"not_utf8"), ("shipper", b"s")]
    producer.produce("metrics.raw.dlq", b"\xff\x00", b"key", headers=headers)
    producer.flush()
    where = ("--state", str(state))
    assert json.loads(moselle("dlq", "list", "--json", *where).stdout)["count"] == 1
    assert json.loads(moselle("dlq", "show", "metrics.raw", *where).stdout)["value"] == {"base64": "/wA="}
    for options, sent in (((), 1), ((), 0), (("--again",), 1)):
        done = moselle("dlq", "replay", "metrics.raw", *options, *where)
        assert json.loads(done.stdout)["replayed"] == sent
    tail = moselle("tail", "metrics.raw", "--json", "--from-beginning", "--until-idle", "2", *where)
    assert [json.loads(line)["value"] for line in tail.stdout.splitlines()] == [{"base64": "/wA="}] * 2


def test_replay_ends_with_what_was_published(state: Path, tmp_path: Path) -> None:
    """The last line of standard output is the counts, and tail shows each line as it went out, shifted to now."""
    (tmp_path / "nova-api.log").write_text("2026-11-21 05:51:40.389 1 INFO x\nmore\n")
    where = ("--state", str(state))
    done = moselle("replay", str(tmp_path), "--shift-to-now", *where)
    assert json.loads(done.stdout.splitlines()[-1]) == {"published": {"logs.raw": 2, "metrics.raw": 0}}
    tail = moselle("tail", "logs.raw", "--json", "--from-beginning", "--until-idle", "2", *where)
    shown = [json.loads(line) for line in tail.stdout.splitlines()]
    assert [set(record) for record in shown] == [{"topic", "partition", "offset", "timestamp", "key", "value"}] * 2
    age = time.time() - json.loads(shown[0]["value"])["date"]
    assert 0 <= age < 600


def test_tail_of_a_topic_that_is_not_there_is_1(state: Path) -> None:
    """A typing error is no empty topic."""
    done = moselle("tail", "no.such", "--state", str(state))
    assert done.returncode == 1
    assert "there is no topic no.such" in done.stderr


def test_help_names_every_command() -> None:
    """A newcomer sees what to type first, and every command."""
    words = subprocess.run([sys.executable, "-m", "moselle"], capture_output=True, text=True, check=False)
    for name in ("up", "down", "status", "replay", "tail", "dlq", "demo", "setup"):
        assert f"  {name} " in words.stdout + words.stderr
