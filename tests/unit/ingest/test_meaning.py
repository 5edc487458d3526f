"""What a line means: its severity, its time and whose it is, whatever carried it."""

from typing import Any

import orjson
import pytest

from services.ingest import metrics
from services.ingest.core.applog import level_of
from services.ingest.core.lines import Origin
from services.ingest.core.naming import pod_of_file
from services.ingest.core.severity import severity_number
from services.ingest.core.sources import Sources
from tests.unit.ingest.conftest import NOW, Harness

OSLO = "2026-11-21 06:12:12.862 7 INFO nova.api [-] fine"
NOW_MICROS = int(NOW.timestamp()) * 1_000_000


def event_of(ingest: Harness, record: Any, key: bytes | None = b"k") -> dict[str, Any]:
    """The one event of a record."""
    ingest.send(record if isinstance(record, str) else orjson.dumps(record), key=key)
    ingest.wait(60)
    (event,) = ingest.events
    return event


@pytest.mark.parametrize(
    "record",
    [
        f"<11>Nov 21 06:12:12 h nova-api: {OSLO}",
        {"message": OSLO, "severity": "err", "facility": "daemon", "host": "h"},
        {"MESSAGE": OSLO, "PRIORITY": "3"},
        {"message": OSLO, "source_type": "syslog", "severity": "err"},
        {"resourceLogs": [{"scopeLogs": [{"logRecords": [{"severityNumber": 17, "body": {"stringValue": OSLO}}]}]}]},
        f"2026-11-21T06:12:13.000000001Z stderr F {OSLO}",
    ],
)
def test_the_lines_own_level_wins(record: Any, ingest: Harness) -> None:
    """Syslog, the journal, stderr and OpenTelemetry say ERROR; the line says INFO."""
    event = event_of(ingest, record)
    assert (event["severity_text"], event["severity_number"]) == ("INFO", 9)


@pytest.mark.parametrize(
    ("record", "number"),
    [
        ({"level": 50, "msg": "x", "time": 1}, 17), ({"level": 35, "msg": "x", "time": 1}, 9),
        ({"level": 3, "short_message": "x"}, 17), ({"severity": "WARNING", "message": "x", "time": 1}, 13),
        ({"log.level": "error", "message": "x", "@timestamp": 1}, 17), ({"level": True, "msg": "x", "ts": 1}, 0),
        ({"log": {"level": "fatal"}, "message": "x"}, 21),
    ],
)  # fmt: skip
def test_a_records_level_may_be_a_name_or_a_number(record: dict[str, Any], number: int) -> None:
    """bunyan's and pino's from 10 on, syslog's below 8."""
    assert severity_number(level_of(record)) == number


@pytest.mark.parametrize(
    ("record", "time", "source"),
    [
        ({"log": "x", "date": 1795241532.5}, 1_795_241_532_500_000, "record"),
        ({"log": OSLO, "date": 1}, 1_795_241_532_862_000, "line"),
        ({"msg": "x", "level": "info", "ts": 1795241532.5}, 1_795_241_532_500_000, "line"),
        ({"msg": "x", "level": "info", "ts": "yesterday"}, NOW_MICROS, "transport"),
        ({"log": "x"}, NOW_MICROS, "transport"),
        ({"log": "x", "date": -5}, NOW_MICROS, "transport"),
        ({"log": "x", "date": "2199-01-01T00:00:00Z"}, 7_226_582_400_000_000, "record"),
    ],
)  # fmt: skip
def test_the_lines_own_time_wins(record: Any, time: int, source: str, ingest: Harness) -> None:
    """Then the shipper's, then Kafka's; what is no time counts as none, a far one stays."""
    event = event_of(ingest, record)
    assert (event["event_time"], event["event_time_source"]) == (time, source)


def test_a_clock_that_is_ahead_is_counted_and_not_corrected(ingest: Harness) -> None:
    """From a minute on."""
    before = metrics.FUTURE._value.get()
    ingest.send("2026-11-21 06:00:59 INFO near", "2026-11-21 06:05:00 INFO far", key=b"k")
    ingest.wait(60)
    assert [event["event_time"] - NOW_MICROS for event in ingest.events] == [59_000_000, 300_000_000]
    assert metrics.FUTURE._value.get() - before == 1


def test_two_processes_behind_one_apache_have_a_traceback_each(ingest: Harness) -> None:
    """mod_wsgi writes both into one file, line by line."""
    line = "[Sat Nov 21 05:44:03.{number:06d} 2026] [wsgi:error] [pid {pid}] {text}"
    texts = ["Traceback (most recent call last):", '  File "/a.py", line 1, in f', "ValueError: no"]
    ingest.send(
        *[line.format(number=i, pid=pid, text=text) for i, text in enumerate(texts) for pid in (7, 8)], key=b"k"
    )
    ingest.wait(60)
    assert [(e["process_id"], e["line_count"], e["exception"]["type"]) for e in ingest.events] == [
        (7, 3, "ValueError"), (8, 3, "ValueError"),
    ]  # fmt: skip


def test_an_offset_in_a_line_wins_over_the_set_zone(make_ingest: type[Harness]) -> None:
    """The setting is for times that name no zone."""
    ingest = make_ingest(timezone="Europe/Berlin")
    ingest.send("2026-11-21 07:00:00 INFO a", "2026-11-21T07:00:00+01:00 INFO b", "2026-11-21 06:00:00Z INFO c")
    ingest.wait(60)
    assert {event["event_time"] for event in ingest.events} == {NOW_MICROS}


@pytest.mark.parametrize(
    ("path", "pod", "container"),
    [
        ("/var/log/pods/shop_api-7f6-x2_0a1b2c3d-1111-2222-3333-444455556666/api/0.log", "shop/api-7f6-x2", "api"),
        ("/var/log/containers/api-7f6-x2_shop_api-0123456789abcdef.log", "shop/api-7f6-x2", "api"),
        ("/var/log/pods/broken", "", ""),
        ("/var/log/nova/nova-api.log", "", ""),
    ],
)
def test_a_containers_file_tells_its_pod(path: str, pod: str, container: str) -> None:
    """As kubelet names it, and as it is linked."""
    assert pod_of_file(path) == (pod, container)


@pytest.mark.parametrize(
    ("origin", "entity", "parents"),
    [
        (Origin("h", "/var/log/nova/nova-compute-3.log"), "service:nova-compute@h", ["host:h"]),
        (Origin("h", "/var/log/nginx/error.log"), "service:nginx@h", ["host:h"]),
        (Origin("h", "/var/log/syslog", "sshd"), "service:sshd@h", ["host:h"]),
        (Origin("h", "/var/log/mysql/error.log"), "service:mysql@h", ["host:h"]),
        (Origin("h", "", "nova-api.service"), "service:nova-api@h", ["host:h"]),
        (Origin("n1", "/x/0.log", "api", "shop/api-0"), "service:api@n1", ["pod:shop/api-0", "host:n1"]),
        (Origin("n1", "/x.log", "x", "shop/p", entity="service:checkout@n1"), "service:checkout@n1",
         ["pod:shop/p", "host:n1"]),
        (Origin("n1", "", "kubelet", "shop/p", entity="pod:shop/p"), "pod:shop/p", ["host:n1"]),
        (Origin(), "service:logger@unknown", ["host:unknown"]),
    ],
)  # fmt: skip
def test_whose_a_line_is(origin: Origin, entity: str, parents: list[str]) -> None:
    """The file's program, the unit's, the tag's, the container's, the stated service's, or the logger's."""
    source = Sources().of(origin, "logger")
    assert (source.entity_id, source.parent_entity_ids) == (entity, parents)


def test_ids_of_a_record_are_fields(ingest: Harness) -> None:
    """Request, global request, instance, project, user and pod."""
    record = {
        "level": "error", "msg": "x", "ts": 1, "request_id": "req-a", "global_request_id": "req-g", "instance_id": "i",
        "project_id": "p", "user_id": "u", "kubernetes": {"pod_name": "api-0", "namespace_name": "shop"},
    }  # fmt: skip
    event = event_of(ingest, record)
    names = ("request_id", "global_request_id", "instance_id", "project_id", "user_id", "pod_id")
    assert [event[name] for name in names] == ["req-a", "req-g", "i", "p", "u", "shop/api-0"]


def test_a_web_requests_host_and_path_are_not_the_writers(ingest: Harness) -> None:
    """An application's `host` and `path` are attributes; the key tells the source."""
    record = {"level": "info", "msg": "GET", "ts": 1, "host": "example.org", "path": "/v1/carts"}
    event = event_of(ingest, record, b"h1|/var/log/shop.log")
    assert (event["entity_id"], event["attributes"]["path"]) == ("service:shop@h1", "/v1/carts")


@pytest.mark.parametrize(
    ("record", "shape", "entity"),
    [
        ({"level": "info", "msg": "x", "ts": 1, "host": "h2", "path": "/var/log/shop.log"}, "json", "service:shop@h2"),
        ({"log": "shop.cart", "msg": "x", "level": "info", "service": "shop"}, "json", "service:shop@unknown"),
        ({"log": "x", "msg": "merged", "level": "info", "stream": "stdout"}, "fluentd", "service:unknown@unknown"),
        ({"Payload": '1.1.1.1 - - [21/Nov/2026:06:13:21 +0000] "GET / HTTP/1.1" 200 5', "Hostname": "h2",
          "programname": "keystone-apache-public-access"}, "access", "service:keystone-apache-public@h2"),
    ],
)  # fmt: skip
def test_what_could_be_two_shapes(record: dict[str, Any], shape: str, entity: str, ingest: Harness) -> None:
    """Told apart by the other fields."""
    event = event_of(ingest, record)
    assert (event["shape"], event["entity_id"]) == (shape, entity)


def test_a_collectors_kubernetes_event_is_its_objects(ingest: Harness) -> None:
    """As the k8s_events receiver of the OpenTelemetry Collector names it."""

    def named(texts: dict[str, str]) -> list[dict[str, Any]]:
        return [{"key": key, "value": {"stringValue": text}} for key, text in texts.items()]

    record = {"severityNumber": 13, "body": {"stringValue": "Back-off"},
              "attributes": named({"k8s.namespace.name": "shop", "k8s.event.reason": "BackOff"})}  # fmt: skip
    resource = {"attributes": named({"k8s.object.kind": "Pod", "k8s.object.name": "api-0", "k8s.node.name": "n1"})}
    event = event_of(ingest, {"resourceLogs": [{"resource": resource, "scopeLogs": [{"logRecords": [record]}]}]})
    assert (event["entity_id"], event["pod_id"], event["severity_number"]) == ("pod:shop/api-0", "shop/api-0", 13)
    assert (event["parent_entity_ids"], event["attributes"]["k8s.event.reason"]) == (["host:n1"], "BackOff")


def test_the_template_of_a_collector_is_taken(ingest: Harness) -> None:
    """`log.record.template` needs no mining."""
    texts = {"log.record.template": "Order {id} failed after {seconds:0.1f} s", "id": "4711", "seconds": "3.5"}
    attributes = [{"key": key, "value": {"stringValue": text}} for key, text in texts.items()]
    record = {"severityNumber": 9, "body": {"stringValue": "Order 4711 failed after 3.5 s"}, "attributes": attributes}
    event = event_of(ingest, {"resourceLogs": [{"scopeLogs": [{"logRecords": [record]}]}]})
    assert [template["text"] for template in ingest.of("logs.templates.v1")] == ["Order <*> failed after <*> s"]
    assert event["parameters"] == ["4711", "3.5"]
