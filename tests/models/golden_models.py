"""The golden vectors' rule: official models whose weights follow from key names, and a picture."""

import json
import math
import zlib
from pathlib import Path

import numpy as np
import torch

# Constants, counters and indices: the rule leaves them as the network makes them.
NOT_FILLED = ("pe", "relative_position_index", "attn_mask", "num_batches_tracked", "A")
UNSCALED = ("cls_token", "pos_embed", "relative_position_bias_table")

PICTURE_SEED = 12345


def unit(seed: int, count: int) -> np.ndarray:
    """Uniform numbers of mean 0 and variance 1, the same on every machine."""
    # In place: models have 200 million numbers.
    raw = np.random.PCG64(seed).random_raw(count)
    raw >>= np.uint64(11)
    z = raw.astype(np.float64)
    z *= 2.0**-52
    z -= 1.0
    z *= math.sqrt(3.0)
    return z


def fill(key: str, shape: list[int]) -> torch.Tensor:
    """The tensor of an official key by the golden vectors' rule."""
    leaf = key.split(".")[-1]
    z = unit(zlib.crc32(key.encode()), math.prod(shape)).reshape(shape)
    if len(shape) == 4 and shape[1] % 2 == 0:
        z[:, 1::2] = -z[:, ::2]  # pairs of inputs that cancel where they are equal

    if leaf == "running_mean":
        z *= 0.05
    elif leaf == "running_var":
        z = 1 + 0.2 * np.abs(z)
    elif leaf in UNSCALED or key.endswith("query_embed.weight"):
        pass
    elif len(shape) >= 2 and leaf != "b":
        z *= math.sqrt(_gain(leaf, shape) / _fan(key, leaf, shape))
    elif leaf == "weight":
        z = 1 + 0.1 * z
    else:
        z *= 0.05
    return torch.from_numpy(z.astype(np.float32))


def _gain(leaf: str, shape: list[int]) -> float:
    if len(shape) == 4:
        return 1.2
    return 4.0 if leaf == "in_proj_weight" else 1.0


def _fan(key: str, leaf: str, shape: list[int]) -> int:
    """How many inputs an output of this weight has."""
    if key.endswith(("gc1.weight", "gc2.weight")):
        return shape[0]
    if leaf == "W":
        return shape[-1]
    if leaf == "duplicate_pooling":
        return shape[1]
    return math.prod(shape[1:])


def picture(size: int) -> torch.Tensor:
    """(1, 3, S, S): the golden vectors' first image, an offset, coarse cells and noise."""
    grid = size // 32
    cell_count = 3 * grid**2
    z = unit(PICTURE_SEED, 3 + cell_count + 3 * size**2)
    offset, coarse, noise = np.split(z, [3, 3 + cell_count])

    cells = np.kron(coarse.reshape(3, grid, grid), np.ones((1, 32, 32)))
    image = offset[:, None, None] + cells + 0.5 * noise.reshape(3, size, size)
    return torch.from_numpy(image.astype(np.float32))[None]


def golden_model(path: Path) -> tuple[dict, dict, dict[str, torch.Tensor]]:
    """Arrays, settings and the filled official state dict of the model of one file, <name>.npz."""
    arrays = dict(np.load(path))
    state = {}
    entries = zip(arrays["keys"].tolist(), arrays["shapes"], arrays["crc32"], strict=True)
    for key, shape, crc in entries:
        if key.split(".")[-1] in NOT_FILLED:
            continue
        state[key] = fill(key, json.loads(str(shape)))
        assert zlib.crc32(state[key].numpy()) == crc, f"the fill rule is not followed at {key}"
    return arrays, json.loads(str(arrays["meta"])), state
