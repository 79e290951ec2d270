"""A linear layer made of the labels' names, for an image tower's embeddings: nothing is trained.

The logit of a label is

    scale * cosine(embedding of the picture, embedding of the label's words) + bias

with the scale, and where it has one the bias, of the model of pictures and texts. Where it has none
(CLIP, which compares the labels of a picture with each other), the bias is the number with which
the validation pictures are expected to have as many labels as they have: it changes no ranking, and
makes probabilities of scores. Sources: Radford et al. 2021, section 3.1; Zhai et al. 2023.
"""

import re
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import linear, normalize

from mlrepro.data.features import features_path, read_features
from mlrepro.data.images import Pictures
from mlrepro.data.shards import ShardReader
from mlrepro.environments import Environment
from mlrepro.errors import InputError
from mlrepro.losses.zero_shot import zero_shot
from mlrepro.metrics.average_precision import average_precision, mean_average_precision
from mlrepro.models.image_text import ImageTextModel, load_image_text
from mlrepro.models.pretrained import joined_origin
from mlrepro.provenance import git_state
from mlrepro.records import TrainingFacts
from mlrepro.settings.run import Run
from mlrepro.training.device import device, environment
from mlrepro.training.grid.outcome import SELECTIONS
from mlrepro.training.predict import expected_labels
from mlrepro.training.splits import LabelledData, read_labelled
from mlrepro.training.write import write_training

# The embeddings of so many pictures must be the same by both image towers, up to the rounding of
# half precision and of resized position tables.
CHECKED_PICTURES = 4
LEAST_COSINE = 0.99

# In what is printed, labels.
SHOWN = 5

# A number before a label's name: CUB's 001.Laysan_Albatross, ImageNet's n02085620-Chihuahua.
NUMBER = re.compile(r"^(\d+\.(?=\D)|n\d{8}[-_])")
# Where a word ends without a space: TrafficLight, TVMonitor.
CAPITALS = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")

Layer = dict[str, Tensor]


def write_zero_shot(run: Run, data_folder: Path, out: Path) -> Environment:
    """Writes what a training writes into `out`; returns what it was made on.

    Raises NotHere where the model cannot be had, InputError where it is not that of the features.
    """
    start = time.perf_counter()
    data = read_labelled(data_folder)
    path = features_path(data_folder, run.backbone, run.resolution)
    features, header = read_features(path, data.manifest, run.backbone, run.resolution)

    model = load_image_text(run.loss.text, run.resolution, device())
    _check_same_tower(model, run, data, features, header)

    # Printed, so that a person sees whether the names say something.
    words = [label_words(name) for name in data.manifest.classes]
    shown = [run.loss.prompts[0].format(label) for label in words[:SHOWN]]
    print(f"{run.run_id}: reads {' '.join(shown)} ({len(words)} labels)", flush=True)

    layer = make_layer(model, words, run.loss.prompts)
    val = data.rows["val"]
    if model.bias is None:
        layer["bias"] += fitted_bias(_logits(layer, features, val), data.labels[val])

    pretrained, sha256 = joined_origin(
        [(header["weights"], header["weights_sha256"]), (model.source, model.sha256)]
    )
    facts = TrainingFacts(
        epochs=dict.fromkeys(SELECTIONS, 0),
        weights=dict.fromkeys(SELECTIONS, "plain"),
        settings_sha256=run.digest,
        manifest_sha256=data.manifest.digest,
        pretrained=pretrained,
        pretrained_sha256=sha256,
        torch_seed=None,
    )
    history = [_only_epoch(run, layer, features, data)]
    write_training(out, facts, dict.fromkeys(SELECTIONS, layer), history)
    return _made_on(time.perf_counter() - start)


def label_words(name: str) -> str:
    """What a label's name says: `traffic_light`, `TrafficLight` and `7.Traffic Light` say the same.

    Not empty.
    """
    without_number = NUMBER.sub("", name)
    words = CAPITALS.sub(" ", without_number).replace("_", " ")
    return " ".join(words.split()).lower() or name


def make_layer(model: ImageTextModel, words: list[str], prompts: list[str]) -> Layer:
    """Named and shaped as nn.Linear's: weight (C, D), bias (C,). It reads a Backbone's embeddings.

    These have the length sqrt(D), by which the weights are divided.
    """
    embeddings = model.embed_words(words, prompts)
    classes, channels = embeddings.shape
    return {
        "weight": model.scale * embeddings / channels**0.5,
        "bias": torch.full((classes,), model.bias or 0.0),
    }


def fitted_bias(logits: np.ndarray, labels: np.ndarray) -> float:
    """What to add to logits (N, C) so that the known labels are expected to be as many as they are.

    labels (N, C): -1 is not known. 0 where none is known.
    """
    from scipy.optimize import brentq  # here: the module is imported where nothing is fitted

    known = labels >= 0
    if not known.any():
        return 0.0
    logits = logits[known].astype(np.float64)
    # Half a label away from none and from all, for which no number would do.
    margin = 0.5 / len(logits)
    share = np.clip((labels[known] == 1).mean(), margin, 1 - margin)

    def surplus(bias: float) -> float:
        probabilities = 1 / (1 + np.exp(-(logits + bias)))
        return float(probabilities.mean() - share)

    # All logits are then below, or above, that of the share.
    wanted = np.log(share / (1 - share))
    return float(brentq(surplus, wanted - logits.max() - 1, wanted - logits.min() + 1))


def _check_same_tower(
    model: ImageTextModel, run: Run, data: LabelledData, features: Tensor, header: dict
) -> None:
    """Raises InputError where the model's own image tower says other things of the pictures."""
    manifest = data.manifest
    rows = np.arange(min(CHECKED_PICTURES, manifest.pictures))
    shards = ShardReader(manifest) if "shards" in manifest.summary else None
    interpolation = header["transform"]["interpolation"]
    pictures = Pictures(manifest, rows, run.resolution, interpolation, shards=shards)

    batch = torch.stack([pictures[place][0] for place in range(len(rows))])
    theirs = model.embed_pictures(batch.to(device()).permute(0, 3, 1, 2)).cpu()
    ours = normalize(features[: len(rows)])
    if theirs.shape != ours.shape:
        difference = f"{theirs.shape[1]} numbers a picture, not {ours.shape[1]}"
    else:
        cosine = (theirs * ours).sum(1).min().item()
        if cosine >= LEAST_COSINE:
            return
        difference = f"a cosine of {cosine:.3f} to those of {run.backbone}"
    raise InputError(
        f"{run.loss.text}: its own image tower gives the pictures other embeddings ({difference}), "
        f"so that its texts say nothing of the features of {run.backbone}; name in `zero_shot` the "
        "model that these weights belong to, or remove the entry"
    )


def _only_epoch(run: Run, layer: Layer, features: Tensor, data: LabelledData) -> dict:
    """The row of history.csv."""
    val, train = data.rows["val"], data.rows["train"]
    logits = _logits(layer, features, val)
    average_precisions = average_precision(logits, data.labels[val])
    train_logits = torch.from_numpy(_logits(layer, features, train))
    targets = torch.from_numpy(data.labels[train])
    loss = zero_shot(train_logits, targets, run.loss.text, run.loss.prompts)
    return {
        "epoch": 0,
        "lr": 0.0,
        "train_loss": loss.item(),
        "val_mAP": mean_average_precision(average_precisions, run.empty_classes),
        "val_positives": expected_labels(logits),
    }


def _logits(layer: Layer, features: Tensor, rows: np.ndarray) -> np.ndarray:
    return linear(features[torch.from_numpy(rows)], **layer).numpy()


def _made_on(seconds: float) -> Environment:
    commit, dirty = git_state()
    used = environment(seconds, 0, precision="float32")
    # No picture was trained on.
    changes = {"commit": commit, "dirty": dirty, "images_per_second": None}
    return used.model_copy(update=changes)
