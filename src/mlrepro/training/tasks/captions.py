"""A linear layer on the vectors of captions alone."""

from mlrepro.models.heads import create_head
from mlrepro.training.inputs.features import FeatureInputs
from mlrepro.training.task import Task, TaskRequest
from mlrepro.training.tasks.parts import read_caption_vectors


def build(request: TaskRequest) -> Task:
    vectors, header = read_caption_vectors(request)
    model = create_head(request.run.head, header["width"], request.num_classes, None)
    return Task(
        model.to(request.device),
        FeatureInputs(vectors, request.device, request.draw),
        origin=(header["model"], header["sha256"]),
        captions=header,
    )
