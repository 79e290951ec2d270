"""The costs of a study's models by every convention that papers use, for its complexity.json."""

import json
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import torch
from torch import nn

from mlrepro.data.class_counts import class_count
from mlrepro.errors import InputError
from mlrepro.files import write_bytes
from mlrepro.models.backbones import create_published
from mlrepro.models.complexity.networks import build, parameters_of
from mlrepro.models.complexity.operations import PRODUCTS, count
from mlrepro.models.complexity.tools import count_as_ptflops, fvcore_macs
from mlrepro.progress import progress_bar
from mlrepro.settings.run_id import parse_run_id
from mlrepro.studies.description import head_options
from mlrepro.studies.study import Study

# What head options that do not fit a network can end in, besides our own InputError, a ValueError.
BUILD_ERRORS = (AssertionError, RuntimeError, TypeError, ValueError)
LIBRARIES = ("timm", "torch", "torchvision")


@dataclass
class StudyCosts:
    """`runs`: costs by run id, with the number of classes. `models`: how many differ."""

    runs: dict[str, dict]
    models: int

    def write(self, path: Path) -> None:
        versions = {name: version(name) for name in LIBRARIES}
        content = {"versions": versions, "runs": self.runs}
        text = json.dumps(content, indent=1, sort_keys=True) + "\n"
        write_bytes(path, text.encode())


def study_costs(study: Study, folder: Path) -> StudyCosts:
    """Measures every model of a study once.

    folder: the study's, for the InputError that names its files where a run cannot be built.
    """
    runs: dict[str, dict] = {}
    measured: dict[str, dict] = {}
    for run_id in progress_bar(study.models, desc=f"complexity {study.name}", unit="run"):
        run = parse_run_id(run_id)
        classes = class_count(run.data)
        options = head_options(study.description, run)

        # Runs that differ in loss or variant alone have the same model.
        model = (run.head, run.backbone, classes, run.resolution, options)
        key = json.dumps(model, sort_keys=True)
        if key not in measured:
            try:
                measured[key] = costs_by_convention(*model)
            except BUILD_ERRORS as error:
                raise InputError(
                    f"{folder / 'reported.csv'}: run {run_id!r} cannot be built "
                    f"with the head options {options} (study.yaml, `models`): {error}"
                ) from None
        runs[run_id] = measured[key] | {"classes": classes}
    return StudyCosts(runs, len(measured))


def costs_by_convention(
    head: str, backbone: str, num_classes: int, resolution: int, options: dict | None = None
) -> dict:
    """Cost of backbone and head for one picture.

    parameters: all, also frozen ones
    backbone_parameters, backbone_bytes: of the plain published network with its own classifier;
        bytes of parameters and buffers in float32, the size of its file
    macs: by kind, see operations.py; graph: the products of the label graph's branch, which a
        trained model has precomputed
    gmacs: true GMACs without that branch
    ptflops, fvcore: GMACs as these tools count them, see tools.py
    fvcore_kkd: fvcore and the dense d to K product a query of AAM's Query2Label

    Raises InputError for what cannot be built.
    """
    # ptflops' list fills while `count` runs the model, so it is made first.
    model = build(head, backbone, num_classes, resolution, options)
    ptflops = count_as_ptflops(model)
    everything, graph = count(model, resolution)
    counts = everything - graph

    macs = {kind: counts[kind] for kind in (*PRODUCTS, "elementwise", "pooling")}
    macs["graph"] = sum(graph[kind] for kind in PRODUCTS)
    macs["normalisation"] = counts["batch_norm"] + counts["layer_norm"]

    with torch.device("meta"):
        published = create_published(backbone)
    fvcore = fvcore_macs(counts, backbone)
    costs = {
        "parameters": parameters_of(model),
        "backbone_parameters": parameters_of(published),
        "backbone_bytes": _bytes_of(published),
        "macs": macs,
        "gmacs": sum(counts[kind] for kind in PRODUCTS) / 1e9,
        "ptflops": sum(ptflops) / 1e9,
        "fvcore": fvcore / 1e9,
    }
    if head == "query2label":
        dense = num_classes**2 * model.head.query_embed.embedding_dim
        costs["fvcore_kkd"] = (fvcore + dense) / 1e9
    return costs


def _bytes_of(net: nn.Module) -> int:
    """Of parameters and buffers: about the size of a network's file."""
    tensors = (*net.parameters(), *net.buffers())
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
