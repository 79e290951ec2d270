"""What init-data makes of exports that have a form of their own: V7, Labelbox, Prodigy, KITTI."""

import json
from pathlib import Path

import pytest
from test_init_data_annotations import (
    CLASSES,
    SETS,
    labels_of,
    own,  # noqa: F401  # a fixture
    pictures,
    write_json,
)
from test_init_data_tables import read, write

from mlrepro.errors import InputError
from mlrepro_cli.init_data.answers import Question

# Fixtures of another file, in the arguments of tests.
# ruff: noqa: F811


def write_lines(own: Path, records: list[dict], name: str) -> Path:
    return write(own, "".join(f"{json.dumps(record)}\n" for record in records), name)


# ------------------------------------------------------------------------------------ V7's Darwin


@pytest.mark.parametrize("version", [1, 2])
def test_darwin(own, version):
    for name, labels in zip(pictures(own, "images/may"), SETS, strict=True):
        content = {"annotations": [{"name": label, "tag": {}} for label in labels]}
        if version == 1:
            content |= {"dataset": "pets", "image": {"filename": name, "path": "/may"}}
        else:
            item = {"name": name, "path": "/may", "slots": [{"type": "image"}]}
            content |= {"version": "2.0", "item": item}
        write_json(own, content, f"releases/{name[:-4]}.json")
    assert labels_of(own) == SETS


def test_films_of_darwin_are_refused(own):
    pictures(own)
    annotation = {"name": "cat", "frames": {"0": {}}}
    write_json(own, {"item": {"name": "a.mov", "slots": []}, "annotations": [annotation]}, "a.json")
    with pytest.raises(InputError, match="a.json: .*of a video; export its frames as pictures"):
        read(own)


# --------------------------------------------------------------------------------------- Labelbox


def row_of_labelbox(name: str, *people: dict) -> dict:
    labels = [{"annotations": annotations} for annotations in people]
    return {
        "data_row": {"external_id": name, "row_data": f"https://storage/{name}"},
        "projects": {"cl1": {"labels": labels}},
    }


def drawn(labels: list[str], **question: list[dict]) -> dict:
    return {"objects": [{"name": label, **question} for label in labels], "classifications": []}


def chosen(question: str, labels: list[str]) -> dict:
    answers = [{"name": label} for label in labels]
    return {"name": question, "checklist_answers": answers}


def test_labelbox(own):
    names = pictures(own)
    people = [drawn(labels) for labels in SETS]
    rows = [row_of_labelbox(*entry) for entry in zip(names, people, strict=True)]
    write_lines(own, rows, "export.ndjson")
    assert labels_of(own) == SETS

    # A question on the picture, and nobody who has answered it.
    people = [{"classifications": [chosen("kind", labels)]} for labels in SETS]
    rows = [row_of_labelbox(*entry) for entry in zip(names, people, strict=True)]
    rows[0] = row_of_labelbox(names[0])
    write_lines(own, rows, "export.ndjson")
    assert labels_of(own) == SETS[1:]

    # Two people who differ.
    rows[1]["projects"]["cl1"]["labels"] *= 2
    rows[1]["projects"]["cl1"]["labels"][1] = {"annotations": {}}
    write_lines(own, rows, "export.ndjson")
    assert read(own).unknown["1.jpg"] == ["dog"]

    # And a picture that was imported twice.
    again = row_of_labelbox(names[5], {"classifications": [chosen("kind", ["cat"])]})
    write_lines(own, [*rows, again], "export.ndjson")
    assert read(own).unknown["5.jpg"] == ["bird", "cat"]


def test_questions_on_objects_of_labelbox(own):
    rows = [
        row_of_labelbox(
            name, drawn(["animal"] * bool(labels), classifications=[chosen("kind", labels)])
        )
        for name, labels in zip(pictures(own), SETS, strict=True)
    ]
    write_lines(own, rows, "export.ndjson")
    with pytest.raises(
        Question, match="several questions .kind, objects; .*--labels-column 'kind'"
    ):
        read(own)
    assert labels_of(own, label_columns=("kind",)) == SETS
    with pytest.raises(InputError, match="--labels-column kinds: no question; .*kind"):
        read(own, label_columns=("kinds",))


# ---------------------------------------------------------------------------------------- Prodigy


def test_choices_of_prodigy(own):
    options = [{"id": label, "text": f"a {label}"} for label in CLASSES]
    records = [
        {"image": name, "options": options, "accept": labels, "answer": "accept", "_task_hash": 2}
        for name, labels in zip(pictures(own), SETS, strict=True)
    ]
    write_lines(own, records, "annotations.jsonl")
    assert labels_of(own) == SETS

    # What was passed over or turned down says nothing; numbers stand for texts.
    for number, option in enumerate(options):
        option["id"] = number
    for record in records:
        record["accept"] = [CLASSES.index(label) for label in record["accept"]]
    records[1]["answer"] = "ignore"
    records[5]["answer"] = "reject"
    write_lines(own, records, "annotations.jsonl")
    expected = [[f"a {label}" for label in labels] for labels in SETS]
    assert labels_of(own) == [expected[0], *expected[2:5]]


def test_regions_of_prodigy(own):
    """The pictures may be in the lines themselves."""
    records = [
        {
            "image": "data:image/jpeg;base64,AAAA",
            "meta": {"file": name},
            "spans": [{"label": label} for label in labels],
            "answer": "accept",
        }
        for name, labels in zip(pictures(own), SETS, strict=True)
    ]
    write_lines(own, records, "annotations.jsonl")
    assert labels_of(own) == SETS
    del records[3]["meta"]
    write_lines(own, records, "annotations.jsonl")
    with pytest.raises(
        InputError, match="record 4 has no name of a picture in path, image or meta"
    ):
        read(own)


def test_questions_of_yes_and_no_of_prodigy(own):
    """What was rejected is absent, and what was never asked is unknown."""
    pictures(own)
    answers = [("0.jpg", "cat", "accept"), ("1.jpg", "cat", "reject"), ("1.jpg", "dog", "accept")]
    answers += [("2.jpg", "dog", "ignore"), ("2.jpg", "cat", "accept"), ("3.jpg", "dog", "reject")]
    answers += [("4.jpg", "dog", "accept"), ("4.jpg", "dog", "reject"), ("4.jpg", "cat", "reject")]
    records = [{"image": name, "label": label, "answer": answer} for name, label, answer in answers]
    write_lines(own, records, "annotations.jsonl")
    found = read(own)
    assert list(found.labels.values()) == [["cat"], ["dog"], ["cat"], [], []]
    assert list(found.unknown.values()) == [["dog"], [], ["dog"], ["cat"], ["dog"]]


# ------------------------------------------------------------------------ Amazon's and Google's


def test_ground_truth_of_several_labels(own):
    records = []
    for name, labels in zip(pictures(own), SETS, strict=True):
        names = {str(CLASSES.index(label)): label for label in labels}
        records.append(
            {
                "source-ref": f"s3://bucket/{name}",
                "pets": [int(number) for number in names],
                "pets-metadata": {"class-map": names, "confidence-map": {}, "job-name": "pets"},
            }
        )
    write_lines(own, records, "output.manifest")
    assert labels_of(own) == SETS

    records[0]["pets"] = [7]
    write_lines(own, records, "output.manifest")
    with pytest.raises(InputError, match="record 1 has class 7, which its class-map does not name"):
        read(own)
    records[0] = {"source-ref": "s3://bucket/0.jpg", "pets-metadata": {"failure-reason": "late"}}
    write_lines(own, records, "output.manifest")
    assert labels_of(own) == SETS[1:]

    # Before the job.
    write_lines(own, [{"source-ref": "s3://bucket/1.jpg"}], "input.manifest")
    assert labels_of(own) == SETS[1:]

    records[1]["other-metadata"] = {}
    write_lines(own, records, "output.manifest")
    with pytest.raises(Question, match="several jobs .other, pets.; say which with --labels-col"):
        read(own)


def test_boxes_and_single_classes_of_ground_truth(own):
    names = {str(number): label for number, label in enumerate(CLASSES)}
    records = [
        {
            "source-ref": f"s3://bucket/{name}",
            "job": {"annotations": [{"class_id": CLASSES.index(label)} for label in labels]},
            "job-metadata": {"class-map": names},
        }
        for name, labels in zip(pictures(own), SETS, strict=True)
    ]
    write_lines(own, records, "output.manifest")
    assert labels_of(own) == SETS
    for number, record in enumerate(records):
        record |= {"job": 0, "job-metadata": {"class-name": CLASSES[number % 3]}}
    write_lines(own, records, "output.manifest")
    assert labels_of(own) == [["cat"], ["dog"], ["bird"]] * 2


def test_lines_of_vertex(own):
    records = [
        {
            "imageGcsUri": f"gs://bucket/{name}",
            "classificationAnnotations": [{"displayName": label} for label in labels],
            "dataItemResourceLabels": {"aiplatform.googleapis.com/ml_use": part},
        }
        for name, labels, part in zip(pictures(own), SETS, ["training", "test"] * 3, strict=True)
    ]
    write_lines(own, records, "data.jsonl")
    assert labels_of(own) == SETS
    assert list(read(own).splits.values()) == ["train", "test"] * 3
    del records[3]["classificationAnnotations"]
    write_lines(own, records, "data.jsonl")
    assert len(labels_of(own)) == 5
    # A sign that ends a line elsewhere is one of the label.
    named = (own / "data.jsonl").read_text().replace('"bird"', '"bi\u2028rd"')
    write(own, named, "data.jsonl")
    assert labels_of(own)[-1] == ["bi\u2028rd"]
    # The line of a damaged one is told.
    write(own, named + "\n{", "data.jsonl")
    with pytest.raises(InputError, match="data.jsonl: .*line 8 is no JSON"):
        read(own)


def test_a_table_of_vertex(own):
    """A row without a label is of a picture that nobody has labelled."""
    parts = ["TRAINING", "VALIDATION", "UNASSIGNED", "TEST", "", "TRAIN"]
    lines = [
        ",".join([part, f"gs://bucket/{name}", *labels])
        for part, name, labels in zip(parts, pictures(own), SETS, strict=True)
    ]
    write(own, "\n".join(lines), "import.csv")
    found = read(own)
    assert list(found.labels.values()) == [labels for labels in SETS if labels]
    assert list(found.splits.values()) == ["train", "val", "", "", "train"]

    write(own, "gs://b/0.jpg,cat,.1,.2,,,.5,.5,,\ngs://b/1.jpg,dog,.1,.2,,,.5,.5,,\n", "import.csv")
    assert labels_of(own) == [["cat"], ["dog"]]
    write(own, "gs://b/0.jpg,cat\nTRAIN,1.jpg,dog\n", "import.csv")
    with pytest.raises(InputError, match="row 2 names no picture in a bucket"):
        read(own)


# -------------------------------------------------------------------------- texts of one picture


NUMBERS = "0.00 0 -1.82 587.01 173.33 614.12 200.12 1.65 1.67 3.64 -0.65 1.71 46.70 -1.59"


def write_kitti(own: Path, name: str, labels: list[str], behind: str = "") -> None:
    lines = [f"{label} {NUMBERS}{behind}\n" for label in labels]
    write(own, "".join(lines), f"training/label_2/{name[:-4]}.txt")


def test_kitti(own):
    for camera in (2, 3):
        names = pictures(own, f"training/image_{camera}", ".png")
    pictures(own, "testing/image_2", ".png")
    for name, labels in zip(names, SETS, strict=True):
        write_kitti(own, name, [*labels, "DontCare"])
    found = read(own)
    assert list(found.labels.values()) == SETS
    assert next(iter(found.labels)) == "training/image_2/0.png"
    assert set(found.splits.values()) == {"train"}

    for part, numbers in {"train": "024", "val": "135", "trainval": "012345", "test": "01"}.items():
        write(own, "\n".join(numbers), f"ImageSets/{part}.txt")
    assert list(read(own).splits.values()) == ["train", "val"] * 3

    write_kitti(own, "1.png", ["dog", "cat 1"], " 7 8")
    with pytest.raises(InputError, match="1.txt, object 1: 'dog .* is not as the others are"):
        read(own)
    for name, labels in zip(names, SETS, strict=True):
        write_kitti(own, name, labels, " 0.93")
    with pytest.raises(Question, match="as a network's score. .*--layout kitti"):
        read(own)
    assert labels_of(own, layout="kitti") == SETS


def test_dota(own):
    corners = "937.0 913.0 921.0 912.0 923.0 874.0 940.0 875.0"
    for name, labels in zip(pictures(own, "images", ".png"), SETS, strict=True):
        lines = ["imagesource:GoogleEarth", "gsd:0.15"]
        lines += [f"{corners} {label} {int(name == '5.png')}" for label in labels]
        write(own, "\n".join(lines), f"labelTxt/{name[:-4]}.txt")
    found = read(own)
    assert list(found.labels.values()) == [*SETS[:5], []]
    # As VOC's objects that are difficult.
    assert found.unknown["images/5.png"] == ["bird"]


# ---------------------------------------------------------------------------------- SuperAnnotate


@pytest.mark.parametrize("suffix", [".json", "___objects.json"])
def test_superannotate(own, suffix):
    for name, labels in zip(pictures(own), SETS, strict=True):
        content = {
            "metadata": {"name": name, "status": "Completed"},
            "instances": [{"className": label} for label in labels[:1]],
            "tags": labels[1:],
        }
        write_json(own, content, f"{name}{suffix}")
    classes = [{"id": number, "name": name} for number, name in enumerate(CLASSES)]
    write_json(own, classes, "classes/classes.json")
    assert labels_of(own) == SETS
    content = {"metadata": {"name": "0.jpg", "status": "NotStarted"}, "instances": [], "tags": []}
    write_json(own, content, f"0.jpg{suffix}")
    assert labels_of(own) == SETS[1:]


# ------------------------------------------------------------------------------- VIA 3, Dataloop


def test_a_project_of_via_3(own):
    names = pictures(own)
    options = {str(number): label for number, label in enumerate(CLASSES)}
    marked = [",".join(str(CLASSES.index(label)) for label in labels) for labels in SETS]
    metadata = {
        f"{place}_x": {"vid": str(place), "av": {"1": ids}} for place, ids in enumerate(marked)
    }
    # Nothing was said of the fourth.
    del metadata["3_x"]
    content = {
        "project": {"pname": "pets"},
        "attribute": {"1": {"aname": "kinds", "type": 2, "options": options}},
        "file": {str(place): {"fname": name, "src": name} for place, name in enumerate(names)},
        "view": {str(place): {"fid_list": [str(place)]} for place in range(6)},
        "metadata": metadata,
    }
    write_json(own, content, "via_project.json")
    assert labels_of(own) == SETS

    # A box each, with a text.
    content["attribute"]["1"] = {"aname": "kind", "type": 1, "options": {}}
    content["metadata"] = {
        f"{place}_{label}": {"vid": str(place), "xy": [2, 1, 1, 3, 3], "av": {"1": label}}
        for place, labels in enumerate(SETS)
        for label in labels
    }
    write_json(own, content, "via_project.json")
    assert labels_of(own) == SETS

    content["metadata"]["0_cat"]["z"] = [0.5, 1.5]
    write_json(own, content, "via_project.json")
    with pytest.raises(InputError, match="0_cat is of a film or a sound"):
        read(own)


def test_dataloop(own):
    for name, labels in zip(pictures(own, "items/may"), SETS, strict=True):
        annotations = [{"type": "box", "label": label} for label in labels]
        content = {"_id": "6f", "filename": f"/may/{name}", "annotations": annotations}
        write_json(own, content, f"json/may/{name[:-4]}.json")
    assert labels_of(own) == SETS


# ---------------------------------------------------------------------------- a file a picture


def test_polygons_of_cityscapes_and_vistas(own):
    pictures(own, "leftImg8bit/train/aachen", "_leftImg8bit.png")
    for number, labels in enumerate(SETS):
        objects = [{"label": label, "polygon": [[1, 1], [2, 2], [3, 1]]} for label in labels]
        content = {"imgHeight": 6, "imgWidth": 6, "objects": objects}
        write_json(own, content, f"gtFine/train/aachen/{number}_gtFine_polygons.json")
    assert labels_of(own) == SETS


@pytest.mark.parametrize("between", [".jpg", ""])
def test_tags_in_xmp_only_where_asked(own, between):
    for name, labels in zip(pictures(own, "2020"), SETS, strict=True):
        tags = "".join(f"<rdf:li>{label}</rdf:li>" for label in labels)
        text = (
            '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF '
            'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description '
            f'xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:subject><rdf:Bag>{tags}</rdf:Bag>'
            "</dc:subject></rdf:Description></rdf:RDF></x:xmpmeta>"
        )
        write(own, text, f"2020/{name[:-4]}{between}.xmp")
    with pytest.raises(InputError, match="6 pictures have an .xmp beside them: .*--layout xmp"):
        read(own)
    assert labels_of(own, layout="xmp") == SETS
    write(own, "<x", f"2020/0{between}.xmp")
    with pytest.raises(InputError, match="0.*xmp, line 1: no valid XML"):
        read(own, layout="xmp")


def test_a_json_a_picture_only_where_asked(own):
    for name, labels in zip(pictures(own), SETS, strict=True):
        content = {"tags": labels, "objects": [{"width": 3}], "site": "x"}
        write_json(own, content, f"{name[:-4]}.json")
    with pytest.raises(InputError, match="have a JSON of their name with tags in it: .*json-files"):
        read(own)
    assert labels_of(own, layout="json-files") == SETS
    assert labels_of(own, layout="json-files", label_columns=("site",)) == [["x"]] * 6

    write_json(own, {"tags": ["cat"], "labels": ["dog"]}, "0.json")
    with pytest.raises(Question, match="0.json: labels in tags, labels; say which with --labels-c"):
        read(own, layout="json-files")
    write_json(own, {"site": "x"}, "0.json")
    with pytest.raises(InputError, match="0.json: no list of labels in it .its keys: site"):
        read(own, layout="json-files")
    write_json(own, {"tags": [1]}, "0.json")
    with pytest.raises(InputError, match="0.json: 1 is no label"):
        read(own, layout="json-files")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"title": "0.jpg", "photoTakenTime": {}, "people": [{"name": "A"}]}, "Google's notes"),
        ({"label_classes": [], "images": [{}], "export_format_version": "1.1"}, "Hasty's export"),
        ([{"task_id": "1", "params": {}, "response": {}}], "tasks of Scale; write"),
        ([{"originalImageUri": "https://x/0.jpg", "tags": []}], "pictures of Azure Custom Vision"),
        ([{"Labeled Data": "https://x/0.jpg", "Label": {}}], "export it again, as .ndjson"),
    ],
)
def test_exports_that_are_not_read_are_named(own, content, message):
    pictures(own)
    write_json(own, content, "export.json")
    with pytest.raises(InputError, match=f"export.json: not read, .*{message}"):
        read(own)


@pytest.mark.parametrize("line", ["684,8,273,116,0,0,0,0", "Apple 1.5 2 30.25 4"])
def test_texts_of_numbers_are_no_tags(own, line):
    """Of VisDrone, and of a tool for Open Images."""
    for name in pictures(own, "images"):
        write(own, f"\n{line}\n", f"labels/{name[:-4]}.txt")
    with pytest.raises(InputError, match=f"6 texts .* such as '{line}' .*: write them as YOLO's"):
        read(own)
