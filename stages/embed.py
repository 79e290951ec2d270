"""Computes the caption vectors of all pictures once, for the runs with `captions`."""

import json

from safetensors.torch import save

from mlrepro.data.features import captions_path
from mlrepro.data.manifest import read_manifest
from mlrepro.errors import InputError
from mlrepro.files import write_bytes
from mlrepro.layout import read_layout
from mlrepro.models.text import load_text_model, picture_vectors
from mlrepro.stage import main
from mlrepro.training.device import device


def stage(settings: str) -> None:
    """Writes a vector a picture, the mean of its captions' vectors, beside the manifest."""
    layout = read_layout(settings)
    captions = layout.pipeline.captions
    if not captions:
        raise InputError(f"{settings}: the embed stage needs `captions`: {{name, model, pooling}}")

    manifest = read_manifest(layout.data)
    model, tokenizer, sha256 = load_text_model(captions.model)
    if captions.sha256 not in (None, sha256):
        raise InputError(
            f"{captions.model}: its weights have sha256 {sha256}, `captions` in {settings} says "
            f"{captions.sha256}; take that model, or mend both the pipeline and its runs"
        )

    # A picture without captions has the vector of an empty one.
    sentences = [list(of_picture) or [""] for of_picture in manifest.frame["captions"]]
    vectors = picture_vectors(sentences, model, tokenizer, captions.pooling, device())

    header = {
        "manifest": manifest.digest,
        "model": captions.model,
        "pooling": captions.pooling,
        "sha256": sha256,
    }
    path = captions_path(layout.data, captions)
    path.parent.mkdir(exist_ok=True)
    write_bytes(path, save({"captions": vectors}, {"header": json.dumps(header)}))

    total = sum(len(of_picture) for of_picture in sentences)
    without = sum(not any(of_picture) for of_picture in sentences)
    print(
        f"embed {layout.name}: {total} captions of {len(vectors)} pictures, {without} of them "
        f"without one, by {captions.model} (weights' sha256 {sha256}) -> {path}"
    )


main(stage, "params.yaml")
