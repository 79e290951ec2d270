"""Writes what the models of a study's runs cost (studies/<study>/complexity.json): no data, no weights, no GPU."""

import json
from importlib.metadata import version
from pathlib import Path

import torch
from torch import nn

from mlrepro.data.class_counts import CLASS_COUNTS
from mlrepro.errors import InputError
from mlrepro.models.backbones import create_published
from mlrepro.models.complexity import PRODUCTS, build, count, parameters_of
from mlrepro.settings.run_id import parse_run_id
from mlrepro.stage import main
from mlrepro.studies.description import head_options
from mlrepro.studies.study import load_study

FVCORE_NORMS = {"batch_norm": 2, "layer_norm": 5}  # what fvcore counts an element of a norm as
# TResNet's LeakyReLUs are part of its InPlaceABN, which ptflops does not know either.
PTFLOPS_ELEMENTWISE = (nn.ReLU, nn.ReLU6, nn.AvgPool2d, nn.MaxPool2d, nn.AdaptiveAvgPool2d)


def stage(folder: str) -> None:
    from tqdm import tqdm  # after mlrepro, which sets how often it writes to a log file

    study, path, models = load_study(Path(folder)), Path(folder) / "complexity.json", {}
    runs = {}
    for run_id in tqdm(study.models, desc=f"complexity {study.name}", unit="run"):
        run = parse_run_id(run_id)
        classes, options = CLASS_COUNTS[run.data], head_options(study.description, run)
        key = json.dumps([run.head, run.backbone, classes, run.resolution, options], sort_keys=True)
        try:
            models[key] = models.get(key) or measure(
                run.head, run.backbone, classes, run.resolution, options
            )
        except (AssertionError, RuntimeError, TypeError, ValueError) as error:
            raise InputError(
                f"{Path(folder) / 'reported.csv'}: run {run_id!r} cannot be built with the head options "
                f"{options} (study.yaml, `models`): {error}"
            ) from None
        runs[run_id] = models[key] | {"classes": classes}
    versions = {name: version(name) for name in ("timm", "torch", "torchvision")}
    path.write_text(
        json.dumps({"versions": versions, "runs": runs}, indent=1, sort_keys=True) + "\n",
        encoding="utf-8",
    )
    print(f"complexity: {path}: {len(runs)} runs of {len(models)} models")


def measure(
    head: str, backbone: str, classes: int, resolution: int, options: dict | None = None
) -> dict:
    """Cost of backbone and head for one picture. Raises InputError.

    parameters: all, also frozen ones. backbone_parameters, backbone_bytes: of the plain published network with its own
    classifier; bytes of parameters and buffers in float32, the size of its file. macs: see models/complexity.py; graph: the
    products of the label graph's branch, which a trained model has precomputed. gmacs: true GMACs without it. The AAM paper's
    numbers come from two tools that count differently (spec: aam-and-its-base, section 3), ptflops and fvcore: GMACs by their
    conventions; fvcore_kkd: fvcore and the dense d to K product a query of AAM's Query2Label.
    """
    model = build(head, backbone, classes, resolution, options)
    ptflops = count_as_ptflops(model)
    everything, graph = count(model, resolution)
    counts = everything - graph
    with torch.device("meta"):
        published = create_published(backbone)
    macs = {kind: counts[kind] for kind in (*PRODUCTS, "elementwise", "pooling")}
    macs |= {
        "graph": sum(graph[kind] for kind in PRODUCTS),
        "normalisation": counts["batch_norm"] + counts["layer_norm"],
    }
    # TResNet's InPlaceABN, which timm replaces by BatchNorm, is unknown to fvcore.
    norms = {"layer_norm"} if backbone.startswith("tresnet") else FVCORE_NORMS
    products = sum(counts[kind] for kind in PRODUCTS)
    fvcore = products + sum(FVCORE_NORMS[kind] * counts[kind] for kind in norms)
    cost = {
        "parameters": parameters_of(model),
        "backbone_parameters": parameters_of(published),
        "backbone_bytes": sum(
            t.numel() * t.element_size() for t in (*published.parameters(), *published.buffers())
        ),
        "macs": macs,
        "gmacs": products / 1e9,
        "ptflops": sum(ptflops) / 1e9,
        "fvcore": fvcore / 1e9,
    }
    if head == "query2label":
        cost["fvcore_kkd"] = (fvcore + classes**2 * model.head.query_embed.embedding_dim) / 1e9
    return cost


def count_as_ptflops(model: nn.Module) -> list[int]:
    """A list that fills with the MACs of each module of `model` as it runs."""
    found = []
    for module in model.modules():
        module.register_forward_hook(lambda *call: found.append(ptflops_macs(*call)))
    return found


def ptflops_macs(module: nn.Module, inputs: tuple, output) -> int:
    """What ptflops 0.6 counts: modules of exactly these types, hence no timm Conv2dSame and no function outside a module."""
    kind = type(module)
    if kind is nn.Conv2d:
        return output.numel() * (module.weight[0].numel() + (module.bias is not None))
    if kind is nn.Linear:
        return output.numel() * module.in_features + (
            module.out_features if module.bias is not None else 0
        )
    if kind is nn.BatchNorm2d:
        return 2 * output.numel()
    if kind is nn.MultiheadAttention:
        (batch, queries, width), keys = inputs[0].shape, inputs[1].shape[1]
        projections = (2 * queries + 2 * keys) * width**2
        return batch * (
            projections + 2 * queries * keys * width + queries * keys * module.num_heads
        )
    return inputs[0].numel() if kind in PTFLOPS_ELEMENTWISE else 0


main(stage, "studies/<study>")
