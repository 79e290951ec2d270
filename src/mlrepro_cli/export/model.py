"""What is exported: one network, its config.json, and the logits that every form must give."""

from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
import torch
from scipy.special import expit
from torch import Tensor, nn

from mlrepro.data.images import decode
from mlrepro.data.picture_names import picture_file
from mlrepro.errors import InputError
from mlrepro.metrics.calibration import calibration_error, fit_temperature
from mlrepro.metrics.thresholds import tune_shrunk_thresholds
from mlrepro.models.backbones import create_backbone
from mlrepro.models.checkpoints import head_options
from mlrepro.records import read_record
from mlrepro.training.inputs.pictures import PictureInputs
from mlrepro.training.predict import logit_scale
from mlrepro_cli.export.card import pretrained_weights
from mlrepro_cli.export.edges import between_scores
from mlrepro_cli.export.trained import TrainedRun
from mlrepro_cli.predict.config import VERSIONS
from mlrepro_cli.predict.model import build, logits

# How far logits may differ, relative where they are above 1.
TOLERANCE = 1e-4
# And from those that were computed on a GPU or in bfloat16.
GPU_TOLERANCE = 0.05
# How many validation pictures every form of the network is checked with.
CHECKED_PICTURES = 8

# What config.json says of a picture before it is a network's input.
INPUT = "{appearance}, resized to resolution x resolution, (value / 255 - mean) / std"
APPEARANCES = {
    "stored": "RGB as stored (EXIF's orientation and transparency ignored, 16-bit grey >> 8)",
    "shown": "RGB as shown (turned as EXIF says, on white, grey scaled from its own depth)",
}


@dataclass
class Model:
    """A network on the CPU, in eval mode, and what tells whether another is the same.

    config:   what config.json holds.
    pictures: some validation pictures, decoded: uint8 (S, S, 3) each.
    logits:   (pictures, K) float32 that the network gives.
    """

    network: nn.Module
    config: dict
    pictures: list[np.ndarray]
    logits: np.ndarray


def create_model(trained: TrainedRun) -> Model:
    """The network of a trained run, checked against its evaluation.

    Raises InputError where its logits of validation pictures are not those that were evaluated.
    """
    run = trained.run
    # Where only the head was trained, the backbone is the one that features were extracted with.
    weights = "none"
    if run.inputs != "images":
        # A pipeline may name them, and else extracts what each of its runs reads.
        features = trained.layout.pipeline.features
        named = features is not None and features.backbone == run.backbone
        weights = (features.weights if named else run.weights) or "none"
    backbone, origin = create_backbone(run.backbone, weights, run.resolution)
    inputs = PictureInputs(trained.manifest, run, backbone, torch.device("cpu"))

    config = _config(trained, inputs)
    # Of a whole network, its training knows.
    source = trained.facts.pretrained if run.inputs == "images" else origin[0]
    config["pretrained"] = asdict(pretrained_weights(source, backbone.net))
    network = build(config, _whole_state(trained, backbone))
    # Pictures from all over the validation split.
    checked = np.linspace(0, len(trained.rows) - 1, CHECKED_PICTURES).astype(int)
    pictures = [_picture(trained, inputs, row) for row in trained.rows[checked]]
    model = Model(network, config, pictures, logits(config, network, pictures))

    # Were the features extracted with other weights, or are the pictures others now?
    difference = check(
        model,
        network,
        trained.logits[checked],
        f"{trained.output}: not from the pictures and `features` of now, run dvc repro -f "
        f"{trained.layout.dvc_file}",
        TOLERANCE if trained.exact else GPU_TOLERANCE,
    )
    config["checked"] = {"evaluate": difference}
    return model


def check(
    model: Model,
    network: Callable[[Tensor], Tensor],
    expected: np.ndarray,
    failure: str,
    tolerance: float = TOLERANCE,
) -> float:
    """The largest difference of a network's logits of the model's pictures to those expected.

    Raises InputError, which begins with `failure`,
    where it is above the tolerance.
    """
    first, others = model.pictures[:1], model.pictures[1:]
    # A form may be right for one size of batch alone.
    parts = [logits(model.config, network, part) for part in (first, others)]
    largest = np.abs(np.concatenate(parts) - expected).max()
    difference = float(largest / max(1.0, np.abs(expected).max()))

    # Also where it is not a number.
    if not difference <= tolerance:
        raise InputError(f"{failure}: logits of validation pictures differ by {difference:.2g}")
    return difference


def _config(trained: TrainedRun, inputs: PictureInputs) -> dict:
    """What config.json says.

    A class is predicted where logit >= threshold (null: never); its score is
    sigmoid(logit_scale * logit), where the scale holds the temperature that calibrates it.
    """
    run, manifest = trained.run, trained.manifest
    thresholds = tune_shrunk_thresholds(trained.logits, manifest.label_matrix(trained.rows))
    thresholds = between_scores(thresholds, trained.logits)
    calibration = _calibration(trained)
    return {
        "classes": manifest.classes,
        "thresholds": [value if np.isfinite(value) else None for value in thresholds.tolist()],
        "logit_scale": logit_scale(run) / calibration["temperature"],
        "calibration": calibration,
        "backbone": run.backbone,
        "head_options": head_options(run),
        # A linear layer on pooled features is the head that pools and then is linear.
        "head": "gap" if run.head == "linear" else run.head,
        "resolution": run.resolution,
        "resize": inputs.interpolation,
        "mean": inputs.mean,
        "std": inputs.std,
        "run": run.model_dump(mode="json"),
        "seed": trained.seed,
        "averaged_seeds": list(trained.averaged),
        "trained": trained.facts.model_dump(mode="json", exclude_none=True),
        "environment": trained.environment.model_dump(mode="json", exclude_defaults=True),
        "appearance": manifest.appearance,
        "input": INPUT.format(appearance=APPEARANCES[manifest.appearance]),
        "versions": VERSIONS,
    }


def _calibration(trained: TrainedRun) -> dict:
    """The temperature, and the calibration error of validation pictures with and without it.

    The test's stand in the record (see Calibration), where one training is exported as it is.
    """
    labels = trained.manifest.label_matrix(trained.rows)
    scaled = logit_scale(trained.run) * trained.logits.astype(np.float64)
    temperature = fit_temperature(scaled, labels)
    errors = {
        "validation_error_before": calibration_error(expit(scaled), labels),
        "validation_error_after": calibration_error(expit(scaled / temperature), labels),
    }
    record = trained.layout.record(trained.run.run_id, trained.seed)
    if record.is_file() and not trained.averaged:
        measured = read_record(record).calibration
        if measured:
            errors["test_error_before"] = measured.error_before
            errors["test_error_after"] = measured.error_after
    return {"temperature": temperature, **errors}


def _whole_state(trained: TrainedRun, backbone: nn.Module) -> dict[str, Tensor]:
    """The weights of backbone and head, with the names of a whole network."""
    if trained.run.inputs == "images":
        return trained.state

    prefix = "head.fc." if trained.run.head == "linear" else "head."
    state = {prefix + key: value for key, value in trained.state.items()}
    state |= {f"backbone.{key}": value for key, value in backbone.state_dict().items()}
    return state


def _picture(trained: TrainedRun, inputs: PictureInputs, row: int) -> np.ndarray:
    """The decoded picture of a row of the manifest."""
    manifest = trained.manifest
    if inputs.shards:
        file = inputs.shards.read(row)
    else:
        file = picture_file(manifest.root, manifest.frame["image"][row])
    return decode(
        file, trained.run.resolution, inputs.interpolation, appearance=manifest.appearance
    )
