"""The label graph of a data set: vectors of its class names, and how often its training labels come together."""

import re
import zipfile
import zlib
from pathlib import Path

import numpy as np
from scipy.sparse import csr_array

from mlrepro.data.manifest import Manifest
from mlrepro.errors import InputError
from mlrepro.files import address
from mlrepro.settings.run import Graph

# VOC writes two words as one; these are the words whose vectors ML-GCN's file of VOC holds.
VOC_WORDS = {"diningtable": "table", "pottedplant": "plant", "tvmonitor": "tv"}


def label_graph(settings: Graph, manifest: Manifest) -> dict[str, np.ndarray]:
    """Options of the heads `graph` and `mlgcn`: `words` (K, d) float32 and `A` (K, K) float64, in the order of the classes.

    A: `correlation_matrix` of the training split's positives, difficult ones as the label rule of the data set has them.
    `misaligned` gives class i, the r-th in sorted order, the word of the r-th class in the data set's own order.
    Raises InputError for classes without names or word vectors, and for counts that the data set has not.
    """
    if numbers := [name for name in manifest.classes if name.isdecimal()]:
        raise InputError(
            f"graph: the classes {', '.join(numbers[:3])}{', ...' * (len(numbers) > 3)} have no names, so that no "
            "text model can represent them (AAM, section 4, on VG500); name the classes or take another head"
        )
    counts, occurrences = cooccurrence(manifest.label_matrix(manifest.rows("train")))
    if settings.counts == "instances":
        instances = manifest.summary["splits"]["train"].get(
            "instances", {}
        )  # objects of each class
        if instances.keys() != set(manifest.classes):
            raise InputError(
                "graph.counts: summary.json has no object instances of the training pictures: only COCO has them, "
                "and VOC with a readable file in Annotations/ a picture; set `counts: images`, or run prepare again"
            )
        occurrences = np.array([instances[name] for name in manifest.classes])
    source = settings.words.removeprefix("bert:")
    words = (word_vectors if source == settings.words else text_embeddings)(
        address(source), manifest.classes
    )
    if settings.misaligned:
        ranks = np.argsort(np.argsort(manifest.classes))
        if (ranks == np.arange(len(ranks))).all():
            raise InputError(
                "graph.misaligned: the data set's own class order is the sorted one, so that nothing can be "
                "misaligned; set `class_order: category_id` (COCO), or leave `misaligned` out"
            )
        words = words[ranks]
    return {"words": words, "A": correlation_matrix(counts, occurrences, settings.tau, settings.p)}


def cooccurrence(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Labels (N, K) to the counts (K, K) of images that hold both classes, diagonal 0, and (K,) that hold each."""
    present = csr_array(labels > 0, dtype=np.int64)
    counts = (present.T @ present).toarray()
    images = counts.diagonal().copy()
    np.fill_diagonal(counts, 0)
    return counts, images


def correlation_matrix(
    counts: np.ndarray, images: np.ndarray, tau: float = 0.4, p: float = 0.25
) -> np.ndarray:
    """A (K, K), float64: edges i to j where P(j | i) >= tau, re-weighted to p by column, plus the identity. As in ML-GCN's code
    (p = 0.25), not as in its eq. 8: p is divided by the column's sum and the diagonal is 1. Other p are deep-object-reid's, where
    p = 0 means the plain 0/1 edges without self-loops. A class without images has no edges of its own."""
    conditional = counts / np.maximum(images, 1)[:, None]
    edges = (conditional >= tau).astype(np.float64)
    if p == 0:
        return edges
    return edges * p / (edges.sum(0, keepdims=True) + 1e-6) + np.eye(len(edges))


def word_vectors(source: str, names: list[str]) -> np.ndarray:
    """(K, d) float32 from GloVe's text format, a word and d numbers a line, in a file or in <zip archive>#<member>.

    A name is looked up as a whole, "_" for its spaces; else its words' vectors are averaged (it is split at spaces, "_" and
    "-"). What is not there as it is written is looked up in lower case. Raises InputError for names that are not there and
    for lines of other lengths.
    """
    whole = [name.replace(" ", "_") for name in names]
    parts = [re.findall("[^ _-]+", VOC_WORDS.get(name, name)) for name in names]
    written = {*whole, *(word for words in parts for word in words)}
    vectors = _read_vectors(source, written | {word.lower() for word in written})

    def found(words: list[str]) -> list[np.ndarray]:
        values = [vectors.get(word, vectors.get(word.lower())) for word in words]
        return [] if any(value is None for value in values) else values

    rows = [found([name]) or found(words) for name, words in zip(whole, parts, strict=True)]
    if missing := [name for name, values in zip(whole, rows, strict=True) if not values]:
        raise InputError(
            f"{source}: no vector for the classes {', '.join(missing)}; add a line for each: the name as it is "
            "written here and as many numbers as in the other lines, separated by single spaces"
        )
    return np.stack([np.mean(values, axis=0) for values in rows]).astype(np.float32)


def _read_vectors(source: str, wanted: set[str]) -> dict[str, np.ndarray]:
    path, _, member = (source, "", "") if Path(source).is_file() else source.partition("#")
    vectors, width = {}, 0
    try:
        with zipfile.ZipFile(path).open(member) if member else open(path, "rb") as lines:
            for number, line in enumerate(lines, 1):
                word, _, numbers = line.partition(b" ")
                if (word := word.decode(errors="replace")) not in wanted:
                    continue
                try:
                    vector = np.array(numbers.split(), np.float64)
                except ValueError:
                    vector = np.array([np.nan])
                width = width or len(vector)
                if not len(vector) == width > 0 or not np.isfinite(vector).all():
                    raise InputError(
                        f"{source}, line {number}: {word!r} has not as many finite numbers as the words before it "
                        f"({width}); mend the line or fetch the file again"
                    )
                vectors[word] = vector
    except (OSError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(
            f"{source}: not readable ({error}); graph.words is a text file of word vectors, <zip archive>#<member>, "
            "package://module/file or bert:<folder or hub name>"
        ) from None
    return vectors


def text_embeddings(source: str, names: list[str]) -> np.ndarray:
    """(K, d) float32: the last layer of a text model in a folder, a package or on a hub, averaged over a name's tokens."""
    import torch

    from mlrepro.models.text import encode_captions, load_text_model

    model, tokenizer, _ = load_text_model(source)
    return encode_captions(
        [name.replace("_", " ") for name in names], model, tokenizer, "mean", torch.device("cpu")
    ).numpy()
