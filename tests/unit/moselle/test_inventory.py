"""Inventories from files and recorded folders."""

from pathlib import Path
from typing import Any

import pytest

from moselle.inventory import amount, nodes_of_capture, nodes_of_file
from services.common.errors import SettingsInvalid

README = Path(__file__).parents[3] / "services/placement/README.md"


def read(folder: Path, text: str) -> list[dict[str, Any]]:
    path = folder / "inventory.yaml"
    path.write_text(text)
    return nodes_of_file(path)


def test_the_documented_example_is_an_inventory(tmp_path: Path) -> None:
    """What the README shows can be published as it stands."""
    (node,) = read(tmp_path, README.read_text().partition("```yaml\n")[2].partition("```")[0])
    assert (node["entity_id"], node["kind"], node["name"]) == ("host:compute-1", "host", "compute-1")
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
