"""A tiny model of pictures and texts with random weights, as a folder that open_clip loads."""

import json
from dataclasses import dataclass
from pathlib import Path

import timm
import torch
from safetensors.torch import save_file
from torch import nn

TOWER = "test_vit"  # of timm
SIZE = 160  # that it is built for
WIDTH = 1000  # of its last layer

TEXT = {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1}


@dataclass(frozen=True)
class Towers:
    """model: as open_clip has it. text: its address. weights: the file of its image tower alone."""

    model: nn.Module
    text: str
    weights: Path


def make_towers(folder: Path, bias: float | None = None, seed: int = 0) -> Towers:
    """bias: of a model as SigLIP; none: as CLIP."""
    import open_clip

    config = timm.get_pretrained_cfg(TOWER)
    vision = {
        "image_size": SIZE,
        "timm_model_name": TOWER,
        "timm_model_pretrained": False,
        "timm_pool": "token",
        "timm_proj": "",
    }
    settings = {"embed_dim": WIDTH, "vision_cfg": vision, "text_cfg": TEXT}
    if bias is not None:
        settings["init_logit_bias"] = bias
    preprocess = {"mean": config.mean, "std": config.std, "size": SIZE}
    folder.mkdir(parents=True)
    content = json.dumps({"model_cfg": settings, "preprocess_cfg": preprocess})
    (folder / "open_clip_config.json").write_text(content)

    torch.manual_seed(seed)
    source = f"local-dir:{folder}"
    model = open_clip.create_model(source, load_weights=False).eval()
    state = {key: value.contiguous() for key, value in model.state_dict().items()}
    save_file(state, folder / "open_clip_model.safetensors")
    prefix = "visual.trunk."
    tower = {
        key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)
    }
    weights = folder / "tower.safetensors.timm"
    save_file(tower, weights)
    return Towers(model, source, weights.rename(folder.with_suffix(".safetensors")))
