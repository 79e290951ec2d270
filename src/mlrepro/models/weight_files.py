"""Files of weights, read without running code from them, and a digest of what they hold."""

import hashlib
import re
import zipfile
from pathlib import Path

import torch
from torch import Tensor

from mlrepro.errors import InputError

# What training files name beside tensors: settings, numpy's numbers and arrays. Nothing of it is
# imported or kept.
FOREIGN = (
    "argparse.Namespace",
    "numpy.dtype",
    "numpy.ndarray",
    "numpy.core.multiarray.scalar",
    "numpy.core.multiarray._reconstruct",
    "numpy._core.multiarray.scalar",
    "numpy._core.multiarray._reconstruct",
)

# Under which keys training files keep the state dict; the first that is there is opened.
WRAPPERS = ("state_dict", "model")


class Nothing:
    """Stands for an object that a file names: takes what that was made of, and keeps none of it."""

    def __new__(cls, *_):
        return super().__new__(cls)

    def __setstate__(self, _) -> None:
        pass


def read_state(path: Path) -> dict[str, Tensor]:
    """A state dict from safetensors or a torch file, its keys without `module.`.

    No code from the file is run. Raises InputError for a file that is absent, damaged, of another
    kind, or that names anything but tensors and FOREIGN.
    """
    if not path.is_file():
        raise InputError(
            f"{path}: no such file; place the weights there, "
            "or mend `checkpoint` or `weights` in the run file"
        )

    try:
        return _tensors(_load(path))
    except Exception as error:  # every reader fails in its own way on a damaged or foreign file
        raise InputError(
            f"{path}: not readable as weights (safetensors, or a torch file of plain tensors): "
            f"{_reason(error)}"
        ) from None


def _load(path: Path) -> dict:
    """What the file holds, with `Nothing` in place of FOREIGN objects."""
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(path)

    # torch's own reader refuses every object that is not on its list or on this one.
    stand_ins = [(Nothing, name) for name in FOREIGN]
    with torch.serialization.safe_globals(stand_ins):
        # Files older than torch 1.6 are no zip archives and cannot be mapped into memory.
        in_place = zipfile.is_zipfile(path)
        return torch.load(path, map_location="cpu", weights_only=True, mmap=in_place)


def _tensors(content: dict) -> dict[str, Tensor]:
    """The state dict inside a file's content, without what is no tensor."""
    for wrapper in WRAPPERS:
        if isinstance(content.get(wrapper), dict):
            content = content[wrapper]

    return {
        key.removeprefix("module."): value
        for key, value in content.items()
        if isinstance(value, Tensor)
    }


def _reason(error: Exception) -> str:
    """Why a file could not be read, in one line."""
    foreign = re.search(r"GLOBAL (\S+)", str(error))
    if foreign:
        return f"it names {foreign[1]}, and no code that a file names is run"
    return str(error).partition("\n")[0]


def tensors_sha256(state: dict[str, Tensor]) -> str:
    """The sha256 of names and values, in the order of the names."""
    digest = hashlib.sha256()
    for key in sorted(state):
        digest.update(key.encode())
        digest.update(state[key].contiguous().cpu().numpy().tobytes())
    return digest.hexdigest()
