"""Folding, seen through the stage: the same events whatever the batches and restarts."""

from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.common.errors import ArtifactMismatch
from tests.unit.ingest.conftest import LOGS, Harness, fluent_bit

HEAD = "2026-11-21 06:12:{second:02d}.862 {pid} {level} nova.compute.manager "


def header(
    text: str, pid: int = 1, second: int = 0, level: str = "ERROR", block: str = "[None req-a u p - - d d] "
) -> str:
    """An oslo line."""
    return HEAD.format(second=second, pid=pid, level=level) + block + text


def traceback(pid: int = 1, second: int = 0, error: str = "ValueError: no") -> list[str]:
    """Six lines as oslo.log prints an exception, its last line blank."""
    texts = ["Traceback (most recent call last):", '  File "/a/b.py", line 7, in f', "    g()", error, ""]
    return [header("it failed", pid, second)] + [header(text, pid, second, block="") for text in texts]


def send_all(ingest: Harness, lines: list[str]) -> None:
    """Every line in a record of its own, all in one batch, then silence."""
    ingest.send(*[fluent_bit(line) for line in lines])
    ingest.wait(60)


def test_a_repeated_header_traceback_is_one_event(ingest: Harness) -> None:
    """Its lines count, its exception is named, its body is the message."""
    send_all(ingest, traceback())
    (event,) = ingest.events
    assert (event["body"], event["line_count"], event["source_offsets"]) == ("it failed", 6, list(range(6)))
    assert event["exception"]["type"] == "ValueError"
    assert event["exception"]["message"] == "no"
    assert event["exception"]["innermost_frame"] == "/a/b.py:7 f"


def test_lines_without_header_go_on_with_the_process_that_wrote_last(ingest: Harness) -> None:
    """Of two open processes, the later writer gets them."""
    send_all(ingest, [header("one", 1), header("two", 2), "[SQL: SELECT 1]", "", header("next", 2, 1)])
    assert [(e["body"], e["line_count"]) for e in sorted(ingest.events, key=lambda e: e["source_offsets"])] == [
        ("one", 1), ("two\n[SQL: SELECT 1]", 3), ("next", 1),
    ]  # fmt: skip


def test_a_warning_with_an_exception_repeats_its_header_as_error(ingest: Harness) -> None:
    """oslo.log's prefix says ERROR whatever the level; the event keeps its own."""
    lines = [header("careful", level="WARNING"), *traceback()[1:]]
    send_all(ingest, lines)
    (event,) = ingest.events
    assert (event["severity_text"], event["line_count"]) == ("WARNING", 6)


def test_the_last_traceback_of_a_chain_is_the_exception(ingest: Harness) -> None:
    """What was raised in the end, with its own innermost frame."""
    chain = ["During handling of the above exception, another exception occurred:", "",
             traceback()[1][-34:], '  File "/c.py", line 9, in h', "nova.exception.Bad: worse: still"]  # fmt: skip
    send_all(ingest, traceback() + [header(text, block="") for text in chain])
    (event,) = ingest.events
    assert event["exception"]["type"] == "nova.exception.Bad"
    assert event["exception"]["message"] == "worse: still"
    assert event["exception"]["innermost_frame"] == "/c.py:9 h"


def test_an_access_line_is_never_held(ingest: Harness) -> None:
    """It is written by the batch that read it; an ordinary line waits for the next one."""
    ingest.send(fluent_bit(header('1.1.1.1 "GET /a HTTP/1.1" status: 200 len: 1 time: 0.5', level="INFO")))
    ingest.send(fluent_bit(header("ordinary", level="INFO")))
    assert [event["http"]["status"] for event in ingest.events] == [200]


@pytest.mark.parametrize(("num_lines", "idle_seconds"), [(1, 0.3), (6, 0.3), (3, 5.0), (2, 5.0)])
def test_silence_closes_a_fold(num_lines: int, idle_seconds: float, ingest: Harness) -> None:
    """After 0.3 s when it looks complete, after 5 s when a traceback's end is missing."""
    ingest.send(*[fluent_bit(line) for line in traceback()[:num_lines]])
    ingest.wait(idle_seconds - 0.01)
    assert ingest.events == []
    ingest.wait(0.02)
    assert [event["line_count"] for event in ingest.events] == [num_lines]


def test_event_time_running_on_closes_other_processes(ingest: Harness) -> None:
    """A silent process does not hold its event while its source goes on."""
    ingest.send(fluent_bit(header("old", 1, 0)), fluent_bit(header("new", 2, 31)))
    assert [event["body"] for event in ingest.events] == ["old"]


def test_a_fold_too_long_goes_on_in_another_event(make_ingest: type[Harness]) -> None:
    """Nothing is lost, and the rest keeps the header."""
    ingest = make_ingest(fold_max_lines=4)
    send_all(ingest, [header("begin"), *(f"more {i}" for i in range(9))])
    assert [event["line_count"] for event in ingest.events] == [4, 4, 2]
    assert {event["severity_text"] for event in ingest.events} == {"ERROR"}


def test_too_many_open_folds_let_the_oldest_go(make_ingest: type[Harness]) -> None:
    """Memory stays bounded when sources are many."""
    ingest = make_ingest(max_open_folds=10)
    ingest.send(*[fluent_bit(header("hello"), host=f"h{i}") for i in range(25)])
    assert [event["host_name"] for event in ingest.events] == [f"h{i}" for i in range(16)]
    ingest.wait(60)
    assert ingest.num_lines == 25


def test_a_private_key_in_a_fold_is_removed(ingest: Harness) -> None:
    """Each of its lines comes alone, the last one short."""
    key = ["-----BEGIN PRIVATE KEY-----", "QUJDabc123" * 6, "shorttail==", "-----END PRIVATE KEY-----", "after"]
    send_all(ingest, [header("loaded"), *key])
    text = repr(ingest.written)
    assert "QUJDabc" not in text
    assert "shorttail" not in text
    assert "after" in text


def test_the_state_of_the_version_before_is_read(ingest: Harness) -> None:
    """It had no streams, no cut lines and no named exceptions."""
    ingest.send(fluent_bit(header("begun")))
    (key, saved), *_ = ingest.states[LOGS].items()
    origin, folds, *_ = msgspec.msgpack.decode(saved.payload, strict=False)
    for fold in folds.values():
        fold[0] = fold[0][:24]
    ingest.states[LOGS].put(key, msgspec.msgpack.encode([origin[:5], folds]), 1)
    ingest.restart()
    ingest.send(fluent_bit("continued"))
    ingest.wait(60)
    assert [(event["body"], event["line_count"]) for event in ingest.events] == [("begun\ncontinued", 2)]


def test_a_state_of_a_later_version_is_refused(ingest: Harness) -> None:
    """Nobody guesses what is in it."""
    ingest.states[LOGS].put("h|p", b"", 99)
    with pytest.raises(ArtifactMismatch, match="version 99"):
        ingest.restart()


LINES = st.lists(
    st.sampled_from([
        *traceback(1), *traceback(2, 1, "KeyError: 'k'"), header("alone", 3, 2), header("access", 1, 3, "INFO", "[-] "),
        "continuation", "", "  indented", header('1.1.1.1 "GET /a" status: 200 len: 1', 2, 4),
    ]),
    max_size=40,
)  # fmt: skip


def run(lines: list[str], cuts: set[int], is_restarted: bool) -> list[dict[str, Any]]:
    """The events of lines in batches that end at `cuts`."""
    ingest = Harness()
    records = ingest.records([fluent_bit(line).encode() for line in lines])
    bounds = [0, *sorted(cut for cut in cuts if cut < len(records)), len(records)]
    for start, end in pairwise(bounds):
        ingest.process(records[start:end])
        if is_restarted:
            ingest.restart()
    ingest.wait(60)
    return ingest.events


@settings(max_examples=60, deadline=None)
@given(LINES, st.sets(st.integers(1, 39)), st.booleans())
def test_batches_and_restarts_change_nothing(lines: list[str], cuts: set[int], is_restarted: bool) -> None:
    """Interleaved processes, cut anywhere, killed after any batch: the same events in the same order."""
    events = run(lines, cuts, is_restarted)
    assert events == run(lines, set(), False)
    assert sum(event["line_count"] for event in events) == len(lines)
    offsets = [offset for event in events for offset in event["source_offsets"]]
    assert sorted(offsets) == list(range(len(lines)))
