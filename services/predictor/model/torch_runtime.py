"""The network on torch, for a GPU."""

import numpy as np

from services.common.artifact import Artifact
from services.common.errors import ArtifactMismatch


class TorchRuntime:
    """The same network as model.onnx, from model.safetensors.

    Args:
        device: cpu or cuda.

    Raises:
        ArtifactMismatch: torch is not installed, there is no such device, or the weights do not fit.
    """

    def __init__(self, artifact: Artifact, device: str) -> None:
        try:
            import torch
            from safetensors.torch import load_file

            from services.predictor.model.network import LoadNetwork, NetworkConfig
        except ImportError as error:
            raise ArtifactMismatch(
                f"MOSELLE_PREDICTOR_DEVICE={device} needs torch and safetensors ({error}): install moselle[gpu], or"
                " set it to cpu"
            ) from None
        if device == "cuda" and not torch.cuda.is_available():
            raise ArtifactMismatch("MOSELLE_PREDICTOR_DEVICE=cuda, but torch finds no GPU: set it to cpu")
        settings = artifact.settings
        self._torch = torch
        self._device = torch.device(device)
        config = NetworkConfig(
            settings["num_channels"], settings["num_bins"], settings["width"], len(settings["horizons_seconds"]),
            tuple(settings["levels"]),
        )  # fmt: skip
        network = LoadNetwork(config)
        try:
            network.load_state_dict(load_file(str(artifact.path("model.safetensors"))))
        except Exception as error:  # safetensors and torch raise their own kinds
            raise ArtifactMismatch(
                f"{artifact.path('model.safetensors')} does not fit ({type(error).__name__}): train it again with"
                " `moselle train predictor`"
            ) from error
        self._network = network.eval().to(self._device)

    def run(self, inputs: np.ndarray) -> np.ndarray:
        """(n, B, C) float32 to (n, H, Q) float32."""
        with self._torch.inference_mode():
            said = self._network(self._torch.from_numpy(inputs).to(self._device))
        return np.asarray(said.cpu().numpy())
