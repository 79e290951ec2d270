"""Reads a model folder: config.json and the network."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import timm
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from mlrepro.data.images import normalise
from mlrepro.errors import InputError
from mlrepro.files import file_sha256
from mlrepro.models.classifier import create_classifier
from mlrepro.settings.run import Run
from mlrepro_cli.predict.config import VERSIONS, WEIGHTS, read_config

# What of config.json says which network it is.
RUN_KEYS = ("backbone", "head", "head_options", "resolution")


def build(config: dict, state: dict[str, Tensor]) -> nn.Module:
    """The network of a config.json, in eval mode.

    state: the weights of all of it, and its label graph, if any.
    """
    described = {key: config[key] for key in RUN_KEYS}
    run = Run.model_construct(weights="none", **described)
    # Heads on a label graph keep it among their weights.
    graph = {}
    if "head.inp" in state:
        graph = {"words": state["head.inp"], "A": state["head.A"]}

    network, _ = create_classifier(run, len(config["classes"]), **graph)
    network.load_state_dict(state)
    return network.eval()


def load_model(folder: Path) -> tuple[dict, nn.Module]:
    """config.json and the network, on the GPU if there is one.

    Raises InputError where they are not as they were exported. Prints a warning where other
    versions of the libraries made them.
    """
    try:
        config = read_config(folder)
        _check_files(folder, config["sha256"])
        network = _load_network(folder, config)
    except Exception as error:  # what is half copied, or another program's, fails in every way
        raise InputError(
            f"{folder}: not a model folder that can be used ({error}); use the mlrepro that made "
            "it, copy it again, or export the run again (mlrepro export)"
        ) from None

    for name, now in VERSIONS.items():
        then = config["versions"][name]
        if then != now:
            print(
                f"warning: {folder}: exported with {name} {then}, this is {now}; scores may differ",
                file=sys.stderr,
            )
    return config, network.to("cuda" if torch.cuda.is_available() else "cpu")


def _check_files(folder: Path, digests: dict[str, str]) -> None:
    """Raises InputError for changed files. One that is not there may not be needed."""
    changed = []
    for name, digest in digests.items():
        path = folder / name
        if path.exists() and file_sha256(path) != digest:
            changed.append(name)
    if changed:
        raise InputError(
            f"{' and '.join(changed)}: not what was exported, for the sha256 is another than in "
            "config.json"
        )


def _load_network(folder: Path, config: dict) -> nn.Module:
    state = load_file(folder / WEIGHTS)
    for key, value in state.items():
        # Its answers would be no numbers, which JSON has not.
        if value.is_floating_point() and not torch.isfinite(value).all():
            raise InputError(f"{WEIGHTS}: {key} has values that are no finite numbers")

    if not config["architecture"]:
        return build(config, state)
    # As timm names the weights. It loads none itself, for it would take any file that is there.
    network = timm.create_model(f"local-dir:{folder}", pretrained=False)
    network.load_state_dict(state)
    return network.eval()


@torch.inference_mode()
def logits(
    config: dict,
    network: Callable[[Tensor], Tensor],
    pictures: Sequence[np.ndarray],
    device: torch.device | str = "cpu",
) -> np.ndarray:
    """(B, K) float32 of decoded pictures, uint8 (S, S, 3) each.

    Computed in float32 whatever the precision of the training.
    """
    batch = torch.from_numpy(np.stack(pictures)).to(device)
    batch = normalise(batch.permute(0, 3, 1, 2), config["mean"], config["std"])
    return network(batch).cpu().numpy()
