"""`moselle inventory`: tells placement which nodes there are, through entities.v1."""

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from moselle.host_names import HostNames, host_names, mask_options
from services.common.errors import InvalidMessage, SettingsInvalid

if TYPE_CHECKING:
    from services.common.broker.kafka import KafkaBroker
    from services.common.codec import Codec

Json = dict[str, Any]

#: Who says so in entities.v1: what this command publishes, it alone replaces and removes.
SOURCE = "inventory"
#: What a host of a recorded folder is taken to have, since the recording does not tell: a small compute host.
ASSUMED_CAPACITY = {"cpu_cores": 8.0, "memory_bytes": 16.0 * 2**30, "disk_bytes": 160.0 * 2**30}
_COMPUTE_LOG = re.compile(r"^(nova-compute-(\d+))\.(?:json\.)?log(?:\.gz|\.xz)?$")
_UNITS = {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}
_AMOUNT = re.compile(r"^\s*(\d+(?:\.\d+)?)\s*(Ki|Mi|Gi|Ti|k|M|G|T|)B?\s*$")
_REGION, _ZONE = "topology.kubernetes.io/region", "topology.kubernetes.io/zone"
_TAINT, _UNSCHEDULABLE = "moselle.io/taint.", "moselle.io/unschedulable"
_NODE_FIELDS = {
    "id", "parents", "aliases", "programs", "labels", "capacity", "region", "zone", "taints", "unschedulable",
    "cost_per_hour", "uptime_ratio", "latency_ms", "bandwidth_mbps", "security_level", "idle_watts", "peak_watts",
    "num_numa_nodes", "max_workloads", "relative_speed",
}  # fmt: skip
_FACTS = _NODE_FIELDS - {
    "id", "parents", "aliases", "programs", "labels", "capacity", "region", "zone", "taints", "unschedulable",
}  # fmt: skip


def amount(text: "str | float") -> float:
    """A size with or without its unit: 16GiB, 500M, 4, 0.5.

    Raises:
        ValueError: it is none, or negative.
    """
    found = _AMOUNT.match(str(text)) if not isinstance(text, bool) else None
    if found is None:
        raise ValueError(
            f"{text!r} is no amount: give a number from 0, with k, M, G, T, Ki, Mi, Gi or Ti where it helps"
        )
    return float(found[1]) * _UNITS[found[2]]


def nodes_of_file(path: Path) -> list[Json]:
    """The nodes of an inventory file as entity records without times; services/placement/README.md shows one.

    `programs` is ours: which of the aliases name programs rather than hosts.

    Raises:
        SettingsInvalid: the file is no such inventory; the sentence says where and what was wanted.
    """
    import yaml

    try:
        loaded = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise SettingsInvalid(f"cannot read the inventory {path}: {' '.join(str(error).split())}") from None
    nodes = loaded.get("nodes") if isinstance(loaded, dict) else None
    if not isinstance(nodes, list) or not nodes:
        raise SettingsInvalid(f"the inventory {path} has no list `nodes`: give at least one node under it")
    records = [_checked_node(node, number, path) for number, node in enumerate(nodes)]
    ids = [record["entity_id"] for record in records]
    twice = next((name for name in ids if ids.count(name) > 1), None)
    if twice:
        raise SettingsInvalid(f"the inventory {path} has {twice} twice: give each node once")
    return records


def _checked_node(node: Any, number: int, path: Path) -> Json:
    try:
        return node_record(node)
    except (ValueError, TypeError, AttributeError) as error:
        raise SettingsInvalid(f"node {number + 1} of the inventory {path}: {error}") from None


def node_record(node: Mapping[str, Any]) -> Json:
    """One node of the file as an entity record without times.

    Raises:
        ValueError: a field is missing, unknown or of another form.
    """
    if not isinstance(node, dict):
        raise ValueError(f"{node!r} is no mapping: give id and capacity")
    unknown = sorted(set(map(str, node)) - _NODE_FIELDS)
    if unknown:
        raise ValueError(f"{unknown[0]} is no field of a node: {', '.join(sorted(_NODE_FIELDS))} are")
    kind, colon, name = str(node.get("id", "")).partition(":")
    if not (kind and colon and name):
        raise ValueError(f"id is {node.get('id')!r}: give kind:name, e.g. host:compute-1 or node:n1")
    if not isinstance(node.get("capacity"), dict) or not node["capacity"]:
        raise ValueError(f"{node['id']} has no capacity: give at least cpu_cores and memory_bytes")
    capacity = {str(key): amount(value) for key, value in node["capacity"].items()}
    capacity |= {fact: amount(node[fact]) for fact in sorted(_FACTS) if fact in node}
    parents, aliases, programs = (_strings(node, field) for field in ("parents", "aliases", "programs"))
    return _record(f"{kind}:{name}", parents, aliases, programs, _labels(node), capacity)


def _strings(node: Mapping[str, Any], field: str) -> list[str]:
    values = node.get(field, [])
    if not isinstance(values, list):
        raise ValueError(f"{field} is {values!r}: give a list")
    return [str(value) for value in values]


def _labels(node: Mapping[str, Any]) -> dict[str, str]:
    labels = {str(key): str(value) for key, value in (node.get("labels") or {}).items()}
    for field, label in (("region", _REGION), ("zone", _ZONE)):
        if field in node:
            labels[label] = str(node[field])
    if node.get("unschedulable"):
        labels[_UNSCHEDULABLE] = "true"
    for taint in node.get("taints", []):
        if not isinstance(taint, dict) or not taint.get("key"):
            raise ValueError(f"taint {taint!r} has no key: give key, and value and effect where they matter")
        labels[_TAINT + str(taint["key"])] = f"{taint.get('value', '')}:{taint.get('effect', 'NoSchedule')}"
    return labels


def _record(
    entity_id: str,
    parents: list[str],
    aliases: list[str],
    programs: list[str],
    labels: dict[str, str],
    capacity: dict[str, float],
) -> Json:
    kind, _, name = entity_id.partition(":")
    return {
        "entity_id": entity_id,
        "source": SOURCE,
        "kind": kind,
        "name": name,
        "parent_entity_ids": parents,
        "aliases": [*aliases, *programs],
        "programs": programs,
        "labels": labels,
        "capacity": capacity,
    }


def nodes_of_capture(folder: Path, capacity: Mapping[str, float] = ASSUMED_CAPACITY, host: str = "") -> list[Json]:
    """The compute hosts of a recorded folder, found by their logs `nova-compute-<n>.log`, without times.

    Each becomes `host:compute-<n>` with the program `nova-compute-<n>` and the recording's host as parent. What it has
    is an assumption: the recording's guests are not real.

    Args:
        host: the recording's host; else the one that its metrics name.

    Raises:
        SettingsInvalid: there is no such log.
    """
    names = {match[1]: match[2] for path in folder.rglob("*") if (match := _COMPUTE_LOG.match(path.name))}
    if not names:
        raise SettingsInvalid(
            f"{folder} holds no nova-compute-<n>.log: give a folder laid out like openstack_live, or --file"
        )
    parent = f"host:{host or recorded_host(folder)}"
    return [
        _record(f"host:compute-{number}", [parent], [], [name], {}, dict(capacity))
        for name, number in sorted(names.items(), key=lambda item: int(item[1]))
    ]


def recorded_host(folder: Path) -> str:
    """The host of a recorded folder as `moselle replay` finds it, in it or in a folder below; else localhost."""
    from moselle.replay.files import folder_host

    below = sorted(path for path in folder.iterdir() if path.is_dir())
    return next(filter(None, map(folder_host, [folder, *below])), "localhost")


def with_times(records: Iterable[Json], cluster: str, now: int) -> list[Json]:
    """Whole records of entities.v1; `now` in microseconds UTC."""
    return [{**record, "cluster": cluster, "updated_at": now} for record in records]


@contextmanager
def entities(bootstrap: str) -> "Iterator[tuple[KafkaBroker, Codec]]":
    """A broker that has the topic, and a codec whose schemas readers find, although no service may run yet."""
    from services.common.broker.kafka import KafkaBroker
    from services.common.codec import Codec
    from services.common.schemas import SchemaRegistry
    from services.common.topics import ENTITIES, SCHEMAS

    with closing(KafkaBroker(bootstrap)) as broker:
        broker.check([ENTITIES.name, SCHEMAS.name])
        codec = Codec()
        with closing(SchemaRegistry(broker, codec)) as registry:
            registry.publish_own()
            yield broker, codec


def cluster_name() -> str:
    """The cloud that nodes belong to: the setting that the services read."""
    return os.environ.get("MOSELLE_CLUSTER", "default")


def published(broker: "KafkaBroker", codec: "Codec") -> list[Json]:
    """What entities.v1 says now of everything in our cluster that somebody gave a capacity, sorted by entity_id."""
    from services.common.topics import ENTITIES

    found: dict[bytes | None, Json] = {}
    for partition in range(broker.num_partitions(ENTITIES.name)):
        for record in broker.read_to_end(ENTITIES.name, partition):
            found.pop(record.key, None)
            if record.value is None:
                continue
            try:
                found[record.key] = codec.decode(record.value)
            except InvalidMessage:
                continue
    own = [row for row in found.values() if row["capacity"] and row["cluster"] == cluster_name()]
    return sorted(own, key=lambda row: (row["entity_id"], row["source"]))


def publish(
    bootstrap: str, records: Iterable[Json], is_replacing: bool = False, names: HostNames | None = None
) -> tuple[int, int]:
    """Publishes nodes, their hosts called by `names`.

    With `is_replacing`, those that were published so before and are not among them go away.

    Returns:
        How many were published and how many removed.
    """
    from services.common.broker.abstract import Output
    from services.common.clock import SystemClock, to_micros
    from services.common.topics import ENTITIES

    rows = with_times((names or HostNames()).inventory(records), cluster_name(), to_micros(SystemClock().now()))
    with entities(bootstrap) as (broker, codec):
        outputs = [Output(ENTITIES.name, _key(row["entity_id"]), codec.encode(ENTITIES.name, row)) for row in rows]
        keep = {row["entity_id"] for row in rows}
        old = [row["entity_id"] for row in published(broker, codec) if row["source"] == SOURCE] if is_replacing else []
        gone = [entity_id for entity_id in old if entity_id not in keep]
        broker.publish([*outputs, *(Output(ENTITIES.name, _key(entity_id), None) for entity_id in gone)])
    return len(rows), len(gone)


def remove(bootstrap: str, entity_ids: Iterable[str]) -> int:
    """Takes nodes out of the inventory; returns how many were there.

    Raises:
        SettingsInvalid: one was not published by this command.
    """
    from services.common.broker.abstract import Output
    from services.common.topics import ENTITIES

    with entities(bootstrap) as (broker, codec):
        there = {row["entity_id"] for row in published(broker, codec) if row["source"] == SOURCE}
        wanted = list(entity_ids)
        missing = [entity_id for entity_id in wanted if entity_id not in there]
        if missing:
            raise SettingsInvalid(f"{missing[0]} is not in the inventory: `moselle inventory show` lists what is")
        broker.publish([Output(ENTITIES.name, _key(entity_id), None) for entity_id in wanted])
    return len(wanted)


def _key(entity_id: str) -> bytes:
    return f"{entity_id}|{SOURCE}".encode()


state_option = click.option(
    "--state",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(".moselle"),
    envvar="MOSELLE_STATE",
    help="The state folder of the embedded stack. [default: .moselle]",
)


def bootstrap_of(state: Path, kafka: str | None) -> str:
    """The Kafka that was named, else that of a running stack. Raises SettingsInvalid when none runs."""
    from moselle.stack import control

    return kafka or str(control.status(state)["kafka"]["bootstrap"])


kafka_option = click.option("--kafka", metavar="HOST:PORT", help="Your Kafka, instead of the embedded stack's.")


@click.group("inventory")
def command() -> None:
    """Tell placement which nodes there are and what they have."""


@command.command("publish")
@state_option
@kafka_option
@click.option("--file", "path", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="A YAML inventory.")
@click.option(
    "--capture",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="A recorded folder: its compute hosts, each taken to have 8 cores, 16 GiB of memory and 160 GiB of disk.",
)
@click.option("--host", default="", help="With --capture: the host that was recorded. [default: what the folder says]")
@click.option("--replace", is_flag=True, help="Remove nodes that this command published before and that are not named.")
@mask_options
def publish_command(
    state: Path, kafka: str | None, path: Path | None, capture: Path | None, host: str, replace: bool,
    key_env: str | None, key_file: Path | None, key_id: str,
) -> None:  # fmt: skip
    """Publish nodes to entities.v1; placement has them within a second, or when it starts.

    Where ingest masks host names they are published as its pseudonyms, by the same key, so that they join.
    """
    if (path is None) == (capture is None):
        raise click.UsageError("give one of --file INVENTORY.yaml and --capture FOLDER")
    records = nodes_of_file(path) if path is not None else nodes_of_capture(Path(str(capture)), host=host)
    names = host_names(key_env, key_file, key_id)
    number, gone = publish(bootstrap_of(state, kafka), records, replace, names)
    click.echo(json.dumps({"published": number, "removed": gone}))


@command.command("show")
@state_option
@kafka_option
@click.option("--json", "is_json", is_flag=True, help="One JSON object a line, for scripts.")
def show_command(state: Path, kafka: str | None, is_json: bool) -> None:
    """Show every node and who says so."""
    with entities(bootstrap_of(state, kafka)) as (broker, codec):
        rows = published(broker, codec)
    for row in rows:
        amounts = ", ".join(f"{name} {value:g}" for name, value in sorted(row["capacity"].items()))
        click.echo(json.dumps(row) if is_json else f"{row['entity_id']:<28} {row['source']:<12} {amounts}")
    if not rows:
        click.echo("no node is published: moselle inventory publish --file INVENTORY.yaml", err=True)


@command.command("remove")
@click.argument("entity_ids", nargs=-1, required=True, metavar="ENTITY_ID...")
@state_option
@kafka_option
@mask_options
def remove_command(
    entity_ids: tuple[str, ...], state: Path, kafka: str | None, key_env: str | None, key_file: Path | None, key_id: str
) -> None:
    """Take nodes out of the inventory, by their names or their pseudonyms."""
    names = host_names(key_env, key_file, key_id)
    number = remove(bootstrap_of(state, kafka), [names.entity(entity_id) for entity_id in entity_ids])
    click.echo(json.dumps({"removed": number}))
