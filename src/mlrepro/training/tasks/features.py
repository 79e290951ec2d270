"""A linear layer on extracted features, which captions' vectors may be joined to."""

import json

import torch

from mlrepro.data.features import features_path, read_features
from mlrepro.models.heads import create_head
from mlrepro.training.inputs.features import FeatureInputs
from mlrepro.training.task import Task, TaskRequest
from mlrepro.training.tasks.parts import read_caption_vectors


def build(request: TaskRequest) -> Task:
    run = request.run
    vectors, captions = read_caption_vectors(request)

    path = features_path(request.data_folder, run.backbone, run.resolution)
    features, header = read_features(path, request.manifest, run.backbone, run.resolution)
    # A picture's caption stands behind its features, so that one layer reads both.
    if vectors is not None:
        features = torch.cat([features, vectors], 1)

    channels = features.shape[1]
    model = create_head(run.head, channels, request.num_classes, None, **run.head_options)
    return Task(
        model.to(request.device),
        FeatureInputs(features, request.device, request.draw),
        origin=(header["weights"], header["weights_sha256"]),
        features_header=json.dumps(header),
        captions=captions,
    )
