"""`moselle train logbert` and `moselle evaluate logbert` where something is missing."""

import importlib.util
from pathlib import Path

import pytest
from click.testing import CliRunner

from moselle.evaluating_logbert import evaluate_logbert
from moselle.training_logbert import _shown, train_logbert


@pytest.mark.skipif(importlib.util.find_spec("torch") is not None, reason="torch is installed here")
def test_training_without_torch_says_what_to_run(tmp_path: Path) -> None:
    """One sentence with the command, exit code 1."""
    result = CliRunner().invoke(train_logbert, ["--data", str(tmp_path), "--output", str(tmp_path / "out")])
    assert result.exit_code == 1
    assert "make setup-train" in result.output
    assert ".venv-train/bin/moselle train logbert" in result.output


def test_a_folder_without_logs_is_named(tmp_path: Path) -> None:
    """Nothing to evaluate on."""
    result = CliRunner().invoke(evaluate_logbert, ["--data", str(tmp_path), "--json"])
    assert result.exit_code == 1
    assert "holds no *.log" in result.output


def test_an_artifact_shows_no_path_of_this_machine(tmp_path: Path) -> None:
    """Relative ones as typed, of others the name."""
    assert _shown(Path("moselle/demo/data")) == "moselle/demo/data"
    assert (_shown(tmp_path / "capture"), _shown(Path("../capture"))) == ("capture", "capture")
