"""Many requests share their way to Kafka, and each hears what became of its own."""

import threading
from collections.abc import Sequence

import pytest

from services.common.broker.abstract import Output
from services.common.broker.memory import MemoryBroker
from services.common.errors import Retryable
from services.common.source import Overloaded, Source
from services.placement.adapters.publisher import Publisher
from tests.polling import TIMEOUT_SECONDS

RECORD = Output("t", b"k", b"v")


class SlowBroker(MemoryBroker):
    """Takes the first lot only when told to; remembers how large each lot was."""

    def __init__(self) -> None:
        super().__init__({"t": 1})
        self.lots: list[int] = []
        self.has_begun, self.may_go_on = threading.Event(), threading.Event()

    def publish(self, outputs: Sequence[Output]) -> None:
        self.has_begun.set()
        self.may_go_on.wait(TIMEOUT_SECONDS)
        self.lots.append(len(outputs))
        super().publish(outputs)


def test_what_comes_while_a_lot_is_on_its_way_goes_together() -> None:
    """The first goes alone, the nine that waited for it go as one."""
    broker = SlowBroker()
    publisher = Publisher(Source(broker))
    first = threading.Thread(target=publisher.publish, args=([RECORD],))
    first.start()
    assert broker.has_begun.wait(TIMEOUT_SECONDS)
    others = [threading.Thread(target=publisher.publish, args=([RECORD],)) for _ in range(9)]
    for thread in others:
        thread.start()
    while len(publisher._waiting) < 9:
        pass
    broker.may_go_on.set()
    for thread in (first, *others):
        thread.join()
    publisher.close()
    assert broker.lots == [1, 9]


def test_every_request_of_a_lot_hears_that_it_failed() -> None:
    """Kafka is away: the request gets Retryable, and the next one may succeed."""
    broker = MemoryBroker({"t": 1})
    publisher = Publisher(Source(broker))
    broker.is_away = True
    with pytest.raises(Retryable, match="away"):
        publisher.publish([RECORD])
    broker.is_away = False
    publisher.publish([RECORD])
    publisher.close()


def test_a_stopping_service_takes_nothing_more() -> None:
    """What waited was sent; what comes later is refused with a sentence."""
    publisher = Publisher(Source(MemoryBroker({"t": 1})))
    publisher.close()
    with pytest.raises(Retryable, match="ask another replica"):
        publisher.publish([RECORD])


def test_an_overload_is_passed_on() -> None:
    """It becomes RESOURCE_EXHAUSTED."""
    source = Source(MemoryBroker({"t": 1}), max_waiting_records=1)
    source._waiting = 1
    publisher = Publisher(source)
    with pytest.raises(Overloaded, match="wait for Kafka already"):
        publisher.publish([RECORD])
    publisher.close()
