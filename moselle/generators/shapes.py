"""`docs/shapes.md`: every shape that ingest reads, from the golden files that test it."""

import json
from pathlib import Path
from typing import Any

from moselle.generators.pages import table

GOLDEN = Path("tests/golden/data/shapes")
#: Of a sample, this much is shown.
_MAX_SAMPLE_CHARS = 400

_HEAD = """<!-- Made by `make gen` from tests/golden/data/shapes/ and moselle/generators/shapes.py; change it there. -->
# Shapes

What ingest understands, recognised for each message without configuration. Each row is a golden test: its file in
`tests/golden/data/shapes/` is sent through the real stage. "Tested" says where the sample is from.

Values may be packed by gzip, zstd or framed snappy, hold an array of records, or several records or lines joined by
newlines; a wrapped text may be wrapped again (Fluent Bit around a container runtime's line around JSON around ..). A
topic can be pinned to one shape: `MOSELLE_INGEST_TOPIC_SHAPES='{"logs.otel": "otlp_proto"}'`, by the names in the first
column, but for `array`, which any of them may come in; `rfc3164` and `rfc5424` are pinned as `rsyslog_plain`, `docker`
as `fluent_bit`. What is not of the pinned shape is plain text there.
"""

_SHIPPERS = """
## What shippers must be set to

Nothing in their format. One thing in their output: **the Kafka key shall be `host|file`**, so that all lines of one
file lie in one partition, in order. Only then can a traceback that comes line by line, or a line that a container
runtime cut, be put together. A record without a key may lie in any partition: it is read as well as any other, and
counted in `moselle_ingest_keyless_records_total` and, by source, on the page of completeness as unsafe to fold. For
records that say neither host nor file, such as oslo.log's JSON as it is, the key is also where these are from.

"""
#: Of each shipper, what makes its key `host|file`.
_KEYS: list[tuple[str, ...]] = [
    (
        "Fluent Bit",
        "`[INPUT]` tail: `Path_Key path`; `[FILTER]` record_modifier: `Record host ${HOSTNAME}`; `[FILTER]` lua: `code "
        'function key(tag, ts, r) r["key"] = r["host"] .. "|" .. r["path"]; return 2, ts, r end`, `call key`; '
        "`[OUTPUT]` kafka: `Message_Key_Field key`",
    ),
    (
        "Fluentd",
        "in_tail: `path_key path`; record_transformer: `message_key \"#{Socket.gethostname}|${record['path']}\"`; "
        "out_kafka2: `message_key_key message_key`, `exclude_message_key true`",
    ),
    (
        "Vector",
        'a remap transform: `.key = join!([.host, .file], "|")` (of kubernetes_logs `.kubernetes.pod_node_name` for '
        '`.host`); kafka sink: `key_field = "key"`, `encoding.codec = "json"`',
    ),
    ("Filebeat", "`output.kafka`: `key: '%{[host.name]}|%{[log.file.path]}'`; codec json, which is the default"),
    (
        "rsyslog",
        '`template(name="key" type="string" string="%hostname%|%programname%")` (of imfile '
        '`%$!metadata!filename%` for the program); `action(type="omkafka" dynaKey="on" key="key" ..)`',
    ),
    (
        "OpenTelemetry Collector",
        "kafka exporter: encoding `otlp_proto` or `otlp_json`, `partition_logs_by_resource_attributes: true`; filelog: "
        '`include_file_path: true` and an operator that moves `attributes["log.file.path"]` to the resource. The key '
        "is then a hash of the resource, which holds host and file",
    ),
    (
        "kolla-ansible",
        "a file in `/etc/kolla/config/fluentd/output/` with out_kafka2 as for Fluentd, its key "
        "`${record['Hostname']}|${record['programname']}`",
    ),
]
_TRIED = "\nOf these, rsyslog is run as a program in the tests; the others' settings are from their documentation.\n"


def shapes_page(root: Path) -> dict[Path, str]:
    """`docs/shapes.md`."""
    files = [json.loads(path.read_text()) for path in sorted((root / GOLDEN).glob("*.json"))]
    text = _HEAD
    for kind, title, unit in (("logs", "Logs", "one line is"), ("metrics", "Metrics", "one sample is")):
        rows: list[tuple[str, ...]] = [_row(file) for file in files if file["kind"] == kind]
        text += f"\n## {title}\n\n{table(('shape', 'sent by', unit, 'sample', 'tested'), rows)}"
    return {Path("docs/shapes.md"): text + _SHIPPERS + table(("shipper", "setting"), _KEYS) + _TRIED}


def _row(golden: dict[str, Any]) -> tuple[str, ...]:
    return (
        f"`{golden['shape']}`", golden["shipper"], golden["line"], _sample(golden["messages"][0]), golden["tested"],
    )  # fmt: skip


def _sample(message: dict[str, Any]) -> str:
    """The first message as code, shortened; its key before it."""
    if "base64" in message:
        value = f"base64 {message['base64']}"
    elif "json" in message:
        value = json.dumps(message["json"], ensure_ascii=False, separators=(",", ":"))
    else:
        text = message["text"]
        value = text if isinstance(text, str) else "\n".join(text)
    short = value if len(value) <= _MAX_SAMPLE_CHARS else value[:_MAX_SAMPLE_CHARS] + " .."
    code = f"`` {short.replace('`', chr(39))} ``".replace("\n", " ⏎ ")
    return code if "key" not in message else f"key `{message['key']}`: {code}"
