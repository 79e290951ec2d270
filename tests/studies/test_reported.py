"""Reading and checking a reported.csv: a bad line is named with its remedy."""

import csv
from pathlib import Path

import pytest

from mlrepro.errors import InputError
from mlrepro.settings.run_id import parse_run_id
from mlrepro.studies.checks import check_reported
from mlrepro.studies.reported import load_reported

VALID = {
    "table": "1",
    "row": "ASL*",
    "run": "gap-asl-resnet50-coco2014-448",
    "data_set": "coco2014",
    "backbone": "ResNet-50",
    "resolution": "448",
    "metric": "mAP",
    "printed": "85.5±0.3",
    "number": "85.5",
    "std": "0.3",
    "convention": "exact",
    "source": "002, Table 1",
    "checked": "yes",
    "note": "",
}


def write(path: Path, *rows: dict, columns=tuple(VALID)) -> Path:
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    return path


def columns_without(name: str) -> list[str]:
    return [column for column in VALID if column != name]


def test_a_row_keeps_what_is_printed(tmp_path):
    (row,) = load_reported(write(tmp_path / "reported.csv", VALID))

    assert row.printed == "85.5±0.3"
    assert (row.number, row.std) == (85.5, 0.3)
    assert row.resolution == 448
    assert row.document == "002"


def test_run_ids():
    run = parse_run_id("gap-an_ls-resnet50-voc2012-single-448-linear_init")
    assert (run.head, run.loss, run.data) == ("gap", "an_ls", "voc2012")
    assert (run.labels, run.resolution, run.variant) == ("single", 448, "linear_init")

    assert parse_run_id("query2label-asl-cvt_w24-coco2014-384").labels == "full"


# What the second of two lines says otherwise than the first, and what is said of it.
BAD_LINES = [
    ({"number": "85,5"}, "number\n  Input should be a valid number"),
    ({"number": "85.6"}, "not what is printed"),
    ({"number": ""}, "number\n  Input should be a valid number"),
    ({"number": "8e1"}, "plain decimal"),
    ({"source": ""}, "source\n  String should have at least 1 character"),
    ({"convention": "mac"}, "convention\n  Input should be '', 'macs', 'flops'"),
    ({"checked": "third-party"}, "checked\n  Input should be 'yes', 'memory' or 'third party'"),
    ({"resolution": "448x448"}, "resolution\n  Input should be a valid integer"),
    ({"run": "", "note": ""}, "no run and no note"),
    ({"run": "gap-asl-resnet50-coco2014-448x"}, "is not of the form <head>-<loss>"),
    ({"run": "gap-asl-resnet50.v1-coco2014-448"}, "its parts of letters, digits"),
    ({"run": "query2lable-asl-resnet50-coco2014-448"}, "did you mean 'query2label'"),
    ({"run": "gap-asl-resnet50-coco2014-224"}, "of size 224, the row of 448"),
    ({"run": "gap-asl-resnet50-coco2017-448"}, "of data set 'coco2017', the row of 'coco2014'"),
    ({}, "stands in line 2 too"),
    ({"metric": "CF1", "run": "gap-bce-resnet50-coco2014-448"}, "names two runs"),
    ({"row": "ASL"}, "give one of them a variant"),
]


@pytest.mark.parametrize("changes, message", BAD_LINES)
def test_a_bad_row_names_file_line_and_remedy(tmp_path, changes, message):
    path = write(tmp_path / "reported.csv", VALID, VALID | changes)

    with pytest.raises(InputError) as error:
        check_reported(path)

    assert str(error.value).startswith(f"{path}:3: ")
    assert message in str(error.value)


def test_a_misspelt_column_is_named(tmp_path):
    columns = [column if column != "backbone" else "back_bone" for column in VALID]
    path = write(tmp_path / "a.csv", VALID | {"back_bone": "x"}, columns=columns)

    message = r"a\.csv:2: .*\n.*unknown key 'back_bone'; did you mean 'backbone'"
    with pytest.raises(InputError, match=message):
        load_reported(path)


def test_a_missing_column_is_named(tmp_path):
    path = write(tmp_path / "b.csv", VALID, columns=columns_without("resolution"))

    with pytest.raises(InputError, match=r"(?s)b\.csv:2: .*resolution\n  Field required"):
        load_reported(path)


def test_columns_are_exact_even_without_rows(tmp_path):
    path = write(tmp_path / "d.csv", columns=columns_without("note"))

    with pytest.raises(InputError, match="columns must be exactly table,row,run"):
        check_reported(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        load_reported(tmp_path / "c.csv")
