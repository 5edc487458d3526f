"""Lines that Docker cut: json-file's records without a newline, and the marks of its fluentd driver."""

from itertools import pairwise
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.ingest.conftest import Harness
from tests.unit.ingest.test_folding import header

TIME = "2026-11-21T06:12:13.000000001Z"
KEY = b"n1|/var/lib/docker/containers/0c1f/0c1f-json.log"


def json_file(text: str, stream: str = "stderr", **more: Any) -> bytes:
    """A line of the file of Docker's json-file driver."""
    return orjson.dumps({"log": text, "stream": stream, "time": TIME, **more})


def marked(text: str, line: str, number: int, is_last: bool, container: str = "0c1f", **more: Any) -> bytes:
    """A part as Docker's fluentd driver marks it."""
    marks = {"partial_message": "true", "partial_id": line, "partial_ordinal": str(number)}
    record = {"log": text, "source": "stderr", "container_id": container * 16, "container_name": "/nova_api"}
    return orjson.dumps({**record, **marks, "partial_last": "true" if is_last else "false", **more})


def cut(text: str, places: list[int]) -> list[str]:
    """The text in pieces; a place may come twice, and may lie behind the end."""
    bounds = [0, *sorted(min(place, len(text)) for place in places), len(text)]
    return [text[start:end] for start, end in pairwise(bounds)]


def settled(ingest: Harness) -> list[dict[str, Any]]:
    """The events once nothing more comes."""
    ingest.wait(60)
    ingest.wait(60)
    return ingest.events


#: Secrets are left out: what the end of a part may hide of one is tested with CRI's parts.
TEXTS = st.one_of(
    st.text(st.characters(codec="utf-8", exclude_characters="\n\r"), max_size=80),
    st.sampled_from([
        header("a long line"), '{"level":"error","msg":"m","ts":1795241533}', "E1121 06:12:12.8 9 a.go:7] x"
    ]),
)  # fmt: skip
PLACES = st.lists(st.integers(0, 80), max_size=4)


@settings(max_examples=80, deadline=None)
@given(TEXTS, PLACES, st.booleans(), st.booleans(), st.booleans())
def test_any_cut_of_a_line_joins_to_the_same_event(
    text: str, places: list[int], has_marks: bool, is_batched: bool, is_restarted: bool
) -> None:
    """As the line in one piece has it, through batches and restarts, with another container's parts between."""
    parts = cut(text, places)
    last = len(parts) - 1
    ours = [
        marked(part, "a" * 64, i + 1, i == last) if has_marks else json_file(part + ("\n" if i == last else ""))
        for i, part in enumerate(parts)
    ]
    ingest, whole = Harness(), Harness()
    for value in ours:
        ingest.send(value, key=KEY)
        ingest.send(marked("x", "b" * 64, 1, False, container="0c2e"), json_file("y", stream="stdout"), key=KEY)
        if is_restarted:
            ingest.restart()
    whole.send(json_file(text + "\n") if not has_marks else marked(text, "a" * 64, 1, True), key=KEY)
    (event,) = [event for event in settled(ingest) if event["source_offsets"][0] == 0]
    (wanted,) = settled(whole)
    told = ("shape", "body", "severity_text", "event_time", "entity_id", "logger", "template_id")
    assert {field: event[field] for field in told} == {field: wanted[field] for field in told}
    assert (event["line_count"], event["source_offsets"]) == (len(parts), list(range(0, 3 * len(parts), 3)))


def test_a_last_line_that_never_ends_is_an_event(ingest: Harness) -> None:
    """After the silence that a traceback is given: a program may end without a newline."""
    ingest.send(json_file("half a line"), key=KEY)
    ingest.wait(4.9)
    assert ingest.events == []
    ingest.wait(0.2)
    assert [(event["body"], event["line_count"]) for event in ingest.events] == [("half a line", 1)]


@pytest.mark.parametrize(
    "more", [{"date": 1795241533.0}, {"@timestamp": TIME}, {"kubernetes": {}}, {"time": "12:13"}, {"stream": "out"}]
)
def test_shippers_take_the_newline_off(more: dict[str, Any], ingest: Harness) -> None:
    """What is not a record of Docker's own file is a whole line without one."""
    ingest.send(json_file("one", **more), json_file("two", **more), key=KEY)
    assert [(event["body"], event["line_count"]) for event in settled(ingest)] == [("one", 1), ("two", 1)]


@pytest.mark.parametrize("wrapper", [{"date": 1795241533.0, "log": ""}, {"@metadata": {}, "message": ""}])
def test_dockers_file_is_known_in_a_wrapper(wrapper: dict[str, Any], ingest: Harness) -> None:
    """Of a shipper that does not parse it."""
    field = list(wrapper)[-1]
    values = [orjson.dumps({**wrapper, field: json_file(text).decode()}) for text in ("a lo", "ng line\n", "next\n")]
    ingest.send(*values, key=KEY)
    assert [(event["body"], event["line_count"]) for event in settled(ingest)] == [("a long line", 2), ("next", 1)]


def test_parts_of_two_lines_are_not_mixed(ingest: Harness) -> None:
    """A program that died has left a line without its end; the next one of its container is another."""
    ingest.send(marked("lost end", "a", 1, False), marked("one ", "b", 1, False), marked("line", "b", 2, True))
    assert sorted(event["body"] for event in settled(ingest)) == ["lost end", "one line"]


def test_containers_of_one_name_are_told_apart(ingest: Harness) -> None:
    """Docker's driver names no host, so that only the container's id does."""
    parts = [("a", "one ", "0c1f", False), ("b", "two ", "0c2e", False), ("a", "line", "0c1f", True),
             ("b", "lines", "0c2e", True)]  # fmt: skip
    ingest.send(*[marked(text, line, 1, is_last, container) for line, text, container, is_last in parts], key=None)
    events = settled(ingest)
    assert sorted(event["body"] for event in events) == ["one line", "two lines"]
    assert {event["service_name"] for event in events} == {"nova_api"}


def test_marks_without_an_end_count_for_nothing(ingest: Harness) -> None:
    """Docker before 18.04 does not say which part is the last: each stays a line."""
    old = orjson.dumps({"log": "part", "source": "stdout", "container_id": "0c1f", "partial_message": "true"})
    ingest.send(old, old, key=KEY)
    assert [event["line_count"] for event in settled(ingest)] == [1, 1]


def test_a_line_without_an_end_stays_bounded(make_ingest: type[Harness]) -> None:
    """What outgrows a fold goes on in another event; nothing is lost."""
    ingest = make_ingest(fold_max_chars=1024)
    ingest.send(*[json_file("x" * 400)] * 5, json_file("end\n"), key=KEY)
    assert sum(len(event["body"]) for event in settled(ingest)) == 5 * 400 + 3
    assert ingest.num_lines == 6
