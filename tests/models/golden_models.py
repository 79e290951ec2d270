"""The golden vectors' rule: complete official models whose weights follow from their key names, and their picture."""

import json
import math
import zlib
from pathlib import Path

import numpy as np
import torch

NOT_FILLED = ("pe", "relative_position_index", "attn_mask", "num_batches_tracked", "A")


def unit(seed: int, count: int) -> np.ndarray:
    raw = np.random.PCG64(seed).random_raw(count)
    return ((raw >> np.uint64(11)) * 2.0**-53 * 2.0 - 1.0) * math.sqrt(3.0)


def fill(key: str, shape: list[int]) -> torch.Tensor:
    """The tensor of an official key by the golden vectors' rule."""
    leaf, z = key.split(".")[-1], unit(zlib.crc32(key.encode()), math.prod(shape)).reshape(shape)
    if len(shape) == 4 and shape[1] % 2 == 0:
        z[:, 1::2] = -z[:, ::2]
    if leaf == "running_mean":
        z *= 0.05
    elif leaf == "running_var":
        z = 1 + 0.2 * np.abs(z)
    elif leaf in ("cls_token", "pos_embed", "relative_position_bias_table") or key.endswith(
        "query_embed.weight"
    ):
        pass
    elif len(shape) >= 2 and leaf != "b":
        fan = {"W": shape[-1], "duplicate_pooling": shape[1]}.get(leaf, math.prod(shape[1:]))
        fan = shape[0] if key.endswith(("gc1.weight", "gc2.weight")) else fan
        gain = 1.2 if len(shape) == 4 else 4.0 if leaf == "in_proj_weight" else 1.0
        z *= math.sqrt(gain / fan)
    elif leaf == "weight":
        z = 1 + 0.1 * z
    else:
        z *= 0.05
    return torch.from_numpy(z.astype(np.float32))


def picture(size: int) -> torch.Tensor:
    """(1, 3, S, S): the golden vectors' first image."""
    grid = size // 32
    z = unit(12345, 3 + 3 * grid * grid + 3 * size * size)
    offset, coarse, noise = np.split(z, [3, 3 + 3 * grid**2])
    cells = np.kron(coarse.reshape(3, grid, grid), np.ones((1, 32, 32)))
    image = offset[:, None, None] + cells + 0.5 * noise.reshape(3, size, size)
    return torch.from_numpy(image.astype(np.float32))[None]


def golden_model(path: Path) -> tuple[dict, dict, dict[str, torch.Tensor]]:
    """Arrays, settings and the filled official state dict of the model of one file, <name>.npz."""
    arrays = dict(np.load(path))
    filled = zip(arrays["keys"].tolist(), arrays["shapes"], arrays["crc32"], strict=True)
    state = {}
    for key, shape, crc in filled:
        if key.split(".")[-1] not in NOT_FILLED:
            state[key] = fill(key, json.loads(str(shape)))
            assert zlib.crc32(state[key].numpy().tobytes()) == crc, (
                f"the fill rule is not followed at {key}"
            )
    return arrays, json.loads(str(arrays["meta"])), state
