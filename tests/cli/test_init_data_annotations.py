"""What init-data makes of annotation tools' files: the right labels, or a question, or an error."""

import json
from pathlib import Path

import pytest
from picture_files import write_picture
from test_init_data_tables import read, write

from mlrepro.errors import InputError
from mlrepro_cli.init_data.answers import Question

# The labels of the pictures 0.jpg to 5.jpg.
SETS = [["cat"], ["dog"], ["cat", "dog"], [], ["bird", "dog"], ["bird"]]
CLASSES = ["cat", "dog", "bird"]


@pytest.fixture
def own(tmp_path) -> Path:
    return tmp_path / "own"


def pictures(own: Path, folder: str = "", suffix: str = ".jpg", first: str = "") -> list[str]:
    names = [f"{first}{number}{suffix}" for number in range(len(SETS))]
    for name in names:
        write_picture(own / folder / name)
    return names


def labels_of(own: Path, **answers) -> list[list[str]]:
    """Of the pictures in the order of their paths."""
    return [labels for _, labels in sorted(read(own, **answers).labels.items())]


def write_json(own: Path, content, name: str) -> Path:
    return write(own, json.dumps(content), name)


# --------------------------------------------------------------------------------------------- VOC


def write_lists(own: Path, part: str, names: list[str], flags: dict[str, list[int]]) -> None:
    for label, of_label in flags.items():
        lines = [f"{name} {flag:2d}\n" for name, flag in zip(names, of_label, strict=True)]
        write(own, "".join(lines), f"ImageSets/Main/{label}_{part}.txt")


def xml(name: str, *objects: str, difficult: tuple[str, ...] = ()) -> str:
    entries = [
        f"<object><name>{label}</name><difficult>{int(label in difficult)}</difficult></object>"
        for label in objects
    ]
    return f"<annotation><filename>{name}</filename>{''.join(entries)}</annotation>"


def test_voc_lists_say_present_absent_and_unknown(own):
    pictures(own, "JPEGImages", ".png", "photo 1 ")
    names = [f"photo 1 {number}" for number in range(6)]
    flags = {"cat": [1, -1, 0, -1, 1, -1], "dog": [-1, 1, 1, -1, 0, 1]}
    write_lists(own, "train", names, flags)
    lines = [f"{name}\t{flag}\r\n" for name, flag in zip(names, flags["dog"], strict=True)]
    write(own, "".join(lines), "ImageSets/Main/dog_train.txt")
    found = read(own)
    assert [found.labels[f"JPEGImages/{name}.png"] for name in names] == [
        ["cat"],
        ["dog"],
        ["dog"],
        [],
        ["cat"],
        ["dog"],
    ]
    assert found.unknown["JPEGImages/photo 1 2.png"] == ["cat"]
    assert found.unknown["JPEGImages/photo 1 4.png"] == ["dog"]


def test_a_line_of_a_voc_list_that_cannot_be_read(own):
    pictures(own, "JPEGImages")
    write(own, "0  1\n1 yes\n", "ImageSets/Main/cat_train.txt")
    with pytest.raises(InputError, match="cat_train.txt: .*line 2: '1 yes'; expected"):
        read(own)


def test_the_test_part_of_voc_has_no_labels(own, capsys):
    pictures(own, "JPEGImages")
    write_lists(own, "trainval", ["0", "1", "2", "3"], {"cat": [1, -1, 1, -1]})
    write(own, "4\n5\n", "ImageSets/Main/test.txt")
    assert labels_of(own) == [["cat"], [], ["cat"], []]
    assert "ImageSets/Main/test.txt: 2 pictures without anything" in capsys.readouterr().out


def test_lists_of_voc_go_before_its_xml(own, capsys):
    pictures(own, "JPEGImages")
    write_lists(own, "train", ["0", "1"], {"cat": [1, -1]})
    write(own, "2\n3\n", "ImageSets/Main/val.txt")
    for number in range(6):
        write(own, xml(f"{number}.jpg", "dog"), f"Annotations/{number}.xml")
    found = read(own)
    assert found.labels == {
        "JPEGImages/0.jpg": ["cat"],
        "JPEGImages/1.jpg": [],
        "JPEGImages/2.jpg": ["dog"],
        "JPEGImages/3.jpg": ["dog"],
    }
    assert found.splits["JPEGImages/3.jpg"] == "val"
    assert (
        "2 XML files of pictures in no list, left out: Annotations/4.xml" in capsys.readouterr().out
    )


def test_xml_beside_pictures_without_lists(own):
    """LabelImg's, where <difficult> may be missing; Roboflow's, in folders of parts."""
    for part in ("train", "valid"):
        for name, labels in zip(pictures(own, part), SETS, strict=True):
            text = xml(name, *labels).replace("<difficult>0</difficult>", "")
            write(own, text, f"{part}/{name.replace('.jpg', '.xml')}")
    assert labels_of(own) == SETS * 2
    assert read(own).splits["valid/5.jpg"] == "val"


def test_objects_that_are_difficult(own):
    pictures(own)
    write(own, xml("0.jpg", "cat", "dog", difficult=("cat",)), "0.xml")
    both = xml("1.jpg", "cat", difficult=("cat",)).replace(
        "</annotation>", "<object><name>cat</name></object></annotation>"
    )
    write(own, both, "1.xml")
    found = read(own)
    assert found.labels == {"0.jpg": ["dog"], "1.jpg": ["cat"]}
    assert found.unknown == {"0.jpg": ["cat"], "1.jpg": []}


def test_an_xml_that_names_another_picture(own, capsys):
    pictures(own, "images")
    write(own, xml("0.jpg", "cat"), "Annotations/1.xml")
    write(own, xml("C:\\photos\\2.jpg", "dog"), "Annotations/export 7.xml")
    found = read(own)
    assert found.labels == {"images/1.jpg": ["cat"], "images/2.jpg": ["dog"]}
    assert "with the XML's own name" in capsys.readouterr().out


@pytest.mark.parametrize("with_classes", [False, True])
def test_two_years_of_voc_with_pictures_of_one_name(own, with_classes):
    for year, part, label in ((2007, "test", "cat"), (2012, "train", "dog")):
        folder = f"VOCdevkit/VOC{year}"
        for number, name in enumerate(pictures(own, f"{folder}/JPEGImages")):
            write(own, xml(name, label), f"{folder}/Annotations/{number}.xml")
        numbers = [str(number) for number in range(6)]
        if with_classes:
            write_lists(own / folder, part, numbers, {label: [1] * 6})
        else:
            write(own, "\n".join(numbers), f"{folder}/ImageSets/Main/{part}.txt")
    found = read(own)
    assert found.labels["VOCdevkit/VOC2007/JPEGImages/3.jpg"] == ["cat"]
    assert found.splits["VOCdevkit/VOC2007/JPEGImages/3.jpg"] == "test"
    assert found.labels["VOCdevkit/VOC2012/JPEGImages/3.jpg"] == ["dog"]
    assert found.splits["VOCdevkit/VOC2012/JPEGImages/3.jpg"] == "train"


def test_masks_of_voc_are_not_its_pictures(own):
    pictures(own, "SegmentationClass", ".png")
    pictures(own, "JPEGImages")
    for number, labels in enumerate(SETS):
        write(own, xml(f"{number}.jpg", *labels), f"Annotations/{number}.xml")
    assert list(read(own).labels) == [f"JPEGImages/{number}.jpg" for number in range(6)]


@pytest.mark.parametrize(
    "text, message",
    [
        ("<annotation>\n<object>\n<name>cat</na", "0.xml, line 3: no valid XML"),
        ("", "0.xml, line 1: no valid XML"),
        ("<annotation><object><pose/></object></annotation>", "object 1 has no <name>"),
        ('<?xml version="1.0" encoding="klingon"?><annotation/>', "0.xml.*encoding"),
    ],
)
def test_damaged_xml(own, text, message):
    pictures(own)
    for number in range(1, 6):
        write(own, xml(f"{number}.jpg", "cat"), f"{number}.xml")
    write(own, text, "0.xml")
    with pytest.raises(InputError, match=message):
        read(own)


# -------------------------------------------------------------------------------------------- COCO


def coco(names: list[str], sets: list[list[str]] = SETS, ids: dict[str, int] | None = None) -> dict:
    ids = ids or {"cat": 3, "dog": 7, "bird": 90}
    annotations = [
        {"id": 10 * image + place, "image_id": image, "category_id": ids[label], "iscrowd": place}
        for image, labels in enumerate(sets)
        for place, label in enumerate(labels)
    ]
    return {
        "images": [{"id": image, "file_name": name} for image, name in enumerate(names)],
        "annotations": annotations,
        "categories": [{"id": number, "name": name} for name, number in ids.items()],
    }


@pytest.mark.parametrize("name", ["instances_default.json", "result.json", "annotations/my.JSON"])
def test_coco_under_any_name(own, name):
    names = pictures(own, "images")
    write_json(own, coco(names), name)
    assert labels_of(own) == SETS


@pytest.mark.parametrize(
    "written",
    ["images/{}", "images\\{}", "../images/{}", "C:\\data\\images\\{}", "https://x.org/a/{}?k=1"],
)
def test_names_in_coco(own, written):
    names = pictures(own, "images")
    write_json(own, coco([written.format(name) for name in names]), "annotations/a.json")
    assert labels_of(own) == SETS


def test_coco_by_its_address_alone(own):
    content = coco(pictures(own))
    for image in content["images"]:
        image["coco_url"] = f"http://images.cocodataset.org/val2017/{image.pop('file_name')}"
    write_json(own, content, "a.json")
    assert labels_of(own) == SETS


def test_coco_as_tools_write_it(own):
    """Roboflow's first category without an annotation; ids as text; a part in several files."""
    content = coco(pictures(own, "train"))
    content["categories"].insert(0, {"id": 0, "name": "pets-x7", "supercategory": "none"})
    for image in content["images"]:
        image["id"] = str(image["id"])
    write_json(own, content, "train/_annotations.coco.json")
    more = pictures(own, "train", first="more ")
    write_json(own, coco(more), "train/more.json")
    write_json(own, coco(pictures(own, "test")), "test/_annotations.coco.json")
    found = read(own)
    assert len(found.labels) == 18
    assert found.labels["train/more 4.jpg"] == ["bird", "dog"]
    assert found.labels["train/3.jpg"] == []
    assert found.splits["test/1.jpg"] == "test"
    assert {label for labels in found.labels.values() for label in labels} == set(CLASSES)


def test_beside_instances_captions_are_not_read(own, capsys):
    content = coco(pictures(own, "val2017"))
    write_json(own, content, "annotations/instances_val2017.json")
    write(own, "{ not read at all", "annotations/captions_val2017.json")
    keypoints = content | {"annotations": [{"image_id": 3, "category_id": 3}]}
    write_json(own, keypoints, "annotations/person_keypoints_val2017.json")
    assert labels_of(own) == SETS
    assert "person_keypoints_val2017.json: not read" in capsys.readouterr().out


def test_captions_alone_are_no_labels(own):
    names = pictures(own)
    content = coco(names)
    del content["categories"]
    content["annotations"] = [{"id": 1, "image_id": 0, "caption": "a cat"}]
    write_json(own, content, "captions.json")
    with pytest.raises(InputError, match="no labels; captions.json: not read, .*no categories"):
        read(own)


def test_panoptic_segments_are_labels(own):
    content = coco(pictures(own))
    content["annotations"] = [
        {"image_id": 0, "segments_info": [{"category_id": 3}, {"category_id": 90}]},
        {"image_id": 1, "segments_info": []},
    ]
    write_json(own, content, "panoptic.json")
    assert labels_of(own) == [["bird", "cat"], [], [], [], [], []]


def _without_category(content: dict) -> None:
    content["annotations"][2]["category_id"] = 42


def _without_image(content: dict) -> None:
    content["annotations"][2]["image_id"] = 77


def _two_images_of_a_name(content: dict) -> None:
    content["images"][1]["file_name"] = "0.jpg"


def _two_names_of_a_category(content: dict) -> None:
    content["categories"].append({"id": 3, "name": "lion"})


def _no_object(content: dict) -> None:
    content["annotations"][1] = "cat"


def _no_name_of_a_label(content: dict) -> None:
    content["categories"][0]["name"] = None


def _image_without_name(content: dict) -> None:
    del content["images"][4]["file_name"]


@pytest.mark.parametrize(
    "spoil, message",
    [
        (_without_category, "annotation 20 is of category 42, which `categories` does not list"),
        (_without_image, "annotation 20 is of image 77, which `images` does not list"),
        (_two_images_of_a_name, "images 0 and 1 are both called 0.jpg, and have different labels"),
        (_two_names_of_a_category, "category 3 is called 'cat' and 'lion'"),
        (_no_object, "`annotations` has 'cat' at 1; expected a list of objects"),
        (_no_name_of_a_label, "category 3 has no name"),
        (_image_without_name, "image 4 has no file_name"),
    ],
)
def test_coco_that_contradicts_itself(own, spoil, message):
    content = coco(pictures(own))
    spoil(content)
    write_json(own, content, "a.json")
    with pytest.raises(InputError, match=f"a.json: cannot be read as COCO's .*{message}"):
        read(own)


def test_two_files_of_coco_that_disagree(own):
    names = pictures(own)
    write_json(own, coco(names), "a.json")
    write_json(own, coco(names, [["dog"], *SETS[1:]]), "a_old.json")
    with pytest.raises(Question, match=r"a.json and a_old.json both list 0.jpg.*\['cat'\]"):
        read(own)
    assert read(own / "a.json").labels["0.jpg"] == ["cat"]


def test_a_file_of_coco_a_label(own):
    names = pictures(own)
    for label in CLASSES:
        sets = [[label] if label in labels else [] for labels in SETS]
        write_json(own, coco(names, sets, {label: 1}), f"{label}.json")
    assert labels_of(own) == SETS


def test_what_lvis_has_not_looked_for(own):
    content = coco(pictures(own))
    for image in content["images"]:
        image["neg_category_ids"] = [90] if image["id"] == 0 else []
    write_json(own, content, "lvis.json")
    with pytest.raises(Question, match="neg_category_ids .*--partial"):
        read(own)
    assert labels_of(own, partial=True) == SETS


# -------------------------------------------------------------------------------------------- YOLO


def write_yolo(own: Path, images: str, labels: str) -> None:
    for name, of_picture in zip(pictures(own, images), SETS, strict=True):
        lines = [f"{CLASSES.index(label)} 0.5 0.5 0.25 1e-1\n" for label in of_picture]
        write(own, "".join(lines), f"{labels}/{name.replace('.jpg', '.txt')}")


DATA = "nc: 3\nnames: ['cat', 'dog', 'bird']\n"
NAMES_BY_NUMBER = "names:\n  0: cat\n  1: dog\n  2: bird\n"


@pytest.mark.parametrize(
    "first, second, text",
    [
        ("images/train", "images/val", f"path: ../x\ntrain: images/train\nval: images/val\n{DATA}"),
        ("train/images", "valid/images", f"train: ../train/images\nval: ../valid/images\n{DATA}"),
        ("images/train", "images/val", f"path: /home/x\ntrain: images/train\n\n{NAMES_BY_NUMBER}"),
        ("train/images", "valid/images", NAMES_BY_NUMBER),
    ],
)
def test_yolo_in_its_layouts(own, first, second, text):
    for folder in (first, second):
        write_yolo(own, folder, folder.replace("images", "labels"))
    pictures(own, "runs/detect/exp")
    write(own, text, "data.yaml")
    found = read(own)
    both = "val:" in text or "train:" not in text
    assert [found.labels[f"{first}/{number}.jpg"] for number in range(6)] == SETS
    assert found.splits[f"{first}/0.jpg"] == "train"
    assert (found.splits.get(f"{second}/0.jpg") == "val") is both
    assert not any("runs" in image for image in found.labels)


def test_yolo_beside_the_pictures(own, capsys):
    """Darknet's and CVAT's; a picture without a text has no label."""
    write_yolo(own, "obj_train_data", "obj_train_data")
    write(own, "cat\ndog\nbird\n\n", "obj.names")
    write(own, "classes = 3\nnames = data/obj.names\n", "obj.data")
    (own / "obj_train_data" / "3.txt").unlink()
    assert labels_of(own) == SETS
    assert "1 pictures beside others with a text have none" in capsys.readouterr().out


def test_masks_beside_the_pictures_of_yolo(own, capsys):
    """A picture without a text has no label; a mask is none."""
    write(own, "cat\ndog\nbird\n", "classes.txt")
    for name, labels in zip(pictures(own), SETS, strict=True):
        write_picture(own / f"{name[:-4]}_mask.png")
        lines = [f"{CLASSES.index(label)} 0.5 0.5 0.1 0.1\n" for label in labels]
        if labels:
            write(own, "".join(lines), f"{name[:-4]}.txt")
    assert labels_of(own) == SETS
    said = capsys.readouterr().out
    assert "0_mask.png, 1_mask.png, 2_mask.png and 3 more: left out" in said
    assert "1 pictures beside others with a text have none" in said


def test_texts_of_yolo_as_windows_writes_them(own):
    write_yolo(own, "pics", "pics")
    for text in (own / "pics").glob("*.txt"):
        text.write_bytes(b"\xef\xbb\xbf" + text.read_bytes().replace(b"\n", b"\r\n"))
    write(own, "\ufeffcat\r\ndog\r\nbird\r\n", "classes.txt")
    assert labels_of(own) == SETS


@pytest.mark.parametrize(
    "images, labels",
    [
        ("Images", "Labels"),
        ("", "labels"),
        ("pics", "annotations/yolo"),
        ("train_images", "train_labels"),
    ],
)
def test_yolo_in_folders_of_other_names(own, images, labels):
    write_yolo(own, images, labels)
    write(own, "0 .5 .5 .1 .1\n", "runs/detect/exp/labels/0.txt")
    write(own, "cat\ndog\nbird", "classes.txt")
    assert labels_of(own) == SETS


@pytest.mark.parametrize(
    "images, labels",
    [
        ("{}/JPEGImages", "{}/labels"),
        ("JPEGImages/{}", "labels/{}"),
        ("pics/{}", "{}/annotations"),
    ],
)
def test_texts_and_pictures_of_the_same_names_in_each_part(own, images, labels):
    for part, shift in (("train", 0), ("test", 1)):
        for place in range(len(SETS) - shift):
            write_picture(own / images.format(part) / f"{place}.jpg")
            numbers = [CLASSES.index(label) for label in SETS[place + shift]]
            lines = "".join(f"{number} .5 .5 .1 .1\n" for number in numbers)
            write(own, lines, f"{labels.format(part)}/{place}.txt")
    write(own, "cat\ndog\nbird", "classes.txt")
    found = read(own).labels
    for part, shift in (("train", 0), ("test", 1)):
        for place in range(len(SETS) - shift):
            assert found[f"{images.format(part)}/{place}.jpg"] == SETS[place + shift]


def test_a_text_that_may_be_of_two_pictures(own):
    """Both would be without labels."""
    write_yolo(own, "pics/a", "labels")
    pictures(own, "pics/b")
    pictures(own, "pics/c", first="x")
    write(own, "0 .5 .5 .1 .1\n", "labels/x0.txt")
    write(own, "cat\ndog\nbird", "classes.txt")
    with pytest.raises(Question, match="labels/0.txt: the objects of pics/a/0.jpg or of pics/b/0"):
        read(own)


def test_polygons_and_lists_of_yolo(own):
    write_yolo(own, "images", "labels")
    write(own, "2 0.1 0.1 0.2 0.2 0.3 0.1 0.4 0.4\n0 0.1 0.1 0.2 0.2 0.9\n", "labels/0.txt")
    write(own, "cat\ndog\nbird", "classes.txt")
    write(own, "{}", "notes.json")
    assert labels_of(own) == [["bird", "cat"], *SETS[1:]]


def test_a_part_of_yolo_without_texts(own, capsys):
    write_yolo(own, "images/train", "labels/train")
    pictures(own, "images/test")
    write(own, f"train: images/train\ntest: images/test\n{DATA}", "data.yaml")
    assert labels_of(own) == SETS
    assert "data.yaml: 6 pictures without anything on their labels" in capsys.readouterr().out


def test_a_list_of_pictures_in_data_yaml(own):
    write_yolo(own, "images", "labels")
    write(own, f"train: train.txt\nval: val.txt\n{DATA}", "data.yaml")
    write(own, "".join(f"./images/{number}.jpg\n" for number in range(4)), "train.txt")
    write(own, "/home/x/own/images/4.jpg\n", "val.txt")
    found = read(own)
    assert len(found.labels) == 5
    assert found.splits["images/4.jpg"] == "val"
    assert found.labels["images/4.jpg"] == ["bird", "dog"]


@pytest.mark.parametrize(
    "spoil, error, message",
    [
        ({"labels/1.txt": "0 .5 .5 .1 .1\n3 .5 .5 .1 .1\n"}, InputError, "1.txt, line 2: class 3"),
        ({"labels/1.txt": "0 .5 .5 .1 .1\ncat 1 2\n"}, InputError, "1.txt, line 2: 'cat 1 2' is"),
        ({"data.yaml": "names: [cat\n"}, InputError, "data.yaml, line 2: no valid YAML"),
        ({"data.yaml": "nc: 4\nnames: [a, b, c]\n"}, InputError, "`nc` is 4, and 3 `names`"),
        ({"data.yaml": "names: cat\n"}, InputError, "`names` is 'cat'; expected a list"),
        ({"old.yaml": "names: [a, b, c]\n"}, Question, "data.yaml and old.yaml describe the data"),
        ({"data.yaml": ""}, InputError, "no file names them; put classes.txt"),
    ],
)
def test_yolo_that_cannot_be_read(own, spoil, error, message):
    write_yolo(own, "images", "labels")
    for name, text in ({"data.yaml": DATA} | spoil).items():
        write(own, text, name)
    with pytest.raises(error, match=message):
        read(own)


def test_the_data_yaml_that_is_given(own):
    write_yolo(own, "images", "labels")
    write(own, DATA, "data.yaml")
    write(own, "names: [a, b, c]\n", "old.yaml")
    assert labels_of(own / "data.yaml") == SETS
    assert labels_of(own / "old.yaml")[4] == ["b", "c"]


# ----------------------------------------------------------------------------- other tools' exports


def test_cvat_for_images(own):
    images = []
    for number, (name, labels) in enumerate(zip(pictures(own, "images"), SETS, strict=True)):
        subset = "Train" if number < 4 else "Validation"
        shapes = "".join(
            f'<box label="{label}" xtl="1"/><tag label="{label}"/>' for label in labels
        )
        images.append(f'<image id="{number}" name="{name}" subset="{subset}">{shapes}</image>')
    text = f"<annotations><version>1.1</version><meta/>{''.join(images)}</annotations>"
    write(own, text, "annotations.xml")
    assert labels_of(own) == SETS
    assert read(own).splits["images/4.jpg"] == "val"

    write(own, '<annotations><track label="cat"/></annotations>', "annotations.xml")
    with pytest.raises(InputError, match="annotations.xml: .*export it as `CVAT for images`"):
        read(own)


def task(
    number: int, *annotators: list[str], kind: str = "choices", control: str = "label"
) -> dict:
    results = [
        [{"from_name": control, "type": kind, "value": {kind: labels}}] if labels else []
        for labels in annotators
    ]
    return {
        "id": number,
        "data": {"image": f"/data/upload/3/1f2e3d4c-{number}.jpg"},
        "annotations": [{"result": result, "was_cancelled": False} for result in results],
    }


@pytest.mark.parametrize("kind", ["choices", "rectanglelabels", "polygonlabels"])
def test_label_studio(own, kind):
    pictures(own, "upload")
    tasks = [task(number, labels, kind=kind) for number, labels in enumerate(SETS)]
    write_json(own, tasks, "project-1-at-2026-01-01.json")
    assert labels_of(own) == SETS


def test_annotators_of_label_studio_who_disagree(own, capsys):
    pictures(own)
    tasks = [task(0, ["cat"], ["cat", "dog"]), task(1, ["dog"]), task(2)]
    tasks[1]["annotations"].append({"result": [], "was_cancelled": True})
    write_json(own, tasks, "tasks.json")
    found = read(own)
    assert found.labels == {"0.jpg": ["cat"], "1.jpg": ["dog"]}
    assert found.unknown == {"0.jpg": ["dog"], "1.jpg": []}
    assert "tasks.json: 1 pictures without anything" in capsys.readouterr().out


def test_what_a_reviewer_of_label_studio_marked_as_true(own):
    pictures(own)
    tasks = [task(number, ["bird"], labels) for number, labels in enumerate(SETS)]
    for entry in tasks:
        entry["annotations"][1]["ground_truth"] = True
    write_json(own, tasks, "tasks.json")
    assert labels_of(own) == SETS


def test_several_pictures_in_a_task_of_label_studio(own):
    for folder in ("", "before", "thumbs"):
        pictures(own, folder)
    tasks = [task(number, labels) for number, labels in enumerate(SETS)]
    for number, entry in enumerate(tasks):
        link = {"source": f"https://example.org/{number}", "thumb": f"thumbs/{number}.jpg"}
        entry["data"] = link | {"image": f"{number}.jpg"}
    write_json(own, tasks, "tasks.json")
    assert list(read(own).labels) == [f"{number}.jpg" for number in range(6)]

    for number, entry in enumerate(tasks):
        entry["data"] = {"left": f"before/{number + 1}.jpg"} | entry["data"]
    write_json(own, tasks, "tasks.json")
    with pytest.raises(Question, match="pictures in left, image; .* or --image-column 'image'"):
        read(own)
    assert labels_of(own, image_columns=("image",)) == SETS


def test_controls_of_label_studio(own):
    pictures(own)
    tasks = [task(number, labels) for number, labels in enumerate(SETS)]
    quality = task(0, ["blurred"], control="quality")["annotations"][0]["result"]
    tasks[0]["annotations"][0]["result"] += quality
    write_json(own, tasks, "tasks.json")
    with pytest.raises(Question, match="--labels-column label --labels-column quality"):
        read(own)
    assert labels_of(own, label_columns=("label",)) == SETS


def test_label_studio_min(own):
    pictures(own)
    entries = [
        {
            "image": f"/data/local-files/?d=own/{number}.jpg",
            "id": number,
            "choice": labels[0] if len(labels) == 1 else {"choices": labels},
            "annotator": 1,
            "annotation_id": number,
            "lead_time": 2.5,
        }
        for number, labels in enumerate(SETS)
    ]
    write_json(own, entries, "min.json")
    assert labels_of(own) == SETS


def test_fiftyone_classification_and_detection(own, capsys):
    pictures(own, "data")
    numbers = [[CLASSES.index(label) for label in labels] for labels in SETS]
    labels = {str(number): of_picture for number, of_picture in enumerate(numbers)}
    labels |= {"0": 0, "5": None}
    write_json(own, {"classes": CLASSES, "labels": labels}, "labels.json")
    assert labels_of(own) == SETS[:5]
    assert "labels.json: 1 pictures without anything" in capsys.readouterr().out

    boxes = {
        name: [{"label": number, "bounding_box": [0, 0, 1, 1]} for number in of_picture]
        for name, of_picture in zip(map(str, range(6)), numbers, strict=True)
    }
    write_json(own, {"classes": CLASSES, "labels": boxes}, "labels.json")
    assert labels_of(own) == SETS

    write_json(own, {"classes": CLASSES, "labels": {"0": 3}}, "labels.json")
    with pytest.raises(InputError, match="0 has label 3, and there are 3 classes"):
        read(own)


def test_fiftyone_samples(own):
    samples = [
        {
            "filepath": f"data/{name}",
            "tags": ["validation" if number > 3 else "train"],
            "ground_truth": {"_cls": "Detections", "detections": [{"label": x} for x in labels]},
            "predictions": {"_cls": "Classification", "label": "cat"},
        }
        for number, (name, labels) in enumerate(zip(pictures(own, "data"), SETS, strict=True))
    ]
    write_json(own, {"samples": samples}, "samples.json")
    with pytest.raises(Question, match="ground_truth, predictions.*--labels-column"):
        read(own)
    assert labels_of(own, label_columns=("ground_truth",)) == SETS


def test_labelme(own):
    for name, labels in zip(pictures(own), SETS, strict=True):
        shapes = [{"label": label, "points": [[0, 0], [1, 1]]} for label in labels]
        content = {"shapes": shapes, "imagePath": f"..\\elsewhere\\{name}", "flags": {}}
        write_json(own, content, name.replace(".jpg", ".json"))
    assert labels_of(own) == SETS
    write_json(
        own, {"shapes": [], "imagePath": "0.jpg", "flags": {"cat": True, "dog": False}}, "0.json"
    )
    assert labels_of(own) == SETS


def test_the_picture_that_a_file_of_labelme_names(own):
    """Masks of the same name lie beside, and what nobody looked at is no label."""
    pictures(own, "photos")
    pictures(own, "photos", ".png")
    pictures(own, "drawn")
    for number, labels in enumerate(SETS):
        shapes = [{"label": label} for label in [*labels, "__ignore__"]]
        content = {"shapes": shapes, "flags": {}, "imagePath": f"..\\photos\\{number}.jpg"}
        write_json(own, content, f"json/{number}.json")
    found = read(own)
    assert list(found.labels.values()) == SETS
    assert list(found.labels)[0] == "photos/0.jpg"


def test_supervisely(own):
    for name, labels in zip(pictures(own, "ds0/img"), SETS, strict=True):
        objects = [{"classTitle": label} for label in labels[:1]]
        tags = [{"name": label} for label in labels[1:]]
        content = {"size": {}, "tags": tags, "objects": objects}
        write_json(own, content, f"ds0/ann/{name}.json")
    write_json(own, {"classes": []}, "meta.json")
    assert labels_of(own) == SETS


def test_tags_that_say_the_parts(own, capsys):
    for number, (name, labels) in enumerate(zip(pictures(own, "ds/img"), SETS, strict=True)):
        tags = [*labels, "train" if number % 3 else "val"]
        write_supervisely(own, name, tags)
    found = read(own)
    assert list(found.labels.values()) == SETS
    assert list(found.splits.values()) == ["val", "train", "train"] * 2
    assert "Labels train, val are taken as parts of the data" in capsys.readouterr().out
    # Where the user wants them as labels, and where there is one alone.
    assert labels_of(own, split_column="")[0] == ["cat", "val"]
    for number, labels in enumerate(SETS):
        write_supervisely(own, f"{number}.jpg", [*labels, "train"])
    assert labels_of(own)[0] == ["cat", "train"]


def write_supervisely(own: Path, name: str, tags: list[str]) -> None:
    entries = [{"name": tag, "value": None} for tag in tags]
    content = {"size": {"height": 6, "width": 6}, "tags": entries, "objects": []}
    write_json(own, content, f"ds/ann/{name}.json")


def test_create_ml(own):
    content = [
        {"image": name, "annotations": [{"label": label, "coordinates": {}} for label in labels]}
        for name, labels in zip(pictures(own, "train"), SETS, strict=True)
    ]
    write_json(own, content, "train/_annotations.createml.json")
    assert labels_of(own) == SETS


def test_datumaro(own):
    items = [
        {
            "id": str(number),
            "annotations": [{"type": "label", "label_id": CLASSES.index(x)} for x in labels],
            "image": {"path": name},
        }
        for number, (name, labels) in enumerate(
            zip(pictures(own, "images/train"), SETS, strict=True)
        )
    ]
    categories = {"label": {"labels": [{"name": name} for name in CLASSES]}}
    write_json(own, {"categories": categories, "items": items}, "annotations/train.json")
    assert labels_of(own) == SETS
    items[1]["annotations"][0]["label_id"] = 5
    write_json(own, {"categories": categories, "items": items}, "annotations/train.json")
    with pytest.raises(InputError, match="item 1 has label_id 5, and there are 3 labels"):
        read(own)


def test_via(own):
    entries = {
        f"{name}123": {
            "filename": name,
            "regions": [{"region_attributes": {"kind": label}} for label in labels],
            "file_attributes": {},
        }
        for name, labels in zip(pictures(own), SETS, strict=True)
    }
    write_json(own, {"_via_settings": {}, "_via_img_metadata": entries}, "via.json")
    assert labels_of(own) == SETS
    entries["0.jpg123"]["file_attributes"] = {"quality": {"good": True}}
    write_json(own, entries, "via.json")
    with pytest.raises(Question, match="kind, quality.*--labels-column"):
        read(own)
    assert labels_of(own, label_columns=("kind",)) == SETS


def test_json_of_ones_own(own):
    names = pictures(own)
    write_json(own, dict(zip(names, SETS, strict=True)), "labels.json")
    assert labels_of(own) == SETS
    turned = {
        label: [name for name, labels in zip(names, SETS, strict=True) if label in labels]
        for label in CLASSES
    }
    write_json(own, turned, "labels.json")
    assert labels_of(own) == [labels for labels in SETS if labels]
    marks = {
        name: {label: int(label in labels) for label in CLASSES}
        for name, labels in zip(names, SETS, strict=True)
    }
    write_json(own, marks, "labels.json")
    assert labels_of(own) == SETS


# ------------------------------------------------------------------------------------- stray files


def test_json_that_has_nothing_to_do_with_it(own, capsys):
    names = pictures(own)
    write_json(own, coco(names), "a.json")
    write(own, "{", "settings.json")
    write_json(own, {"name": "viewer", "version": 3}, "package.json")
    write_json(own, {"best": {"file": "0.jpg", "loss": 0.3}}, "report.json")
    assert labels_of(own) == SETS
    out = capsys.readouterr().out
    assert "settings.json: not read, no valid JSON" in out
    assert "report.json: not read, JSON of a kind that is not known here" in out
    assert "package.json" not in out


def test_json_that_is_cut_off(own):
    text = json.dumps(coco(pictures(own)))
    write(own, text[:-20], "a.json")
    with pytest.raises(InputError, match=r"a.json: no valid JSON .*; fetch or export it again"):
        read(own)


def test_labels_in_two_layouts(own):
    write_yolo(own, "images", "labels")
    write(own, DATA, "data.yaml")
    write_json(own, coco([f"{number}.jpg" for number in range(6)]), "a.json")
    message = r"COCO's annotations \(--layout coco\) and YOLO's text files \(--layout yolo\)"
    with pytest.raises(Question, match=f"{message}.*give the file: a.json"):
        read(own)
    assert labels_of(own, layout="yolo") == SETS
    assert labels_of(own, layout="coco") == SETS
    assert labels_of(own / "a.json") == SETS
