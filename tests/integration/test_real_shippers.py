"""Real programs, as their packages ship them, on a real Kafka through the real ingest.

Each is skipped where it is not installed. Debian's packages: prometheus, prometheus-node-exporter, collectd, rsyslog,
rsyslog-kafka.
"""

import json
import re
import signal
import socket
import subprocess
import time
import urllib.parse
import urllib.request
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from shutil import which
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from moselle.stack.kafka import temporary_kafka
from moselle.stack.process import free_port
from moselle.stack.topics import create_topics
from services.common.broker.kafka import KafkaBroker
from services.common.topics import all_topics
from tests.integration.ingest_programs import PARTITIONS, Program, running, written
from tests.polling import poll_until

TOKEN = "it-token-0123456789"
EXTRA = ("it-graphite", "it-plain")
#: Where packages put what a user's path may lack.
PLACES = "/usr/bin:/usr/sbin:/usr/local/bin:/usr/local/sbin"


def program(name: str) -> str:
    """Where a program lies; the test is skipped without it."""
    found = which(name, path=PLACES)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def plugin(path: str) -> None:
    """Skips the test unless a program's plugin is there, in /usr/lib or below."""
    if not any(Path("/usr").glob(f"lib*/{path}")) and not any(Path("/usr/lib").glob(f"*/{path}")):
        pytest.skip(f"{path} is not installed")


@dataclass
class System:
    """A Kafka with ingest's two processes."""

    broker: KafkaBroker
    receiver: Program

    @property
    def address(self) -> str:
        return self.broker.bootstrap

    def samples(self, metric: str) -> list[tuple[str, str, int, float]]:
        """(entity, series, time in microseconds, value) of each sample of a metric, as often as it was written."""
        return [
            (record["entity_id"], series, record["event_time"], value)
            for record in written(self.broker, "metrics.samples.v1")
            for series, value in zip(record["series"], record["values"], strict=True)
            if series.partition("{")[0] == metric
        ]

    def events(self, word: str) -> list[dict[str, Any]]:
        """The events whose body has a word."""
        return [event for event in written(self.broker, "logs.parsed.v1") if word in event["body"]]


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """Kafka, the stage and the receiver, for the whole file."""
    folder = tmp_path_factory.mktemp("shippers")
    with temporary_kafka(folder / "kafka") as kafka:
        create_topics(kafka.bootstrap, all_topics(), PARTITIONS)
        admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
        topics = [NewTopic(name, 1, 1) for extra in EXTRA for name in (extra, f"{extra}.dlq")]
        for future in admin.create_topics(topics).values():
            future.result(30)
        stage = Program(
            kafka.bootstrap, folder / "stage.log",
            MOSELLE_INGEST_METRIC_TOPICS='["metrics.raw","it-graphite"]',
            MOSELLE_INGEST_LOG_TOPICS='["logs.raw","it-plain"]',
        )  # fmt: skip
        receiver = Program(
            kafka.bootstrap, folder / "receiver.log", "receiver", MOSELLE_INGEST_RECEIVER_TOKENS=f'["{TOKEN}"]'
        )
        with running(stage, receiver):
            yield System(KafkaBroker(kafka.bootstrap), receiver)


@contextmanager
def started(command: Sequence[str], folder: Path) -> Iterator[Path]:
    """A program until the end of the block; gives its log."""
    log = folder / f"{Path(command[0]).name}.log"
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, cwd=folder)
    try:
        yield log
        assert process.poll() is None, log.read_text()[-2000:]
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


PROMETHEUS = """\
global: {{scrape_interval: 1s}}
scrape_configs:
  - job_name: node
    static_configs: [{{targets: ["127.0.0.1:{exporter}"], labels: {{rack: r1}}}}]
remote_write:
  - url: http://127.0.0.1:{receiver}/api/v1/write
    authorization: {{credentials: {token}}}
    queue_config: {{batch_send_deadline: 1s}}
{protobuf}
"""
VERSION_2 = '    protobuf_message: "io.prometheus.write.v2.Request"'


def prometheus_version(command: str) -> tuple[int, ...]:
    """2.42.0 as (2, 42, 0); nothing of a build that has no number."""
    told = subprocess.run([command, "--version"], capture_output=True, text=True, check=True)
    found = re.search(r"version (\d+)\.(\d+)\.(\d+)", told.stdout + told.stderr)
    return tuple(map(int, found.groups())) if found else ()


def query(port: int, expression: str) -> dict[str, list[tuple[int, float]]]:
    """What Prometheus itself has of a series: (time in microseconds, value) by instance."""
    url = f"http://127.0.0.1:{port}/api/v1/query?query={urllib.parse.quote(expression)}"
    with urllib.request.urlopen(url, timeout=10) as answer:
        found = json.load(answer)["data"]["result"]
    return {
        one["metric"]["instance"]: [(round(at * 1e6), float(value)) for at, value in one["values"]] for one in found
    }


@pytest.mark.parametrize("version", ["1.0", "2.0"])
def test_prometheus_and_node_exporter_by_remote_write(version: str, system: System, tmp_path: Path) -> None:
    """Every sample that Prometheus scraped is there once, with its value, time, entity and job."""
    command, exporter = program("prometheus"), program("prometheus-node-exporter")
    if version == "2.0" and prometheus_version(command) < (2, 54):
        pytest.skip(f"Prometheus {prometheus_version(command)} has no remote_write 2.0, which came with 2.54")
    ports = {"exporter": free_port(), "receiver": system.receiver.port}
    web = free_port()
    protobuf = VERSION_2 if version == "2.0" else ""
    (tmp_path / "prometheus.yml").write_text(PROMETHEUS.format(**ports, token=TOKEN, protobuf=protobuf))
    node = [exporter, f"--web.listen-address=127.0.0.1:{ports['exporter']}"]
    server = [
        command, f"--config.file={tmp_path / 'prometheus.yml'}", f"--storage.tsdb.path={tmp_path / 'data'}",
        f"--web.listen-address=127.0.0.1:{web}",
    ]  # fmt: skip
    features = ["--enable-feature=metadata-wal-records"] if protobuf else []
    instance = f"127.0.0.1:{ports['exporter']}"

    def arrived() -> list[tuple[str, str, int, float]]:
        return [sample for sample in system.samples("node_load1") if instance in sample[1]]

    with started(node, tmp_path), started([*server, *features], tmp_path):
        poll_until(lambda: len(arrived()) >= 3, "three scrapes")
        scraped = query(web, "node_load1[1m]")[instance]
        poll_until(lambda: {s[2:] for s in arrived()} >= set(scraped), "every sample that Prometheus has")
    labels = f'{{instance="{instance}",job="node",rack="r1"}}'
    assert {(entity, series) for entity, series, *_ in arrived()} == {("host:127.0.0.1", "node_load1" + labels)}
    assert set(Counter(time for *_, time, _ in arrived()).values()) == {1}
    assert any(
        series.startswith("node_cpu_seconds_total") for _, series, *_ in system.samples("node_cpu_seconds_total")
    )
    jobs = {record["job"] for record in written(system.broker, "metrics.samples.v1") if instance in record["series"][0]}
    assert jobs == {"node"}


COLLECTD = """\
Hostname "c1.example"
FQDNLookup false
BaseDir "{folder}"
PIDFile "{folder}/collectd.pid"
TypesDB "/usr/share/collectd/types.db"
Interval 1
LoadPlugin load
LoadPlugin cpu
LoadPlugin interface
LoadPlugin write_kafka
<Plugin write_kafka>
  Property "metadata.broker.list" "{address}"
  <Topic "{topic}">
    Format {format}
    GraphiteEscapeChar "_"
  </Topic>
</Plugin>
"""


@contextmanager
def collectd(system: System, folder: Path, topic: str, form: str) -> Iterator[None]:
    command = program("collectd")
    plugin("collectd/write_kafka.so")
    text = COLLECTD.format(folder=folder, address=system.address, topic=topic, format=form)
    (folder / "collectd.conf").write_text(text)
    with started([command, "-f", "-C", str(folder / "collectd.conf")], folder):
        yield


def test_collectd_in_json(system: System, tmp_path: Path) -> None:
    """Gauges under their names, counters as rates, which collectd makes of them, all of them samples of the host."""
    with collectd(system, tmp_path, "metrics.raw", "JSON"):
        poll_until(lambda: len(system.samples("collectd_load_shortterm")) >= 2, "two intervals of load")
        poll_until(lambda: system.samples("collectd_cpu_per_second"), "a rate of cpu")
        poll_until(lambda: system.samples("collectd_interface_if_octets_rx_per_second"), "a rate of an interface")
    entity, series, micros, value = system.samples("collectd_load_shortterm")[0]
    assert (entity, series) == ("host:c1.example", 'collectd_load_shortterm{instance="c1.example"}')
    assert value >= 0
    assert abs(micros / 1e6 - time.time()) < 600
    rates = [sample for sample in system.samples("collectd_cpu_per_second") if 'cpu="0"' in sample[1]]
    assert 'collectd_cpu_per_second{cpu="0",instance="c1.example",type="idle"}' in {series for _, series, *_ in rates}
    assert all(0 <= value < 1000 for *_, value in rates)  # hundredths of a second each second, not since the boot


def test_collectd_in_graphite(system: System, tmp_path: Path) -> None:
    """Lines `host.plugin.type value epoch`; dots of a host name are `_`, as `GraphiteEscapeChar` is set to."""
    with collectd(system, tmp_path, "it-graphite", "Graphite"):
        poll_until(lambda: len(system.samples("load_load_shortterm")) >= 2, "two intervals of load")
    assert {sample[:2] for sample in system.samples("load_load_shortterm")} == {
        ("host:c1_example", 'load_load_shortterm{host="c1_example"}')
    }


RSYSLOG = """\
global(workDirectory="{folder}")
module(load="imptcp")
module(load="omkafka")
input(type="imptcp" port="{port}" address="127.0.0.1")
template(name="json" type="list" option.jsonf="on") {{
  property(outname="@timestamp" name="timereported" dateFormat="rfc3339" format="jsonf")
  property(outname="host" name="hostname" format="jsonf")
  property(outname="severity" name="syslogseverity-text" caseConversion="upper" format="jsonf")
  property(outname="facility" name="syslogfacility-text" format="jsonf")
  property(outname="syslog-tag" name="syslogtag" format="jsonf")
  property(outname="app_name" name="app-name" format="jsonf" onEmpty="skip")
  property(outname="procid" name="procid" format="jsonf")
  property(outname="message" name="msg" format="jsonf")
}}
template(name="plain" type="string" string="%timereported:::date-rfc3339% %hostname% %syslogtag%%msg%")
template(name="key" type="string" string="%hostname%|%programname%")
action(type="omkafka" broker=["{address}"] topic="{topic}" template="{template}" partitions.auto="on"
       dynaKey="on" key="key" confParam=["queue.buffering.max.ms=10"])
"""


@pytest.mark.parametrize(
    ("template", "topic", "shape"), [("json", "logs.raw", "oslo_text"), ("plain", "it-plain", "oslo_text")]
)
def test_rsyslog_by_omkafka(template: str, topic: str, shape: str, system: System, tmp_path: Path) -> None:
    """Lines that came over the network become events of their program, with the oslo header inside them read."""
    command = program("rsyslogd")
    plugin("rsyslog/omkafka.so")
    port = free_port()
    text = RSYSLOG.format(folder=tmp_path, port=port, address=system.address, topic=topic, template=template)
    (tmp_path / "rsyslog.conf").write_text(text)
    word = f"by-{template}-template"
    header = "2026-11-21 06:12:12.862 24053 ERROR nova.compute.manager [None req-a u p - - d d] "
    lines = [
        f"<131>Nov 21 06:12:12 compute-1 nova-compute[24053]: {header}disk {word} is full\n",
        f"<38>Nov 21 06:12:13 compute-1 sshd[77]: Accepted {word} for root\n",
    ]
    with started([command, "-n", "-f", str(tmp_path / "rsyslog.conf"), "-i", str(tmp_path / "pid")], tmp_path) as log:
        poll_until(lambda: _send(port, lines), f"rsyslogd listening; {log}")
        poll_until(lambda: len(system.events(word)) >= 2, "both events")
    events = {event["entity_id"]: event for event in system.events(word)}
    nova = events["service:nova-compute@compute-1"]
    assert (nova["body"], nova["severity_text"], nova["request_id"], nova["process_id"]) == (
        f"disk {word} is full", "ERROR", "req-a", 24053,
    )  # fmt: skip
    assert nova["shape"] == "oslo_text"
    assert events["service:sshd@compute-1"]["body"] == f"Accepted {word} for root"
    assert keys(system.broker, topic) >= {b"compute-1|nova-compute", b"compute-1|sshd"}


def keys(broker: KafkaBroker, topic: str) -> set[bytes | None]:
    """The keys of a topic's records: rsyslog is set up as docs/shapes.md says."""
    numbers = range(broker.num_partitions(topic))
    return {record.key for number in numbers for record in broker.read_to_end(topic, number)}


def _send(port: int, lines: Sequence[str]) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            connection.sendall("".join(lines).encode())
        return True
    except OSError:
        return False
