"""The LSTM as a forecaster: an artifact, loaded whole or not at all, and a runtime that multiplies its matrices."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from services.common.artifact import Artifact, load_artifact
from services.common.errors import ArtifactMismatch
from services.predictor.core.lookback import (
    LOOKBACK_STEPS,
    MIN_SPREAD,
    NUM_BINS,
    NUM_CHANNELS,
    Lookback,
    from_log,
    network_inputs,
)
from services.predictor.core.targets import FEATURE_SET, FEATURE_SET_VERSION, STEP_SECONDS, Floats

ARTIFACT_NAME = "predictor"
ONNX_FILE, WEIGHTS_FILE = "model.onnx", "model.safetensors"
#: Series with fewer steps are left to the other forecasters.
MIN_KNOWN_STEPS = 30
#: Rows per call of the runtime, filled up with zeros: with other shapes of its matrices it adds up in another order,
#: and what a series is told would depend on how many others were asked along (measured: by 1e-6).
BATCH = 64
GOLDEN_TOLERANCE = 1e-3


class Runtime(Protocol):
    """Runs the network."""

    def run(self, inputs: np.ndarray) -> np.ndarray:
        """(n, B, C) float32 to (n, H, Q) float32, n a fixed batch."""
        ...


class OnnxRuntime:
    """The network on ONNX Runtime, one thread.

    Raises:
        ArtifactMismatch: the file is no network.
    """

    def __init__(self, path: Path) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # whatever the bytes lead it to
            raise ArtifactMismatch(
                f"{path} is no ONNX network ({type(error).__name__}): train it again with `moselle train predictor`"
            ) from error
        self._input = self._session.get_inputs()[0].name

    def run(self, inputs: np.ndarray) -> np.ndarray:
        """See `Runtime`."""
        return np.asarray(self._session.run(None, {self._input: inputs})[0])


class Lstm:
    """Says the median of what the network expects.

    Args:
        targets: what it was trained for; on others it has no word.
        middle: which of the network's quantiles is the median.
    """

    name = "lstm"

    def __init__(self, runtime: Runtime, version: str, targets: Sequence[str], num_horizons: int, middle: int) -> None:
        self._runtime = runtime
        self._targets = frozenset(targets)
        self._num_horizons = num_horizons
        self._middle = middle
        self.version = version

    def forecast(self, look: Lookback, targets: list[str]) -> Floats:
        """The last value, changed in log space by what the network says."""
        knows = np.array([name in self._targets for name in targets], dtype=bool)
        rows = np.flatnonzero(knows & np.isfinite(look.last) & (look.num_steps >= MIN_KNOWN_STEPS))
        said = np.full((len(look), self._num_horizons), np.nan)
        if not len(rows):
            return said
        inputs, last_log, spread = network_inputs(look)
        change = run_in_batches(self._runtime, inputs[rows])[:, :, self._middle].astype(np.float64)
        logs = last_log[rows, None] + change * spread[rows, None]
        values = np.maximum(from_log(logs, look.scale[rows, None]), 0.0)
        # What has not moved at all stays: the smallest spread is there to divide by, not to move by.
        moved = spread[rows, None] > MIN_SPREAD
        said[rows] = np.where(moved, values, look.last[rows, None])
        return said


def run_in_batches(runtime: Runtime, inputs: np.ndarray) -> np.ndarray:
    """(n, B, C) to (n, H, Q) in batches of a fixed size."""
    padded = np.zeros((-(-len(inputs) // BATCH) * BATCH, *inputs.shape[1:]), np.float32)
    padded[: len(inputs)] = inputs
    parts = [runtime.run(padded[begin : begin + BATCH]) for begin in range(0, len(padded), BATCH)]
    return np.concatenate(parts)[: len(inputs)]


def load_lstm(folder: Path, horizons_seconds: Sequence[int], targets: Sequence[str], device: str = "cpu") -> Lstm:
    """The forecaster of an artifact.

    Args:
        device: cpu for ONNX Runtime; cuda for torch, which must be installed.

    Raises:
        ArtifactMismatch: broken, half written, of other features, steps, horizons or targets, or it says other numbers
            than when it was made.
    """
    artifact = load_artifact(folder, ARTIFACT_NAME)
    _check_vocabulary(artifact, horizons_seconds, targets)
    try:
        runtime = _runtime(artifact, device)
        middle = list(artifact.settings["levels"]).index(0.5)
        _check_golden(artifact, runtime)
        return Lstm(runtime, artifact.version, artifact.settings["targets"], len(horizons_seconds), middle)
    except (KeyError, TypeError, ValueError) as error:
        raise ArtifactMismatch(
            f"{folder} lacks {error} in its settings: train it again with `moselle train predictor`"
        ) from error


def _runtime(artifact: Artifact, device: str) -> Runtime:
    if device == "cpu":
        return OnnxRuntime(artifact.path(ONNX_FILE))
    from services.predictor.model.torch_runtime import TorchRuntime

    return TorchRuntime(artifact, device)


def vocabulary(horizons_seconds: Sequence[int]) -> dict[str, Any]:
    """What an artifact must agree on with the program that serves it."""
    return {
        "feature_set": FEATURE_SET, "feature_set_version": FEATURE_SET_VERSION, "step_seconds": STEP_SECONDS,
        "lookback_steps": LOOKBACK_STEPS, "num_bins": NUM_BINS, "num_channels": NUM_CHANNELS,
        "horizons_seconds": list(horizons_seconds),
    }  # fmt: skip


def _check_vocabulary(artifact: Artifact, horizons_seconds: Sequence[int], targets: Sequence[str]) -> None:
    for name, wanted in vocabulary(horizons_seconds).items():
        found = artifact.settings.get(name)
        if found != wanted:
            raise ArtifactMismatch(
                f"{artifact.folder} was trained with {name} {found}, wanted {wanted}: train one that fits with"
                " `moselle train predictor`, or set MOSELLE_PREDICTOR_ARTIFACT=none"
            )
    known = artifact.settings.get("targets")
    if not isinstance(known, list) or not set(known) & set(targets):
        raise ArtifactMismatch(
            f"{artifact.folder} was trained for the targets {known}, none of which is among {list(targets)}: train one"
            " that fits with `moselle train predictor`, or set MOSELLE_PREDICTOR_ARTIFACT=none"
        )


def _check_golden(artifact: Artifact, runtime: Runtime) -> None:
    """What the network said of one made-up input when it was made, it must say now."""
    wanted = np.array(artifact.settings["golden"], dtype=np.float64)
    try:
        found = run_in_batches(runtime, golden_inputs())[0]
    except Exception as error:  # a runtime raises its own kinds
        raise ArtifactMismatch(
            f"{artifact.folder} does not take inputs of {NUM_BINS} x {NUM_CHANNELS} ({type(error).__name__}): train it"
            " again with `moselle train predictor`"
        ) from error
    difference = float(np.abs(found - wanted).max()) if found.shape == wanted.shape else float("nan")
    if not difference <= GOLDEN_TOLERANCE:
        raise ArtifactMismatch(
            f"{artifact.folder} says {found.shape} values that differ by {difference:.3g} from those of its making"
            f" {wanted.shape}, wanted at most {GOLDEN_TOLERANCE}: copy or train it again"
        )


def golden_inputs() -> np.ndarray:
    """(1, B, C) a made-up input."""
    at = np.arange(NUM_BINS)
    channels = [np.sin(at / 4.0), np.ones(NUM_BINS), np.full(NUM_BINS, 0.25)]
    return np.stack(channels, axis=1)[None].astype(np.float32)
