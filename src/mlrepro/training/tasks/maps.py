"""A head on extracted feature maps of a frozen backbone."""

import json

from mlrepro.data.features import features_path, read_features
from mlrepro.models.heads import create_head
from mlrepro.training.inputs.features import FeatureInputs
from mlrepro.training.task import Task, TaskRequest
from mlrepro.training.tasks.parts import read_label_graph


def build(request: TaskRequest) -> Task:
    run = request.run
    graph = read_label_graph(request)

    path = features_path(request.data_folder, run.backbone, run.resolution, maps=True)
    maps, header = read_features(path, request.manifest, run.backbone, run.resolution, maps=True)
    # They stay in their file, which may be larger than the memory.
    _, channels, height, width = maps.shape

    model = create_head(
        run.head, channels, request.num_classes, (height, width), **run.head_options, **graph
    )
    return Task(
        model.to(request.device),
        FeatureInputs(maps, request.device, request.draw),
        origin=(header["weights"], header["weights_sha256"]),
        features_header=json.dumps(header),
        graph=graph,
    )
