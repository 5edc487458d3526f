"""Every way in which a text can come: one function per shape, text to a value of a raw topic."""

import gzip
import json
from collections.abc import Callable, Mapping
from typing import Any

import cramjam
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

HEAD = "2026-11-21 06:12:12.862 24053 ERROR nova.compute.manager [None req-a u p - - d d] "
Wrap = Callable[[str], bytes]


def _json(**fields: Any) -> bytes:
    return json.dumps(fields, ensure_ascii=False).encode()


def _oslo(**fields: Any) -> bytes:
    return _json(
        **{"message": "m", "levelname": "ERROR", "name": "a.b", "created": 1795241532.8, "process": 7} | fields
    )


def _kolla(**fields: Any) -> bytes:
    record = {"Payload": "m", "log_level": "ERROR", "python_module": "a.b", "Hostname": "h1", "programname": "nova-api"}
    return _json(**record | {"Timestamp": "2026-11-21 06:12:12.862"} | fields)


def _otlp(**record: Any) -> bytes:
    resource = {"attributes": [{"key": "host.name", "value": {"stringValue": "h1"}}]}
    scope = {"logRecords": [{"timeUnixNano": "1795241532862000000", **record}]}
    return _json(resourceLogs=[{"resource": resource, "scopeLogs": [scope]}])


def _otlp_proto(text: str) -> bytes:
    request = ExportLogsServiceRequest()
    record = request.resource_logs.add().scope_logs.add().log_records.add()
    record.body.string_value = text
    return request.SerializeToString()


def _each_line(head: str) -> Wrap:
    """Every line of the text with this header."""
    return lambda text: "\n".join(head + line for line in text.split("\n")).encode()


#: Shapes in which a text of several lines is several lines, each read alone unless folded.
LINES = (
    "plain", "oslo_text", "oslo_text without context", "rfc3164", "rfc5424", "rsyslog_plain", "klog", "cri", "gzip",
    "zstd", "rsyslog_json", "fluent_bit", "fluent_bit oslo", "kubernetes", "fluentd", "vector", "filebeat", "journald",
    "array", "in a wrapper", "escaped", "otlp_json", "otlp_proto",
)  # fmt: skip
LOGS: Mapping[str, Wrap] = {
    "plain": lambda text: text.encode(),
    "oslo_text": _each_line(HEAD),
    "oslo_text without context": _each_line("2026-11-21 06:12:12.862 2 ERROR a.b [-] "),
    "rfc3164": _each_line("<11>Nov 21 06:12:12 h1 app[4]: "),
    "rfc5424": _each_line("<11>1 2026-11-21T06:12:12Z h1 app 4 ID - "),
    "rsyslog_plain": _each_line("2026-11-21T06:12:12+00:00 h1 app[4]: "),
    "rsyslog_json": lambda text: _json(**{"host": "h1", "syslog-tag": "app:", "procid": "4", "message": f" {text}"}),
    "fluent_bit": lambda text: _json(date=1795241380.5, host="h1", path="/a.log", log=text),
    "fluent_bit oslo": lambda text: _json(date=1795241380.5, host="h1", path="/a.log", log=HEAD + text),
    "kubernetes": lambda text: _json(log=text, stream="stderr", kubernetes={"pod_name": "p", "container_name": "c"}),
    "fluentd": lambda text: _json(message=text, hostname="h1", tag="x"),
    "vector": lambda text: _json(message=text, timestamp="2026-11-21T06:12:12Z", host="h1", source_type="file"),
    "filebeat": lambda text: _json(
        **{"@timestamp": "2026-11-21T06:12:12Z", "@metadata": {"beat": "filebeat"}, "message": text,
           "host": {"name": "h1"}, "log": {"offset": 1, "file": {"path": "/a.log"}}},
    ),
    "journald": lambda text: _json(MESSAGE=text, _HOSTNAME="h1", SYSLOG_IDENTIFIER="app", PRIORITY="3"),
    "oslo_json": lambda text: _oslo(message=text),
    "oslo_json msg": lambda text: _oslo(message=f"x {text}", msg=f"%s {text}", args=["x"]),
    "oslo_json args": lambda text: _oslo(message=f"x {text}", msg="x %s", args=[text]),
    "oslo_json traceback": lambda text: _oslo(traceback=["Traceback (most recent call last):", f"OSError: {text}"]),
    "oslo_json summary": lambda text: _oslo(error_summary=text),
    "kolla": lambda text: _kolla(Payload=text),
    "k8s_event": lambda text: _json(
        kind="Event", apiVersion="v1", type="Warning", reason="Failed", message=text,
        involvedObject={"kind": "Pod", "name": "p", "namespace": "n"}, lastTimestamp="2026-11-21T06:12:12Z",
    ),
    "json": lambda text: _json(time="2026-11-21T06:12:12Z", level="error", msg=text),
    "json field": lambda text: _json(time="2026-11-21T06:12:12Z", level="error", msg="m", detail=text),
    "klog": _each_line("E0115 06:12:12.862000       1 a.go:3] "),
    "cri": _each_line("2026-11-21T06:12:12.862Z stdout F "),
    "otlp_json": lambda text: _otlp(body={"stringValue": text}),
    "otlp_json attribute": lambda text: _otlp(
        body={"stringValue": "m"}, attributes=[{"key": "detail", "value": {"stringValue": text}}]
    ),
    "otlp_proto": _otlp_proto,
    "array": lambda text: json.dumps([{"log": text, "host": "h1", "path": "/a"}]).encode(),
    "in a wrapper": lambda text: _json(log=json.dumps({"log": text, "host": "h1"}), host="h2"),
    "escaped": lambda text: json.dumps({"log": text, "host": "hé"}).encode(),
    "gzip": lambda text: gzip.compress(text.encode()),
    "zstd": lambda text: bytes(cramjam.zstd.compress(text.encode())),
    "unknown json": lambda text: _json(some={"thing": [text]}),
}  # fmt: skip
