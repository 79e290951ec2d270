"""Draws where a Query2Label run looks for its likeliest labels: in the given pictures, or in test pictures for its page."""

import dataclasses
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from mlrepro.data.manifest import read_manifest
from mlrepro.errors import InputError
from mlrepro.layout import read_layout
from mlrepro.models.checkpoints import load_network
from mlrepro.models.classifier import Classifier
from mlrepro.report.figures import WIDTH
from mlrepro.stage import main
from mlrepro.studies.runs import read_run
from mlrepro.training.task import create_task

PICTURES, LABELS = 4, 3  # of the test split, and the likeliest of each


def stage(settings: str, run_id: str, seed: str, *pictures: str) -> None:
    layout = read_layout(settings)
    run, out = read_run(layout, run_id), layout.output(run_id, int(seed))
    if (run.head, run.inputs) != ("query2label", "images"):
        raise InputError(
            f"{run_id}: has no attention to draw; name a run with `head: query2label` and `inputs: images`"
        )
    manifest = read_manifest(layout.data)
    task = create_task(run, manifest, layout.data, weights=False)
    weights = (
        layout.trained(run_id, int(seed)) / f"{run.selection}.safetensors"
        if run.epochs
        else Path(run.checkpoint)
    )
    load_network(task.model, weights)
    frame, root, folder = (
        manifest.frame.iloc[manifest.rows("test")[:PICTURES]],
        manifest.root,
        layout.page.parent / "figures",
    )
    page = (
        layout.page.stem if layout.study == "own-data" else layout.study
    )  # the page that shows them
    if pictures:
        frame, root, folder = (
            frame.iloc[:0].reindex(range(len(pictures))).assign(image=pictures),
            Path(),
            out / "attention",
        )
    task.inputs.manifest, task.inputs.shards = (
        dataclasses.replace(manifest, frame=frame, root=root),
        None,
    )
    for batch, rows in task.inputs.sequential(np.arange(len(frame))):
        logits, maps = (values.cpu().numpy() for values in cross_attention(task.model, batch))
        for name, scores, attended, row in zip(
            frame["image"].iloc[rows], logits, maps, rows, strict=True
        ):
            picture = np.asarray(Image.open(root / name).convert("RGB"))
            best = [
                (manifest.classes[k], 1 / (1 + np.exp(-scores[k])), attended[k])
                for k in np.argsort(-scores)[:LABELS]
            ]
            path = folder / f"{page}-attention-{run_id}-s{seed}-{row + 1}.png"
            draw(picture, best, path)
            print(f"attention: {name} -> {path}")


@torch.no_grad()
def cross_attention(model: Classifier, pictures: Tensor) -> tuple[Tensor, Tensor]:
    """Logits (B, K) of the plain forward pass, and of the last decoder layer the cross-attention of each label (B, K, h, w):
    mean over the heads, of sum 1 over the map. `model` is put into eval mode, as dropout acts on these weights too."""
    layer, inputs = model.eval().head.transformer.decoder.layers[-1].multihead_attn, []
    handle = layer.register_forward_pre_hook(lambda _, arguments: inputs.extend(arguments))
    try:
        logits = model(pictures)
    finally:
        handle.remove()
    weights = layer(*inputs, need_weights=True)[1]
    return logits.float(), weights.float().unflatten(2, model.head.positions.shape[2:])


def draw(picture: np.ndarray, maps: list[tuple[str, float, np.ndarray]], path: Path) -> None:
    """A picture (H, W, 3) under each map of (label, probability, map (h, w)), which is scaled to its maximum; PNG alone."""
    height, width = picture.shape[:2]
    figure = Figure((WIDTH, WIDTH / len(maps) * height / width + 0.3), dpi=150, layout="tight")
    for axes, (label, probability, weights) in zip(
        figure.subplots(1, len(maps), squeeze=False)[0], maps, strict=True
    ):
        axes.imshow(picture)
        axes.imshow(
            weights,
            cmap="inferno",
            vmin=0,
            alpha=0.6,
            interpolation="bilinear",
            extent=(0, width, height, 0),
        )
        axes.set_title(f"{label} {probability:.2f}", fontsize=10, parse_math=False)
        axes.set_axis_off()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Software": None})


main(stage, "params.yaml", "run", "seed", "picture...")
