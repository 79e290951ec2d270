"""What several kinds of tasks read beside their inputs."""

import numpy as np
from torch import Tensor

from mlrepro.training.task import TaskRequest


def read_label_graph(request: TaskRequest) -> dict[str, np.ndarray]:
    """Options of the heads `graph` and `mlgcn`, words and A; none for the other heads."""
    if request.run.graph is None:
        return {}

    from mlrepro.data.graph import label_graph  # here: it may load a text model

    return label_graph(request.run.graph, request.manifest)


def read_caption_vectors(request: TaskRequest) -> tuple[Tensor | None, dict]:
    """Vectors (rows of the manifest, width) and their header; none for a run without captions."""
    settings = request.run.captions
    if settings is None:
        return None, {}

    from mlrepro.data.features import captions_path, read_captions

    return read_captions(captions_path(request.data_folder, settings), request.manifest, settings)
