"""What hostile senders can make ingest keep: its bytes are bounded, not only the number of things."""

import random
import tracemalloc
from collections.abc import Callable
from datetime import timedelta

import orjson
import pytest

from services.common.broker.abstract import Record
from services.common.clock import FakeClock
from services.common.stage import Outputs
from services.common.topics import MAX_RECORD_BYTES
from services.ingest.core import samples
from services.ingest.core.completeness import Completeness, Seen
from services.ingest.core.folding import Fold
from services.ingest.core.lines import Origin, ParsedLine
from services.ingest.core.metric_names import opentelemetry_name, plain_name
from services.ingest.core.open_folds import USUAL_CHARS
from services.ingest.core.requests import REQUEST_HEADER
from services.ingest.core.samples import KnownSeries
from services.ingest.core.sources import Sources
from services.ingest.core.wrappers import fluent_bit
from services.ingest.model.miner import Miner
from tests.unit.ingest.conftest import CODEC, Harness

MIB = 2**20


def kept_bytes(work: Callable[[], object]) -> int:
    """What is still there of all that some work allocated."""
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        _held = work()
        return tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()


def test_names_as_long_as_a_message_are_not_kept() -> None:
    """Only the beginning of a host or a file is remembered."""

    def work() -> None:
        for number in range(50):
            name = f"{number}" + "x" * 200_000
            fluent_bit({"log": "x", "date": 1, "host": name, "path": name}, Origin())

    assert kept_bytes(work) < MIB


def test_long_names_of_metrics_are_made_anew() -> None:
    """They have names, and nothing remembers them."""

    def work() -> None:
        for number in range(3_000):
            plain_name(f"a-{number}-" + "x" * 900)
            opentelemetry_name(f"a-{number}-" + "x" * 900, "s", "gauge")

    assert plain_name("a-" + "x" * 900) == "a_" + "x" * 900
    assert kept_bytes(work) < MIB


def test_series_are_kept_by_their_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """Long ones are fewer; all have their names."""
    monkeypatch.setattr(samples, "KNOWN_BYTES", MIB)
    known = KnownSeries()

    def work() -> None:
        for number in range(1_000):
            known.get("m", ((f"label{number}", "v" * 3000), ("other", str(number))))

    assert kept_bytes(work) < 2 * MIB
    assert 50 < len(known) < 500
    assert known.get("m", (("a", "999"),)).series == 'm{a="999"}'


def test_sources_are_remembered_by_their_size() -> None:
    """Long names in letters of four bytes, each one new."""
    sources, wide = Sources(), "\U0001d4d0" * 240

    def work() -> Sources:
        for number in range(15_000):
            sources.of(Origin(f"{number}{wide}", f"/{number}{wide}"), "")
        return sources

    assert kept_bytes(work) < 40 * MIB


def test_lines_of_more_sources_than_are_counted_are_forgotten() -> None:
    """A source of one line costs more than its line's mark."""
    completeness = Completeness(max_sources=10)

    def work() -> None:
        for number in range(3_000):
            seen = Seen()
            seen.folds[f"host{number}|" + "x" * 400].append(
                Fold(ParsedLine("plain", number, "line", "", ""), [], 0, 0, 0)
            )
            completeness.take(seen, number)
            completeness.settle(True)

    assert kept_bytes(work) < MIB


@pytest.mark.parametrize("letters", ["abcdefghij", "\U0001d4d0\U0001d4d1\U0001d4d2\U0001d4d3\U0001d4d4\U0001d4d5"])
def test_templates_of_many_words_are_fewer(letters: str) -> None:
    """As large as `max_templates` of usual size; of those there are as many as the setting says."""
    dice, miner, usual = random.Random(1), Miner(max_templates=200), Miner(max_templates=200)

    def line(num_words: int, length: int) -> str:
        return " ".join("".join(dice.choices(letters, k=length)) for _ in range(num_words))

    def work() -> None:
        for _ in range(400):
            miner.mine(line(64, 100), 0)

    assert kept_bytes(work) < 30 * MIB
    assert len(miner) < 100
    for _ in range(400):
        usual.mine(line(12, 6), 0)
    assert len(usual) >= 200


def test_a_part_as_long_as_a_message_is_a_line(ingest: Harness) -> None:
    """A source's saved state must fit into a record; a text that is no time is not saved either."""
    record = {"log": "x" * 5_000_000, "logtag": "P", "date": 1.5, "stream": "stdout", "host": "h"}
    ingest.send(orjson.dumps(record), orjson.dumps({**record, "log": "x", "date": "9" * 5_000_000}))
    sizes = [len(saved.payload) for state in ingest.states.values() for _, saved in state.items()]
    assert len(ingest.events) == 1
    assert len(sizes) == 1
    assert sizes[0] < MAX_RECORD_BYTES / 100


def test_a_header_that_is_no_digest_names_no_request(ingest: Harness) -> None:
    """Digests are saved with their partition; whoever sends ten megabytes under that name sends an ordinary record."""
    [record] = ingest.records([b'{"name":"a","fields":{"value":1}}'], "metrics.raw")
    ingest.process([record._replace(headers=[(REQUEST_HEADER, b"x" * 5_000_000)])])
    assert len(ingest.of("metrics.samples.v1")) == 1
    assert sum(len(saved.payload) for state in ingest.states.values() for _, saved in state.items()) == 0


def test_open_events_are_bounded_by_their_characters() -> None:
    """Sixty sources with twenty thousand each, where a hundred times 4096 are the most."""
    ingest = Harness(max_open_folds=100)
    line = "2026-11-21 06:00:00.000 1 ERROR a.b [-] " + "x" * 20_000
    ingest.send(*(orjson.dumps({"log": line, "date": 1, "host": f"h{number}"}) for number in range(60)))
    saved = sum(len(saved.payload) for state in ingest.states.values() for _, saved in state.items())
    assert 50 * USUAL_CHARS < saved < 100 * USUAL_CHARS + 10_000
    ingest.wait(60)
    assert ingest.num_lines == 60


class Hurried(FakeClock):
    """Half a second passes whenever somebody looks at it."""

    def monotonic(self) -> float:
        self._monotonic += 0.5
        return self._monotonic


@pytest.mark.parametrize(
    ("topic", "value"), [("logs.raw", b"\xff\0" * 9), ("metrics.raw", b"a.b 1 1795241380"), ("logs.raw", b"\n" * 300)]
)
def test_a_batch_that_takes_long_ends_early(topic: str, value: bytes) -> None:
    """What is left comes with the next transaction: nothing is lost, and no time-out of Kafka's is met."""
    ingest = Harness()
    ingest.clock = Hurried(ingest.clock.now() + timedelta(seconds=1))
    ingest.restart()
    records: list[Record] = ingest.records([value] * 20, topic)
    handled = []
    while records:
        outputs = Outputs(CODEC.encode)
        handled.append(ingest.stage.process(records, outputs))
        records = records[handled[-1] :]
    assert sum(handled) == 20
    assert max(handled) < 10
