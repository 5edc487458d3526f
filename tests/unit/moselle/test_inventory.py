"""Inventories from files and recorded folders."""

from pathlib import Path
from typing import Any

import click
import pytest

from moselle.host_names import HostNames, host_names
from moselle.inventory import amount, nodes_of_capture, nodes_of_file
from services.common.errors import SettingsInvalid
from services.ingest.core.privacy import Privacy
from services.ingest.core.pseudonyms import HOST

KEY = "k" * 32
README = Path(__file__).parents[3] / "services/placement/README.md"


def read(folder: Path, text: str) -> list[dict[str, Any]]:
    path = folder / "inventory.yaml"
    path.write_text(text)
    return nodes_of_file(path)


def test_the_documented_example_is_an_inventory(tmp_path: Path) -> None:
    """What the README shows can be published as it stands."""
    (node,) = read(tmp_path, README.read_text().partition("```yaml\n")[2].partition("```")[0])
    assert (node["entity_id"], node["kind"], node["name"]) == ("host:compute-1", "host", "compute-1")
    assert node["aliases"] == ["c1.example.org", "nova-compute-1"]
    assert (node["capacity"]["memory_bytes"], node["capacity"]["cost_per_hour"]) == (128 * 2**30, 0.42)
    assert node["labels"]["moselle.io/taint.dedicated"] == "db:NoSchedule"
    assert node["labels"]["topology.kubernetes.io/region"] == "eu-1"
    assert "moselle.io/unschedulable" not in node["labels"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("nodes: [", "cannot read the inventory"),
        ("- a", "has no list `nodes`"),
        ("nodes: []", "has no list `nodes`"),
        ("nodes: [3]", "node 1 of the inventory .*: 3 is no mapping"),
        ("nodes: [{id: n1, capacity: {cpu_cores: 1}}]", "id is 'n1': give kind:name"),
        ("nodes: [{id: 'host:n1'}]", "host:n1 has no capacity"),
        ("nodes: [{id: 'host:n1', capacity: {cpu_cores: -1}}]", "'?-1'? is no amount"),
        ("nodes: [{id: 'host:n1', capacity: {cpu_cores: many}}]", "'many' is no amount"),
        ("nodes: [{id: 'host:n1', capacity: {cpu_cores: 1}, cpu: 3}]", "cpu is no field of a node"),
        ("nodes: [{id: 'host:n1', capacity: {cpu_cores: 1}, aliases: x}]", "aliases is 'x': give a list"),
        ("nodes: [{id: 'host:n1', capacity: {cpu_cores: 1}, taints: [x]}]", "taint 'x' has no key"),
        ("nodes: [{id: 'host:n1', capacity: {a: 1}}, {id: 'host:n1', capacity: {a: 1}}]", "host:n1 twice"),
    ],
)
def test_a_wrong_inventory_is_refused_with_its_place(tmp_path: Path, text: str, words: str) -> None:
    """Which node, what was seen, what was wanted."""
    with pytest.raises(SettingsInvalid, match=words):
        read(tmp_path, text)


def test_a_recorded_folder_gives_its_compute_hosts(tmp_path: Path) -> None:
    """Found by their logs, in order, with the recording's host as parent."""
    for number in (2, 10, 1):
        (tmp_path / "normal").mkdir(exist_ok=True)
        (tmp_path / "normal" / f"nova-compute-{number}.log.xz").touch()
    nodes = nodes_of_capture(tmp_path, host="controller-1")
    assert [node["entity_id"] for node in nodes] == ["host:compute-1", "host:compute-2", "host:compute-10"]
    assert nodes[0]["aliases"] == ["nova-compute-1"]
    assert nodes[0]["parent_entity_ids"] == ["host:controller-1"]
    assert nodes[0]["capacity"]["cpu_cores"] == 8


def test_a_folder_without_compute_hosts_is_refused(tmp_path: Path) -> None:
    """The sentence says what was looked for."""
    with pytest.raises(SettingsInvalid, match=r"holds no nova-compute-<n>\.log"):
        nodes_of_capture(tmp_path)


def test_the_shipped_recording_names_its_host() -> None:
    """The demonstration's slice: three compute hosts on controller-1."""
    nodes = nodes_of_capture(Path(__file__).parents[3] / "moselle/demo/data")
    assert [node["aliases"] for node in nodes] == [["nova-compute-1"], ["nova-compute-2"], ["nova-compute-3"]]
    assert {parent for node in nodes for parent in node["parent_entity_ids"]} == {"host:controller-1"}


@pytest.mark.parametrize(
    ("text", "value"), [("4", 4), ("0.5", 0.5), ("16GiB", 2**34), ("16Gi", 2**34), ("2 T", 2e12), (8, 8), ("5k", 5e3)]
)
def test_amounts_have_units(text: str | float, value: float) -> None:
    """Powers of ten and of two."""
    assert amount(text) == value


NODE = """nodes:
  - id: host:Compute-1
    aliases: ["10.0.0.5:9100", compute-1.example.org, "node:k1"]
    programs: [nova-compute-1]
    parents: [host:controller-1]
    labels: {hostname: compute-1, disk: ssd, note: beside controller-1}
    capacity: {cpu_cores: 1}
"""


def test_without_a_key_names_stay(tmp_path: Path) -> None:
    """And what is ours of a record goes."""
    (record,) = HostNames().inventory(read(tmp_path, NODE))
    assert (record["entity_id"], record["aliases"][-1]) == ("host:Compute-1", "nova-compute-1")
    assert "programs" not in record


def test_with_a_key_a_node_is_called_as_ingest_calls_its_host(tmp_path: Path) -> None:
    """Id, parents, names and labels; programs and what names no host stay."""
    names = host_names(None, key_file(tmp_path), "k2")
    (record,) = names.inventory(read(tmp_path, NODE))
    privacy = Privacy([HOST], KEY.encode(), "k2")
    host, controller = privacy.host("compute-1"), privacy.host("controller-1")
    assert host.startswith("host-k2-")
    assert (record["entity_id"], record["name"], record["parent_entity_ids"]) == (
        f"host:{host}", host, [f"host:{controller}"],
    )  # fmt: skip
    assert record["labels"] == {"hostname": host, "disk": "ssd", "note": f"beside {controller}"}
    assert record["aliases"][0].startswith("ip-k2-")
    assert record["aliases"][0].endswith(":9100")
    assert record["aliases"][2:] == [f"node:{privacy.host('k1')}", "nova-compute-1"]
    assert not any(name in str(record) for name in ("ompute-1.", "ontroller", "10.0.0.5"))
    assert names.inventory([{**record, "programs": ["nova-compute-1"]}]) == [record]


@pytest.mark.parametrize(
    ("hosts", "key", "found"),
    [("true", KEY, "host:host-k1-"), ("false", KEY, "host:compute-1"), ("false", "", "host:compute-1")],
)
def test_ingests_settings_say_whether_hosts_are_masked(
    hosts: str, key: str, found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same variables as for ingest."""
    monkeypatch.setenv("MOSELLE_INGEST_MASK_HOSTS", hosts)
    monkeypatch.setenv("MOSELLE_INGEST_MASK_KEY", key)
    assert host_names(None, None, "k1").entity("host:compute-1").startswith(found)


def test_a_wrong_key_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Too short, missing, or two of them: nothing is published under the wrong name."""
    monkeypatch.setenv("MOSELLE_INGEST_MASK_HOSTS", "true")
    with pytest.raises(SettingsInvalid, match="has 0 bytes, wanted at least 32"):
        host_names(None, None, "k1")
    with pytest.raises(SettingsInvalid, match="no environment variable IT_KEY"):
        host_names("IT_KEY", None, "k1")
    with pytest.raises(click.UsageError, match="not both"):
        host_names("IT_KEY", key_file(tmp_path), "k1")


def key_file(folder: Path) -> Path:
    path = folder / "key"
    path.write_text(KEY + "\n")
    return path
