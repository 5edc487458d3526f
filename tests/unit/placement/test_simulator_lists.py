"""Lists of nodes and pods as they come: read, or refused with one sentence."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from services.common.errors import SettingsInvalid
from services.placement.train.fit import usage_parameters
from services.placement.train.lists import fitted, read_lists
from tests.unit.placement.simulated import NODES, PODS, lay_out


def test_a_folder_gives_its_most_common_node_and_its_pods(tmp_path: Path) -> None:
    """Two of three nodes have 16 cores; works are from start to end, from creation where no start is told."""
    lists, sources = read_lists(lay_out(tmp_path), "report")
    assert (lists.node_cpu, lists.node_memory, sources.num_nodes) == (16_000, 65_536, 3)
    assert lists.work.tolist() == [390, 900, 100]
    assert sources.usage.startswith("made from parameters")


def test_what_cannot_be_simulated_is_left_out_and_counted(tmp_path: Path) -> None:
    """A pod that never ended, one of five hours, one of more than half a node."""
    pods = PODS + "p4,1000,1,0,1,,1\np5,1000,1,0,0,18000,0\np6,9000,1,0,0,100,0\n"
    _, sources = read_lists(lay_out(tmp_path, pods=pods), "report")
    assert sources.num_pods == 3
    assert sources.left_out == {"never ended": 1, "works longer than 4 h": 1, "larger than half a node": 1}


def test_tuning_and_reporting_see_other_days(tmp_path: Path) -> None:
    """The last day is for reporting; of a single day each gets half of the machines."""
    days = tmp_path / "planetlab"
    days.mkdir()
    lay_out(tmp_path)
    for name, level in (("planetlab_20110101", 10), ("planetlab_20110102", 20)):
        lines = [f"m{number}," + ",".join([str(level)] * 287 + [str(number)]) for number in range(4)]
        (days / f"{name}.csv.gz").write_bytes(gzip.compress("\n".join(lines).encode()))
    tuned, report = (read_lists(tmp_path, purpose) for purpose in ("tune", "report"))  # type: ignore[arg-type]
    assert "20110101" in tuned[1].usage
    assert "20110102" in report[1].usage
    (days / "planetlab_20110101.csv.gz").unlink()
    tuned, report = (read_lists(tmp_path, purpose) for purpose in ("tune", "report"))  # type: ignore[arg-type]
    assert not {tuple(row) for row in tuned[0].shapes} & {tuple(row) for row in report[0].shapes}


def test_made_up_usage_is_as_it_was_fitted(tmp_path: Path) -> None:
    """Without recorded days, shapes with mean 1 that vary as those of the fitted day."""
    lists, _ = read_lists(lay_out(tmp_path), "report")
    assert lists.shapes.mean(axis=1) == pytest.approx(1.0)
    day = fitted()["usage"][max(fitted()["usage"])]
    assert usage_parameters(lists.shapes)["log_variation_mean"] == pytest.approx(day["log_variation_mean"], abs=0.1)
    assert np.isfinite(lists.shapes).all()


@pytest.mark.parametrize(
    ("nodes", "pods", "words"),
    [
        (NODES.replace("memory_mib", "ram"), PODS, "has no column memory_mib"),
        (NODES, PODS.replace("deletion_time", "end"), "has no column deletion_time"),
        (NODES.replace("n2,16000", "n2,-16000"), PODS, "line 3: cpu_milli is '-16000', wanted a number from 1 up"),
        (NODES, PODS.replace("p2,4000", "p2,many"), "line 3: cpu_milli is 'many', wanted a number from 0 up"),
        (NODES, PODS.replace("p2,4000", "p2,nan"), "line 3: cpu_milli is 'nan'"),
        (NODES, PODS.replace("100,1000,100", "100,1000"), "line 3"),
        (NODES.splitlines()[0], PODS, "has no node: wanted at least one row"),
        (NODES, PODS.splitlines()[0], "has no pod to simulate"),
        ("", PODS, "has no column cpu_milli, memory_mib"),
    ],
)
def test_lists_that_say_nothing_are_refused(tmp_path: Path, nodes: str, pods: str, words: str) -> None:
    """One sentence: the file, the line, what was seen and what was wanted."""
    if words == "line 3":
        lists, _ = read_lists(lay_out(tmp_path, nodes, pods), "report")
        assert len(lists.cpu) == 3, "a start that is missing is the creation"
        return
    with pytest.raises(SettingsInvalid, match=words):
        read_lists(lay_out(tmp_path, nodes, pods), "report")


def test_folders_without_lists_are_refused(tmp_path: Path) -> None:
    """No folder, no list, or several without a hint."""
    with pytest.raises(SettingsInvalid, match="is no folder"):
        read_lists(tmp_path / "away", "report")
    with pytest.raises(SettingsInvalid, match=r"has no \*node_list\*.csv"):
        read_lists(tmp_path, "report")
    lay_out(tmp_path)
    (tmp_path / "a_pod_list_x.csv").write_text(PODS)
    with pytest.raises(SettingsInvalid, match=r"has no list 'pods\.csv': wanted one of a_pod_list_x\.csv"):
        read_lists(tmp_path, "report", "pods.csv")
    (tmp_path / "some_pod_list_default.csv").rename(tmp_path / "b_pod_list_y.csv")
    with pytest.raises(SettingsInvalid, match="name one by --pods"):
        read_lists(tmp_path, "report")


@pytest.mark.parametrize(
    "content",
    [b"no gzip", gzip.compress(b"m1,1,2,3\n"), gzip.compress(b"m1,a\n"), gzip.compress(b"")],
    ids=["no_gzip", "few_numbers", "no_number", "empty"],
)
def test_broken_usage_is_refused(tmp_path: Path, content: bytes) -> None:
    """A day must be a name and 288 numbers a line."""
    (tmp_path / "planetlab").mkdir()
    (tmp_path / "planetlab" / "planetlab_1.csv.gz").write_bytes(content)
    with pytest.raises(SettingsInvalid, match="wanted a name and 288 numbers a line"):
        read_lists(lay_out(tmp_path), "report")
