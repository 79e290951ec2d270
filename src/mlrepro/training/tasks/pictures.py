"""A whole network on pictures, which captions' vectors may be joined to."""

from pathlib import Path

import torch
from torch import nn

from mlrepro.models.checkpoints import load_network
from mlrepro.models.classifier import create_classifier
from mlrepro.settings.run import Run
from mlrepro.training.inputs import EVALUATION_BATCH
from mlrepro.training.inputs.pictures import PictureInputs
from mlrepro.training.task import Task, TaskRequest
from mlrepro.training.tasks.parts import read_caption_vectors, read_label_graph


def build(request: TaskRequest) -> Task:
    run = request.run
    graph = read_label_graph(request)
    vectors, captions = read_caption_vectors(request)

    # What the head needs to know of the data.
    of_data = dict(graph)
    if captions:
        of_data["text_dim"] = captions["width"]
    first = run if request.load_weights else run.model_copy(update={"weights": "none"})
    model, origin = create_classifier(first, request.num_classes, **of_data)
    if run.checkpoint and request.load_weights:
        origin = _load_checkpoint(model, run)

    # Convolutions are faster with a pixel's channels side by side.
    model = model.to(request.device, memory_format=torch.channels_last)
    inputs = PictureInputs(
        request.manifest,
        run,
        model.backbone,
        request.device,
        vectors,
        draw=request.draw,
        # A checkpoint that is scored as it is has no other use for its run's batch size.
        batch_size=EVALUATION_BATCH if run.epochs else run.batch_size,
    )
    return Task(model, inputs, origin, graph=graph, captions=captions)


def _load_checkpoint(model: nn.Module, run: Run) -> tuple[str, str]:
    """Loads the run's whole network over what is there; returns source and sha256."""
    sha256, note = load_network(model, Path(run.checkpoint), run.checkpoint_drop)
    source = f"{run.checkpoint}; {note}" if note else run.checkpoint
    return source, sha256
