"""Training the LSTM, and that both runtimes say the same. Needs torch."""

import math
from pathlib import Path

import numpy as np
import pytest

from services.common.artifact import Artifact, load_artifact
from services.predictor.model.forecasters import SHIPPED
from services.predictor.model.lstm import ONNX_FILE, WEIGHTS_FILE, OnnxRuntime, load_lstm, run_in_batches
from services.predictor.model.torch_runtime import TorchRuntime
from services.predictor.settings import HORIZONS_SECONDS, TARGETS
from services.predictor.train.fit import Recipe
from services.predictor.train.train import Plan, train

PLAN = Plan(num_series=60, num_steps=720, examples_a_series=4, width=8, recipe=Recipe(num_epochs=3, batch=32))


def make(folder: Path, recorded: dict[str, np.ndarray] | None = None) -> tuple[Artifact, list[str]]:
    """A tiny artifact and what was said while it was made."""
    said: list[str] = []
    made = train(folder, HORIZONS_SECONDS, TARGETS, 1, "a command", said.append, recorded, PLAN)
    return made, said


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> tuple[Artifact, list[str]]:
    """A tiny artifact of generated load, and what was said while it was made."""
    return make(tmp_path_factory.mktemp("plain") / "artifact")


def test_trained_artifact_loads_and_the_loss_fell(plain: tuple[Artifact, list[str]]) -> None:
    """What was written loads as it is, and each time through the examples left the network better."""
    artifact, said = plain
    assert load_lstm(artifact.folder, HORIZONS_SECONDS, TARGETS).version == artifact.version
    losses = [float(line.split("loss ")[1].split()[0]) for line in said if "loss" in line]
    assert losses == sorted(losses, reverse=True)


def test_same_seed_gives_the_same_network(plain: tuple[Artifact, list[str]], tmp_path: Path) -> None:
    """To the last bit of its weights, and in what was measured."""
    artifact, _ = plain
    again, _ = make(tmp_path / "again")
    weights = [each.path(WEIGHTS_FILE).read_bytes() for each in (artifact, again)]
    assert weights[0] == weights[1]
    assert again.settings == artifact.settings
    assert again.data == artifact.data


def test_recording_is_mixed_in(plain: tuple[Artifact, list[str]], tmp_path: Path) -> None:
    """Recorded series add examples; short and empty ones are left out; the artifact says where its data is from."""
    long = 2 + np.sin(np.arange(900) / 6)
    recorded = {"host:c1|cpu_cores": long, "host:c1|error_ratio": long[:50], "host:c2|cpu_cores": long * math.nan}
    mixed, _ = make(tmp_path / "mixed", recorded=recorded)
    assert mixed.metrics["examples"] > plain[0].metrics["examples"]
    assert mixed.data["source"] == "generated load and 3 recorded series"
    assert mixed.data["fingerprint"] != plain[0].data["fingerprint"]


def test_torch_and_onnx_say_the_same() -> None:
    """The shipped artifact on both runtimes, wild inputs included, differs by less than a hundred-thousandth."""
    artifact = load_artifact(SHIPPED, "predictor")
    dice = np.random.default_rng(5)
    inputs = np.clip(dice.normal(0, 3, (500, 30, 3)), -8, 8).astype(np.float32)
    inputs[:100] = 0
    on_torch = run_in_batches(TorchRuntime(artifact, "cpu"), inputs)
    on_onnx = run_in_batches(OnnxRuntime(artifact.path(ONNX_FILE)), inputs)
    assert on_torch == pytest.approx(on_onnx, abs=1e-5)


def test_quantiles_never_cross() -> None:
    """Whatever goes in, what comes out ascends."""
    artifact = load_artifact(SHIPPED, "predictor")
    inputs = np.random.default_rng(6).normal(0, 5, (300, 30, 3)).astype(np.float32)
    said = run_in_batches(TorchRuntime(artifact, "cpu"), inputs)
    assert (np.diff(said, axis=2) >= 0).all()
