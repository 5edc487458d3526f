"""The network on a CPU: ONNX Runtime, one thread, no torch."""

from pathlib import Path

import numpy as np
import onnxruntime

from services.common.errors import ArtifactMismatch
from services.logbert.model.scorer import Floats

INPUTS = ("vectors", "hidden", "present")
OUTPUT = "log_probabilities"


class OnnxRuntime:
    """One thread, operators in order, so that the same input gives the same numbers on the same machine.

    Raises:
        ArtifactMismatch: the file is no network with these inputs.
    """

    def __init__(self, path: Path) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime raises a dozen kinds that have no common ground
            raise ArtifactMismatch(f"{path} is no ONNX network ({error}): train it again") from None
        names = tuple(given.name for given in self._session.get_inputs())
        if names != INPUTS:
            raise ArtifactMismatch(
                f"{path} takes {names}, wanted {INPUTS}: train it again with `moselle train logbert`"
            )

    @property
    def vocabulary_fingerprint(self) -> str:
        """Of the vocabulary whose words it guesses."""
        return str(self._session.get_modelmeta().custom_metadata_map.get("vocabulary", ""))

    def log_probabilities(self, vectors: Floats, hidden: Floats, present: Floats) -> Floats:
        """(B, T, F), (B, T), (B, T) to (B, T, V)."""
        [out] = self._session.run([OUTPUT], {"vectors": vectors, "hidden": hidden, "present": present})
        return np.asarray(out, dtype=np.float32)
