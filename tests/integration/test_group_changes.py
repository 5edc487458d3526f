"""A group that changes while a client collects records: whose records they are is told apart."""

import threading
import time
from collections import Counter
from typing import Any

from services.common.broker.abstract import Output, Session
from services.common.broker.session import KafkaSession
from tests.conformance.broker_cases import kafka_case, next_offsets
from tests.polling import poll_until

NUM_RECORDS = 2_000
CALL_SECONDS = 0.5


class SlowClient:
    """A consumer whose calls take so long that the group may change within one: partitions go and come back."""

    def __init__(self, consumer: Any) -> None:
        self._consumer = consumer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._consumer, name)

    def consume(self, most: int, timeout: float) -> list[Any]:
        until, messages = time.monotonic() + CALL_SECONDS, []
        while time.monotonic() < until:
            messages += self._consumer.consume(20, 0.05)
        return messages


class SlowSession(KafkaSession):
    """A member with such a client."""

    def __init__(self, bootstrap: str, group: str, member: str, topic: str) -> None:
        super().__init__({"bootstrap.servers": bootstrap}, group, member, [topic], [], 6000, 50_000)
        self._consumer: Any = SlowClient(self._consumer)


def take(session: Session, taken: list[bytes | None]) -> None:
    """One transaction."""
    batch = session.poll(1000, 0.05)
    if batch.records:
        session.commit([], next_offsets([batch]))
    taken += [record.value for record in batch.records]


def test_partitions_that_go_and_come_back_within_a_call_are_read_once(kafka_bootstrap: str) -> None:
    """Two more members join one after the other; each record is handed to one of them, and once."""
    case = kafka_case(kafka_bootstrap, {"in": 4})
    topic = case.topics["in"]
    case.broker.publish([Output(topic, None, b"%d" % i, None, i % 4) for i in range(NUM_RECORDS)])
    taken: list[bytes | None] = []
    is_done = threading.Event()

    def work(member: str) -> None:
        session = SlowSession(kafka_bootstrap, case.group, member, topic)
        while not is_done.is_set():
            take(session, taken)
        session.close()

    threads = [threading.Thread(target=work, args=(member,)) for member in "012"]
    try:
        for number, thread in enumerate(threads):
            wanted = number * NUM_RECORDS // 8
            poll_until(lambda wanted=wanted: len(taken) >= wanted, f"{wanted} records")
            thread.start()
        poll_until(lambda: len(taken) >= NUM_RECORDS, "all records")
    finally:
        is_done.set()
        for thread in threads:
            if thread.is_alive():
                thread.join()
    case.close()
    assert Counter(taken) == Counter(b"%d" % i for i in range(NUM_RECORDS))
