"""Pages about topics, settings, metrics and the command line, from the code that declares them."""

import importlib
import inspect
from collections.abc import Iterator
from copy import copy
from pathlib import Path
from types import ModuleType, NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

import click
from prometheus_client.metrics import MetricWrapperBase
from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined
from pydantic_settings import BaseSettings

from moselle.generators.avro import Json, avro_type, nested_records, read_schemas
from services.common.topics import (
    BASE_TOPICS,
    CLUSTER_PARTITIONS,
    DAY_MS,
    EMBEDDED_PARTITIONS,
    HOUR_MS,
    Topic,
    all_topics,
)

_MADE = "<!-- Made by `make gen` from {}; change it there. -->"
_TOPIC_HEAD = (
    "topic",
    "key",
    "one record is",
    "schema",
    "written by",
    "read by",
    "retention",
    "cleanup",
    "partitions",
    "time",
)


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """A Markdown table; bars and line ends inside cells are escaped."""
    lines = [head, tuple("---" for _ in head), *rows]
    return "".join("| " + " | ".join(_cell(text) for text in line) + " |\n" for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def topic_pages(root: Path) -> dict[Path, str]:
    """`proto/README.md`, the contract folder's own page, and `docs/topics.md` with every field."""
    made = _MADE.format("services/common/topics.py and proto/avro/")
    return {
        Path("proto/README.md"): f"{made}\n# Contracts\n\n{_PROTO}\n{_topic_tables()}",
        Path(
            "docs/topics.md"
        ): f"{made}\n# Topics\n\n{_TOPICS}\n{_topic_tables()}\n{_schema_tables(read_schemas(root))}",
    }


_PROTO = """Every contract of the system and nothing else: what is written to Kafka and what is asked over gRPC.

- `avro/<name>.avsc`: one schema a topic, named as the topic; `avro/state.v1.avsc` is the value of every
  `<service>.state.v1`. `avro/schemas.v1.avsc` describes schemas and is frozen.
- `avro/versions/<name>/<n>.avsc`: what each published version was. Versions are compatible both ways.
- `moselle/<service>/v1/<service>.proto`: gRPC. Folders equal packages, the version last.
- `prometheus/write/v<n>/write.proto`: what Prometheus sends by remote_write, as far as it is read.

On the wire: Avro single-object encoding (0xC3 0x01, CRC-64-AVRO fingerprint, body); schemas are found by fingerprint in
`schemas.v1`. Times are timestamp-micros UTC. Fields are listed in [docs/topics.md](../docs/topics.md); how to change a
schema stands in [docs/operations.md](../docs/operations.md#changing-a-schema). `make gen` makes the code and the pages.
"""
_TOPICS = """All topics keyed by entity_id have the same number of partitions, and one partitioner everywhere: murmur2
over the UTF-8 key. Where the column *time* says `create` the Kafka time is the shipper's, where it says `append`
the broker's; event time is a field.
"""


def _topic_tables() -> str:
    letters = [topic for topic in all_topics() if topic.name.endswith(".dlq")]
    topics = [topic for topic in all_topics() if topic not in letters]
    return (
        f"## All topics\n\n{table(_TOPIC_HEAD, [_topic_row(topic) for topic in topics])}\n"
        "## Dead letters\n\nWhat could not be read: the original bytes, key and headers, and headers that say where "
        f"they stood and why (`moselle dlq`).\n\n{table(_TOPIC_HEAD, [_topic_row(topic) for topic in letters])}"
    )


def _topic_row(topic: Topic) -> tuple[str, ...]:
    return (
        f"`{topic.name}`",
        topic.key,
        topic.record,
        f"`{topic.schema}.avsc`" if topic.schema else "bytes as shipped",
        ", ".join(topic.producers),
        ", ".join(topic.consumers),
        _retention(topic.retention_ms),
        topic.cleanup,
        _partitions(topic),
        topic.transport_time,
    )


def _retention(milliseconds: int | None) -> str:
    if milliseconds is None:
        return "each key's latest"
    if milliseconds % DAY_MS == 0 and milliseconds > DAY_MS:
        return f"{milliseconds // DAY_MS} d"
    return f"{milliseconds // HOUR_MS} h"


def _partitions(topic: Topic) -> str:
    few, many = topic.num_partitions(EMBEDDED_PARTITIONS), topic.num_partitions(CLUSTER_PARTITIONS)
    return str(few) if few == many else f"{few} embedded, {many} cluster"


def _schema_tables(schemas: dict[str, Json]) -> str:
    order = [topic.schema for topic in BASE_TOPICS if topic.schema]
    names = sorted(schemas, key=lambda name: order.index(name) if name in order else len(order))
    return "\n".join(_schema_table(name, schemas[name]) for name in names)


def _schema_table(name: str, schema: Json) -> str:
    parts = [f"## Fields of {name}\n\n{schema['doc']}\n"]
    for record in sorted(nested_records(schema), key=lambda record: record is not schema):
        if record is not schema:
            parts.append(f"`{record['name']}`: {record['doc']}\n")
        parts.append(table(("field", "type", "default", "meaning"), [_field_row(field) for field in record["fields"]]))
    return "\n".join(parts)


def _field_row(field: Json) -> tuple[str, ...]:
    default = "none" if "default" not in field else f"`{'null' if field['default'] is None else field['default']!r}`"
    return f"`{field['name']}`", avro_type(field["type"]), default, field["doc"]


def service_modules(root: Path, name: str) -> Iterator[ModuleType]:
    """`services/*/<name>.py`, the common one first."""
    paths = (root / "services").glob(f"*/{name}.py")
    for path in sorted(paths, key=lambda path: (path.parent.name != "common", path.parent.name)):
        yield importlib.import_module(f"services.{path.parent.name}.{name}")


def settings_page(root: Path) -> dict[Path, str]:
    """`docs/settings.md`."""
    text = _MADE.format("services/*/settings.py") + "\n# Settings\n\n" + _SETTINGS
    for module in service_modules(root, "settings"):
        for kind in _settings_classes(module):
            text += f"\n## {module.__name__.split('.')[1]}\n\n{(inspect.getdoc(kind) or '').strip()}\n\n"
            text += table(("variable", "type", "default", "what it does"), setting_rows(kind))
    return {Path("docs/settings.md"): text}


_SETTINGS = """Every setting is an environment variable, read once when a service starts. A wrong value stops it with
one sentence before it joins a consumer group. Secrets print as stars.
"""


def _settings_classes(module: ModuleType) -> list[type[BaseSettings]]:
    classes = [value for value in vars(module).values() if inspect.isclass(value) and issubclass(value, BaseSettings)]
    return [kind for kind in classes if kind.__module__ == module.__name__]


def setting_rows(kind: type[BaseSettings]) -> list[tuple[str, ...]]:
    """Variable, type with bounds, default, help of each field that the class itself declares."""
    own = inspect.get_annotations(kind)
    return [
        (f"`{_variable(kind, name, field)}`", _setting_type(field), _default(field), field.description or "")
        for name, field in kind.model_fields.items()
        if name in own
    ]


def _variable(kind: type[BaseSettings], name: str, field: FieldInfo) -> str:
    alias = field.validation_alias
    return (alias if isinstance(alias, str) else kind.model_config.get("env_prefix", "") + name).upper()


def _setting_type(field: FieldInfo) -> str:
    return ", ".join([type_words(field.annotation), *_bounds(field)])


def type_words(annotation: Any) -> str:
    """A setting's type in words.

    >>> type_words(tuple[str, ...] | None)
    'list of str, or empty'
    """
    arguments = [argument for argument in get_args(annotation) if argument is not Ellipsis]
    kind = get_origin(annotation)
    if kind is Literal:
        return "one of " + ", ".join(map(str, arguments))
    if kind in (Union, UnionType):
        words = " or ".join(type_words(argument) for argument in arguments if argument is not NoneType)
        return words + (", or empty" if NoneType in arguments else "")
    if kind in (list, tuple, set, frozenset):
        return "list of " + " or ".join(type_words(argument) for argument in arguments)
    if kind is dict:
        return "map of " + " to ".join(type_words(argument) for argument in arguments)
    names: dict[Any, str] = {SecretStr: "secret", Path: "path"}
    return names.get(annotation) or str(getattr(annotation, "__name__", annotation))


def _bounds(field: FieldInfo) -> Iterator[str]:
    words = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below", "min_length": "length at least"}
    for bound in field.metadata:
        for name, word in words.items():
            if getattr(bound, name, None) is not None:
                yield f"{word} {getattr(bound, name)}"
        if getattr(bound, "pattern", None):
            yield f"`{bound.pattern}`"


def _default(field: FieldInfo) -> str:
    """The default as one types it; what depends on the machine is never shown."""
    if field.default_factory is not None:
        return "depends on the machine"
    if field.default is PydanticUndefined:
        return "none: must be set"
    if isinstance(field.default, SecretStr):
        return "`*****`" if field.default.get_secret_value() else "empty"
    text = "" if field.default is None else str(field.default)
    return f"`{text.replace(str(Path.home()), '~')}`" if text else "empty"


def metrics_page(root: Path) -> dict[Path, str]:
    """`docs/metrics.md`."""
    text = _MADE.format("services/*/metrics.py") + "\n# Metrics\n\n" + _METRICS
    for module in service_modules(root, "metrics"):
        found = [value for value in vars(module).values() if isinstance(value, MetricWrapperBase)]
        text += f"\n## {module.__name__.split('.')[1]}\n\n{(inspect.getdoc(module) or '').strip()}\n\n"
        text += table(("metric", "type", "labels", "meaning"), [metric_row(metric) for metric in found])
    return {Path("docs/metrics.md"): text}


_METRICS = """Each service answers `/metrics` on its HTTP port in Prometheus' text format. The unit is the name's end.
"""


def metric_row(metric: MetricWrapperBase) -> tuple[str, ...]:
    """Name as on /metrics, type, labels, help."""
    described = next(iter(metric.describe()))
    name = described.name + ("_total" if described.type == "counter" else "")
    return f"`{name}`", described.type, ", ".join(metric._labelnames), described.documentation


def cli_page(root: Path) -> dict[Path, str]:
    """`docs/cli.md`; nothing while there is no command line."""
    if not (root / "moselle" / "__main__.py").exists():
        return {}
    module = importlib.import_module("moselle.__main__")
    command = next((value for value in vars(module).values() if isinstance(value, click.Group)), None)
    if command is None:
        raise ValueError("moselle/__main__.py has no click group; docs/cli.md is made from one")
    text = _MADE.format("the help of the commands") + "\n# Command line\n"
    for path, found in commands(command, "moselle"):
        text += f"\n## {path}\n\n```text\n{help_text(found, path)}\n```\n"
    return {Path("docs/cli.md"): text}


def commands(command: click.Command, path: str) -> Iterator[tuple[str, click.Command]]:
    """A command and all below it that are not hidden, with what one types."""
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command, info_name=path)
        for name in sorted(command.list_commands(context)):
            found = command.get_command(context, name)
            if found is not None and not found.hidden:
                yield from commands(found, f"{path} {name}")


def help_text(command: click.Command, path: str) -> str:
    """What `--help` prints, 100 columns wide."""
    settings: dict[str, Any] = {"terminal_width": 100, "max_content_width": 100, "help_option_names": ["-h", "--help"]}
    # A command keeps the help option of its first call in this process, whoever made that.
    fresh = copy(command)
    fresh._help_option = None
    text = fresh.get_help(click.Context(fresh, info_name=path, **settings))
    return text.replace(str(Path.home()), "~").strip()
