"""`moselle train predictor` and `moselle evaluate predictor`."""

import gzip
import json
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from moselle.__main__ import cli
from services.predictor.train.generate import generate_load


def test_training_without_torch_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where torch is missing one sentence names the environment that has it."""
    monkeypatch.setitem(sys.modules, "torch", None)
    for name in [
        name
        for name in sys.modules
        if name.startswith(("services.predictor.train", "services.predictor.model.network"))
    ]:
        monkeypatch.delitem(sys.modules, name)
    result = CliRunner().invoke(cli, ["train", "predictor", "--output", str(tmp_path / "a")])
    assert result.exit_code == 1
    assert "run make setup-train" in result.output


def test_evaluates_a_recording(tmp_path: Path) -> None:
    """A folder of scrapes gives one line of JSON with every forecaster beside what was served."""
    write_scrapes(tmp_path / "metrics.jsonl.gz", 600)
    result = CliRunner().invoke(cli, ["evaluate", "predictor", "--data", str(tmp_path), "--json"])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout.splitlines()[-1])
    assert found["predictions"] > 0
    assert {"persistence", "ewma", "lstm", "served"} <= set(found["scaled"]["60"]["scaled_error"])
    assert 0.5 < found["scaled"]["60"]["interval_coverage"] <= 1.0


def write_scrapes(path: Path, num: int) -> None:
    """A host whose memory breathes, scraped every five seconds."""
    with gzip.open(path, "wt") as file:
        for number in range(num):
            free = 4e9 + 1e9 * ((number // 30) % 2)
            metrics = {"node_memory_MemTotal_bytes": 1e10, "node_memory_MemAvailable_bytes": free}
            scrape = {"ts": 1_800_000_000 + 5 * number, "job": "node", "instance": "c1", "metrics": metrics}
            file.write(json.dumps(scrape) + "\n")


def test_missing_folder_is_one_sentence(tmp_path: Path) -> None:
    """What is not there is named."""
    result = CliRunner().invoke(cli, ["evaluate", "predictor", "--data", str(tmp_path / "nowhere")])
    assert result.exit_code == 1
    assert "nowhere" in result.output


def test_generated_load_is_the_same_for_the_same_seed() -> None:
    """Load is never negative, seeded, and holds what it promises: constant and gappy series among others."""
    one, again = generate_load(200, 300, 4), generate_load(200, 300, 4)
    assert one.tobytes() == again.tobytes()
    known = one[one == one]
    assert known.min() >= 0
    assert (one != one).any()
    assert any(len(set(series[series == series])) == 1 for series in one)
