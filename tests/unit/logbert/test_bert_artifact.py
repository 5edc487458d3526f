"""An artifact that is broken, half written or of another vocabulary is refused before anything is served."""

import hashlib
import importlib.util
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from services.common.artifact import MANIFEST, load_artifact
from services.common.errors import ArtifactMismatch, SettingsInvalid
from services.logbert.__main__ import main
from services.logbert.model.bert import NETWORK, SHIPPED, TEMPLATES, WEIGHTS, load_bert


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of what ships."""
    return Path(shutil.copytree(SHIPPED, tmp_path / "artifact"))


def sign(folder: Path, change: Callable[[dict[str, Any]], None] = lambda manifest: None) -> None:
    """Writes a manifest that fits the files as they are now, as somebody would who put them together by hand."""
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["files"] = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in manifest["files"]}
    change(manifest)
    (folder / MANIFEST).write_text(json.dumps(manifest))


def test_what_ships_loads_and_scores() -> None:
    """Its words, its network and its calibration belong together."""
    bert = load_bert(SHIPPED)
    scored = bert.scorer.score(tuple(range(10)))
    assert scored is not None
    assert len(scored.surprises) == 10
    assert bert.version == load_artifact(SHIPPED, "logbert").version


def test_what_ships_tells_how_it_was_made() -> None:
    """Command, data and figures, and nothing of the machine."""
    artifact = load_artifact(SHIPPED, "logbert")
    assert artifact.command.startswith("moselle train logbert --data moselle/demo/data --minutes 12")
    assert (
        artifact.metrics["masked_prediction"]["bert"]["nats"] < artifact.metrics["masked_prediction"]["bigram"]["nats"]
    )
    assert sum(path.stat().st_size for path in SHIPPED.iterdir()) < 6_000_000


@pytest.mark.parametrize("file", [NETWORK, WEIGHTS, TEMPLATES, MANIFEST])
def test_a_missing_file_is_refused(folder: Path, file: str) -> None:
    """Whichever it is, also one that this device does not read."""
    (folder / file).unlink()
    with pytest.raises(ArtifactMismatch, match=file):
        load_bert(folder)


@pytest.mark.parametrize("file", [NETWORK, WEIGHTS, TEMPLATES, MANIFEST])
def test_a_file_cut_short_is_refused(folder: Path, file: str) -> None:
    """A copy that was broken off."""
    whole = (folder / file).read_bytes()
    (folder / file).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ArtifactMismatch, match=file):
        load_bert(folder)


def test_another_models_artifact_is_refused(folder: Path) -> None:
    """The predictor's, say."""
    sign(folder, lambda manifest: manifest.update(name="predictor"))
    with pytest.raises(ArtifactMismatch, match="'predictor'"):
        load_bert(folder)


def test_another_vocabulary_is_refused(folder: Path) -> None:
    """Words exchanged, even when somebody made the manifest fit: the weights know whose they are."""
    words = json.loads((folder / TEMPLATES).read_text())
    words["words"][0]["text"] = "something else"
    (folder / TEMPLATES).write_text(json.dumps(words))
    sign(folder)
    with pytest.raises(ArtifactMismatch, match=r"of vocabulary .*`moselle train logbert`"):
        load_bert(folder)


@pytest.mark.parametrize(
    "change",
    [
        lambda settings: settings.pop("calibration"),
        lambda settings: settings.update(num_features=17),
        lambda settings: settings["calibration"].update(deviation=0.0),
        lambda settings: settings["calibration"].update(line="high"),
        lambda settings: settings["shape"].update(length=7),
        lambda settings: settings.update(vocabulary=""),
    ],
)
def test_settings_that_do_not_fit_are_refused(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Sizes, calibration or vocabulary of something else."""
    sign(folder, lambda manifest: change(manifest["settings"]))
    with pytest.raises(ArtifactMismatch, match="cannot be served"):
        load_bert(folder)


def test_a_network_that_is_none_is_refused(folder: Path) -> None:
    """Bytes that ONNX Runtime cannot read."""
    (folder / NETWORK).write_bytes(b"no network")
    sign(folder)
    with pytest.raises(ArtifactMismatch, match="no ONNX network"):
        load_bert(folder)


@pytest.mark.skipif(importlib.util.find_spec("torch") is not None, reason="torch is installed here")
def test_a_gpu_needs_torch() -> None:
    """The sentence names the setting and the remedy."""
    with pytest.raises(SettingsInvalid, match=r"MOSELLE_LOGBERT_DEVICE='cuda' needs torch.*set it to cpu"):
        load_bert(SHIPPED, "cuda")


def test_the_service_stops_before_it_joins(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 1 and one sentence on standard error."""
    (folder / NETWORK).unlink()
    monkeypatch.setenv("MOSELLE_LOGBERT_ARTIFACT", str(folder))
    assert main() == 1
    assert "model.onnx is missing" in capsys.readouterr().err
