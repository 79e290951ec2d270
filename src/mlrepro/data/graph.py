"""The label graph of a data set.

Vectors of its class names, and how often its training labels come together.
"""

import re
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

import numpy as np

from mlrepro.data.manifest import Manifest
from mlrepro.errors import InputError
from mlrepro.files import address
from mlrepro.settings.run import Graph

# VOC writes two words as one; these are the words whose vectors ML-GCN's file of VOC holds.
VOC_WORDS = {"diningtable": "table", "pottedplant": "plant", "tvmonitor": "tv"}

# Entries of a label matrix that are counted as they are, without those that are 0 left out.
FEW_LABELS = 2_000_000

# Added to a column's sum in ML-GCN's code, so that a class that no edge leads to divides by it.
NO_EDGES = 1e-6

TEXT_MODEL = "bert:"  # prefix of `graph.words` where a text model makes the vectors


def label_graph(settings: Graph, manifest: Manifest) -> dict[str, np.ndarray]:
    """Options of the heads `graph` and `mlgcn`, in the order of the classes.

    `words` (K, d) float32; with `misaligned`, class i, the r-th in sorted order, has the word of
    the r-th class in the data set's own order. `A` (K, K) float64: `correlation_matrix` of the
    training split's positives, difficult ones as the label rule of the data set has them.

    Raises InputError for classes without names or word vectors, and for counts that the data set
    has not.
    """
    _refuse_numbers(manifest.classes)
    together, occurrences = cooccurrence(manifest.label_matrix(manifest.rows("train")))
    if settings.counts == "instances":
        occurrences = _instances(manifest)  # as deep-object-reid divides

    source = settings.words.removeprefix(TEXT_MODEL)
    if source == settings.words:
        words = word_vectors(address(source), manifest.classes)
    else:
        words = text_embeddings(address(source), manifest.classes)
    if settings.misaligned:
        words = words[_rank_in_sorted_order(manifest.classes)]

    A = correlation_matrix(together, occurrences, settings.tau, settings.p)
    return {"words": words, "A": A}


def _refuse_numbers(classes: list[str]) -> None:
    numbers = [name for name in classes if name.isdecimal()]
    if not numbers:
        return
    shown = ", ".join(numbers[:3])
    if len(numbers) > 3:
        shown += ", ..."
    raise InputError(
        f"graph: the classes {shown} have no names, so that no text model can represent them (AAM, "
        "section 4, on VG500); name the classes or take another head"
    )


def _instances(manifest: Manifest) -> np.ndarray:
    """(K,) objects of each class in the training pictures."""
    instances = manifest.summary["splits"]["train"].get("instances", {})
    if instances.keys() != set(manifest.classes):
        raise InputError(
            "graph.counts: summary.json has no object instances of the training pictures: only "
            "COCO has them, and VOC with a readable file in Annotations/ a picture; set `counts: "
            "images`, or run prepare again"
        )
    return np.array([instances[name] for name in manifest.classes])


def _rank_in_sorted_order(classes: list[str]) -> np.ndarray:
    """Of each class its place among the sorted names."""
    in_order = np.argsort(classes)
    ranks = np.argsort(in_order)  # the inverse permutation
    if (ranks == np.arange(len(ranks))).all():
        raise InputError(
            "graph.misaligned: the data set's own class order is the sorted one, so that nothing "
            "can be misaligned; set `class_order: category_id` (COCO), or leave `misaligned` out"
        )
    return ranks


# --- the matrix ----------------------------------------------------------------------------------


def cooccurrence(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Labels (N, K) to the counts (K, K) of images that hold both classes, and (K,) of each.

    The diagonal of the former is 0.
    """
    present = labels > 0
    if labels.size <= FEW_LABELS:
        counted = present.astype(np.float64)  # BLAS has no integers; these are exact to 2^53
        together = (counted.T @ counted).astype(np.int64)
    else:
        from scipy.sparse import csr_array  # here: it takes longer than the few are counted

        sparse = csr_array(present, dtype=np.int64)
        together = (sparse.T @ sparse).toarray()
    images = together.diagonal().copy()
    np.fill_diagonal(together, 0)
    return together, images


def correlation_matrix(
    counts: np.ndarray, images: np.ndarray, tau: float = 0.4, p: float = 0.25
) -> np.ndarray:
    """A (K, K), float64: edges i to j where P(j | i) >= tau, re-weighted to p, and the identity.

    The weights are by column. As in ML-GCN's code (p = 0.25), not as in its eq. 8: p is divided by
    the column's sum and the diagonal is 1. Other p are deep-object-reid's, where p = 0 means the
    plain 0/1 edges without self-loops. A class without images has no edges of its own.
    """
    # P(j | i) in row i, column j.
    conditional = counts / np.maximum(images, 1)[:, None]
    edges = (conditional >= tau).astype(np.float64)
    if p == 0:
        return edges
    edges_into = edges.sum(0, keepdims=True)
    return edges * p / (edges_into + NO_EDGES) + np.eye(len(edges))


# --- the words -----------------------------------------------------------------------------------


def word_vectors(source: str, names: list[str]) -> np.ndarray:
    """(K, d) float32 from GloVe's text format, a word and d numbers a line.

    source: a file, or <zip archive>#<member>. A name is looked up as a whole, "_" for its spaces;
    else its words' vectors are averaged (it is split at spaces, "_" and "-"). What is not there as
    it is written is looked up in lower case.

    Raises InputError for names that are not there and for lines of other lengths.
    """
    whole_names = [name.replace(" ", "_") for name in names]
    words_of_names = [re.findall("[^ _-]+", VOC_WORDS.get(name, name)) for name in names]

    # Files of word vectors have millions of lines: only those that may be asked for are kept.
    wanted = set(whole_names)
    for words in words_of_names:
        wanted.update(words)
    vectors = _read_vectors(source, wanted | {word.lower() for word in wanted})

    rows = []
    missing = []
    for whole, words in zip(whole_names, words_of_names, strict=True):
        own = _look_up(vectors, [whole]) or _look_up(vectors, words)
        if own:
            rows.append(np.mean(own, axis=0))
        else:
            missing.append(whole)
    if missing:
        raise InputError(
            f"{source}: no vector for the classes {', '.join(missing)}; add a line for each: the "
            "name as it is written here and as many numbers as in the other lines, separated by "
            "single spaces"
        )
    return np.stack(rows).astype(np.float32)


def _look_up(vectors: dict[str, np.ndarray], words: list[str]) -> list[np.ndarray]:
    """The vector of every word; none at all where one is missing."""
    values = [vectors.get(word, vectors.get(word.lower())) for word in words]
    if any(value is None for value in values):
        return []
    return values


def _read_vectors(source: str, wanted: set[str]) -> dict[str, np.ndarray]:
    try:
        with _open_vectors(source) as lines:
            return _parse_vectors(source, lines, wanted)
    except (OSError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(
            f"{source}: not readable ({error}); graph.words is a text file of word vectors, <zip "
            "archive>#<member>, package://module/file or bert:<folder or hub name>"
        ) from None


def _open_vectors(source: str) -> BinaryIO:
    if Path(source).is_file():
        return open(source, "rb")
    path, _, member = source.partition("#")
    if member:
        return zipfile.ZipFile(path).open(member)
    return open(path, "rb")


def _parse_vectors(source: str, lines: Iterable[bytes], wanted: set[str]) -> dict[str, np.ndarray]:
    vectors = {}
    width = 0
    for number, line in enumerate(lines, 1):
        encoded, _, numbers = line.partition(b" ")
        word = encoded.decode(errors="replace")
        if word not in wanted:
            continue

        vector = _numbers(numbers)
        width = width or len(vector)  # that of the first word
        if width == 0 or len(vector) != width or not np.isfinite(vector).all():
            raise InputError(
                f"{source}, line {number}: {word!r} has not as many finite numbers as the words "
                f"before it ({width}); mend the line or fetch the file again"
            )
        vectors[word] = vector
    return vectors


def _numbers(text: bytes) -> np.ndarray:
    """The numbers of a line, or what is not finite where they are none."""
    try:
        return np.array(text.split(), np.float64)
    except ValueError:
        return np.array([np.nan])


def text_embeddings(source: str, names: list[str]) -> np.ndarray:
    """(K, d) float32: the last layer of a text model, averaged over a name's tokens.

    source: a folder, in a package or not, or a name on a hub.
    """
    import torch

    from mlrepro.models.text import encode_captions, load_text_model

    model, tokenizer, _ = load_text_model(source)
    captions = [name.replace("_", " ") for name in names]
    return encode_captions(captions, model, tokenizer, "mean", torch.device("cpu")).numpy()
