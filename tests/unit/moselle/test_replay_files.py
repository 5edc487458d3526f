"""Which files a replay takes, and what it leaves out."""

import gzip
import json
import lzma
from pathlib import Path

import pytest

from moselle.replay.files import find_sources, read_lines
from services.common.errors import SettingsInvalid


def write_gz(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(text.encode()))


@pytest.fixture
def campaign(tmp_path: Path) -> Path:
    """A folder laid out as openstack_live."""
    for part in ("normal", "faults"):
        write_gz(tmp_path / part / "nova-api.log.gz", "2026-11-21 05:51:40.389 1 INFO a\n")
        write_gz(tmp_path / part / "json" / "nova-api.json.log.gz", json.dumps({"hostname": "c-1"}) + "\n")
        write_gz(tmp_path / part / "metrics.jsonl.gz", '{"ts":1.0,"instance":"c-1","metrics":{}}\n')
        write_gz(tmp_path / part / "client-workload.jsonl.gz", "{}\n")
    write_gz(tmp_path / "infra" / "rabbitmq.log.gz", "x\n")
    (tmp_path / "labels.jsonl").write_text("{}\n")
    return tmp_path


def test_a_campaign_gives_its_logs_and_metrics(campaign: Path) -> None:
    """Of normal and faults the text logs and scrapes are taken; labels, clients and the rest are named as left out."""
    found = find_sources([campaign], "text")
    assert [str(source.path.relative_to(campaign)) for source in found.sources] == [
        "normal/metrics.jsonl.gz",
        "normal/nova-api.log.gz",
        "faults/metrics.jsonl.gz",
        "faults/nova-api.log.gz",
    ]
    left = {str(path.relative_to(campaign)) for path in found.left_out}
    assert {"infra", "labels.jsonl", "normal/json", "faults/client-workload.jsonl.gz"} <= left


def test_format_json_takes_the_json_logs(campaign: Path) -> None:
    """With json the logs of json/ replace the text logs; the scrapes stay."""
    found = find_sources([campaign / "normal"], "json")
    assert [source.name for source in found.sources] == ["nova-api.json.log", "metrics.jsonl"]
    assert campaign / "normal" / "nova-api.log.gz" in found.left_out


def test_the_host_is_what_the_folder_says(campaign: Path) -> None:
    """A scrape's `instance` names the host of the logs beside it; without any there is none."""
    assert {source.host for source in find_sources([campaign], "text").sources} == {"c-1"}
    assert [source.host for source in find_sources([campaign / "infra"], "text").sources] == [None]


def test_packed_files_are_read_as_they_are(tmp_path: Path) -> None:
    """gz, xz and plain files give the same lines, without line ends; bytes that are no UTF-8 become U+FFFD."""
    data = b"one\r\ntwo \xff\n\nlast"
    (tmp_path / "a.log").write_bytes(data)
    (tmp_path / "a.log.gz").write_bytes(gzip.compress(data))
    (tmp_path / "a.log.xz").write_bytes(lzma.compress(data))
    for path in sorted(tmp_path.iterdir()):
        assert list(read_lines(path)) == ["one", "two \ufffd", "", "last"]


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    """A file that ends in the middle of its compression is an error that names it."""
    path = tmp_path / "a.log.gz"
    path.write_bytes(gzip.compress(b"line\n" * 1000)[:-9])
    with pytest.raises(SettingsInvalid, match=r"a\.log\.gz cannot be read to its end"):
        list(read_lines(path))


def test_nothing_to_replay_says_what_was_wanted(tmp_path: Path) -> None:
    """An empty folder and a missing path are errors with a remedy."""
    with pytest.raises(SettingsInvalid, match=r"wanted \*\.log"):
        find_sources([tmp_path], "text")
    with pytest.raises(SettingsInvalid, match="is not there"):
        find_sources([tmp_path / "no"], "text")
