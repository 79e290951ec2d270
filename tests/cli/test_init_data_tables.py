"""What tables are read as: columns, encodings, lists, marks; and what is asked or refused."""

import gzip
import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import pandas
import pyarrow
import pytest
from picture_files import write_picture
from pyarrow import parquet

from mlrepro.errors import InputError
from mlrepro_cli.init_data.answers import Answers, Question
from mlrepro_cli.init_data.find_labels import find_labels
from mlrepro_cli.init_data.negatives import take_negatives
from mlrepro_cli.init_data.own_data import gather

# The labels of the pictures 0.jpg to 5.jpg.
SETS = [["cat"], ["dog"], ["cat", "dog"], [], ["bird", "dog"], ["bird"]]
NAMES = [f"{number}.jpg" for number in range(len(SETS))]
TRUTH = dict(zip(NAMES, SETS, strict=True))


@dataclass
class Read:
    """Labels, unknown labels, split and group of each picture, as they were understood."""

    labels: dict[str, list[str]]
    unknown: dict[str, list[str]]
    splits: dict[str, str]
    groups: dict[str, str]


def write_pictures(root: Path) -> Path:
    for name in NAMES:
        write_picture(root / name)
    return root


@pytest.fixture
def own(tmp_path) -> Path:
    """A folder with the pictures."""
    return write_pictures(tmp_path / "own")


def read(path: Path, **answers) -> Read:
    given = Answers(**answers)
    found = find_labels(path, given)
    data, _ = gather(replace(found, rows=take_negatives(found.rows, given)))
    frame = data.frame.set_index("image")
    return Read(
        labels={image: sorted(names) for image, names in frame["label"].items()},
        unknown={image: sorted(names) for image, names in frame["unknown"].items()},
        splits=frame["split"].to_dict(),
        groups=frame["group"].to_dict(),
    )


def write(own: Path, text: str, name: str = "labels.csv", encoding: str = "utf-8") -> Path:
    path = own / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode(encoding))
    return path


def joined(mark: str, delimiter: str = ",") -> str:
    """The truth as a table with two columns."""
    lines = [f"{name}{delimiter}{mark.join(labels)}" for name, labels in TRUTH.items()]
    return "\n".join([f"image{delimiter}labels", *lines]) + "\n"


def marks(present: str, absent: str, delimiter: str = ",") -> str:
    """The truth as a table with a column a label."""
    lines = [delimiter.join(["file", "bird", "cat", "dog"])]
    for name, labels in TRUTH.items():
        cells = [present if label in labels else absent for label in ("bird", "cat", "dog")]
        lines.append(delimiter.join([name, *cells]))
    return "\n".join(lines) + "\n"


# ------------------------------------------------------------------------------- from bytes to rows


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_encodings_that_can_be_told(own, encoding):
    write(own, joined("|").replace("bird", "Vögel"), encoding=encoding)
    assert read(own).labels["5.jpg"] == ["Vögel"]


def test_an_encoding_that_cannot_be_told(own):
    write(own, joined("|").replace("bird", "Vögel"), encoding="cp1252")
    with pytest.raises(InputError, match=r"labels.csv, line 6: .* not UTF-8, .*--encoding cp1252"):
        read(own)
    assert read(own, encoding="cp1252").labels["5.jpg"] == ["Vögel"]
    with pytest.raises(InputError, match="--encoding klingon: no such encoding"):
        read(own, encoding="klingon")
    # A codec of another kind, which does not say where it fails.
    write(own, "image,labels\n0.jpg,a-b,c\n")
    with pytest.raises(InputError, match="labels.csv: not punycode .*say what it is: --encoding"):
        read(own, encoding="punycode")


def test_letters_in_columns_that_are_not_read_do_not_matter(own):
    lines = [f"{name};{'|'.join(labels)};Café" for name, labels in TRUTH.items()]
    write(own, "\n".join(["image;labels;place", *lines]), encoding="latin-1")
    assert read(own).labels == TRUTH


@pytest.mark.parametrize(
    "text, name",
    [
        ("sep=;\r\n" + joined(",", ";").replace("\n", "\r\n"), "labels.csv"),
        ('"sep=;"\r\n' + joined(",", ";").replace("\n", "\r\n"), "labels.csv"),
        (joined(",", "\t"), "labels.tsv"),
        (joined(", ", "\t"), "labels.csv"),
        (joined("|", ";"), "LABELS.CSV"),
        (joined("|").replace("image,labels", '"Image ", "Labels"'), "labels.csv"),
        (joined("|").replace("\n", ",,\n"), "labels.csv"),
        (joined("|") + ",,\n,\n\n", "labels.csv"),
        (joined(";", "|"), "labels.csv"),
        (joined("||"), "labels.csv"),
        (
            joined(", ").replace("cat, dog", '"cat, dog"').replace("bird, dog", ' "bird, dog"'),
            "a.csv",
        ),
    ],
)
def test_delimiters(own, text, name):
    write(own, text, name)
    assert read(own).labels == TRUTH


def test_a_packed_table(own):
    (own / "labels.csv.gz").write_bytes(gzip.compress(joined("|").encode()))
    assert read(own).labels == TRUTH
    (own / "labels.csv.gz").write_bytes(gzip.compress(joined("|").encode())[:30])
    with pytest.raises(InputError, match="labels.csv.gz: not a whole gzip file"):
        read(own / "labels.csv.gz")

    # Sparse: it takes no room on the disk, and would take all memory.
    with (own / "huge.csv").open("wb") as file:
        file.truncate(2 * 10**9)
    with pytest.raises(InputError, match="huge.csv: more than 500,000,000 bytes"):
        read(own / "huge.csv")


@pytest.mark.parametrize(
    "text, message",
    [
        ("image,labels\n0.jpg,cat,dog\n1.jpg,dog\n", "line 2: 3 fields where the header has 2"),
        ("image,labels\n0.jpg,cat\n1.jpg\n", "line 3: 1 fields where the header has 2"),
        ('image,labels\n0.jpg,"cat"s\n', "line 2: .*quotes in it doubled"),
        ("image,labels\n0.jpg,cat\n,dog\n", "line 3: no picture's name"),
        ("0.jpg,cat\n1.jpg,dog\n", "line 1: no header, .*--header image,labels"),
        ("image,labels\n0.jpg,[cat]\n1.jpg,[{'a': 1}]\n", "line 3: .*no list of labels"),
        ("image,labels\n0.jpg,\"[['cat', 0.9]]\"\n", "cat with the number 0.9"),
        ("image,labels\n0.jpg,[0.9]\n1.jpg,[1.5]\n", "no list of labels .*not whole"),
        ("image,labels\n0.jpg,0 1 1\n1.jpg,1 0 0\n", "a column a class"),
        ("image,labels\n0.jpg,011\n1.jpg,100\n", "a column a class"),
        ('image,labels\n0.jpg,"[0, 1]"\n1.jpg,"[1, 0]"\n', "a column a class"),
    ],
)
def test_what_cannot_be_read_names_the_line(own, text, message):
    path = write(own, text)
    with pytest.raises(InputError, match=message) as error:
        read(own)
    assert str(path) in str(error.value)


def test_a_header_that_the_user_says(own):
    write(own, joined("|").partition("\n")[2])
    assert read(own, header=("image", "labels")).labels == TRUTH


def test_as_many_labels_behind_a_picture_as_it_has(own):
    """As lists of several programs have them, without a header."""
    rows = [[name, *labels] for name, labels in TRUTH.items()]
    write(own, "\n".join(map(",".join, rows)))
    with pytest.raises(Question, match="--header image,labels"):
        read(own)
    assert read(own, header=("image", "labels")).labels == TRUTH
    with pytest.raises(InputError, match="line 3: 3 fields where the header has 2"):
        read(own, header=("image", "label"))

    parts = ["training", "training", "validation", "training", "test", "test"]
    rows = [[part, *row] for part, row in zip(parts, rows, strict=True)]
    write(own, "\n".join(map(",".join, rows)))
    with pytest.raises(Question, match="--header split,image,labels"):
        read(own)
    got = read(own, header=("split", "image", "labels"))
    assert got.labels == TRUTH
    assert got.splits["2.jpg"] == "val"


def test_a_field_a_class_without_a_header(own):
    write(own, marks("1", "0", " ").partition("\n")[2], "a.txt")
    with pytest.raises(InputError, match="a 0 or 1 for each class, but not the classes' names"):
        read(own, header=("image", "labels"))
    assert read(own, header=("image", "bird", "cat", "dog")).labels == TRUTH


def test_quotes_as_mysql_writes_them(own):
    rows = [f"'{name}','{', '.join(labels)}'" for name, labels in TRUTH.items()]
    write(own, "\n".join(["image,labels", *rows]))
    assert read(own).labels == TRUTH


@pytest.mark.parametrize("header", ["label_list", "Tags (with commas between them)", "LABEL(S)"])
def test_headers_of_labels(own, header):
    write(own, joined("|").replace("labels", header, 1))
    assert read(own).labels == TRUTH


def test_labels_that_a_program_has_given_are_not_read(own):
    """Beside others, they are left aside; alone, the user must say."""
    lines = [f"{line},fox" for line in joined("|").splitlines()[1:]]
    write(own, "\n".join(["image,label,predicted_label", *lines]))
    assert read(own).labels == TRUTH
    write(own, joined("|").replace("labels", "predicted_label", 1))
    with pytest.raises(Question, match="--labels-column"):
        read(own)


def test_a_table_of_markdown(own):
    lines = [f"| {line.replace(';', ' | ')} |" for line in joined(", ", ";").splitlines()]
    write(own, "\n".join([lines[0], "|---|:--:|", *lines[1:]]), "labels.txt")
    assert read(own).labels == TRUTH


def test_a_comma_in_the_last_field_of_all_rows(own):
    """The header is not one of a table whose rows have names."""
    rows = [f"{name},cat,A man, in a room" for name in NAMES]
    write(own, "\n".join(["image_id,labels,caption", *rows]))
    with pytest.raises(InputError, match="line 2: 4 fields where the header has 3"):
        read(own)


def test_a_part_whose_labels_nobody_knows(own):
    head, *lines = joined("|").splitlines()
    write(own, "\n".join([head, *lines[:4]]), "train.csv")
    write(own, "\n".join([head, "4.jpg,?", "5.jpg,?"]), "test.csv")
    with pytest.raises(Question, match=r"2 pictures have the label '\?'.*--unknown '\?'"):
        read(own)
    assert read(own, unknown=("?",)).labels["2.jpg"] == ["cat", "dog"]


def test_a_mark_behind_the_last_label(own):
    write(own, joined(", ", "\t").replace("cat\n", "cat,\n").replace("dog\n", "dog,\n"), "a.tsv")
    assert read(own).labels == TRUTH


def test_a_spreadsheet_that_cannot_be_read_is_refused_by_name(own):
    file = own / "labels.xlsx"
    file.write_bytes(b"PK")
    with pytest.raises(InputError, match=r"labels.xlsx: no Excel file .*save it as `CSV UTF-8`"):
        read(own)
    file.rename(own / "labels.xls")
    with pytest.raises(InputError, match=r"labels.xls: Excel's format of before 2007"):
        read(own)


# --------------------------------------------------------------------------- records of other tools


def test_lines_of_json(own):
    lines = [json.dumps({"file_name": name, "tags": labels}) for name, labels in TRUTH.items()]
    path = write(own, "\n".join(lines), "metadata.jsonl")
    assert read(own).labels == TRUTH

    write(own, "\n".join([*lines, "{"]), "metadata.jsonl")
    with pytest.raises(InputError, match=r"metadata.jsonl, line 7: no JSON"):
        read(path)


def test_structures_in_lines_of_json(own):
    records = [
        {"file_name": name, "objects": {"bbox": [[0, 0, 1, 1]] * len(labels), "category": labels}}
        for name, labels in TRUTH.items()
    ]
    write(own, "\n".join(map(json.dumps, records)), "metadata.jsonl")
    assert read(own).labels == TRUTH


def test_parquet_with_numbers_of_classes(own):
    classes = ["bird", "cat", "dog"]
    feature = {"feature": {"names": classes, "_type": "ClassLabel"}, "_type": "List"}
    info = {"info": {"features": {"labels": feature, "file_name": {"_type": "Value"}}}}
    numbers = [[classes.index(label) for label in labels] for labels in SETS]
    table = pyarrow.table({"file_name": NAMES, "labels": numbers})
    table = table.replace_schema_metadata({"huggingface": json.dumps(info)})
    parquet.write_table(table, own / "metadata.parquet")
    assert read(own).labels == TRUTH

    (own / "metadata.parquet").write_bytes(b"PAR1")
    with pytest.raises(InputError, match=r"metadata.parquet: no Parquet"):
        read(own / "metadata.parquet")


def test_parquet_of_marks(own):
    columns = {name: [name in labels for labels in SETS] for name in ("bird", "cat", "dog")}
    parquet.write_table(pyarrow.table({"image": NAMES, **columns}), own / "labels.parquet")
    assert read(own).labels == TRUTH


def test_tasks_of_label_studio(own):
    tasks = []
    for name, labels in TRUTH.items():
        choices = {"type": "choices", "value": {"choices": labels}}
        answers = [{"result": [choices] if labels else [], "completed_by": 1}]
        cancelled = {"result": [{"value": {"choices": ["wrong"]}}], "was_cancelled": True}
        data = {"image": f"/data/local-files/?d={name}"}
        tasks.append({"id": 1, "data": data, "annotations": [cancelled, *answers]})
    write(own, json.dumps(tasks), "project.json")
    assert read(own).labels == TRUTH

    small = [{"image": name, "choice": {"choices": labels}} for name, labels in TRUTH.items()]
    write(own, json.dumps(small), "project.json")
    assert read(own).labels == TRUTH


def test_regions_of_label_studio(own):
    lines = ["image,id,label"]
    for name, labels in TRUTH.items():
        regions = [{"x": 1, "y": 2, "rectanglelabels": [label]} for label in labels]
        cell = json.dumps(regions).replace('"', '""')
        lines.append(f'{name},1,"{cell}"')
    write(own, "\n".join(lines), "project.csv")
    assert read(own).labels == TRUTH


# -------------------------------------------------------------------------------- columns of labels


@pytest.mark.parametrize(
    "write_list",
    [
        json.dumps,
        str,
        lambda labels: str(tuple(labels)),
        lambda labels: "{" + ",".join(labels) + "}",
        lambda labels: "[" + ", ".join(labels) + "]",
        lambda labels: "[" + " ".join(f"'{label}'" for label in labels) + "]",
        lambda labels: json.dumps({"choices": labels}),
    ],
)
def test_lists_in_cells(own, write_list):
    frame = pandas.DataFrame({"image": NAMES, "labels": [write_list(labels) for labels in SETS]})
    frame.to_csv(own / "labels.csv", index=False)
    assert read(own).labels == TRUTH


@pytest.mark.parametrize("mark", ["|", ";", ", ", "#", "+", " & ", "/", " ", " and "])
def test_separators_that_show_themselves(own, mark):
    frame = pandas.DataFrame({"image": NAMES, "tags": [mark.join(labels) for labels in SETS]})
    frame.to_csv(own / "labels.csv")  # with pandas' index
    assert read(own).labels == TRUTH


@pytest.mark.parametrize(
    "fields, whole, parts",
    [
        (["red car", "blue car", "red bus"], {"red car", "blue car", "red bus"}, {"red", "car"}),
        (["dog, red", "dog, black", "cat, red"], {"dog, red", "cat, red"}, {"dog", "red"}),
        (["a/b", "a/c", "d"], {"a/b", "d"}, {"a", "b", "d"}),
    ],
)
def test_separators_that_are_asked(own, fields, whole, parts):
    rows = [(name, fields[place % 3]) for place, name in enumerate(NAMES)]
    pandas.DataFrame(rows, columns=["image", "label"]).to_csv(own / "labels.csv", index=False)
    with pytest.raises(Question, match=r"is .* one label, or .*--separator .*--separator ''"):
        read(own)

    of_whole = read(own, separator="").labels
    assert whole <= {label for labels in of_whole.values() for label in labels}
    mark = "," if ", " in fields[0] else " " if " " in fields[0] else "/"
    of_parts = read(own, separator=mark).labels
    assert parts <= {label for labels in of_parts.values() for label in labels}


def test_labels_that_look_like_lists_of_labels_are_kept(own):
    labels = ["C#", "a/b", "tab;semi", "yes", "null", "1e3", "[draft]"]
    rows = [(name, label) for name in NAMES for label in labels[: 2 + int(name[0])]]
    pandas.DataFrame(rows, columns=["image", "label"]).to_csv(own / "labels.csv", index=False)
    assert read(own).labels["5.jpg"] == sorted(labels)


def test_one_guess_for_all_tables(own):
    lines = joined(" ").splitlines()
    write(own, "\n".join([*lines[:5], lines[6]]), "train.csv")
    write(own, "\n".join([lines[0], lines[5]]), "test.csv")
    got = read(own)
    assert got.labels["4.jpg"] == ["bird", "dog"]
    assert got.splits["4.jpg"] == "test"


@pytest.mark.parametrize(
    "headers", [("label", "label2"), ("label1", "label2"), ("primary_label", "secondary_labels")]
)
def test_several_columns_of_labels(own, headers):
    lines = [",".join(["image", *headers])]
    lines += [",".join([name, *[*labels, "", ""][:2]]) for name, labels in TRUTH.items()]
    write(own, "\n".join(lines))
    assert read(own).labels == TRUTH


def test_columns_that_may_all_hold_labels_are_asked(own, capsys):
    lines = [f"{name},{'ab'[place % 2]}1,x{place % 3}" for place, name in enumerate(NAMES)]
    write(own, "\n".join(["image,species,tags", *lines]))
    with pytest.raises(Question, match="--labels-column 'species' or --labels-column 'tags'"):
        read(own)
    assert read(own, label_columns=("tags",)).labels["1.jpg"] == ["x1"]
    assert "not read: 'species'" in capsys.readouterr().out
    assert read(own, label_columns=("tags", "species")).labels["1.jpg"] == ["b1", "x1"]
    with pytest.raises(InputError, match="--labels-column tag: no table has it; did you mean"):
        read(own, label_columns=("tag",))


def test_a_row_an_object(own):
    lines = ["filename,width,height,class,class_id,xmin,ymin,xmax,ymax,truncated"]
    for name, labels in TRUTH.items():
        for label in labels:
            lines.append(f"{name},6,6,{label},{len(label) + ord(label[0])},0,0,1,1,0")
    write(own, "\n".join(lines), "_annotations.csv")
    got = read(own)
    assert got.labels == {name: labels for name, labels in TRUTH.items() if labels}


def test_numbers_that_stand_for_labels(own):
    lines = [f"{name};6;6;{place % 3 + 40}" for place, name in enumerate(NAMES)]
    write(own, "\n".join(["Filename;Width;Height;ClassId", *lines]))
    assert read(own).labels["1.jpg"] == ["41"]

    frame = pandas.DataFrame({"image": NAMES, "label": [0, 1, 2, None, 3, 4]})
    frame.to_csv(own / "labels.csv", index=False)
    assert read(own).labels["1.jpg"] == ["1"]
    assert read(own).labels["3.jpg"] == []


@pytest.mark.parametrize("mark", [" ", ",", ", "])
@pytest.mark.parametrize("delimiter", [",", ";"])
def test_numbers_between_which_something_stands_are_several(own, mark, delimiter):
    """As of iMet and the Human Protein Atlas: `13 147` is hardly one number."""
    cells = ["13", "13,147", "147,616", "616,20", "13", "616,13"]
    rows = [[name, cell.replace(",", mark)] for name, cell in zip(NAMES, cells, strict=True)]
    for header in ("attribute_ids", "labels"):
        frame = pandas.DataFrame(rows, columns=["id", header])
        frame.to_csv(own / "labels.csv", index=False, sep=delimiter)
        assert read(own).labels == {
            name: sorted(cell.split(",")) for name, cell in zip(NAMES, cells, strict=True)
        }


def test_decimal_commas_are_no_lists(own):
    cells = ["0,25", "0,5", "1", "0,75", "0,05", "0,1"]
    for header, mark in (("target", ","), ("labels", ","), ("labels", ".")):
        rows = [
            f"{name};{cell.replace(',', mark)}" for name, cell in zip(NAMES, cells, strict=True)
        ]
        write(own, "\n".join([f"image;{header}", *rows]))
        with pytest.raises(Question, match="no column of labels is known"):
            read(own)


# --------------------------------------------------------------------------------- columns of marks


@pytest.mark.parametrize(
    "present, absent",
    [
        *(("1", "0"), ("1.0", "0.0"), ("True", "False"), ("yes", "no"), ("Y", "N"), ("+", "-")),
        *(("x", ""), ("1", ""), ("1", "-1"), ("Positive", "Negative")),
    ],
)
def test_marks_that_can_mean_one_thing(own, present, absent, capsys):
    write(own, marks(present, absent))
    assert read(own).labels == TRUTH
    assert "is absent" in capsys.readouterr().out

    write(own, marks(present, absent, ";"))
    assert read(own).labels == TRUTH


def test_options_of_a_question(own, capsys):
    """As survey tools export them: a column an option, which holds it where it was chosen."""
    lines = [
        f"{name},{','.join(x * (x in TRUTH[name]) for x in ('bird', 'cat', 'dog'))}"
        for name in NAMES
    ]
    write(own, "\n".join(["file,Bird,cat,dog", *lines]))
    expected = {name: sorted(x.replace("bird", "Bird") for x in of) for name, of in TRUTH.items()}
    assert read(own).labels == expected
    assert "'Bird' stands below 'Bird' where it is there, and so in 3" in capsys.readouterr().out


def test_decimal_commas(own):
    write(own, marks("1,0", "0,0", ";"))
    assert read(own).labels == TRUTH


UNKNOWN_CAT = {name: ["cat"] if name == "5.jpg" else [] for name in NAMES}


@pytest.mark.parametrize("mark", ["?", "U", "unknown", "uncertain"])
def test_marks_of_what_nobody_knows(own, mark):
    write(own, marks("1", "0").replace("5.jpg,1,0", f"5.jpg,1,{mark}"))
    got = read(own)
    assert got.labels == TRUTH
    assert got.unknown == UNKNOWN_CAT


@pytest.mark.parametrize("mark", ["", "-1", "nan", "-1.0", "NA"])
def test_marks_that_are_asked(own, mark):
    write(own, marks("1", "0").replace("5.jpg,1,0", f"5.jpg,1,{mark}"))
    option = "-1" if "-1" in mark else "blank"
    with pytest.raises(Question, match=rf"--unknown {option}\).*--absent {option}"):
        read(own)
    assert read(own, unknown=(option,)).unknown == UNKNOWN_CAT
    as_absent = read(own, absent=(option,))
    assert as_absent.labels == TRUTH
    assert not any(as_absent.unknown.values())


def test_minus_one_absent_and_zero_unknown(own):
    write(own, marks("1", "-1").replace("5.jpg,1,-1", "5.jpg,1,0"))
    with pytest.raises(Question, match="--absent -1 --unknown 0"):
        read(own)
    got = read(own, absent=("-1",), unknown=("0",))
    assert got.labels == TRUTH
    assert got.unknown == UNKNOWN_CAT


def test_numbers_beside_marks(own):
    lines = marks("1", "0").splitlines()
    with_age = [
        f"{line},{'age,width' if not place else '1,640'}" for place, line in enumerate(lines)
    ]
    write(own, "\n".join(with_age))
    with pytest.raises(Question, match="--ignore-column 'age'|--ignore-column age"):
        read(own)
    assert read(own, ignore_columns=("age",)).labels == TRUTH

    with_count = [
        f"{line},{'fish' if not place else place % 3}" for place, line in enumerate(lines)
    ]
    write(own, "\n".join(with_count))
    with pytest.raises(Question, match="line 3: column 'fish' holds marks .*, and 2; .*--present"):
        read(own)
    assert read(own, ignore_columns=("fish",)).labels == TRUTH
    assert read(own, present=("2",)).labels["1.jpg"] == ["dog", "fish"]


def test_other_columns_beside_marks(own, capsys):
    lines = marks("1", "0").splitlines()
    others = [
        f",{line},{30 + place},{'MF'[place % 2]},0.{place}" for place, line in enumerate(lines)
    ]
    others[0] = f"Unnamed: 0,{lines[0]},Patient Age,Sex,x"
    others[1:] = [f"{place}{line}" for place, line in enumerate(others[1:])]
    write(own, "\n".join(others))
    assert read(own).labels == TRUTH
    assert "not read: 'Unnamed: 0', 'Patient Age', 'Sex', 'x'" in capsys.readouterr().out


def test_one_column_of_marks(own):
    lines = [f"{name},{place % 2}" for place, name in enumerate(NAMES)]
    write(own, "\n".join(["image,label", *lines]))
    with pytest.raises(Question, match="--mark-column 'label'.*--labels-column 'label'"):
        read(own)
    assert read(own, mark_columns=("label",)).labels["1.jpg"] == ["label"]
    assert read(own, mark_columns=("label",)).labels["0.jpg"] == []
    assert read(own, label_columns=("label",)).labels["0.jpg"] == ["0"]

    write(own, "\n".join(["id,has_cactus", *lines]))
    assert read(own).labels["1.jpg"] == ["has_cactus"]


def test_labels_and_marks_in_one_table_are_asked(own):
    lines = marks("1", "0").splitlines()
    both = [f"{line},{'|'.join(labels)}" for line, labels in zip(lines[1:], SETS, strict=True)]
    write(own, "\n".join([f"{lines[0]},Finding Labels", *both]))
    with pytest.raises(Question, match=r"--labels-column 'Finding Labels' or --mark-column '\*'"):
        read(own)
    assert read(own, label_columns=("Finding Labels",)).labels == TRUTH
    assert read(own, mark_columns=("*",)).labels == TRUTH


def test_labels_that_no_picture_has_are_said(own, capsys):
    write(
        own,
        marks("1", "0")
        .replace("dog\n", "dog,fish\n", 1)
        .replace("\n", ",?\n")
        .replace("fish,?", "fish"),
    )
    got = read(own)
    assert got.labels == TRUTH
    assert not any(got.unknown.values())
    assert "no picture has, left out: fish" in capsys.readouterr().out


# ------------------------------------------------------------------- no finding, confidence, splits


@pytest.mark.parametrize(
    "none",
    [
        *("No Finding", "no_finding", "healthy", "normal", "None", "No findings.", "no animal"),
        *("Kein Befund", "aucun", "ninguno"),
    ],
)
def test_labels_that_say_none_are_asked(own, none, capsys):
    lines = [f"{name},{'|'.join(labels) or none}" for name, labels in TRUTH.items()]
    write(own, "\n".join(["image,labels", *lines]))
    with pytest.raises(Question, match=f"--positive '{none}'.*--negative '{none}'"):
        read(own)
    assert read(own, negative=(none,)).labels == TRUTH
    assert "1 pictures have no label" in capsys.readouterr().out
    assert read(own, positive=(none,)).labels == TRUTH | {"3.jpg": [none]}
    with pytest.raises(InputError, match="--negative nothing: no such label"):
        read(own, negative=("nothing",), positive=(none,))


def test_confidence_of_zero_is_absent_and_no_row_unknown(own):
    lines = ["ImageID,Source,LabelName,Confidence"]
    for name, labels in TRUTH.items():
        for label in ("bird", "cat"):
            lines.append(f"{name.removesuffix('.jpg')},verification,{label},{int(label in labels)}")
    lines.append("1,verification,dog,1")
    write(own, "\n".join(lines))
    got = read(own)
    assert got.labels["2.jpg"] == ["cat"]
    assert got.unknown["2.jpg"] == ["dog"]
    assert got.unknown["1.jpg"] == []
    assert not any(read(own, complete=True).unknown.values())


def test_words_for_splits(own):
    words = ["training", "Train", "dev", "validation set", "testing", "test"]
    lines = joined("|").splitlines()
    rows = [f"{line},{word}" for line, word in zip(lines[1:], words, strict=True)]
    write(own, "\n".join([f"{lines[0]},Subset", *rows]))
    assert list(read(own).splits.values()) == ["train", "train", "val", "val", "test", "test"]


def test_flags_and_numbers_for_splits(own):
    lines = joined(" ").splitlines()
    rows = [f"{line},{line[0] == '5'}" for line in lines[1:]]
    write(own, "\n".join(["fname,labels,is_valid", *rows]))
    assert read(own).splits["5.jpg"] == "val"
    assert read(own).splits["0.jpg"] == "train"

    rows = [f"{line},{int(line[0] in '0123')},{int(line[0] == '4')}" for line in lines[1:]]
    write(own, "\n".join([f"{lines[0]},is_train,is_valid", *rows]))
    with pytest.raises(Question, match="is_train, is_valid say different splits"):
        read(own)

    rows = [f"{line},{int(line[0]) % 4}" for line in lines[1:]]
    write(own, "\n".join([f"{lines[0]},fold", *rows]))
    with pytest.raises(Question, match=r"column 'fold' holds 0, 1, 2, 3, .*--split-column ''"):
        read(own)
    assert set(read(own, split_column="").splits.values()) == {""}


def test_a_list_of_pictures_gives_the_split(own, capsys):
    write(own, joined("|"))
    write(own, "\n".join(NAMES[:4]), "train.txt")
    write(own, "\n".join(NAMES[4:]), "val.txt")
    got = read(own)
    assert list(got.splits.values()) == ["train"] * 4 + ["val"] * 2
    assert "train.txt: the split of 4 pictures" in capsys.readouterr().out


# -------------------------------------------------------------------------------- names of pictures


def test_names_without_suffix(own, tmp_path):
    write(own, joined(" ").replace(".jpg", "").replace("image", "id"), "train.csv")
    assert read(own).labels == TRUTH

    write_picture(own / "masks" / "0.png")
    assert read(own).labels == TRUTH
    write_picture(own / "others" / "0.png")
    with pytest.raises(Question, match=r"'0' may be 0.jpg or others/0.png"):
        read(own)


def test_two_columns_of_pictures(own):
    left_right = [
        f"{place},{place}.jpg,{place + 3}.jpg,{place % 2},{1 - place % 2}" for place in range(3)
    ]
    write(own, "\n".join(["ID,Left-Fundus,Right-Fundus,N,D", *left_right]))
    with pytest.raises(Question, match="--image-column 'Left-Fundus' or --image-column 'Right"):
        read(own)
    both = read(own, image_columns=("Left-Fundus", "Right-Fundus"), group_column="ID")
    assert both.labels["1.jpg"] == both.labels["4.jpg"] == ["N"]
    assert both.groups["1.jpg"] == both.groups["4.jpg"] == "1"


def test_a_mask_is_not_the_picture(own, capsys):
    lines = joined("|").splitlines()
    masks = [f"masks/{line[0]}.png,{line}" for line in lines[1:]]
    write(own, "\n".join([f"mask,{lines[0]}", *masks]))
    assert read(own).labels == TRUTH
    assert "not read: 'mask'" in capsys.readouterr().out


# ----------------------------------------------------------------------------------- several tables


def test_tables_that_disagree_are_refused(own):
    write(own, joined("|"))
    write(own, joined("|").replace("0.jpg,cat", "0.jpg,dog"), "labels_backup.csv")
    with pytest.raises(Question, match=r"disagree on 1 of them; 0.jpg .*--union"):
        read(own)
    assert read(own / "labels.csv").labels == TRUTH
    assert read(own, union=True).labels["0.jpg"] == ["cat", "dog"]

    shutil.copy(own / "labels.csv", own / "labels_backup.csv")
    assert read(own).labels == TRUTH


def test_rows_that_disagree_are_refused(own):
    write(own, marks("1", "0") + "0.jpg,0,0,0\n")
    with pytest.raises(InputError, match=r"line 8: 0.jpg has the label 'cat' in one row and not"):
        read(own)
    assert read(own, union=True).labels == TRUTH

    write(own, joined("|") + "0.jpg,dog\n")
    with pytest.raises(
        Question, match=r"line 8: 0.jpg has the labels dog here, and cat in .*line 2"
    ):
        read(own)


def test_persons_that_disagree_are_refused(own):
    lines = [f"{name},{label},r1" for name, labels in TRUTH.items() for label in labels]
    write(own, "\n".join(["image_id,class_name,rad_id", *lines, "0.jpg,cat,r2"]))
    assert read(own).labels["0.jpg"] == ["cat"]
    write(own, "\n".join(["image_id,class_name,rad_id", *lines, "0.jpg,dog,r2"]))
    with pytest.raises(Question, match="cat by r1, and dog by r2; --union"):
        read(own)
    assert read(own, union=True).labels["0.jpg"] == ["cat", "dog"]


def test_a_picture_in_two_splits_is_refused(own):
    write(own, joined("|"), "train.csv")
    write(own, joined("|").partition("1.jpg")[0], "test.csv")
    with pytest.raises(Question, match=r"0.jpg is in both, and so in test and train"):
        read(own)


def test_tables_that_are_no_labels(own, capsys):
    write(own, joined("|"), "train.csv")
    write(own, "image,labels\nx.jpg,cat dog\n", "sample_submission.csv")
    write(own, "image,caption\n1.jpg,a dog\n", "captions.csv")
    write(own, "when;where\n1;2\n", "notes.csv")
    write(own, "a,b\n1,2,3\n", "odd.csv")
    assert read(own).labels == TRUTH
    out = capsys.readouterr().out
    assert "sample_submission.csv: left out" in out
    assert "captions.csv: left out, it lists pictures with 'caption', no labels" in out
    assert "notes.csv: no column names pictures (its columns: when (1), where (2)); name" in out
    assert "odd.csv: no column names pictures" in out


@pytest.mark.parametrize("name, header", [("results.csv", "class"), ("labels.csv", "class,score")])
def test_predictions_are_no_labels_without_a_word(own, name, header):
    rows = [f"{picture},cat{',0.7' * header.count(',')}" for picture in NAMES]
    write(own, "\n".join([f"file,{header}", *rows]), name)
    with pytest.raises(Question, match=r"[Pp]redictions of another program"):
        read(own)


def test_a_table_without_a_known_header_of_labels(own):
    lines = [f"{name},{'ab'[place % 2]}1,3" for place, name in enumerate(NAMES)]
    write(own, "\n".join(["image,kind,price", *lines]))
    with pytest.raises(Question, match="--labels-column, .* of: kind, price"):
        read(own)
    assert read(own, label_columns=("kind",)).labels["1.jpg"] == ["b1"]


def test_slips_among_marks_are_asked(own):
    write(own, marks("1", "0").replace("5.jpg,1,0", "5.jpg,1,O"))
    with pytest.raises(Question, match="line 7: column 'cat' holds marks .*, and O; mend"):
        read(own)
    assert read(own, absent=("O",)).labels == TRUTH

    # A code for what is missing, in all columns.
    text = (
        marks("1", "0")
        .replace("2.jpg,0,1,1", "2.jpg,99,99,1")
        .replace("0.jpg,0,1,0", "0.jpg,0,1,99")
    )
    write(own, text)
    with pytest.raises(Question, match="and 99; mend"):
        read(own)
    got = read(own, unknown=("99",))
    assert got.unknown["2.jpg"] == ["bird", "cat"]
    assert got.unknown["0.jpg"] == ["dog"]


def test_columns_of_absent_and_of_unknown_labels(own):
    lines = [f"{name},{'|'.join(labels)},fish,train" for name, labels in TRUTH.items()]
    write(own, "\n".join(["image,positive_labels,negative_labels,split", *lines]))
    got = read(own)
    assert got.labels == TRUTH
    assert got.unknown["0.jpg"] == ["bird", "dog"]
    assert not any(read(own, complete=True).unknown.values())

    # As init-data itself writes a table.
    lines = [f"{name},{'|'.join(labels)},train,bird" for name, labels in TRUTH.items()]
    write(own, "\n".join(["image,labels,split,unknown", *lines]))
    got = read(own)
    assert got.labels == TRUTH
    assert got.unknown["0.jpg"] == ["bird"]
    assert got.unknown["5.jpg"] == []


def test_a_column_that_a_table_lacks_is_unknown_there(own, capsys):
    lines = marks("1", "0").splitlines()
    write(own, "\n".join(lines[:4]), "train/_classes.csv")
    without_cat = [",".join(line.split(",")[:2] + line.split(",")[3:]) for line in lines]
    write(own, "\n".join([without_cat[0], *without_cat[4:]]), "valid/_classes.csv")
    got = read(own)
    assert got.labels == TRUTH
    assert got.unknown["0.jpg"] == []
    assert got.unknown["5.jpg"] == ["cat"]
    assert "no column of cat" in capsys.readouterr().out


def test_a_table_a_label(own):
    for label in ("bird", "cat", "dog"):
        lines = [f"{name},{int(label in labels)}" for name, labels in TRUTH.items()]
        write(own, "\n".join([f"image,{label}", *lines]), f"{label}.csv")
    got = read(own)
    assert got.labels == TRUTH
    assert not any(got.unknown.values())


def test_parts_that_wait_for_their_labels_are_left_out(own, capsys):
    lines = (
        joined("|").replace("4.jpg,bird|dog", "4.jpg,").replace("5.jpg,bird", "5.jpg,").splitlines()
    )
    rows = [f"{line},{'test' if line[0] in '45' else 'train'}" for line in lines[1:]]
    write(own, "\n".join([f"{lines[0]},split", *rows]))
    assert list(read(own).labels) == NAMES[:4]
    assert (
        "labels.csv: left out (test), 2 pictures of which none has a label"
        in capsys.readouterr().out
    )

    write(own, "\n".join(lines[:5]), "train.csv")
    write(own, "\n".join([lines[0], *lines[5:]]), "test.csv")
    (own / "labels.csv").unlink()
    assert list(read(own).labels) == NAMES[:4]


@pytest.mark.parametrize(
    "cell, message",
    [
        ("cat:0.9", "numbers behind"),
        ("cat (0.98)", "numbers behind"),
        ("cat (7%)", "numbers behind"),
        ("cat?", "headed unknown"),
    ],
)
def test_labels_with_something_behind_them(own, cell, message):
    lines = [f"{name},{cell if place % 2 else cell[:3]}" for place, name in enumerate(NAMES)]
    if message == "numbers behind":
        lines = [f"{name},{cell}" for name in NAMES]
    write(own, "\n".join(["image,label", *lines]))
    with pytest.raises(InputError, match=message):
        read(own)


def test_counts_of_labels_are_no_labels(own):
    lines = joined("|").splitlines()
    rows = [f"{line},{len(labels)}" for line, labels in zip(lines[1:], SETS, strict=True)]
    write(own, "\n".join([f"{lines[0]},num_labels", *rows]))
    assert read(own).labels == TRUTH


@pytest.mark.parametrize("mark", ["-", "_", ":", "~", "*"])
def test_marks_that_labels_hold_too(own, mark):
    write(own, joined(mark))
    assert read(own).labels == TRUTH
    names = [f"left{mark}hand", f"right{mark}hand", f"left{mark}foot"]
    write(own, "\n".join(["image,label", *[f"{n},{names[i % 3]}" for i, n in enumerate(NAMES)]]))
    assert read(own).labels["0.jpg"] == [names[0]]


@pytest.mark.parametrize("label", ["-cat", "not cat", "no cat", "cat?", "(cat)"])
def test_labels_with_a_sign_are_asked(own, label):
    write(own, joined("|").replace("3.jpg,", f"3.jpg,{label}"))
    with pytest.raises(Question, match="stands beside 'cat'.*--positive"):
        read(own)
    assert read(own, positive=(label,)).labels == TRUTH | {"3.jpg": [label]}


def test_a_second_header_line_is_not_read_as_labels(own):
    lines = marks("1", "0").splitlines()
    write(own, "\n".join(["picture,labels,labels,labels", "image,bird,cat,dog", *lines[1:]]))
    with pytest.raises(Question, match="0 and 1 stand among the names of labels, such as 'bird'"):
        read(own)


def test_comments_and_titles_above_the_header(own):
    write(own, "# exported on Monday, by me\n#\n" + joined("|"))
    assert read(own).labels == TRUTH
    write(own, "#" + joined("|"))
    assert read(own).labels == TRUTH
    write(own, ("# exported on Monday\n#\n" + joined("|")).replace("\n", "\r"))
    assert read(own).labels == TRUTH
    write(own, f"\ufeff\ufeff{joined('|')}\x1a")
    assert read(own).labels == TRUTH
    for delimiter in (",", ";"):
        write(own, "Labels of our pictures\n" + joined("|", delimiter))
        assert read(own).labels == TRUTH


@pytest.mark.parametrize(
    "above",
    [
        # As spreadsheets write a title, with the commas of the widest row.
        ["Survey of our animals,,,", ",,,", "2024,,,"],
        # Headings of groups of columns.
        [",Animals,,"],
        [",Animals,Animals,Pets"],
    ],
)
def test_what_stands_above_the_header_is_said(own, capsys, above):
    write(own, "\n".join([*above, marks("1", "0")]))
    assert read(own).labels == TRUTH
    assert "above the header, not read: '" in capsys.readouterr().out

    # Names without suffix, too.
    for name in NAMES:
        (own / name).rename(own / f"x{name}")
    head, *lines = marks("1", "0").replace(".jpg", "").splitlines()
    write(own, "\n".join([*above, head, *(f"x{line}" for line in lines)]))
    assert read(own).labels == {f"x{name}": labels for name, labels in TRUTH.items()}


@pytest.mark.parametrize("last", ["Total,2,2,3", ",2,2,3", "Summe:,2,2,3", ",,Sum,3"])
def test_a_row_that_adds_up_the_others(own, capsys, last):
    write(own, marks("1", "0") + f"{last}\n")
    assert read(own).labels == TRUTH
    assert "labels.csv, line 8: not read, it adds up the rows above" in capsys.readouterr().out

    write(own, joined("|") + "Total,5\n")
    assert read(own).labels == TRUTH


@pytest.mark.parametrize(
    ("last", "message"),
    [
        # A slip in a row of no name, a name that is missing, and other numbers than the sums.
        (",1,0,0", "line 8: no picture's name"),
        (",cat", "line 8: 2 fields"),
        ("Total,2,2,9", "line 8: column 'bird' holds marks .* and 2"),
    ],
)
def test_rows_that_add_up_nothing(own, last, message):
    write(own, marks("1", "0") + f"{last}\n")
    with pytest.raises(InputError, match=message):
        read(own)


@pytest.mark.parametrize("note", ["Source: our archive,,,", "Source: our archive", ",,,\nA - B,,,"])
def test_a_note_below_a_table(own, capsys, note):
    write(own, f"{marks('1', '0')}{note}\n")
    assert read(own).labels == TRUTH
    assert "not read, a note (" in capsys.readouterr().out

    # The name of a picture is none.
    write_picture(own / "a b.jpg")
    write(own, marks("1", "0") + "a b.jpg\n")
    with pytest.raises(InputError, match="line 8: column 'cat'|Does an empty cell mean"):
        read(own)


def test_a_header_in_two_rows(own):
    """As survey tools write the options below their question."""
    lines = marks("1", "0").splitlines()[1:]
    rows = ["Our animals,,,,", "Picture,Which animals?,,,Remarks", ",bird,cat,dog,"]
    write(own, "\n".join([*rows, *(f"{line}," for line in lines[:5]), f"{lines[5]},blurred"]))
    assert read(own).labels == TRUTH


def test_a_header_in_between(own, capsys):
    """Of tables that were put one behind the other."""
    for text in (marks("1", "0"), joined("|")):
        head, *lines = text.splitlines()
        write(own, "\n".join([head, *lines[:3], head, *lines[3:]]))
        assert read(own).labels == TRUTH
        assert "labels.csv, line 5: not read, the header again" in capsys.readouterr().out


def test_a_header_without_a_name_for_the_pictures(own):
    """As pandas writes a table whose index names them."""
    write(own, joined("|").replace("image", "", 1))
    assert read(own).labels == TRUTH
    write(own, joined("|").replace("labels", "", 1).replace("image", "id", 1))
    assert read(own, label_columns=("column 2",)).labels == TRUTH


def test_empty_cells_may_wait_for_labels(own):
    write(own, "image,labels\n0.jpg,cat\n1.jpg,dog\n" + "".join(f"{n},\n" for n in NAMES[2:]))
    with pytest.raises(
        Question, match="4 of 6 rows name no label.*--absent blank.*--unknown blank"
    ):
        read(own)
    assert read(own, absent=("blank",)).labels["5.jpg"] == []
    assert list(read(own, unknown=("blank",)).labels) == ["0.jpg", "1.jpg"]


def test_a_label_called_unknown(own):
    for word in ("UNK", "cannot tell", "Unbekannt", "unknown"):
        write(own, joined("|").replace("3.jpg,", f"3.jpg,{word}"))
        asked = f"--positive '{word}'.*--negative '{word}'.*--unknown"
        with pytest.raises(Question, match=asked):
            read(own)
    got = read(own, unknown=("unknown",))
    assert got.labels == TRUTH
    assert got.unknown["3.jpg"] == ["bird", "cat", "dog"]
    assert not got.unknown["2.jpg"]


def test_marks_within_a_record(own):
    records = [
        {"file_name": name, "labels": {label: label in labels for label in ("bird", "cat", "dog")}}
        for name, labels in TRUTH.items()
    ]
    write(own, "\n".join(map(json.dumps, records)), "metadata.jsonl")
    assert read(own).labels == TRUTH


def test_classes_that_are_called_as_splits(own):
    write(own, marks("1", "0").replace("bird", "set"))
    with pytest.raises(Question, match="--mark-column 'set'"):
        read(own)
    assert read(own, mark_columns=("*",)).labels["5.jpg"] == ["set"]


@pytest.mark.parametrize("header", ["value", "is_present", "state", "Status"])
@pytest.mark.parametrize("yes, no", [("1", "0"), ("True", "False"), ("present", "absent")])
def test_a_row_a_label_that_is_there_or_not(own, header, yes, no):
    lines = [f"image,label,{header}"]
    for name, labels in TRUTH.items():
        lines += [f"{name},{x},{yes if x in labels else no}" for x in ("bird", "cat", "dog")]
    write(own, "\n".join(lines))
    got = read(own)
    assert got.labels == TRUTH
    assert not any(got.unknown.values())


def counted(amounts: str) -> list[str]:
    """A row for each picture and label, with one of the amounts or 0."""
    pairs = [(name, label) for name in NAMES for label in ("bird", "cat", "dog")]
    return [
        f"{name},{label},{amounts.split()[at % 3] if label in TRUTH[name] else 0}"
        for at, (name, label) in enumerate(pairs)
    ]


@pytest.mark.parametrize(
    ("header", "amounts"), [("count", "1 2 5"), ("cover", "0.5 12.5 90"), ("Percent", "3 2.5 1")]
)
def test_how_much_of_a_label_is_there(own, header, amounts):
    write(own, "\n".join([f"image,species,{header}", *counted(amounts)]))
    got = read(own)
    assert got.labels == TRUTH
    assert not any(got.unknown.values())


def test_numbers_that_may_say_how_much_of_a_label_is_there(own):
    write(own, "\n".join(["image,species,amount", *counted("1 2 5")]))
    with pytest.raises(Question, match="--state-column 'amount'.*--ignore-column 'amount'"):
        read(own)
    assert read(own, state_column="amount").labels == TRUTH

    # Not of each picture and label.
    write(own, "\n".join(["image,species,count", *counted("1 2 5")[1:]]))
    with pytest.raises(Question, match="--state-column 'count'"):
        read(own)
    got = read(own, state_column="count", complete=True)
    assert got.labels == TRUTH

    write(own, "\n".join(["image,species,count", *counted("1 2 some")]))
    with pytest.raises(InputError, match="line .*: column 'count' holds some, which does not say"):
        read(own, state_column="count")


def test_another_column_of_yes_and_no_beside_rows_of_labels_is_asked(own):
    lines = ["image,label,checked"]
    for name, labels in TRUTH.items():
        lines += [f"{name},{x},{int(x in labels)}" for x in ("bird", "cat", "dog")]
    write(own, "\n".join(lines))
    with pytest.raises(Question, match="--state-column 'checked'.*--ignore-column 'checked'"):
        read(own)
    assert read(own, state_column="checked").labels == TRUTH
    assert read(own, ignore_columns=("checked",)).labels["0.jpg"] == ["bird", "cat", "dog"]


def test_labels_in_quotes_and_with_decimals(own):
    frame = pandas.DataFrame({"image": NAMES, "labels": [", ".join(map(repr, x)) for x in SETS]})
    frame.to_csv(own / "labels.csv", index=False)
    assert read(own).labels == TRUTH

    numbers = {"cat": "3.0", "dog": "4.0", "bird": "5.0"}
    cells = [";".join(numbers[label] for label in labels) for labels in SETS]
    pandas.DataFrame({"image": NAMES, "labels": cells}).to_csv(own / "labels.csv", index=False)
    assert read(own).labels["2.jpg"] == ["3", "4"]


def with_columns(columns: dict[str, list[str]]) -> str:
    """The truth as marks of 1 and 0, with more columns behind."""
    lines = marks("1", "0").splitlines()
    rows = [list(columns), *zip(*columns.values(), strict=True)]
    return "\n".join(",".join([line, *row]) for line, row in zip(lines, rows, strict=True))


def test_what_no_picture_shows_is_asked_about(own):
    write(own, with_columns({"smoker": ["0", "1"] * 3}))
    with pytest.raises(Question, match="are 'smoker' labels.*--ignore-column 'smoker'"):
        read(own)


def test_what_is_known_of_a_person_is_asked_about(own):
    flags = ["0", "1"] * 3
    write(own, with_columns({"age": [str(30 + at) for at in range(6)], "is_male": flags}))
    with pytest.raises(Question, match="are 'is_male' labels.*--ignore-column 'is_male'"):
        read(own)
    assert read(own, ignore_columns=("is_male",)).labels == TRUTH
    assert read(own, mark_columns=("*",)).labels["1.jpg"] == ["dog", "is_male"]

    # As of CelebA, where all columns are labels.
    write(own, with_columns({"is_male": flags}))
    assert read(own).labels["1.jpg"] == ["dog", "is_male"]


def test_marks_in_another_way_than_the_others_are_asked_about(own):
    write(own, with_columns({"diabetes": ["yes", "no"] * 3}))
    with pytest.raises(Question, match="are 'diabetes' labels.*--ignore-column 'diabetes'"):
        read(own)
    assert read(own, ignore_columns=("diabetes",)).labels == TRUTH

    # One column may hold both.
    write(own, marks("1", "0").replace("0.jpg,0,1", "0.jpg,no,yes"))
    assert read(own).labels == TRUTH


def test_columns_of_several_persons(own):
    lines = [f"{name},{first},{first}" for name, first in zip(NAMES, "abcabc", strict=True)]
    header = "image,rater1_label,rater2_label"
    write(own, "\n".join([header, *lines]))
    assert read(own).labels["1.jpg"] == ["b"]

    write(own, "\n".join([header, *lines[:-1], "5.jpg,c,a"]))
    with pytest.raises(Question, match="'rater1_label', 'rater2_label' are labels by several"):
        read(own)
    assert read(own, label_columns=("rater1_label",)).labels["5.jpg"] == ["c"]
    both = read(own, label_columns=("rater1_label", "rater2_label"))
    assert both.labels["5.jpg"] == ["a", "c"]


@pytest.mark.parametrize(("yes", "no"), [("0.93", "0.08"), ("0,93", "0,08"), ("93%", "8%")])
def test_probabilities_in_place_of_marks(own, yes, no):
    write(own, marks(yes, no, ";"))
    message = f"'bird', 'cat', 'dog' hold numbers such as {no}: .*write 1 where a label is there"
    with pytest.raises(Question, match=message):
        read(own)


def test_cells_that_say_of_each_label_whether_it_is_there(own):
    rows = []
    for name, labels in TRUTH.items():
        states = {label: int(label in labels) for label in ("bird", "cat", "dog")}
        rows.append(f'{name},"{states}"')
    write(own, "\n".join(["image,labels", *rows]))
    assert read(own).labels == TRUTH


def test_of_two_pictures_of_one_name_that_of_the_row_s_part(tmp_path):
    own = tmp_path / "own"
    rows = []
    for part in ("train", "test"):
        for name, labels in TRUTH.items():
            write_picture(own / part / name)
            rows.append(f"{name},{'|'.join(labels) or part},{part}")
    write(own, "\n".join(["image,labels,split", *rows]))
    got = read(own)
    assert len(got.labels) == 2 * len(TRUTH)
    assert got.labels["train/3.jpg"] == ["train"]
    assert got.labels["test/3.jpg"] == ["test"]


def test_a_table_without_any_label(own):
    write(own, marks("0", "0"))
    with pytest.raises(InputError, match="labels.csv: none of its pictures has a label"):
        read(own)


@pytest.mark.parametrize("name", ["notes.csv", "notes.tsv"])
def test_a_table_that_names_no_pictures_is_told(own, name):
    write(own, "when,where\n1,2\n", name)
    with pytest.raises(InputError, match=f"{name}: no column names pictures.*--image-column"):
        read(own)


def test_pictures_within_parquet_that_have_no_names(own):
    table = pyarrow.table({"image": [{"bytes": b"x", "path": None}] * 3, "label": [0, 1, 0]})
    parquet.write_table(table, own / "train.parquet")
    with pytest.raises(InputError, match="train.parquet: column 'image' holds the pictures them"):
        read(own)


def test_rows_that_were_turned_down_are_asked_about(own):
    lines = [f"{name},{'|'.join(labels)},Approved" for name, labels in TRUTH.items()]
    lines[2] = lines[2].replace("Approved", "Rejected")
    write(own, "\n".join(["image,labels,status", *lines]))
    with pytest.raises(Question, match="line 4: column 'status' says 'rejected', as of 1 rows; .*"):
        read(own)
    assert read(own, ignore_columns=("status",)).labels == TRUTH
    write(own, "\n".join(["image,labels,status", *lines]).replace("Rejected", "Approved"))
    assert read(own).labels == TRUTH


def test_a_column_of_who_gave_the_labels_is_none_of_labels(own):
    """As Label Studio writes it, whose annotators have numbers."""
    lines = [f"{name},1,{'ab'[place % 2]},{'pq'[place % 2]}" for place, name in enumerate(NAMES)]
    write(own, "\n".join(["image,annotator,animal,quality", *lines]))
    with pytest.raises(Question, match="--labels-column.*of: animal, quality"):
        read(own)

    lines = [f"{name},{annotator},cat" for name in NAMES for annotator in (0, 1)]
    write(own, "\n".join(["image,annotator,choice", *lines[:-1], "5.jpg,1,dog"]))
    with pytest.raises(Question, match="5.jpg has the labels cat by 0, and dog by 1; --union"):
        read(own)


def test_grades_are_asked_about(own):
    lines = [f"{name},{place % 3}" for place, name in enumerate(NAMES)]
    write(own, "\n".join(["image,level", *lines]))
    with pytest.raises(
        Question, match="--unknown '2'; where its numbers are labels, --labels-column 'level'; or"
    ):
        read(own)
    assert read(own, label_columns=("level",)).labels["2.jpg"] == ["2"]


def test_a_damaged_table_that_names_no_suffixes(own):
    write(own, "id,kind\n0,cat\n1,cat,dog\n2,cat\n")
    with pytest.raises(InputError, match="labels.csv, line 3: 3 fields where the header has 2"):
        read(own)


def test_tables_that_are_left_out_are_told_where_folders_are_no_labels(own):
    for part in ("train", "val"):
        write_picture(own / part / f"{part}.jpg")
        write(own, f"{part}/{part}.jpg 0\n", f"{part}.txt")
    with pytest.raises(InputError, match=r"no labels; .*train.txt, line 1: no header.*--header"):
        read(own)


@pytest.mark.parametrize("header", ["dataset", "Usage", "kind"])
def test_a_column_whose_cells_are_all_words_for_parts(own, header):
    parts = ["train"] * 4 + ["Test"] * 2
    lines = joined("|").splitlines()
    rows = [f"{line},{part}" for line, part in zip(lines[1:], parts, strict=True)]
    write(own, "\n".join([f"{lines[0]},{header}", *rows]))
    assert list(read(own).splits.values()) == [part.lower() for part in parts]


@pytest.mark.parametrize(
    "cells",
    [
        # As numpy prints them, and as a spreadsheet has 001 and 011.
        ["[0. 1. 0.]", "[1. 0. 0.]"],
        ["[0 1 0]", "[1 0 0]"],
        ["1", "11", "100"],
    ],
)
def test_rows_of_ones_and_zeros_are_no_labels(own, cells):
    rows = [f"{name},{cells[place % len(cells)]}" for place, name in enumerate(NAMES)]
    write(own, "\n".join(["image,labels", *rows]))
    with pytest.raises(InputError, match="but not the classes' names; write a column a class"):
        read(own)


def test_numbers_of_classes_may_look_like_these(own):
    rows = [f"{name},{('01', '001', '1')[place % 3]}" for place, name in enumerate(NAMES)]
    write(own, "\n".join(["image,label", *rows]))
    assert read(own).labels["1.jpg"] == ["001"]
    rows = [f"{name},{('10', '11', '2')[place % 3]}" for place, name in enumerate(NAMES)]
    write(own, "\n".join(["image,label", *rows]))
    assert read(own).labels["1.jpg"] == ["11"]


def test_a_byte_that_nobody_sees(own):
    write(own, joined("|").replace("1.jpg,dog", "1.jpg,dog\0"))
    assert read(own).labels == TRUTH


def test_a_word_before_the_last_label(own):
    cells = ["cat", "dog", "bird", "cat and dog", "bird, cat and dog", "bird, dog"]
    rows = [f'{name},"{cell}"' for name, cell in zip(NAMES, cells, strict=True)]
    write(own, "\n".join(["image,labels", *rows]))
    with pytest.raises(Question, match="both ',' and ' and ' seem to stand between labels"):
        read(own)


def test_marks_of_two_other_numbers(own):
    write(own, marks("100", "0"))
    with pytest.raises(Question, match="hold numbers such as 0: .*--present and --absent"):
        read(own)
    chosen = {"mark_columns": ("bird", "cat", "dog"), "present": ("100",), "absent": ("0",)}
    assert read(own, **chosen).labels == TRUTH


def test_years_behind_labels_stay(own):
    rows = [f"{name},Audi A4 ({(2008, 2012)[place % 2]})" for place, name in enumerate(NAMES)]
    write(own, "\n".join(["image,label", *rows]))
    assert read(own, separator="").labels["0.jpg"] == ["Audi A4 (2008)"]


def test_labels_that_are_called_as_persons_are(own):
    """Of helmets and who wears them, and no column of who gave the labels."""
    write(own, marks("1", "0").replace("file,bird,cat,dog", "file,worker,reader,user"))
    assert read(own).labels["4.jpg"] == ["user", "worker"]


def test_a_row_an_object_beside_a_table_of_joined_labels(own):
    boxes = [f"{name},{label},1,2" for name, labels in TRUTH.items() for label in labels]
    write(own, "\n".join(["image,class,xmin,ymin", *boxes]), "boxes.csv")
    write(own, joined("|"))
    assert read(own).labels == TRUTH


@pytest.mark.parametrize("cell", ["cat ({})", "dog x{}", "dog x {}"])
def test_counts_behind_labels(own, cell):
    rows = [f"{name},{cell.format(1 + place % 3)}" for place, name in enumerate(NAMES)]
    write(own, "\n".join(["image,species", *rows]))
    with pytest.raises(InputError, match=r"labels have numbers behind them, as '(cat|dog)"):
        read(own, separator="")


def test_a_list_where_there_are_several_labels(own):
    names = ["cat", "dog", "bird", "['bird', 'dog']", "cat", "bird"]
    rows = [f'{name},"{cell}"' for name, cell in zip(NAMES, names, strict=True)]
    write(own, "\n".join(["image,labels", *rows]))
    assert read(own).labels["3.jpg"] == ["bird", "dog"]
    assert read(own).labels["0.jpg"] == ["cat"]

    # Others may be split as ever.
    rows[4] = '4.jpg,"cat, dog"'
    write(own, "\n".join(["image,labels", *rows]))
    assert read(own).labels["4.jpg"] == ["cat", "dog"]
    assert read(own).labels["3.jpg"] == ["bird", "dog"]


def test_underscores_between_labels_are_asked_about(own):
    cells = ["hail_sun", "sun_fog", "fog_hail", "hail", "hail_sun_fog", "hail"]
    rows = [f"{name},{cell}" for name, cell in zip(NAMES, cells, strict=True)]
    write(own, "\n".join(["image,labels", *rows]))
    with pytest.raises(Question, match="--separator '_'.*--separator ''"):
        read(own)
    assert read(own, separator="_").labels["4.jpg"] == ["fog", "hail", "sun"]

    cells = ["red_dress", "blue_dress", "red_shirt"] * 2
    rows = [f"{name},{cell}" for name, cell in zip(NAMES, cells, strict=True)]
    write(own, "\n".join(["image,labels", *rows]))
    assert read(own).labels["0.jpg"] == ["red_dress"]


def test_numbers_of_patients_are_no_names_of_pictures(own):
    rows = [f"{place // 2},{place},{'|'.join(TRUTH[name])}" for place, name in enumerate(NAMES)]
    write(own, "\n".join(["patient_id,image_id,labels", *rows]))
    assert read(own).labels == TRUTH


def test_two_words_of_a_species_are_one_label(own):
    names = ["Felis catus", "Canis lupus", "Canis latrans"] * 2
    rows = [
        f"{name},{cell.partition(' ')[0]},{cell}" for name, cell in zip(NAMES, names, strict=True)
    ]
    write(own, "\n".join(["image,genus,species", *rows]))
    assert read(own).labels["1.jpg"] == ["Canis lupus"]


def test_second_words_of_species_that_two_genera_have(own):
    pairs = ["Felis,alba", "Canis,alba", "Canis,lupus"] * 2
    rows = [f"{name},{pair}" for name, pair in zip(NAMES, pairs, strict=True)]
    write(own, "\n".join(["image,genus,species", *rows]))
    with pytest.raises(Question, match="'alba' in 'species' is of Felis and of Canis in 'genus'"):
        read(own)
    assert read(own, label_columns=("species",)).labels["0.jpg"] == ["alba"]

    # Where all differ, nothing is lost.
    write(own, "\n".join(["image,genus,species", *rows[1:3]]))
    assert read(own).labels == {"1.jpg": ["alba"], "2.jpg": ["lupus"]}
