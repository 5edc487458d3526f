"""A trained BERT as it is served: vocabulary, calibration and scorer of one artifact, which belong together."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import msgspec

from services.common.artifact import Artifact, load_artifact
from services.common.errors import ArtifactMismatch, SettingsInvalid
from services.logbert.core.sequences import Calibration, Shape
from services.logbert.core.words import NUM_FEATURES
from services.logbert.model.onnx_runtime import OnnxRuntime
from services.logbert.model.scorer import Runtime, SequenceScorer
from services.logbert.model.vocabulary import Vocabulary

NAME = "logbert"
WEIGHTS, NETWORK, TEMPLATES = "model.safetensors", "model.onnx", "templates.json"
#: What ships with the program.
SHIPPED = Path(__file__).parent.parent / "artifacts" / "openstack"


@dataclass(frozen=True)
class Bert:
    """One artifact, ready to score."""

    version: str
    vocabulary: Vocabulary
    shape: Shape
    calibration: Calibration
    scorer: SequenceScorer


class _Loaded(Runtime, Protocol):
    @property
    def vocabulary_fingerprint(self) -> str: ...


class ArtifactSettings(msgspec.Struct, frozen=True):
    """`settings` of the manifest."""

    vocabulary: str
    num_features: int
    network: dict[str, int]
    shape: Shape
    calibration: Calibration


def load_bert(folder: Path, device: str = "cpu") -> Bert:
    """The artifact in a folder, whole or not at all.

    Args:
        device: `cpu` for ONNX Runtime, `cuda` for torch on a GPU, `torch-cpu` for torch without one.

    Raises:
        ArtifactMismatch: a file is missing or cut short, or its parts are of different artifacts.
        SettingsInvalid: there is no such device.
    """
    artifact = load_artifact(folder, NAME)
    settings = _settings(artifact)
    vocabulary = Vocabulary.parse(artifact.path(TEMPLATES).read_bytes())
    runtime = _runtime(artifact, settings, device)
    _check_vocabulary(artifact, settings.vocabulary, vocabulary, runtime.vocabulary_fingerprint)
    scorer = SequenceScorer(runtime, vocabulary, settings.shape, settings.calibration.unseen)
    bert = Bert(artifact.version, vocabulary, settings.shape, settings.calibration, scorer)
    _try(artifact, bert)
    return bert


def _settings(artifact: Artifact) -> ArtifactSettings:
    try:
        settings = msgspec.convert(dict(artifact.settings), ArtifactSettings)
    except msgspec.MsgspecError as error:
        raise _mismatch(artifact, f"its settings are not logbert's ({error})") from None
    if settings.num_features != NUM_FEATURES:
        raise _mismatch(artifact, f"it reads {settings.num_features} features of a text, this program {NUM_FEATURES}")
    calibration = settings.calibration
    if not (calibration.deviation > 0 and calibration.line > 0 and 0 < calibration.unseen < 1000):
        raise _mismatch(artifact, f"its calibration {calibration} is none: deviation, line and unseen must be above 0")
    return settings


def _runtime(artifact: Artifact, settings: ArtifactSettings, device: str) -> _Loaded:
    if device == "cpu":
        return OnnxRuntime(artifact.path(NETWORK))
    try:
        from services.logbert.model.network import NetworkConfig
        from services.logbert.model.torch_runtime import TorchRuntime
    except ImportError as error:
        raise SettingsInvalid(
            f"MOSELLE_LOGBERT_DEVICE={device!r} needs torch, and {error.name} is not installed: install the extra"
            " `moselle[gpu]`, or set it to cpu"
        ) from None
    config = NetworkConfig(**settings.network)
    return TorchRuntime(artifact.path(WEIGHTS), config, device.removeprefix("torch-"))


def _check_vocabulary(artifact: Artifact, wanted: str, vocabulary: Vocabulary, of_weights: str) -> None:
    found = vocabulary.fingerprint
    if not wanted == found == of_weights:
        raise _mismatch(
            artifact,
            f"its manifest is of vocabulary {wanted or 'none'}, {TEMPLATES} of {found}, the weights of"
            f" {of_weights or 'none'}",
        )


def _try(artifact: Artifact, bert: Bert) -> None:
    """Scores one window, so that a network of other sizes is found before anything is served."""
    try:
        bert.scorer.prepare([(0,)])
    except Exception as error:  # whatever a runtime raises for shapes that do not fit
        raise _mismatch(artifact, f"its network does not fit its settings ({str(error)[:200]})") from None


def _mismatch(artifact: Artifact, what: str) -> ArtifactMismatch:
    return ArtifactMismatch(
        f"{artifact.folder} cannot be served: {what}; copy the artifact whole, or train it with `moselle train logbert`"
    )
