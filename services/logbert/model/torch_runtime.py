"""The network on a GPU: torch. Imported only where that is asked for."""

from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open

from services.common.errors import ArtifactMismatch, SettingsInvalid
from services.logbert.model.network import LogBertNetwork, NetworkConfig
from services.logbert.model.scorer import Floats


class TorchRuntime:
    """The safetensors weights in the network that trained them, in full float32.

    Args:
        device: `cuda`, or `cpu` for comparison.

    Raises:
        SettingsInvalid: no such device.
        ArtifactMismatch: the weights are not this network's.
    """

    def __init__(self, path: Path, config: NetworkConfig, device: str) -> None:
        if device == "cuda" and not torch.cuda.is_available():
            raise SettingsInvalid("MOSELLE_LOGBERT_DEVICE='cuda': torch sees no GPU; set it to cpu, or mend the driver")
        # TF32 would round what the CPU does not.
        torch.backends.cuda.matmul.allow_tf32 = False
        try:
            with safe_open(path, framework="pt") as file:
                self.vocabulary_fingerprint = (file.metadata() or {}).get("vocabulary", "")
                weights = {name: file.get_tensor(name) for name in file.keys()}
            self._network = LogBertNetwork(config, weights["vocabulary"])
            self._network.load_state_dict(weights)
        except (SafetensorError, KeyError, RuntimeError) as error:
            raise ArtifactMismatch(f"{path} holds other weights ({str(error)[:200]}): train it again") from None
        self._device = torch.device(device)
        self._network.to(self._device).eval()

    def log_probabilities(self, vectors: Floats, hidden: Floats, present: Floats) -> Floats:
        """(B, T, F), (B, T), (B, T) to (B, T, V)."""
        given = (torch.from_numpy(np.ascontiguousarray(part)).to(self._device) for part in (vectors, hidden, present))
        with torch.inference_mode():
            out = self._network(*given)
        found: Floats = out.cpu().numpy()
        return found
