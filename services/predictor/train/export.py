"""Writes the artifact: weights, the ONNX network, and what must agree with whoever serves it."""

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import onnx
import torch
from safetensors.torch import save_file

from services.common.artifact import Artifact, write_artifact
from services.predictor.model.lstm import (
    ARTIFACT_NAME,
    ONNX_FILE,
    WEIGHTS_FILE,
    golden_inputs,
    vocabulary,
)
from services.predictor.model.network import LoadNetwork


def export(
    folder: Path,
    network: LoadNetwork,
    horizons_seconds: Sequence[int],
    targets: Sequence[str],
    metrics: Mapping[str, Any],
    data: Mapping[str, Any],
    command: str,
) -> Artifact:
    """The network as an artifact in `folder`, put there at once."""
    network = network.eval().cpu()
    with torch.inference_mode():
        golden = network(torch.from_numpy(golden_inputs()))[0]
    settings = {
        **vocabulary(horizons_seconds), "targets": list(targets), "width": network.config.width,
        "levels": list(network.config.levels), "golden": [[round(v, 6) for v in row] for row in golden.tolist()],
    }  # fmt: skip

    def write_files(fresh: Path) -> None:
        save_file(network.state_dict(), str(fresh / WEIGHTS_FILE))
        (fresh / WEIGHTS_FILE).chmod(0o644)  # written for its owner alone, but images run as somebody else
        _write_onnx(network, fresh / ONNX_FILE)

    return write_artifact(folder, ARTIFACT_NAME, write_files, settings, metrics, data, command)


def _write_onnx(network: LoadNetwork, path: Path) -> None:
    example = torch.from_numpy(golden_inputs()).repeat(4, 1, 1)
    with warnings.catch_warnings():
        # The exporter warns of its own dependencies' future.
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            network, (example,), dynamo=True, dynamic_shapes=({0: torch.export.Dim("n")},), verbose=False
        )
    assert program is not None
    model = program.model_proto
    _strip(model)
    path.write_bytes(model.SerializeToString(deterministic=True))


def _strip(model: onnx.ModelProto) -> None:
    """Takes out what the exporter notes for debugging: file names and lines of the machine that made it."""
    del model.metadata_props[:]
    model.doc_string = ""
    for graph in (model.graph, *model.functions):
        del graph.metadata_props[:]
        graph.doc_string = ""
        for part in (*graph.node, *getattr(graph, "value_info", ()), *getattr(graph, "initializer", ())):
            del part.metadata_props[:]
            part.doc_string = ""
    for value in (*model.graph.input, *model.graph.output):
        del value.metadata_props[:]
