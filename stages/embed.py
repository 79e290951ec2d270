"""Computes the caption vectors of all pictures once, for the runs with `captions`."""

import json
from itertools import chain

import torch
from safetensors.torch import save

from mlrepro.data.features import captions_path
from mlrepro.data.manifest import read_manifest
from mlrepro.errors import InputError
from mlrepro.files import write_bytes
from mlrepro.layout import read_layout
from mlrepro.models.text import encode_captions, load_text_model
from mlrepro.stage import main
from mlrepro.training.device import device


def stage(settings: str) -> None:
    """A picture's vector is the mean of its captions' vectors; one without captions has that of an empty caption."""
    layout = read_layout(settings)
    if not (captions := layout.pipeline.captions):
        raise InputError(f"{settings}: the embed stage needs `captions`: {{name, model, pooling}}")
    manifest, path = read_manifest(layout.data), captions_path(layout.data, captions)
    model, tokenizer, sha256 = load_text_model(captions.model)
    if captions.sha256 not in (None, sha256):
        raise InputError(
            f"{captions.model}: its weights have sha256 {sha256}, `captions` in {settings} says {captions.sha256}; "
            "take that model, or mend both the pipeline and its runs"
        )
    sentences = [list(of_picture) or [""] for of_picture in manifest.frame["captions"]]
    vectors = encode_captions(list(chain(*sentences)), model, tokenizer, captions.pooling, device())
    means = torch.stack(
        [of_picture.mean(0) for of_picture in vectors.split([*map(len, sentences)])]
    )
    header = {
        "manifest": manifest.digest,
        "model": captions.model,
        "pooling": captions.pooling,
        "sha256": sha256,
    }
    path.parent.mkdir(exist_ok=True)
    write_bytes(path, save({"captions": means}, {"header": json.dumps(header)}))
    print(
        f"embed {layout.name}: {len(vectors)} captions of {len(means)} pictures, {sum(not any(s) for s in sentences)} of them "
        f"without one, by {captions.model} (weights' sha256 {sha256}) -> {path}"
    )


main(stage, "params.yaml")
