"""The stage from raw bytes to records."""

import gzip
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import cramjam
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.common.broker.abstract import Record
from tests.unit.ingest.conftest import CODEC, LOGS, NOW, Harness, fluent_bit

HEAD = "2026-11-21 06:12:12.862 24053 INFO nova.compute.manager [None req-a u p - - d d] "
UUID = "4b44f4fe-3397-40b2-b85f-979d5b49e250"
Wrap = Callable[..., str]


def test_an_oslo_line_becomes_an_event(ingest: Harness) -> None:
    """Every field that the line and its shipper name is there."""
    ingest.send(fluent_bit(HEAD + f"[instance: {UUID}] Took 12.5 seconds to spawn", path="/var/log/nova-compute-3.log"))
    ingest.wait(1)
    (event,) = ingest.events
    assert event["entity_id"] == "service:nova-compute@controller-1"
    assert event["parent_entity_ids"] == ["host:controller-1"]
    assert event["source_id"] == "controller-1|/var/log/nova-compute-3.log"
    assert (event["event_time"], event["event_time_source"]) == (1_795_241_532_862_000, "line")
    assert (event["severity_number"], event["severity_text"], event["process_id"]) == (9, "INFO", 24053)
    assert (event["request_id"], event["user_id"], event["project_id"]) == ("req-a", "u", "p")
    assert (event["instance_id"], event["body"]) == (UUID, "Took 12.5 seconds to spawn")
    assert event["parameters"] == ["12.5"]
    assert (event["source_topic"], event["source_partition"], event["source_offsets"]) == ("logs.raw", 0, [0])


def test_an_oslo_json_record_brings_its_own_template(ingest: Harness) -> None:
    """`msg` is the template, `args` the parameters; the token in its context is gone."""
    record = {
        "message": "Took 12.50 seconds", "msg": "Took %(s)0.2f seconds", "args": {"s": 12.5}, "levelname": "WARNING",
        "name": "nova.compute", "created": 1795241532.862, "process": 7, "hostname": "c1",
        "traceback": ["Traceback (most recent call last):", '  File "/a.py", line 3, in f', "OSError: disk"],
        "context": {"request_id": "req-b", "auth_token": "gAAAAAthisisasecrettoken123", "project": "p"},
        "extra": {"instance": f"[instance: {UUID}] "},
    }  # fmt: skip
    ingest.send(orjson.dumps(record))
    (event,) = ingest.events
    (template,) = ingest.of("logs.templates.v1")
    assert (template["text"], event["parameters"]) == ("Took <*> seconds", ["12.5"])
    assert (event["request_id"], event["instance_id"], event["exception"]["type"]) == ("req-b", UUID, "OSError")
    assert event["entity_id"] == "service:nova@c1"
    assert "thisisasecret" not in repr(ingest.written)


@pytest.mark.parametrize(
    ("value", "shape", "entity", "severity"),
    [
        ("no header at all", "plain", "service:unknown@unknown", 0),
        ("ERROR: no space left", "plain", "service:unknown@unknown", 17),
        ("<11>Nov 21 06:12:12 h1 sshd[4]: bad", "rsyslog_plain", "service:sshd@h1", 0),
        (f"2026-11-21T06:12:12+00:00 h1 nova-api {HEAD}", "timed", "service:unknown@unknown", 9),
        (f"2026-11-21T06:12:12+00:00 h1 nova-api: {HEAD}hi", "oslo_text", "service:nova-api@h1", 9),
        ('{"@timestamp":"2026-11-21T06:12:12Z","host":"h1","syslog-tag":"sshd[4]:","procid":"4","message":" bad"}',
         "rsyslog_json", "service:sshd@h1", 0),
        ('{"log":"hi\\n","stream":"stderr","kubernetes":{"pod_name":"p","namespace_name":"n","container_name":"api"}}',
         "fluentd", "service:api@unknown", 0),
        ('{"broken json', "plain", "service:unknown@unknown", 0),
        ('{"some": "json"}', "plain", "service:unknown@unknown", 0),
        ('1.1.1.1 - - [21/Nov/2026:06:13:21 +0000] "GET / HTTP/1.1" 200 5', "access", "service:unknown@unknown", 0),
    ],
)  # fmt: skip
def test_shapes(value: str, shape: str, entity: str, severity: int, ingest: Harness) -> None:
    """Each shape is recognised; what is none of them is plain text with Kafka's time."""
    ingest.send(value)
    ingest.wait(60)
    (event,) = ingest.events
    assert (event["shape"], event["entity_id"], event["severity_number"]) == (shape, entity, severity)


def test_text_without_a_time_has_kafkas(ingest: Harness) -> None:
    """The transport's time, said to be so."""
    ingest.send("hello")
    (event,) = ingest.events
    assert (event["event_time"], event["event_time_source"]) == (int(NOW.timestamp()) * 1_000_000, "transport")


def test_lines_in_one_value_are_events_of_their_own(ingest: Harness) -> None:
    """`source_index` tells them apart; the newline at the end begins no line."""
    ingest.send(f"{HEAD}one\nmore of one\n{HEAD}two\nstill two\n")
    ingest.wait(60)
    assert [(e["source_index"], e["line_count"], e["source_offsets"]) for e in ingest.events] == [
        (0, 2, [0]), (1, 2, [0]),
    ]  # fmt: skip


@pytest.mark.parametrize("pack", [gzip.compress, lambda data: bytes(cramjam.zstd.compress(data))])
def test_packed_values_are_read_within_bounds(pack: Callable[[bytes], bytes], make_ingest: type[Harness]) -> None:
    """A small one is read, a bomb is a dead letter, a broken one too."""
    ingest = make_ingest(max_expanded_bytes=65_536)
    ingest.send(pack(b"hello"), pack(b"x" * 200_000), pack(b"hello")[:-6])
    assert [event["body"] for event in ingest.events] == ["hello"]
    assert ingest.dead[0] == "too_large"
    assert ingest.dead[1].startswith("bad_")


def test_what_cannot_be_read_is_a_dead_letter(ingest: Harness) -> None:
    """Binary, and nothing at all; a text with one wrong byte in ten or more characters is read, an empty one too."""
    ingest.send(bytes(range(128, 200)), None, "Grüße an die ganze weite Welt".encode("latin-1"), b"")
    assert ingest.dead == ["not_utf8", "no_value"]
    assert [event["body"] for event in ingest.events] == ["Gr\ufffd\ufffde an die ganze weite Welt", ""]


def test_a_defect_of_ours_costs_one_record(ingest: Harness) -> None:
    """What nobody foresaw is a dead letter that says so, and the rest of the batch goes on."""
    broken = Record("logs.raw", 0, 0, "now", b"k", b"x")  # type: ignore[arg-type]
    ingest.process([broken, *ingest.records([b"fine"])])
    assert ingest.dead == ["unexpected_error"]
    assert ingest.num_lines == 1


def test_an_event_that_cannot_be_built_is_still_counted(ingest: Harness) -> None:
    """Its content is withheld, since nobody can say what it holds."""

    def refuse(name: str, record: Mapping[str, Any]) -> bytes:
        if record.get("shape") == "plain":
            raise ValueError("does not fit its schema")
        return ingest.encode(name, record)

    ingest.process(ingest.records([b"password is not here"]), refuse)
    (event,) = ingest.events
    assert (event["shape"], event["line_count"], event["raw_line"]) == ("unreadable", 1, "")


def test_rates_are_increments_of_a_batch(ingest: Harness) -> None:
    """By severity, template and status class, in windows of ten seconds."""
    line = HEAD + '1.1.1.1 "GET /a HTTP/1.1" status: 503 len: 1 time: 0.5'
    ingest.send(fluent_bit(line), fluent_bit(line))
    ingest.send(fluent_bit(line))
    rates = ingest.of("logs.rates.v1")
    assert [(r["num_events"], r["severity_counts"], r["http_status_counts"]) for r in rates] == [
        (2, {"INFO": 2}, {"5xx": 2}), (1, {"INFO": 1}, {"5xx": 1}),
    ]  # fmt: skip
    assert {rate["window_start"] for rate in rates} == {1_795_241_530_000_000}
    assert list(rates[0]["template_counts"].values()) == [2]


def test_telegraf_metrics_become_samples(ingest: Harness) -> None:
    """One record per entity and time; `value` gives the bare name."""
    time = 1795241380
    scrape = {"metrics": [
        {"name": "node_load1", "tags": {"host": "c1", "job": "node"}, "fields": {"value": 0.5}, "timestamp": time},
        {"name": "cpu", "tags": {"host": "c1"}, "fields": {"usage": 3, "text": "x"}, "timestamp": time},
        {"name": "mem", "tags": {"groupname": "nova-api", "host": "c1"}, "fields": {"gauge": 1}, "timestamp": time},
    ]}  # fmt: skip
    ingest.send(orjson.dumps(scrape), topic="metrics.raw")
    host, service = ingest.of("metrics.samples.v1")
    assert (host["entity_id"], host["values"], host["job"]) == ("host:c1", [0.5, 3.0], "node")
    assert host["series"] == ['node_load1{host="c1",job="node"}', 'cpu_usage{host="c1"}']
    assert (service["entity_id"], service["source_index"]) == ("service:nova-api@c1", 1)
    assert host["event_time"] == 1_795_241_380_000_000


@pytest.mark.parametrize(
    ("value", "reason"),
    [("cpu usage", "not_a_metric"), ("7", "not_a_metric"), ("{7", "not_json"), ('{"metrics":[]}', "no_samples"),
     ('{"name":"a","fields":{"t":"x"}}', "no_samples"), ('{"name":"a"}', "not_a_metric")],
)  # fmt: skip
def test_what_is_no_metric_is_a_dead_letter(value: str, reason: str, ingest: Harness) -> None:
    """Each with its reason."""
    ingest.send(value, topic="metrics.raw")
    assert ingest.dead == [reason]


def test_sequences_when_switched_on(make_ingest: type[Harness]) -> None:
    """Slim events for requests, and none for lines without one."""
    ingest = make_ingest(sequences=True)
    ingest.send(fluent_bit(HEAD + "hi"), "plain")
    ingest.wait(60)
    assert [event["request_id"] for event in ingest.of("logs.sequences.v1")] == ["req-a"]


@pytest.mark.parametrize(
    "line", ["é" * 2_000_000, "é1 " * 700_000, HEAD + "word " * 400_000, f"{HEAD}{'x' * 2_000_000}"]
)
def test_an_event_fits_into_a_kafka_record(line: str, ingest: Harness) -> None:
    """Whatever the line's length; Kafka takes a megabyte by default."""
    ingest.send(line)
    ingest.wait(60)
    (event,) = ingest.events
    assert len(CODEC.encode("logs.parsed.v1", event)) < 900_000
    assert all(len(saved.payload) < 900_000 for _, saved in ingest.states[LOGS].items())


def test_a_great_many_samples_are_several_records(ingest: Harness) -> None:
    """Readers merge them by entity, time and series."""
    fields = {f"f{i}": i for i in range(2500)}
    ingest.send(orjson.dumps({"name": "m", "fields": fields, "tags": {"host": "c"}}), topic="metrics.raw")
    samples = ingest.of("metrics.samples.v1")
    assert [(len(sample["series"]), sample["source_index"]) for sample in samples] == [(1000, 0), (1000, 1), (500, 2)]


SECRET = "gAAAAABq7wZk3Jd_QzQzQzQzQz"


@pytest.mark.parametrize(
    "value",
    [
        fluent_bit(HEAD + f"token={SECRET}"),
        fluent_bit(HEAD + f"boom\nTraceback (most recent call last):\n  File \"a\", line 1, in f\nE: {SECRET}"),
        fluent_bit("x", path=f"/var/{SECRET}", host=SECRET),
        orjson.dumps({"message": SECRET, "msg": f"%s {SECRET}", "args": [SECRET], "levelname": SECRET, "name": SECRET,
                      "hostname": SECRET, "traceback": SECRET, "error_summary": SECRET, "pathname": SECRET,
                      "extra": {"instance": SECRET}, "context": {"request_id": SECRET, "user": SECRET}}).decode(),
        f'<11>Nov 21 06:12:12 {SECRET} {SECRET}: {SECRET}',
        f'1.1.1.1 - - [21/Nov/2026:06:13:21 +0000] "GET /?token={SECRET} HTTP/1.1" 200 5',
    ],
)  # fmt: skip
def test_no_field_of_any_output_holds_a_secret(value: str, make_ingest: type[Harness]) -> None:
    """Nor does the saved state, which lies outside the restricted zone."""
    ingest = make_ingest(sequences=True)
    ingest.send(value, key=SECRET.encode())
    saved = repr([dict(state.items()) for state in ingest.states.values()])
    ingest.wait(60)
    assert ingest.events
    assert SECRET not in repr(ingest.written) + saved


def expected_lines(value: bytes | None) -> int | None:
    """How many lines a value of plain text has; None when it must be a dead letter or is JSON."""
    try:
        text = (value or b"").decode()
    except UnicodeDecodeError:
        return None
    if value is None or "{" in text or value[:4] in (b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd"):
        return None
    return len(text.removesuffix("\n").split("\n"))


WILD = st.one_of(
    st.none(), st.binary(max_size=200), st.text(max_size=200).map(str.encode),
    st.lists(st.sampled_from([HEAD + "x", HEAD, "", "Traceback (most recent call last):", "E: 1", "[pid: 1|app: 0|"]),
             max_size=6).map(lambda lines: "\n".join(lines).encode()),
    st.recursive(st.none() | st.booleans() | st.floats() | st.text(max_size=9), lambda inner: st.dictionaries(
        st.sampled_from(["log", "message", "host", "date", "path", "levelname", "msg", "args", "created", "context",
                         "kubernetes", "extra", "process", "traceback", "metrics", "name", "fields", "tags"]),
        inner, max_size=6) | st.lists(inner, max_size=3), max_leaves=12).map(orjson.dumps),
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(st.lists(WILD, max_size=8), st.booleans())
def test_any_bytes_give_events_or_dead_letters(values: list[bytes | None], is_keyed: bool) -> None:
    """Never an exception; every line is counted once."""
    ingest = Harness()
    for value in values:
        before, dead = ingest.num_lines, len(ingest.dead)
        ingest.send(value, key=b"k" if is_keyed else None)
        ingest.wait(60)
        lines, letters = ingest.num_lines - before, len(ingest.dead) - dead
        assert (lines > 0) != (letters == 1)
        if (expected := expected_lines(value)) is not None:
            assert (lines, letters) == (expected, 0)
    assert "unexpected_error" not in ingest.dead


@settings(max_examples=100, deadline=None)
@given(st.lists(WILD, max_size=8))
def test_any_bytes_on_the_metrics_topic(values: list[bytes | None]) -> None:
    """Samples or a dead letter, never an exception."""
    ingest = Harness()
    for value in values:
        before, dead = len(ingest.of("metrics.samples.v1")), len(ingest.dead)
        ingest.send(value, topic="metrics.raw")
        assert (len(ingest.of("metrics.samples.v1")) > before) != (len(ingest.dead) == dead + 1)
    assert "unexpected_error" not in ingest.dead


LIVE = Path(__file__).parents[4] / "shared" / "data" / "logs" / "openstack_live" / "faults"


@pytest.mark.skipif(not LIVE.is_dir(), reason="openstack_live is not beside the repository (shared/data)")
def test_text_and_json_of_a_real_cloud_hold_the_same_errors() -> None:
    """What oslo.log writes as many lines and as one record is the same event."""
    counts = {}
    for folder, ending in ((LIVE, ".log.gz"), (LIVE / "json", ".json.log.gz")):
        ingest = Harness()
        for path in sorted(folder.glob(f"nova-c*{ending}")):
            with gzip.open(path, "rt") as file:
                ingest.send(*[fluent_bit(line.rstrip("\n"), path=path.name.removesuffix(ending)) for line in file])
        ingest.wait(60)
        errors = [event["source_id"] for event in ingest.events if event["severity_number"] >= 17]
        counts[ending] = {source: errors.count(source) for source in set(errors)}
    assert counts[".log.gz"] == counts[".json.log.gz"]
    assert sum(counts[".log.gz"].values()) > 400
