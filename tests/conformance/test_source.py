"""A source acknowledges when the broker has it, and refuses what it cannot hold."""

import threading
from collections.abc import Sequence

import pytest

from services.common.broker.abstract import Output
from services.common.broker.memory import MemoryBroker
from services.common.errors import Retryable
from services.common.source import Overloaded, Source
from tests.conformance.conftest import OpenCase
from tests.polling import TIMEOUT_SECONDS


def test_what_was_accepted_is_there(open_case: OpenCase) -> None:
    """From several threads at once, each record once."""
    case = open_case({"in": 2})
    source = Source(case.broker)
    name = case.topics["in"]
    threads = [
        threading.Thread(target=source.accept, args=([Output(name, b"%d" % t, b"%d.%d" % (t, i)) for i in range(50)],))
        for t in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(r.value or b"" for r in case.read("in")) == sorted(
        b"%d.%d" % (t, i) for t in range(4) for i in range(50)
    )
    assert source.num_waiting == 0


class StuckBroker(MemoryBroker):
    """Holds every publish until a test lets it go."""

    def __init__(self) -> None:
        super().__init__({"in": 1})
        self.entered, self.go = threading.Event(), threading.Event()

    def publish(self, outputs: Sequence[Output]) -> None:
        self.entered.set()
        self.go.wait(TIMEOUT_SECONDS)
        super().publish(outputs)


def test_more_than_may_wait_is_refused_with_a_time_to_come_back() -> None:
    """Back-pressure instead of memory."""
    broker = StuckBroker()
    source = Source(broker, max_waiting_records=3, retry_after_seconds=2.0)
    thread = threading.Thread(target=source.accept, args=([Output("in", b"k", b"v")] * 3,))
    thread.start()
    assert broker.entered.wait(TIMEOUT_SECONDS)
    with pytest.raises(Overloaded, match="try again in 2 s") as refused:
        source.accept([Output("in", b"k", b"v")])
    broker.go.set()
    thread.join()
    assert refused.value.retry_after_seconds == 2.0


def test_a_broker_that_is_away_is_not_acknowledged() -> None:
    """The sender hears of it, and nothing is counted as waiting."""
    broker = MemoryBroker({"in": 1})
    broker.is_away = True
    source = Source(broker)
    with pytest.raises(Retryable):
        source.accept([Output("in", b"k", b"v")])
    assert source.num_waiting == 0
