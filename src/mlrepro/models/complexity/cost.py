"""What a run's network costs, for its record."""

from mlrepro.models.checkpoints import head_options
from mlrepro.models.classifier import freeze
from mlrepro.models.complexity.networks import build, parameters_of
from mlrepro.models.complexity.operations import PRODUCTS, count
from mlrepro.models.complexity.parts import cost_of, linear_cost, trainable_parameters_of
from mlrepro.records import Cost
from mlrepro.settings.run import Run


def measure_cost(run: Run, num_classes: int, text_dim: int = 0, **graph) -> Cost:
    """Parameters and GMACs of backbone and head at the run's resolution.

    Both also where only the head was trained.

    text_dim: width of the captions' vectors, of which only the classifier's part counts, and not
        the text model, as in the captions + images study
    graph: words and A of the head's label graph, whose branch counts as precomputed
    """
    if run.inputs == "captions":
        return linear_cost(text_dim, num_classes)

    # Parameters of the classifier that read the captions' vectors, and as many products a picture.
    text = text_dim * num_classes
    model = build(run.head, run.backbone, num_classes, run.resolution, head_options(run) | graph)
    everything, branch = count(model, run.resolution)
    macs = sum(everything[kind] - branch[kind] for kind in PRODUCTS) + text

    # Runs on features and maps train the head alone, whatever they say of the backbone.
    freeze(model.backbone, run.freeze)
    head_alone = run.inputs != "images" or run.freeze == "backbone"
    trained = trainable_parameters_of(model.head if head_alone else model)
    return cost_of(parameters_of(model) + text, trained + text, macs)
