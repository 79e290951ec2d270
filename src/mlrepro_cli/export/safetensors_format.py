"""model.safetensors: the network's weights, as timm's where timm has such a network."""

import os
import stat
from pathlib import Path

from safetensors.torch import save_file

from mlrepro.files import file_sha256
from mlrepro_cli.export.model import Model
from mlrepro_cli.export.timm_format import write_timm

NAME = "model.safetensors"
# For everybody whom the folder lets in.
READ = stat.S_IRUSR | stat.S_IRGRP | stat.S_IROTH


def write_weights(model: Model, folder: Path) -> None:
    """Writes the file, and into the model's config its digest and what timm can do with it."""
    try:
        timm_config = write_timm(model, folder)
    except Exception as error:  # timm's networks refuse in many ways what they do not fit
        save_file(model.network.state_dict(), folder / NAME)
        model.config["timm"] = f"cannot load this folder: {error}"
    else:
        how = "timm.create_model('local-dir:FOLDER', pretrained=True)"
        model.config = timm_config | model.config | {"timm": how}

    # timm's own writing lets its owner alone read it: a server of another user could not.
    os.chmod(folder / NAME, os.stat(folder / NAME).st_mode | (os.stat(folder).st_mode & READ))
    model.config["sha256"] = {NAME: file_sha256(folder / NAME)}
