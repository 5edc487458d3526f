"""Ingest and its receiver started as docker-compose.yml and k8s/base start them, on a real Kafka and free ports."""

import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from moselle.stack.kafka import temporary_kafka
from moselle.stack.topics import create_topics
from services.common.broker.kafka import KafkaBroker
from services.common.topics import all_topics
from tests.contract.deployed import compose_environment, compose_processes, k8s_environment, k8s_processes
from tests.contract.deployed import patched_container as patched
from tests.integration.ingest_programs import PARTITIONS, Program, running, written
from tests.polling import TIMEOUT_SECONDS, poll_until
from tests.unit.ingest.requests_of import OTLP, otlp_logs, post

TOKEN = "it-token-0123456789"
KEY = "it-key-0123456789-0123456789-0123"
DOTENV = {"RECEIVER_TOKEN": TOKEN, "MASK_HOSTS": "true", "MASK_KEY": KEY}
SECRETS = {("moselle-receiver", "tokens"): f'["{TOKEN}"]', ("moselle-masking", "key"): KEY}
MASKED = {"MOSELLE_INGEST_MASK_HOSTS": "true"}
#: Where it runs here is not where it runs there.
ELSEWHERE = {"MOSELLE_KAFKA_BOOTSTRAP": "", "MOSELLE_HTTP_PORT": "8080", "MOSELLE_INGEST_RECEIVER_PORT": "4318"}
WAYS = ("docker-compose.yml", "k8s")


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaBroker]:
    """A Kafka of this file's own, since it counts what lies in the topics."""
    with temporary_kafka(tmp_path_factory.mktemp("kafka")) as kafka:
        create_topics(kafka.bootstrap, all_topics(), PARTITIONS)
        yield KafkaBroker(kafka.bootstrap)


def environment(way: str, process: str, secrets: Mapping[tuple[str, str], str] = SECRETS) -> dict[str, str]:
    """What it is started with there, without addresses and ports."""
    found = compose_environment(process, DOTENV) if way != "k8s" else k8s_environment(process, secrets, MASKED)
    assert {name: found[name] for name, value in ELSEWHERE.items() if value} == {
        n: v for n, v in ELSEWHERE.items() if v
    }
    return {name: value for name, value in found.items() if name not in ELSEWHERE}


def role(way: str, process: str) -> list[str]:
    """Its arguments behind the image's entry point."""
    return list(
        k8s_processes()[process].get("args", []) if way == "k8s" else compose_processes()[process].get("command", [])
    )


def is_healthy(way: str, process: str, port: int) -> bool:
    """Asks as the container's supervisor does, who asks again when the answer is no."""
    if way == "k8s":
        probes = patched("process.yaml")
        paths = [probes[name]["httpGet"]["path"] for name in ("startupProbe", "livenessProbe", "readinessProbe")]
        return all(answers(f"http://127.0.0.1:{port}{path}") for path in paths)
    _, python, *arguments = compose_processes()[process]["healthcheck"]["test"]
    assert python == "python"
    command = [sys.executable, *(each.replace(":8080/", f":{port}/") for each in arguments)]
    return subprocess.run(command, check=False).returncode == 0


def answers(url: str) -> bool:
    """Whether the answer is yes."""
    try:
        urllib.request.urlopen(url, timeout=5).close()
    except OSError:
        return False
    return True


@pytest.mark.parametrize("way", WAYS)
def test_it_starts_with_what_the_files_say(way: str, broker: KafkaBroker, tmp_path: Path) -> None:
    """It listens beyond this machine, wants the token, answers its probes, and masks with the key that it was given."""
    names = ("ingest", "ingest-receiver")
    before = len(written(broker, "logs.parsed.v1"))
    stage, receiver = (
        Program(broker.bootstrap, tmp_path / f"{name}.log", *role(way, name), **environment(way, name))
        for name in names
    )  # fmt: skip
    with running(stage, receiver):
        for name, program in zip(names, (stage, receiver), strict=True):
            poll_until(lambda name=name, port=program.http: is_healthy(way, name, port), f"{name} healthy")  # type: ignore[misc]
        url = f"http://127.0.0.1:{receiver.port}/v1/logs"
        body = otlp_logs(f"disk is full, said {way}")
        assert post(url, body, OTLP).status == 401
        assert post(url, body, OTLP | {"Authorization": f"Bearer {TOKEN}"}).status == 200
        poll_until(lambda: len(written(broker, "logs.parsed.v1")) > before, "the event")
        assert (stage.end(), receiver.end()) == (0, 0)
    assert written(broker, "logs.parsed.v1")[-1]["host_name"].startswith("host-k1-")
    assert not any(secret in program.log.read_text() for secret in (TOKEN, KEY) for program in (stage, receiver))


def test_masking_without_its_secret_stops_with_a_sentence(broker: KafkaBroker, tmp_path: Path) -> None:
    """The Secret is optional, since masking is; a setting that wants it says so."""
    only_tokens = {key: value for key, value in SECRETS.items() if key[0] != "moselle-masking"}
    stage = Program(broker.bootstrap, tmp_path / "stage.log", **environment("k8s", "ingest", only_tokens))
    assert stage.process.wait(TIMEOUT_SECONDS) == 1
    assert "the key for pseudonyms has 0 bytes, wanted at least 32" in stage.log.read_text()
