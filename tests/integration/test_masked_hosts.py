"""Host names as pseudonyms on a real Kafka: what logs, metrics and the inventory say of one host joins."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from moselle.stack.kafka import temporary_kafka
from moselle.stack.topics import create_topics
from services.common.broker.abstract import Output
from services.common.broker.kafka import KafkaBroker
from services.common.topics import all_topics
from services.placement.core.inventory import Inventory, NodeNames
from tests.integration.commands import moselle
from tests.integration.ingest_programs import PARTITIONS, Program, running, written
from tests.polling import poll_until

KEY = "it-key-0123456789-0123456789-0123"
MASKING = {"MOSELLE_INGEST_MASK_HOSTS": "true", "MOSELLE_INGEST_MASK_KEY": KEY, "MOSELLE_INGEST_MASK_KEY_ID": "it1"}
NODES = """nodes:
  - {id: host:compute-1, aliases: [compute-1.example.org], programs: [nova-compute-1], capacity: {cpu_cores: 8}}
  - {id: host:compute-2, capacity: {cpu_cores: 8}}
"""
LINE = "2026-11-21 06:12:12.862 7 ERROR nova.compute.manager [-] compute-1 has no space"
SAMPLE = {"name": "node_load1", "labels": {"instance": "compute-1.example.org:9100", "job": "node"},
          "timestamp": "2026-11-21T05:56:20Z", "value": "0.5"}  # fmt: skip


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaBroker]:
    """A Kafka of this file's own, since it counts what lies in the topics."""
    with temporary_kafka(tmp_path_factory.mktemp("kafka")) as kafka:
        create_topics(kafka.bootstrap, all_topics(), PARTITIONS)
        yield KafkaBroker(kafka.bootstrap)


def test_logs_metrics_and_inventory_of_a_masked_host_join(
    broker: KafkaBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """placement finds the node that an event and a sample are about, and no topic of ours names it."""
    (tmp_path / "nodes.yaml").write_text(NODES)
    publish = ("inventory", "publish", "--kafka", broker.bootstrap, "--file", str(tmp_path / "nodes.yaml"))
    assert moselle(*publish).returncode == 0  # before masking was switched on
    for name, value in MASKING.items():
        monkeypatch.setenv(name, value)
    stage = Program(broker.bootstrap, tmp_path / "stage.log")
    with running(stage):
        broker.publish([
            Output("logs.raw", b"compute-1|/var/log/nova/nova-compute.log", LINE.encode()),
            Output("metrics.raw", None, json.dumps(SAMPLE).encode()),
        ])  # fmt: skip
        poll_until(lambda: written(broker, "logs.parsed.v1") and written(broker, "metrics.samples.v1"), "both written")
        assert stage.end() == 0
    replaced = moselle(*publish, "--replace")
    assert json.loads(replaced.stdout) == {"published": 2, "removed": 2}, replaced.stderr
    (event,), (sample,) = written(broker, "logs.parsed.v1"), written(broker, "metrics.samples.v1")
    shown = [json.loads(line) for line in moselle(
        "inventory", "show", "--kafka", broker.bootstrap, "--json").stdout.splitlines()]  # fmt: skip
    inventory, names = Inventory(), NodeNames()
    for row in shown:
        names.put(inventory.nodes[inventory.put(row)])
    (node,) = {row["entity_id"] for row in shown if row["aliases"]}
    assert [names.concerned(e["entity_id"], e["parent_entity_ids"], ()) for e in (event, sample)] == [{node: 1.0}] * 2
    assert "compute-1" not in f"{event}{sample}{shown}".replace("nova-compute-1", "")
    removed = moselle("inventory", "remove", "host:compute-1", "--kafka", broker.bootstrap)
    assert json.loads(removed.stdout) == {"removed": 1}, removed.stderr
