"""The network as one of timm's, for `timm.create_model("local-dir:FOLDER", pretrained=True)`."""

import json
from pathlib import Path

import timm
from torch import nn

from mlrepro.errors import InputError
from mlrepro.models.backbones import timm_name
from mlrepro.models.catalogue import EMBEDDING, parts_of
from mlrepro_cli.export.model import Model, check


def write_timm(model: Model, folder: Path) -> dict:
    """Writes model.safetensors and config.json as timm does, and returns what config.json holds.

    Raises an error where timm has no such network; of which type, timm decides.
    """
    config = model.config
    if config["head"] != "gap" or config["head_options"]:
        head = f"{config['head']} {config['head_options'] or ''}".rstrip()
        raise InputError(f"it has no head like {head}")

    if parts_of(config["backbone"]).composed:
        raise InputError(
            "it has no networks side by side, none that mirrors pictures, and none that takes roots"
        )

    if config["backbone"].endswith(EMBEDDING):
        raise InputError("it has none that compares directions, whatever their length")

    # Networks of timm may do something between pooling and classifier.
    network = _timm_network(model)
    check(model, network, model.logits, "it arranges its last layers in another way")
    # The name's `hf` is for a hub; here it only writes files.
    timm.models.save_for_hf(
        network,
        folder,
        {"label_names": config["classes"]},
        safe_serialization=True,
        data_config={
            "input_size": [3, config["resolution"], config["resolution"]],
            "mean": config["mean"],
            "std": config["std"],
            # Resized without keeping the aspect ratio, and nothing cut off.
            "crop_mode": "squash",
            "crop_pct": 1.0,
            "interpolation": config["resize"].replace("cv2", "bilinear"),
        },
    )
    return json.loads((folder / "config.json").read_bytes())


def _timm_network(model: Model) -> nn.Module:
    """timm's network of the same backbone, with our last layer as its classifier."""
    config = model.config
    ours = model.network.backbone.net
    options = {}
    if ours.pretrained_cfg["fixed_input_size"]:
        options["img_size"] = config["resolution"]
    if hasattr(ours, "fc_norm"):
        # Of ViTs: normalised before the pooling, as without a classifier.
        options["fc_norm"] = False

    network = timm.create_model(
        timm_name(config["backbone"]),
        num_classes=len(config["classes"]),
        global_pool="avg",
        **options,
    )
    classifier = ours.pretrained_cfg["classifier"]
    last_layer = model.network.head.fc.state_dict()
    state = ours.state_dict()
    state |= {f"{classifier}.{key}": value for key, value in last_layer.items()}
    network.load_state_dict(state)
    return network.eval()
