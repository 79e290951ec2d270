"""model.onnx: the network for programs without torch, with its config as metadata."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from mlrepro.files import file_sha256
from mlrepro_cli.export.model import Model, check

if TYPE_CHECKING:
    import onnx_ir

NAME = "model.onnx"


def write_onnx(model: Model, folder: Path) -> None:
    """Writes the file, and into the model's config its digest and how far its logits differ.

    It takes `pictures` (B, 3, S, S) float32, normalised, of any B, and gives `logits` (B, K).
    Raises InputError where these are not the network's.
    """
    # Imported here, for it takes its time, and most that can be refused is refused before.
    import onnxruntime

    size = model.config["resolution"]
    program = torch.onnx.export(
        model.network,
        # Two pictures: the exporter takes a batch of one for a constant.
        (torch.zeros(2, 3, size, size),),
        dynamo=True,
        verbose=False,
        input_names=["pictures"],
        output_names=["logits"],
        dynamic_shapes=[{0: "batch"}],
    )
    _forget_where_it_was_made(program.model)
    # A program that reads the file needs nothing beside it.
    metadata = {key: json.dumps(value) for key, value in model.config.items()}
    program.model.metadata_props.update(metadata)
    program.save(folder / NAME)

    session = onnxruntime.InferenceSession(folder / NAME)

    def run(batch: torch.Tensor) -> torch.Tensor:
        [answers] = session.run(None, {"pictures": batch.numpy()})
        return torch.from_numpy(answers)

    difference = check(model, run, model.logits, f"{NAME} is not the network")
    model.config["checked"]["onnx"] = difference
    model.config["sha256"][NAME] = file_sha256(folder / NAME)


def _forget_where_it_was_made(model: "onnx_ir.Model") -> None:
    """Removes what the exporter notes for who develops it, such as paths of this machine."""
    graphs = [model.graph, *(function.graph for function in model.functions.values())]
    for graph in graphs:
        graph.metadata_props.clear()
        for node in graph.all_nodes():
            node.metadata_props.clear()
            node.doc_string = None
            for value in (*node.inputs, *node.outputs):
                if value is not None:
                    value.metadata_props.clear()
