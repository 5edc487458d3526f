"""A real Apache Kafka of one node (KRaft, no ZooKeeper) in a folder. Settings and figures: docs/benchmarks/."""

import signal
import subprocess
import time
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from moselle.stack.java import find_jars, find_java
from moselle.stack.process import free_port, last_words, spawn, stop
from services.common.errors import SettingsInvalid

STOP_TIMEOUT_SECONDS = 20.0
#: A start after kill -9 replays the logs; on a loaded machine of two cores that took up to 15 s. One that died is told
#: of at once, so patience costs nothing.
START_TIMEOUT_SECONDS = 180.0

PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=127.0.0.1:{controller_port}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
log.dirs={data}
# One node: nothing to replicate to.
default.replication.factor=1
min.insync.replicas=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=4
# A typing error must not become a topic.
auto.create.topics.enable=false
group.initial.rebalance.delay.ms=0
# After kill -9 the controller waits this long before it takes the broker back.
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
# Small files and buffers: the machine is a laptop as often as not.
log.segment.bytes=134217728
log.index.size.max.bytes=1048576
log.cleaner.dedupe.buffer.size=16777216
"""

LOG4J = """\
status=warn
appender.console.type=Console
appender.console.name=console
appender.console.layout.type=PatternLayout
appender.console.layout.pattern=%d{yyyy-MM-dd'T'HH:mm:ss.SSS} %-5p %c{1}: %m%n
rootLogger.level=warn
rootLogger.appenderRef.console.ref=console
"""


@dataclass(frozen=True, slots=True)
class EmbeddedKafka:
    """One broker: where it keeps its files, and its ports on 127.0.0.1."""

    folder: Path
    port: int
    controller_port: int

    @property
    def bootstrap(self) -> str:
        return f"127.0.0.1:{self.port}"

    def prepare(self) -> None:
        """Writes the settings, and formats the storage the first time.

        Raises:
            SettingsInvalid: no Java, no jars, or the storage cannot be formatted.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        data = self.folder / "data"
        settings = PROPERTIES.format(port=self.port, controller_port=self.controller_port, data=data)
        (self.folder / "server.properties").write_text(settings)
        (self.folder / "log4j2.properties").write_text(LOG4J)
        if not (data / "meta.properties").exists():
            self._format()

    def _format(self) -> None:
        cluster_id = new_cluster_id()
        settings = str(self.folder / "server.properties")
        tool = ["kafka.tools.StorageTool", "format", "--standalone", "--ignore-formatted", "-t", cluster_id]
        command = [*self._java("-XX:TieredStopAtLevel=1"), *tool, "-c", settings]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            words = (done.stderr or done.stdout).strip().splitlines()
            raise SettingsInvalid(
                f"Kafka's storage in {self.folder} cannot be formatted: {words[-1] if words else 'no reason given'}"
            )

    def command(self) -> list[str]:
        """What to run, after `prepare`."""
        return [*self._java("-Xmx512m", "-Xms128m"), "kafka.Kafka", str(self.folder / "server.properties")]

    def _java(self, *options: str) -> list[str]:
        logging = f"-Dlog4j2.configurationFile={self.folder / 'log4j2.properties'}"
        jars = f"{find_jars()}/*"
        return [str(find_java()), *options, "-XX:+UseSerialGC", "-Xshare:auto", logging, "-cp", jars]


def new_cluster_id() -> str:
    """A random id as Kafka wants it. The tool takes one that begins with a dash for an option."""
    while (made := urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")).startswith("-"):
        continue
    return made


def answers(bootstrap: str, timeout_seconds: float = 1.0) -> bool:
    """Whether a broker answers there."""
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import AdminClient

    # A broker that is not up yet is no news: librdkafka would print each refused connection.
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0, "socket.connection.setup.timeout.ms": 2000})
    try:
        return bool(admin.list_topics(timeout=timeout_seconds).brokers)
    except KafkaException:
        return False


def wait_until_answers(bootstrap: str, timeout_seconds: float, check: Callable[[], None] = lambda: None) -> bool:
    """Asks until the broker answers; `check` may raise in between. False after `timeout_seconds`."""
    deadline = time.monotonic() + timeout_seconds
    while time.monotonic() < deadline:
        check()
        if answers(bootstrap):
            return True
        time.sleep(0.1)
    return False


@contextmanager
def temporary_kafka(folder: Path) -> Iterator[EmbeddedKafka]:
    """A broker in `folder` on free ports that is stopped at the end, whatever happens. For tests and benchmarks."""
    kafka = EmbeddedKafka(folder, free_port(), free_port())
    kafka.prepare()
    log = folder / "kafka.log"
    process = spawn(kafka.command(), log)

    def check() -> None:
        if process.poll() is not None:
            raise SettingsInvalid(f"Kafka ended at once: {last_words(log)}; its log is {log}")

    try:
        if not wait_until_answers(kafka.bootstrap, START_TIMEOUT_SECONDS, check):
            raise SettingsInvalid(f"Kafka does not answer after {START_TIMEOUT_SECONDS:.0f} s; its log is {log}")
        yield kafka
    finally:
        stop(process, signal.SIGTERM, STOP_TIMEOUT_SECONDS)
