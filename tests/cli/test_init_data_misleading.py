"""Tables and exports that are easily read as something else than they say."""

import csv
import io
import json
import unicodedata
import zipfile
from pathlib import Path

import pytest
from test_init_data_tables import NAMES, SETS, TRUTH, joined, marks, read, write, write_pictures

from mlrepro.errors import InputError
from mlrepro_cli.init_data.answers import Question

LABELS = ("bird", "cat", "dog")


@pytest.fixture
def own(tmp_path) -> Path:
    return write_pictures(tmp_path / "own")


def table(rows: list[list], delimiter: str = ",") -> str:
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter, lineterminator="\n").writerows(rows)
    return text.getvalue()


def with_column(header: str, cells: list) -> str:
    """The truth as columns of marks, with one more."""
    head, *lines = marks("1", "0").splitlines()
    rows = [f"{line},{cell}" for line, cell in zip(lines, cells, strict=True)]
    return "\n".join([f"{head},{header}", *rows])


# ------------------------------------------------------------------------------------------- signs


@pytest.mark.parametrize("mark", ["&amp;", "; ", " &#59; ", "|"])
def test_signs_of_web_pages_between_labels(own, mark):
    write(own, joined(mark))
    assert read(own).labels == TRUTH


def test_signs_of_web_pages_in_labels(own, capsys):
    for mark in ("|", ";"):
        rows = [
            [name, mark.join(f"{label} &amp; caf&eacute;" for label in labels)]
            for name, labels in TRUTH.items()
        ]
        write(own, table([["image", "labels"], *rows]))
        expected = [f"{label} & café" for label in SETS[2]]
        assert read(own).labels["2.jpg"] == expected
    assert "'cat &amp; caf&eacute;' is 'cat & café'" in capsys.readouterr().out

    # No sign of HTML.
    write(
        own,
        table([["image", "labels"], *[[name, "R&D;QA"] for name in NAMES[:3]], ["3.jpg", "QA"]]),
    )
    assert read(own).labels["0.jpg"] == ["QA", "R&D"]


def test_signs_of_web_pages_in_headers(own):
    write(own, marks("1", "0").replace("dog", "dog &amp; co", 1))
    assert read(own).labels["1.jpg"] == ["dog & co"]


def test_labels_that_look_alike_are_one(own):
    forms = ("NFC", "NFD")
    rows = [
        [name, unicodedata.normalize(forms[place % 2], "|".join(f"ü{x}" for x in labels))]
        for place, (name, labels) in enumerate(TRUTH.items())
    ]
    rows[0][1] = "\u200b" + rows[0][1]
    write(own, table([["image", "labels"], *rows]))
    expected = {name: [f"ü{label}" for label in labels] for name, labels in TRUTH.items()}
    assert read(own).labels == expected


def test_quotes_and_line_ends_of_other_programs(own):
    single = [f"'{name}','{'|'.join(labels)}'" for name, labels in TRUTH.items()]
    write(own, "\n".join(["'image','labels'", *single]))
    assert read(own).labels == TRUTH

    write(own, "sep=;\r" + joined("|", ";").replace("\n", "\r"))
    assert read(own).labels == TRUTH


# ------------------------------------------------------------------------------------------- marks


@pytest.mark.parametrize(("present", "absent"), [("WAHR", "FALSCH"), ("ja", "nein"), ("да", "нет")])
def test_marks_of_other_languages(own, present, absent):
    write(own, marks(present, absent, ";"))
    assert read(own).labels == TRUTH


@pytest.mark.parametrize(
    "header",
    ["train", "kfold", "site", "has_label", "is annotated", "weight", "exclude", "Is it sharp?"],
)
def test_columns_of_marks_that_are_hardly_labels(own, header):
    write(own, with_column(header, [0, 1, 0, 1, 0, 1]))
    with pytest.raises(Question, match=header):
        read(own)


def test_an_answer_beside_the_labels(own):
    """As Google Forms exports them: the labels are the answers to another question."""
    cells = ["Cat, Dog", "Dog", "Cat"] * 2
    for header in ("Is it sharp?", "is_sharp"):
        rows = [
            [name, f"1 Mar, {place}", cells[place], ("Yes", "No")[place % 2]]
            for place, name in enumerate(NAMES)
        ]
        write(own, table([["Picture", "Timestamp", "Which animals do you see?", header], *rows]))
        with pytest.raises(Question, match="--labels-column.*Which animals do you see?"):
            read(own)
    got = read(own, label_columns=("Which animals do you see?",))
    assert got.labels["0.jpg"] == ["Cat", "Dog"]


def test_two_columns_of_one_label(own):
    write(own, marks("1", "0").replace("bird,cat,dog", "cat,cat,dog"))
    with pytest.raises(InputError, match="two columns are headed 'cat'"):
        read(own)


def test_columns_that_count_labels_are_none(own, capsys):
    write(own, with_column("n_labels", [len(labels) for labels in SETS]))
    assert read(own).labels == TRUTH
    assert "not read: 'n_labels'" in capsys.readouterr().out


# ----------------------------------------------------------------------------------- rows and names


def test_a_row_for_each_picture_and_label(own):
    """Something in them says which are there, whatever it is headed."""
    rows = [[name, label, int(label in TRUTH[name])] for name in NAMES for label in LABELS]
    for header in ("x", "annotation"):
        write(own, table([["image", "label", header], *rows]))
        with pytest.raises(Question, match=f"--state-column '{header}'"):
            read(own)
    assert read(own, state_column="annotation").labels == TRUTH


def test_few_pictures_with_a_second_row(own):
    more = [f"more{place}.jpg" for place in range(10)]
    write_pictures(own / "more")
    for name in more:
        (own / name).write_bytes((own / "more" / NAMES[0]).read_bytes() + name.encode())
    rows = [[name, "cat"] for name in more] + [["more0.jpg", "dog"]]
    write(own, table([["image", "label"], *rows]))
    with pytest.raises(
        Question, match=r"1 of 10 pictures have a second row .* more0.jpg .*--union"
    ):
        read(own)
    assert read(own, union=True).labels["more0.jpg"] == ["cat", "dog"]

    # Of objects, there is a row each.
    boxes = [[*row, 0, 0, 5, 5] for row in rows]
    write(own, table([["image", "label", "xmin", "ymin", "xmax", "ymax"], *boxes]))
    assert read(own).labels["more0.jpg"] == ["cat", "dog"]


@pytest.mark.parametrize("word", ["NULL", "NA", "<NA>"])
def test_a_label_that_programs_write_for_nothing(own, word):
    write(own, joined("|").replace("3.jpg,", f"3.jpg,{word}"))
    with pytest.raises(Question, match=f"--negative '{word}'.*--unknown '{word}'"):
        read(own)
    assert read(own, negative=(word,)).labels == TRUTH

    # Beside others, it is a label.
    write(own, joined("|").replace("0.jpg,cat", f"0.jpg,cat|{word}"))
    assert word in read(own).labels["0.jpg"]


def test_numbers_of_pictures_without_leading_zeros(own):
    for place, name in enumerate(NAMES):
        (own / name).rename(own / f"{place:05}.jpg")
    rows = [[place, "|".join(labels)] for place, labels in enumerate(SETS)]
    write(own, table([["id", "labels"], *rows]))
    expected = {f"{place:05}.jpg": labels for place, labels in enumerate(SETS)}
    assert read(own).labels == expected

    # Marks with decimals are no names of pictures.
    head, *lines = marks("1.0", "0.0").splitlines()
    write(own, "\n".join([head, *(f"0000{line}" for line in lines)]))
    assert read(own).labels == expected


def test_numbers_of_pictures_that_pandas_has_made_decimal(own):
    rows = [[f"{place}.0", "|".join(labels)] for place, labels in enumerate(SETS)]
    write(own, table([["id", "labels"], *rows]))
    assert read(own).labels == TRUTH


def test_addresses_beside_names(own):
    rows = [
        [place, f"https://example.org/{place}/photo{place}.jpg", "|".join(labels)]
        for place, labels in enumerate(SETS)
    ]
    write(own, table([["image_id", "url", "labels"], *rows]))
    assert read(own).labels == TRUTH


def test_pictures_that_are_in_an_archive(own):
    with zipfile.ZipFile(own / "pictures.zip", "w") as archive:
        for name in NAMES:
            archive.write(own / name, f"p/{name}")
            (own / name).unlink()
    write(own, joined("|"))
    with pytest.raises(InputError, match=r"pictures.zip is not looked into: unpack it first"):
        read(own)


def test_parts_as_they_are_published(own):
    # NIH's train_val_list.txt, and CelebA's list without a header.
    write(own, joined("|"))
    write(own, "\n".join(NAMES[:4]), "train_val_list.txt")
    write(own, "\n".join(NAMES[4:]), "test_list.txt")
    assert list(read(own).splits.values()) == ["train"] * 4 + ["test"] * 2

    # A list of two parts is none.
    cells = [f"{name},cat,{'train;val' if place else 'test'}" for place, name in enumerate(NAMES)]
    file = write(own, "\n".join(["image,label,split", *cells]), "l.csv")
    with pytest.raises(Question, match="'split' holds test, train;val, and these are not words"):
        read(file)
    file.unlink()

    (own / "train_val_list.txt").unlink()
    (own / "test_list.txt").unlink()
    parts = [f"{name} {place // 2}" for place, name in enumerate(NAMES)]
    write(own, "\n".join(parts), "list_eval_partition.txt")
    assert list(read(own).splits.values()) == ["train", "train", "val", "val", "test", "test"]


def test_parts_that_only_the_folders_of_pictures_say(own, capsys):
    parts = ["train", "train", "train", "val", "test", "test"]
    moved = {}
    for name, part in zip(NAMES, parts, strict=True):
        (own / part).mkdir(exist_ok=True)
        (own / name).rename(own / part / name)
        moved[f"{part}/{name}"] = part
    text = joined("|") + "missing.jpg,cat\n"
    file = write(own, text)
    got = read(own)
    assert {image: got.splits[image] for image in moved} == moved
    assert (
        "folders of pictures are called by: test (2), train (3), val (1)" in capsys.readouterr().out
    )
    assert set(read(own, split_column="").splits.values()) == {""}

    # What a table says counts, and where it says something else is noted.
    rows = [f"{line},{'test' if 'jpg,cat' in line else 'train'}" for line in text.splitlines()[1:]]
    file.write_text("\n".join(["image,labels,split", *rows]))
    assert read(own).splits["train/0.jpg"] == "test"
    assert "said to be of another part than their folder is called" in capsys.readouterr().out

    # Not all folders are parts.
    (own / "train").rename(own / "more")
    write(own, text)
    assert set(read(own).splits.values()) == {""}


def test_texts_that_name_pictures_without_suffix(own, capsys):
    for name in NAMES:
        (own / "folder").mkdir(exist_ok=True)
        (own / name).rename(own / "folder" / f"x{name}")
    head, *lines = marks("1", "0", "\t").splitlines()
    text = "\n".join([head, *(f"x{line}".replace(".jpg", "") for line in lines)])
    write(own, text, "multilabels.txt")
    write(own, "\n".join(f"x{place}" for place in range(4)), "train.txt")
    write(own, "\n".join(f"x{place}" for place in range(4, 6)), "test.txt")
    got = read(own)
    assert got.labels == {f"folder/x{name}": labels for name, labels in TRUTH.items()}
    assert list(got.splits.values()) == ["train"] * 4 + ["test"] * 2

    # Without a header it is no table, which is said.
    write(own, text.partition("\n")[2], "multilabels.txt")
    with pytest.raises(InputError, match=r"multilabels.txt, line 1: no header.*--header image,"):
        read(own)


def test_a_header_that_ends_with_a_space(own):
    """As CelebA's, whose rows do not."""
    head, *lines = marks("1", "-1", " ").splitlines()
    text = "\n".join([str(len(lines)), head.removeprefix("file ") + " ", *lines])
    write(own, text, "list_attr_celeba.txt")
    assert read(own).labels == TRUTH


# ------------------------------------------------------------------------------ annotation files


def write_yolo(root: Path, line: str, names: str) -> None:
    for name, labels in TRUTH.items():
        lines = [line.format(LABELS.index(label)) for label in labels]
        write(root, "\n".join(lines), name.replace(".jpg", ".txt"))
    write(root, names, "data.yaml")


@pytest.mark.parametrize("box", ["{} 0.5 0.5 0.2 0.2", "{} 0,5 0,5 0,2 0,2"])
@pytest.mark.parametrize(
    "names",
    [
        "names: [bird, cat, dog]",
        "names: {'0': bird, '1': cat, '2': dog}",
        "names:\n  0: bird\n  1: cat\n  2: dog",
    ],
)
def test_numbers_and_names_of_yolo(own, box, names):
    write_yolo(own, box, names)
    assert read(own).labels == TRUTH


def test_names_of_yolo_that_are_words_of_yaml(own):
    write_yolo(own, "{} 0.5 0.5 0.2 0.2", "names: [no, yes, null]")
    assert read(own).labels["2.jpg"] == ["null", "yes"]


def test_predictions_in_the_form_of_labels(own):
    write_yolo(own, "{} 0.5 0.5 0.2 0.2 0.87", "names: [bird, cat, dog]")
    with pytest.raises(Question, match=r"sixth number, such as 0.87, .* --layout yolo"):
        read(own)
    assert read(own, layout="yolo").labels == TRUTH

    for name in NAMES:
        (own / name.replace(".jpg", ".txt")).unlink()
    content = {
        "images": [{"id": place, "file_name": name} for place, name in enumerate(NAMES)],
        "categories": [{"id": place, "name": name} for place, name in enumerate(LABELS)],
        "annotations": [
            {"image_id": place, "category_id": LABELS.index(label), "score": 0.3}
            for place, labels in enumerate(SETS)
            for label in labels
        ],
    }
    file = write(own, json.dumps(content), "found.json")
    with pytest.raises(Question, match=r"scores such as 0.3, as predictions .* name it"):
        read(own)
    assert read(file).labels == TRUTH


def test_confidences_of_a_network(own):
    labels = {
        name.removesuffix(".jpg"): [{"label": label, "confidence": 0.8} for label in labels]
        for name, labels in TRUTH.items()
    }
    file = write(own, json.dumps({"classes": None, "labels": labels}), "labels.json")
    with pytest.raises(Question, match=r"confidences such as 0.8, as predictions .* the file"):
        read(own)
    assert read(file).labels == TRUTH
    file.unlink()

    scored = [
        {"image": name, "labels": [{"name": label, "confidence": 0.8} for label in labels]}
        for name, labels in TRUTH.items()
    ]
    write(own, json.dumps(scored), "labels.json")
    with pytest.raises(InputError, match=r"record 1: .* no list of labels \(confidence 0.8, which"):
        read(own)


def test_coco_with_decimal_numbers_and_parts(own):
    content = {
        "images": [{"id": place, "file_name": name} for place, name in enumerate(NAMES)],
        "categories": [{"id": str(place), "name": name} for place, name in enumerate(LABELS)],
        "annotations": [
            {"image_id": float(place), "category_id": float(LABELS.index(label))}
            for place, labels in enumerate(SETS)
            for label in labels
        ],
    }
    parts = ["train", "restval", "", "Validation", "test", "test"]
    for image, part in zip(content["images"], parts, strict=True):
        image["split"] = part
    write(own, json.dumps(content), "a.json")
    assert read(own).labels == TRUTH
    assert list(read(own).splits.values()) == ["train", "train", "", "val", "test", "test"]


def test_results_in_the_form_of_coco_are_left_out(own, capsys):
    write(own, joined("|"))
    results = [{"image_id": 1, "category_id": 1, "bbox": [0, 0, 1, 1], "score": 0.3}]
    write(own, json.dumps(results), "results.json")
    assert read(own).labels == TRUTH
    assert "results.json: not read, predictions in the form of" in capsys.readouterr().out


def test_via_s_table(own):
    header = "filename,file_size,file_attributes,region_count,region_id,region_shape_attributes"
    rows = [[*header.split(","), "region_attributes"]]
    for name, labels in TRUTH.items():
        for label in labels or [None]:
            region = json.dumps({"animal": label} if label else {})
            rows.append([name, 9, "{}", len(labels), 0, '{"name":"rect","x":0}', region])
    file = write(own, table(rows), "via_export_csv.csv")
    assert read(own).labels == TRUTH

    file.write_text(file.read_text().replace('"{""animal"": ""bird""}"', "bird", 1))
    with pytest.raises(InputError, match="via_export_csv.csv, line .: 'bird' is no JSON object"):
        read(own)
