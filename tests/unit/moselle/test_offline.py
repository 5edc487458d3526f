"""The derived topics of a recorded folder, without a broker."""

from collections import Counter
from pathlib import Path

from moselle.offline import derived_records

LINES = [
    "2026-11-21 05:51:40.100 1 INFO nova.compute.manager [-] Took 1.50 seconds to build instance.",
    "2026-11-21 05:51:41.200 1 ERROR nova.compute.manager [-] It failed",
    "2026-11-21 05:52:59.300 1 INFO nova.compute.manager [-] Took 2.50 seconds to build instance.",
]
SCRAPE = '{"ts": 1795240300.0, "job": "node", "instance": "c1", "metrics": {"node_load1": 2.0}}'


def make_folder(folder: Path) -> Path:
    (folder / "nova-compute.log").write_text("\n".join(LINES) + "\n")
    (folder / "metrics.jsonl").write_text(SCRAPE + "\n")
    return folder


def test_every_line_and_scrape_of_a_folder_is_there(tmp_path: Path) -> None:
    """Lines become events, counts and templates, scrapes become samples, each once."""
    found = Counter(topic for topic, _ in derived_records(make_folder(tmp_path)))

    assert found["logs.parsed.v1"] == 3
    assert found["metrics.samples.v1"] == 1
    assert found["logs.templates.v1"] == 2


def test_two_runs_give_the_same_records(tmp_path: Path) -> None:
    """Nothing depends on when it runs: training can be repeated."""
    folder = make_folder(tmp_path)

    assert list(derived_records(folder)) == list(derived_records(folder))


def test_only_the_first_seconds_are_read_when_asked(tmp_path: Path) -> None:
    """A line after the given time is left out."""
    records = derived_records(make_folder(tmp_path), until_seconds=60)

    assert sum(topic == "logs.parsed.v1" for topic, _ in records) == 2
