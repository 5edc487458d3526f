"""Every golden shape of logs through the real process on a real Kafka, killed between the parts of a cut line."""

from collections.abc import Iterator

import pytest

from moselle.stack.kafka import temporary_kafka
from moselle.stack.topics import create_topics
from services.common.broker.abstract import Output
from services.common.broker.kafka import KafkaBroker
from services.common.topics import all_topics
from tests.golden.test_shapes import FILES, outcome, read, value_of
from tests.integration.ingest_programs import PARTITIONS, Program, committed_all, running, written
from tests.polling import poll_until

KEY = b"it-node|/var/log/pods/it_cut-0_0a1b/cut/0.log"
TIME = "2026-11-21T06:12:13.000000001Z"
HEAD = "2026-11-21 06:12:13.000 1 ERROR nova.api "
#: What is open when the blow falls shall not be let go before, however busy the machine; later it shall be, and soon.
PATIENT, USUAL = {"MOSELLE_INGEST_TRACEBACK_IDLE_MS": "600000"}, {"MOSELLE_INGEST_TRACEBACK_IDLE_MS": "5000"}


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaBroker]:
    """A Kafka of this file's own, since it counts what lies in the topics."""
    with temporary_kafka(tmp_path_factory.mktemp("kafka")) as kafka:
        create_topics(kafka.bootstrap, all_topics(), PARTITIONS)
        yield KafkaBroker(kafka.bootstrap)


def cri(tag: str, text: str) -> Output:
    """A line of a container's file."""
    return Output("logs.raw", KEY, f"{TIME} stderr {tag} {text}".encode())


def num_lines(broker: KafkaBroker) -> int:
    """Lines of all events."""
    return sum(event["line_count"] for event in written(broker, "logs.parsed.v1"))


def test_every_shape_is_counted_and_a_cut_line_survives_a_kill(
    broker: KafkaBroker, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """As many lines as the stage makes of the same messages by itself; the parts before and after are one event."""
    goldens = [golden for golden in map(read, FILES) if golden["kind"] == "logs"]
    outputs = [
        Output("logs.raw", message["key"].encode() if "key" in message else None, value_of(message))
        for golden in goldens for message in golden["messages"]
    ]  # fmt: skip
    expected = sum(event["line_count"] for golden in goldens for event in outcome(golden)[0])
    stage = Program(broker.bootstrap, tmp_path_factory.mktemp("stage") / "stage.log", **PATIENT)
    with running(stage):
        broker.publish([cri("F", HEAD + "[-] it failed"), cri("F", HEAD + "Traceback (most recent call last):")])
        broker.publish([cri("P", HEAD + "OSEr"), *outputs[: len(outputs) // 2]])
        poll_until(lambda: committed_all(broker, "logs.raw"), "the first half read")
        stage.process.kill()
        stage.process.wait()
        broker.publish([cri("P", "ror: no "), cri("F", "space"), *outputs[len(outputs) // 2 :]])
        stage.start(**USUAL)
        poll_until(lambda: num_lines(broker) >= expected + 5, "all lines written")
        assert stage.end() == 0
    events = written(broker, "logs.parsed.v1")
    assert num_lines(broker) == expected + 5
    (cut,) = [event for event in events if event["pod_id"] == "it/cut-0"]
    assert (cut["line_count"], cut["exception"]["type"], cut["exception"]["message"]) == (5, "OSError", "no space")
    assert len(cut["source_offsets"]) == 5
    assert not {event["shape"] for event in events} & {"unreadable"}
    assert written(broker, "logs.raw.dlq") == []
