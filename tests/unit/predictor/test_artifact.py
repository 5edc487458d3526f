"""An artifact loads whole or not at all."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from services.common.artifact import _hash_file
from services.common.errors import ArtifactMismatch
from services.predictor.model.forecasters import SHIPPED, make_forecasters
from services.predictor.model.lstm import load_lstm
from services.predictor.settings import HORIZONS_SECONDS, TARGETS
from tests.conformance.test_forecasters import look_at, noisy


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the shipped artifact."""
    return Path(shutil.copytree(SHIPPED, tmp_path / "artifact"))


def change(folder: Path, **settings: object) -> None:
    """Other settings in the manifest, its hashes intact."""
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["settings"] |= settings
    manifest["files"] = {name: _hash_file(folder / name) for name in manifest["files"]}
    path.write_text(json.dumps(manifest))


def cut_short(folder: Path) -> None:
    path = folder / "model.onnx"
    path.write_bytes(path.read_bytes()[:1000])


def remove_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def half_write_manifest(folder: Path) -> None:
    path = folder / "manifest.json"
    path.write_text(path.read_text()[:200])


def no_network(folder: Path) -> None:
    (folder / "model.onnx").write_bytes(b"no network")
    change(folder)


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (cut_short, "its manifest wants"),
        (remove_weights, "missing"),
        (half_write_manifest, "is broken"),
        (no_network, "is no ONNX network"),
        (lambda folder: change(folder, feature_set_version=2), "trained with feature_set_version 2, wanted 1"),
        (lambda folder: change(folder, horizons_seconds=[60]), "trained with horizons_seconds"),
        (lambda folder: change(folder, step_seconds=30), "trained with step_seconds 30, wanted 10"),
        (lambda folder: change(folder, targets=["temperature"]), "trained for the targets"),
        (lambda folder: change(folder, golden=[[0.0] * 5] * 15), "differ by"),
        (lambda folder: change(folder, golden=[[0.0]]), "differ by"),
        (lambda folder: change(folder, levels=[0.1, 0.9]), "in its settings"),
        (shutil.rmtree, "cannot be read"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_with_a_sentence(
    folder: Path, damage: Callable[[Path], object], sentence: str
) -> None:
    """Broken, half written, or of another vocabulary: the sentence names what was seen and what was wanted."""
    damage(folder)
    with pytest.raises(ArtifactMismatch, match=sentence):
        load_lstm(folder, HORIZONS_SECONDS, TARGETS)


def test_none_does_without_the_network() -> None:
    """The simple forecasters need no artifact."""
    assert [f.name for f in make_forecasters("none", HORIZONS_SECONDS, TARGETS)] == ["persistence", "ewma", "trend"]


def test_other_targets_are_left_to_the_others() -> None:
    """On a target that it was not trained for the network has no word; on one that it was, it has."""
    lstm = load_lstm(SHIPPED, HORIZONS_SECONDS, ["cpu_cores", "temperature_celsius"])
    said = lstm.forecast(look_at(noisy(), noisy()), ["temperature_celsius", "cpu_cores"])
    assert np.isnan(said[0]).all()
    assert np.isfinite(said[1]).all()


def test_shipped_artifact_is_small_and_names_its_making() -> None:
    """Below two megabytes, with the command, the data's fingerprint and no path of a machine."""
    manifest = json.loads((SHIPPED / "manifest.json").read_text())
    assert sum(path.stat().st_size for path in SHIPPED.iterdir()) < 2 * 2**20
    assert manifest["command"].startswith("moselle train predictor --output services/predictor/artifacts/load")
    assert manifest["data"]["source"] == "generated load"
    assert " /" not in manifest["command"]


def test_without_torch_a_gpu_is_refused_with_a_sentence() -> None:
    """Where torch or a GPU is missing the sentence says what to install or set."""
    with pytest.raises(ArtifactMismatch, match=r"set it to cpu|install moselle"):
        load_lstm(SHIPPED, HORIZONS_SECONDS, TARGETS, "cuda")
