"""A trained network as the files that are served: safetensors for torch, ONNX for the CPU. Needs torch and onnx."""

import contextlib
import io
import logging
import warnings
from pathlib import Path

import onnx
import torch
from safetensors.torch import save_file

from services.logbert.model.bert import NETWORK, TEMPLATES, WEIGHTS
from services.logbert.model.network import LogBertNetwork
from services.logbert.model.onnx_runtime import INPUTS, OUTPUT
from services.logbert.model.vocabulary import Vocabulary


def write_files(folder: Path, network: LogBertNetwork, vocabulary: Vocabulary) -> None:
    """The artifact's files; both forms of the weights carry the vocabulary's fingerprint."""
    (folder / TEMPLATES).write_bytes(vocabulary.dump())
    weights = {name: value.contiguous() for name, value in network.state_dict().items()}
    save_file(weights, folder / WEIGHTS, metadata={"vocabulary": vocabulary.fingerprint})
    (folder / WEIGHTS).chmod(0o644)  # safetensors writes for its owner only
    export_onnx(folder / NETWORK, network, vocabulary.fingerprint)


def export_onnx(path: Path, network: LogBertNetwork, fingerprint: str) -> None:
    """One ONNX file for any number of rows, without traces of the machine that made it."""
    length, num_features = network.config.length, network.config.num_features
    example = (torch.rand(3, length, num_features), torch.ones(3, length), torch.ones(3, length))
    rows = torch.export.Dim("rows", min=1, max=65_536)
    with _quiet():
        program = torch.onnx.export(
            network, example, input_names=list(INPUTS), output_names=[OUTPUT], dynamo=True, verbose=False,
            dynamic_shapes=({0: rows}, {0: rows}, {0: rows}),
        )  # fmt: skip
    assert program is not None
    model = program.model_proto
    _strip(model)
    onnx.helper.set_model_props(model, {"vocabulary": fingerprint})
    path.write_bytes(model.SerializeToString(deterministic=True))


def _strip(model: onnx.ModelProto) -> None:
    """Takes out what the exporter notes for debugging: file names and lines of this machine."""
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


@contextlib.contextmanager
def _quiet():  # type: ignore[no-untyped-def]
    """The exporter talks on standard output, where a command's result goes, and warns of its own old ways."""
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield
