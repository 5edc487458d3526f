"""The increments of logs.rates.v1 add up to the events, however they are cut into batches, restarts and replicas."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.common.broker.abstract import Record, TopicPartition
from services.common.state import PartitionState
from tests.unit.ingest.conftest import Harness, fluent_bit

RANGES = ("UNKNOWN", "TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL")
LINES = st.tuples(
    st.integers(0, 45),  # seconds: five windows, in any order
    st.sampled_from(["DEBUG", "INFO", "WARNING", "ERROR"]),
    st.sampled_from(["Took {} s", "Lost {} volumes on host", "GET"]),
    st.sampled_from(["compute-1", "compute-2"]),
)


def value(line: tuple[int, str, str, str]) -> bytes:
    """The line as shipped."""
    second, level, words, host = line
    message = (
        f'1.1.1.1 "GET /v2/{second} HTTP/1.1" status: 20{second % 3} len: 5' if words == "GET" else words.format(second)
    )
    text = f"2026-11-21 06:12:{second:02d}.862 7 {level} nova.api [None req-1 u p - - d d] {message}"
    return fluent_bit(text, "/var/log/nova-api.log", host).encode()


def counted(events: Iterable[Mapping[str, Any]]) -> Counter[tuple[Any, ...]]:
    """What the rates must add up to, worked out from events one by one."""
    found: Counter[tuple[Any, ...]] = Counter()
    for event in events:
        key = event["entity_id"], event["event_time"] // 10_000_000 * 10_000_000
        found[(*key, "events")] += 1
        found[(*key, "lines")] += event["line_count"]
        found[(*key, "severity", RANGES[(event["severity_number"] + 3) // 4])] += 1
        found[(*key, "template", event["template_id"])] += 1
        if event["http"]:
            found[(*key, "http", f"{event['http']['status'] // 100}xx")] += 1
    return found


def summed(rates: Iterable[Mapping[str, Any]]) -> Counter[tuple[Any, ...]]:
    """The same out of the increments."""
    found: Counter[tuple[Any, ...]] = Counter()
    for rate in rates:
        assert (rate["window_seconds"], rate["window_start"] % 10_000_000) == (10, 0)
        key = rate["entity_id"], rate["window_start"]
        found.update({(*key, "events"): rate["num_events"], (*key, "lines"): rate["num_lines"]})
        for kind, counts in (
            ("severity", "severity_counts"),
            ("template", "template_counts"),
            ("http", "http_status_counts"),
        ):
            found.update({(*key, kind, name): number for name, number in rate[counts].items()})
    return found


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(LINES, st.sampled_from(["go on", "commit", "restart", "wait"])), max_size=40))
def test_increments_add_up_over_batches_and_restarts(story: list[tuple[tuple[int, str, str, str], str]]) -> None:
    """After each line: the batch goes on, ends, the process dies behind it, or time passes."""
    ingest, batch = Harness(), list[bytes]()
    for line, then in story:
        batch.append(value(line))
        if then != "go on":
            ingest.process(ingest.records(batch))
            batch.clear()
        if then == "restart":
            ingest.restart()
        elif then == "wait":
            ingest.wait(1)
    ingest.process(ingest.records(batch))
    ingest.wait(60)
    assert ingest.num_lines == len(story)
    assert summed(ingest.of("logs.rates.v1")) == counted(ingest.events)


def test_increments_of_two_replicas_add_up() -> None:
    """Lines of one entity in two partitions, read by two processes; then one of them reads both."""
    values = [value((second % 46, "INFO", "Took {} s", "compute-1")) for second in range(200)]
    first, second = Harness(), Harness()
    first.process(first.records(values[:50]))
    second.process(second.records(values[50:120]))
    other = TopicPartition("logs.raw", 1)
    first.states[other] = PartitionState(dict(second.states[TopicPartition("logs.raw", 0)].items()))
    first.stage.assign(other, first.states[other])
    records = [Record("logs.raw", i % 2, 500 + i, 10**12, b"k", raw) for i, raw in enumerate(values[120:])]
    first.process(records)
    first.wait(60)
    events = [*first.events, *second.events]
    assert sum(event["line_count"] for event in events) == 200
    assert summed([*first.of("logs.rates.v1"), *second.of("logs.rates.v1")]) == counted(events)
