"""Folding and joining in what shippers wrap around lines: the same events whatever the wrapper and the batches."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from tests.unit.ingest.conftest import Harness
from tests.unit.ingest.test_folding import header, traceback

PATH = "/var/log/pods/openstack_nova-0_0a1b/nova/0.log"
TIME = "2026-11-21T06:12:13.000000001Z"
#: The same, for lines of which only Kafka tells the time.
MILLIS = 1_795_241_533_000
Wrap = Callable[[str], bytes]


def fluentd(line: str) -> bytes:
    """A record without a time."""
    return orjson.dumps({"log": line + "\n", "path": PATH, "hostname": "n1"})


def vector(line: str) -> bytes:
    """A file source's record."""
    return orjson.dumps({"message": line, "source_type": "file", "host": "n1", "file": PATH, "timestamp": TIME})


def filebeat(line: str) -> bytes:
    """A filestream's record."""
    record = {"@timestamp": TIME, "@metadata": {}, "host": {"name": "n1"}, "log": {"file": {"path": PATH}}}
    return orjson.dumps({**record, "message": line})


def journal(line: str) -> bytes:
    """A record of the journal."""
    return orjson.dumps({"MESSAGE": line, "_HOSTNAME": "n1", "_SYSTEMD_UNIT": "nova.service", "PRIORITY": "6"})


def cri(line: str) -> bytes:
    """A whole line of a container runtime."""
    return f"{TIME} stderr F {line}".encode()


def cri_in_fluent_bit(line: str) -> bytes:
    """The same within a record."""
    return orjson.dumps({"@timestamp": 1795241533.0, "log": f"{TIME} stderr F {line}", "path": PATH, "host": "n1"})


def otlp(line: str) -> bytes:
    """A record without a severity in a request of its own."""
    request = ExportLogsServiceRequest()
    record = request.resource_logs.add().scope_logs.add().log_records.add()
    record.body.string_value = line
    record.attributes.add(key="log.file.path").value.string_value = PATH
    return request.SerializeToString()


WRAPS = {
    "plain": str.encode, "fluentd": fluentd, "vector": vector, "filebeat": filebeat, "journald": journal, "cri": cri,
    "cri in fluent_bit": cri_in_fluent_bit, "otlp_proto": otlp,
}  # fmt: skip
KEY = f"n1|{PATH}".encode()


def run(values: list[bytes], cuts: set[int], is_restarted: bool) -> Harness:
    """The values in batches that end at `cuts`, then silence."""
    ingest = Harness()
    records = [record._replace(timestamp_ms=MILLIS) for record in ingest.records(values, key=KEY)]
    bounds = [0, *sorted(cut for cut in cuts if cut < len(records)), len(records)]
    for start, end in pairwise(bounds):
        ingest.process(records[start:end])
        if is_restarted:
            ingest.restart()
    ingest.wait(60)
    ingest.wait(60)
    return ingest


def told(events: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """What an event says, without what its wrapper says."""
    return [
        (e["body"], e["severity_text"], e["line_count"], e["source_offsets"], e["exception"] and e["exception"]["type"])
        for e in events
    ]


def in_order(events: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """By offsets: two streams are two sources, and sources have no order among them."""
    return sorted(events, key=lambda event: event[3])


@pytest.mark.parametrize("shape", WRAPS)
def test_a_traceback_is_one_event_in_any_wrapper(shape: str) -> None:
    """Interleaved with another process's, both are whole, with class and frame."""
    both = zip(traceback(1), traceback(2, error="KeyError: 'k'"), strict=True)
    ingest = run([WRAPS[shape](line) for pair in both for line in pair], set(), False)
    assert [(e["process_id"], e["line_count"], e["exception"]["type"]) for e in ingest.events] == [
        (1, 6, "ValueError"), (2, 6, "KeyError"),
    ]  # fmt: skip
    assert {e["exception"]["innermost_frame"] for e in ingest.events} == {"/a/b.py:7 f"}


LINES = st.lists(
    st.sampled_from([
        *traceback(1), *traceback(2, 1, "KeyError: 'k'"), header("alone", 3, 2), "continuation", "  indented",
        "Traceback (most recent call last):", "E1121 06:12:12.862123       9 a.go:7] oh", "java.io.IOException: x",
        "\tat a.B.c(B.java:1)",
    ]),
    max_size=25,
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(LINES, st.sampled_from(sorted(WRAPS)), st.sets(st.integers(1, 24)), st.booleans())
def test_wrappers_batches_and_restarts_change_nothing(
    lines: list[str], shape: str, cuts: set[int], is_restarted: bool
) -> None:
    """The events of wrapped lines are those of plain ones, cut anywhere and killed after any batch."""
    plain = run([line.encode() for line in lines], set(), False)
    wrapped = run([WRAPS[shape](line) for line in lines], cuts, is_restarted)
    assert told(wrapped.events) == told(plain.events)
    assert wrapped.num_lines == len(lines)
    assert wrapped.dead == []


PIECES = st.lists(
    st.tuples(
        st.sampled_from(["stdout", "stderr"]), st.sampled_from("PF"),
        st.sampled_from([header("one"), header("two", 2, 1), "text ", '{"level":"error","msg":"m","ts":1}', ""]),
    ),
    max_size=20,
)  # fmt: skip


@settings(max_examples=80, deadline=None)
@given(PIECES, st.sets(st.integers(1, 19)), st.booleans())
def test_pieces_are_joined_per_stream(pieces: list[tuple[str, str, str]], cuts: set[int], is_restarted: bool) -> None:
    """Every part is counted once, in one event; batches and restarts change nothing; places are unique."""
    values = [f"{TIME} {stream} {tag} {text}".encode() for stream, tag, text in pieces]
    events = run(values, cuts, is_restarted).events
    assert in_order(told(events)) == in_order(told(run(values, set(), False).events))
    assert sum(event["line_count"] for event in events) == len(pieces)
    assert sorted(offset for event in events for offset in event["source_offsets"]) == list(range(len(pieces)))
    places = [(event["source_offsets"][0], event["source_index"]) for event in events]
    assert len(places) == len(set(places))


@pytest.mark.parametrize("shape", sorted(WRAPS.keys() - {"cri", "cri in fluent_bit"}))
@pytest.mark.parametrize(
    ("line", "found"),
    [
        ('{"level":"error","msg":"m","ts":1795241533}', ("json", 17, "m")),
        ("E1121 06:12:12.862123       9 a.go:7] oh", ("klog", 17, "oh")),
        (header("o", level="WARNING"), ("oslo_text", 13, "o")),
    ],
)
def test_cut_lines_are_joined_in_any_wrapper(
    shape: str, line: str, found: tuple[str, int, str], ingest: Harness
) -> None:
    """And read for what they are when they are whole."""
    half = len(line) // 2
    parts = [WRAPS[shape](f"{TIME} stderr {tag} {text}") for tag, text in (("P", line[:half]), ("F", line[half:]))]
    ingest.send(*parts, key=KEY)
    ingest.wait(60)
    (event,) = ingest.events
    assert (event["shape"], event["severity_number"], event["body"]) == found
    assert (event["line_count"], event["source_offsets"]) == (2, [0, 1])


def test_parts_make_one_line(ingest: Harness) -> None:
    """Joined without anything between them, with a header that only the first part has."""
    parts = [header("a lo"), "ng li", "ne"]
    values = [f"{TIME} stderr {tag} {text}" for tag, text in zip("PPF", parts, strict=True)]
    ingest.send(*values, key=KEY)
    ingest.wait(60)
    (event,) = ingest.events
    assert (event["body"], event["line_count"], event["pod_id"]) == ("a long line", 3, "openstack/nova-0")


def test_a_part_whose_rest_never_comes_is_an_event(ingest: Harness) -> None:
    """After the silence that a traceback is given."""
    ingest.send(f"{TIME} stdout P half a line", key=KEY)
    ingest.wait(4.9)
    assert ingest.events == []
    ingest.wait(0.2)
    assert [(event["body"], event["line_count"]) for event in ingest.events] == [("half a line", 1)]


def test_a_line_of_too_many_parts_goes_on_in_another(make_ingest: type[Harness]) -> None:
    """Nothing is lost, and what is saved stays small."""
    ingest = make_ingest(fold_max_chars=1024)
    ingest.send(*[f"{TIME} stdout P {'x' * 400}"] * 5, f"{TIME} stdout F end", key=KEY)
    ingest.wait(60)
    assert sum(len(event["body"]) for event in ingest.events) == 5 * 400 + 3
    assert ingest.num_lines == 6


@pytest.mark.parametrize(
    ("first", "second"),
    [("token=gAAAAABq7wZk3Jd", "_QzQzQzQzQzQz and more"), ("key gAAAAABq7", "wZk3Jd_QzQzQzQzQzQz and more"),
     ("mysql://nova:hunt", "er2@db and more"), ("-----BEGIN PRIVATE KEY-----QUJD", "QUJDabc and more")],
)  # fmt: skip
def test_a_secret_that_is_cut_is_hidden(first: str, second: str, ingest: Harness) -> None:
    """Neither the saved state nor the event holds its parts."""
    ingest.send(f"{TIME} stdout P {first}", key=KEY)
    saved = repr([dict(state.items()) for state in ingest.states.values()])
    ingest.send(f"{TIME} stdout F {second}", key=KEY)
    text = saved + repr(ingest.written)
    assert not any(part in text for part in ("AABq7", "QzQz", "hunt", "er2@", "QUJD"))


@pytest.mark.parametrize(
    ("lines", "counts"),
    [
        (["Traceback (most recent call last):", '  File "/a.py", line 1, in f', "    g()", "ValueError: no", "next"],
         [4, 1]),
        (["panic: boom", "", "goroutine 1 [running]:", "main.f(0x1)", "\t/app/main.go:7", "exit status 2", "next"],
         [6, 1]),
        (['Exception in thread "main" java.lang.IllegalStateException: x', "\tat a.B.c(B.java:1)", "\t... 3 more",
          "Caused by: java.io.IOException: y", "\tat a.B.d(B.java:2)", "next"], [5, 1]),
        (["java.lang.IllegalStateException: a", "message of two lines", "\tat a.B.c(B.java:1)", "next"], [3, 1]),
        (["TypeError: x", "    at f (/a.js:1:2)", "next"], [2, 1]),
        (["ValueError: nothing follows", "next", "more"], [1, 1, 1]),
        (["it failed", "\tat a.B.c(B.java:1)", "\tat a.B.d(B.java:2)", "next"], [1, 2, 1]),
        (["just text", "more text"], [1, 1]),
    ],
)  # fmt: skip
def test_a_trace_that_no_header_announces_is_one_event(lines: list[str], counts: list[int], ingest: Harness) -> None:
    """It ends where other text begins."""
    ingest.send(*lines, key=KEY)
    ingest.wait(60)
    assert [event["line_count"] for event in ingest.events] == counts
    assert ingest.events[-1]["exception"] is None
