"""The studies' numbers load, what does not add up is found by program, and bad input names its remedy."""

import csv
import shutil
from pathlib import Path

import pytest
import yaml
from checks import CHECKS, check_tables, document_of, harmonic_mean
from study_checks import check_reported, check_study

from mlrepro.errors import InputError
from mlrepro.settings.run_id import parse_run_id
from mlrepro.studies.reported import ReportedRow, load_reported, load_study

STUDIES = Path(__file__).resolve().parents[2] / "studies"
NAMES = ["aam", "captions", "mirflickr", "query2label", "single-positive", "voc-transfer"]
VALID = dict(
    table="1",
    row="ASL*",
    run="gap-asl-resnet50-coco2014-448",
    data_set="coco2014",
    backbone="ResNet-50",
    resolution="448",
    metric="mAP",
    printed="85.5±0.3",
    number="85.5",
    std="0.3",
    convention="exact",
    source="002, Table 1",
    checked="yes",
    note="",
)


def write(path: Path, *rows: dict, columns=tuple(VALID)) -> Path:
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    return path


def cells(metrics: dict[str, str], **changes) -> list[ReportedRow]:
    """Rows of one printed row, numbers taken from what is printed."""
    values = VALID | {"std": None, "convention": "", "resolution": 448} | changes
    return [
        ReportedRow(**{**values, "metric": m, "printed": p, "number": float(p)})
        for m, p in metrics.items()
    ]


@pytest.mark.parametrize("name", NAMES)
def test_every_contradiction_of_a_study_is_found_by_program_and_told_in_its_yaml(name):
    check_study(STUDIES / name)
    study = load_study(STUDIES / name)
    found = check_tables(study.rows)
    for finding in found:
        assert finding.check in {check.__name__ for check in CHECKS}
        told = f"{finding.subject}: {finding.evidence}."
        assert any(
            known.check == finding.check
            and set(finding.tables) <= set(known.tables)
            and told in known.calculation
            for known in study.text.findings
        ), finding
    for known in study.text.findings:
        if known.check:
            assert known.check in {finding.check for finding in found}, known.claim


def test_known_contradictions():
    found = {name: check_tables(load_study(STUDIES / name).rows) for name in NAMES}

    def evidence(name: str, check: str, subject: str = "") -> list[str]:
        return [f.evidence for f in found[name] if f.check == check and subject in f.subject]

    assert evidence("aam", "same_run_other_number", "coco2017") == [
        "002, mAP: 88.25 (ML-Decoder*, Table 2), 88.30 (+ MLD, Table 6)"
    ]
    assert len(evidence("aam", "gflops_copied_between_data_sets")) == 3
    assert "117266" in evidence("aam", "data_set_year")[0]
    assert evidence("captions", "change_against_parts") == [
        "0.6612 - 0.626 = +0.0352, printed -0.19"
    ]
    assert (
        "25,557,032 / 2^20 = 24.37"
        in evidence("captions", "parameters_in_binary_millions", "ResNet-50")[0]
    )
    assert len(evidence("voc-transfer", "copied_column")) == 6
    assert "Resnet18: a multiple of 37" in evidence("voc-transfer", "other_number_of_samples")[0]
    assert "printed 81.8" in evidence("query2label", "f1_against_precision_and_recall", "ASL")[0]
    assert len(evidence("query2label", "top3_against_all", "Q2L-R101 R101 448")) == 2


def test_clean_tables_give_no_finding():
    clean = cells(
        {
            "mAP": "83.0",
            "CP": "85.1",
            "CR": "72.0",
            "CF1": "78.0",
            "OP": "85.8",
            "OR": "75.4",
            "OF1": "80.3",
            "top3_CP": "87.2",
            "top3_CR": "64.6",
            "top3_CF1": "74.2",
            "GFLOPs": "31.4",
        }
    )
    clean += cells(
        {
            "micro_f1": "0.82",
            "micro_precision": "0.83",
            "micro_recall": "0.81",
            "accuracy": "0.97",
            "macro_f1": "0.53",
            "macro_precision": "0.55",
            "macro_recall": "0.53",
        },
        row="ViT",
        run="",
    )
    clean += cells(
        {"GFLOPs": "12.00"}, run="ml_decoder-asl-x-voc2007-448", data_set="voc2007", table="3"
    )
    clean += cells(
        {"GFLOPs": "12.28"}, run="ml_decoder-asl-x-coco2017-448", data_set="coco2017", table="2"
    )
    clean += cells(
        {"GFLOPs": "12.28"}, run="ml_decoder-asl-x-nuswide-448", data_set="nuswide", table="4"
    )
    clean += cells({"f1": "0.626"}, row="Model 1", run="", table="5")
    clean += cells({"f1": "0.8474", "f1_change": "0.22"}, row="Model 2", run="", table="5")
    assert check_tables(clean) == []


@pytest.mark.parametrize(
    "metrics, check",
    [
        ({"mAP": "100.5"}, "out_of_range"),
        ({"OF1": "85.0", "OP": "80.0", "OR": "80.0"}, "f1_against_precision_and_recall"),
        (
            {"macro_f1": "0.60", "macro_precision": "0.50", "macro_recall": "0.60"},
            "f1_against_precision_and_recall",
        ),
        ({"OP": "80.0", "top3_OP": "79.0"}, "top3_against_all"),
    ],
)
def test_one_wrong_number_is_found(metrics, check):
    assert [finding.check for finding in check_tables(cells(metrics))] == [check]


def test_a_mean_of_f1s_below_the_harmonic_mean_is_no_finding():
    assert (
        check_tables(cells({"macro_f1": "0.38", "macro_precision": "0.45", "macro_recall": "0.36"}))
        == []
    )
    assert harmonic_mean(0.5, 1.0) == pytest.approx(2 / 3) and harmonic_mean(0.0, 0.0) == 0.0


def test_a_row_keeps_what_is_printed(tmp_path):
    (row,) = load_reported(write(tmp_path / "reported.csv", VALID))
    assert (row.printed, row.number, row.std, row.resolution, document_of(row)) == (
        "85.5±0.3",
        85.5,
        0.3,
        448,
        "002",
    )


def test_run_ids():
    run = parse_run_id("gap-an_ls-resnet50-voc2012-single-448-linear_init")
    assert (run.head, run.loss, run.data, run.labels, run.resolution, run.variant) == (
        "gap",
        "an_ls",
        "voc2012",
        "single",
        448,
        "linear_init",
    )
    assert parse_run_id("query2label-asl-cvt_w24-coco2014-384").labels == "full"


@pytest.mark.parametrize(
    "changes, message",
    [
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
    ],
)
def test_a_bad_row_names_file_line_and_remedy(tmp_path, changes, message):
    path = write(tmp_path / "reported.csv", VALID, VALID | changes)
    with pytest.raises(InputError) as error:
        check_reported(path)
    assert str(error.value).startswith(f"{path}:3: ") and message in str(error.value)


def test_columns_are_exact(tmp_path):
    wrong = [c if c != "backbone" else "back_bone" for c in VALID]
    with pytest.raises(
        InputError, match=r"a\.csv:2: .*\n.*unknown key 'back_bone'; did you mean 'backbone'"
    ):
        load_reported(write(tmp_path / "a.csv", VALID | {"back_bone": "x"}, columns=wrong))
    with pytest.raises(InputError, match=r"(?s)b\.csv:2: .*resolution\n  Field required"):
        load_reported(
            write(tmp_path / "b.csv", VALID, columns=[c for c in VALID if c != "resolution"])
        )
    with pytest.raises(InputError, match="columns must be exactly table,row,run"):
        check_reported(write(tmp_path / "d.csv", columns=[c for c in VALID if c != "note"]))
    with pytest.raises(InputError, match="no such file"):
        load_reported(tmp_path / "c.csv")


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda text: text["tables"][0].update(rows=5), "says 5 rows, .* has 4"),
        (
            lambda text: text["tables"][0]["columns"].remove("f1"),
            "has 'f1', which columns in study.yaml does not list",
        ),
        (
            lambda text: text["tables"][0]["columns"].append("f2"),
            "lists 'f2', .* did you mean 'f1'",
        ),
        (lambda text: text["tables"][0].update(id="9"), "table '1' is not in study.yaml"),
        (lambda text: text.update(sumary="x"), "unknown key 'sumary'; did you mean 'summary'"),
        (
            lambda text: text["findings"][0].update(verdict="contradictory"),
            "did you mean 'contradiction'",
        ),
        (lambda text: text["findings"][0].update(tables=["8"]), "findings: id 1: no table '8'"),
        (lambda text: text["deviations"][0].update(id=7), "deviations: ids must run 1, 2, 3"),
    ],
)
def test_a_study_that_disagrees_with_its_numbers(tmp_path, change, message):
    shutil.copy(STUDIES / "captions" / "reported.csv", tmp_path)
    text = yaml.safe_load((STUDIES / "captions" / "study.yaml").read_text(encoding="utf-8"))
    change(text)
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(text), encoding="utf-8")
    with pytest.raises(InputError, match=message):
        check_study(tmp_path)
