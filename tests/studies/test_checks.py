"""What does not add up in printed numbers is found by program; clean tables give no finding."""

from pathlib import Path

import pytest

from mlrepro.studies.checks import CHECKS, Finding, check_study, check_tables
from mlrepro.studies.checks.finding import harmonic_mean
from mlrepro.studies.description import KnownFinding
from mlrepro.studies.reported import ReportedRow
from mlrepro.studies.study import load_study

STUDIES = Path(__file__).resolve().parents[2] / "studies"
NAMES = ["aam", "captions", "mirflickr", "query2label", "single-positive", "voc-transfer"]


# ---- The studies --------------------------------------------------------------------------------


def tells(known: KnownFinding, finding: Finding) -> bool:
    """Whether study.yaml's finding has what the program found: check, tables, calculation."""
    sentence = f"{finding.subject}: {finding.evidence}."
    return (
        known.check == finding.check
        and set(finding.tables) <= set(known.tables)
        and sentence in known.calculation
    )


@pytest.mark.parametrize("name", NAMES)
def test_every_contradiction_of_a_study_is_found_by_program_and_told_in_its_yaml(name):
    check_study(STUDIES / name)
    study = load_study(STUDIES / name)
    findings = check_tables(study.rows)
    known_findings = study.description.findings

    names = {check.__name__ for check in CHECKS}
    for finding in findings:
        assert finding.check in names
        assert any(tells(known, finding) for known in known_findings), finding

    found = {finding.check for finding in findings}
    for known in known_findings:
        if known.check:
            assert known.check in found, known.claim


def evidence(study: str, check: str, subject: str = "") -> list[str]:
    """What one check finds in a study, of subjects that hold `subject`."""
    findings = check_tables(load_study(STUDIES / study).rows)
    return [f.evidence for f in findings if f.check == check and subject in f.subject]


def test_known_contradictions_of_the_aam_paper():
    assert evidence("aam", "same_run_other_number", "coco2017") == [
        "002, mAP: 88.25 (ML-Decoder*, Table 2), 88.30 (+ MLD, Table 6)"
    ]
    assert len(evidence("aam", "gflops_copied_between_data_sets")) == 3
    assert "117266" in evidence("aam", "data_set_year")[0]


def test_known_contradictions_of_the_captions_study():
    assert evidence("captions", "change_against_parts") == [
        "0.6612 - 0.626 = +0.0352, printed -0.19"
    ]
    (resnet,) = evidence("captions", "parameters_in_binary_millions", "ResNet-50")
    assert "25,557,032 / 2^20 = 24.37" in resnet


def test_known_contradictions_of_the_voc_transfer_study():
    assert len(evidence("voc-transfer", "copied_column")) == 6
    assert "Resnet18: a multiple of 37" in evidence("voc-transfer", "other_number_of_samples")[0]


def test_known_contradictions_of_query2label():
    asl = evidence("query2label", "f1_against_precision_and_recall", "ASL")
    assert "printed 81.8" in asl[0]
    assert len(evidence("query2label", "top3_against_all", "Q2L-R101 R101 448")) == 2


# ---- Made-up tables -----------------------------------------------------------------------------


def cells(metrics: dict[str, str], **changes) -> list[ReportedRow]:
    """The cells of one printed row, numbers taken from what is printed."""
    values = {
        "table": "1",
        "row": "ASL*",
        "run": "gap-asl-resnet50-coco2014-448",
        "data_set": "coco2014",
        "backbone": "ResNet-50",
        "resolution": 448,
        "std": None,
        "convention": "",
        "source": "002, Table 1",
        "checked": "yes",
        "note": "",
    }
    values |= changes

    row = []
    for metric, printed in metrics.items():
        row.append(ReportedRow(**values, metric=metric, printed=printed, number=float(printed)))
    return row


# Percentages, and fractions of which the macro F1 is a mean of the classes' F1s.
CLEAN_PERCENTAGES = {
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
CLEAN_FRACTIONS = {
    "micro_f1": "0.82",
    "micro_precision": "0.83",
    "micro_recall": "0.81",
    "accuracy": "0.97",
    "macro_f1": "0.53",
    "macro_precision": "0.55",
    "macro_recall": "0.53",
}


def gflops(printed: str, data_set: str, table: str) -> list[ReportedRow]:
    """Of a head with a query a class."""
    run = f"ml_decoder-asl-x-{data_set}-448"
    return cells({"GFLOPs": printed}, run=run, data_set=data_set, table=table)


def test_clean_tables_give_no_finding():
    clean = cells(CLEAN_PERCENTAGES)
    clean += cells(CLEAN_FRACTIONS, row="ViT", run="")

    # 81 classes cost as much as 80 to two digits: rounding allows it.
    clean += gflops("12.00", "voc2007", table="3")
    clean += gflops("12.28", "coco2017", table="2")
    clean += gflops("12.28", "nuswide", table="4")

    clean += cells({"f1": "0.626"}, row="Model 1", run="", table="5")
    clean += cells({"f1": "0.8474", "f1_change": "0.22"}, row="Model 2", run="", table="5")

    assert check_tables(clean) == []


ONE_WRONG_NUMBER = [
    ({"mAP": "100.5"}, "out_of_range"),
    ({"OF1": "85.0", "OP": "80.0", "OR": "80.0"}, "f1_against_precision_and_recall"),
    (
        {"macro_f1": "0.60", "macro_precision": "0.50", "macro_recall": "0.60"},
        "f1_against_precision_and_recall",
    ),
    ({"OP": "80.0", "top3_OP": "79.0"}, "top3_against_all"),
]


@pytest.mark.parametrize("metrics, check", ONE_WRONG_NUMBER)
def test_one_wrong_number_is_found(metrics, check):
    assert [finding.check for finding in check_tables(cells(metrics))] == [check]


def test_a_mean_of_f1s_below_the_harmonic_mean_is_no_finding():
    mean = cells({"macro_f1": "0.38", "macro_precision": "0.45", "macro_recall": "0.36"})
    assert check_tables(mean) == []


def test_harmonic_mean():
    assert harmonic_mean(0.5, 1.0) == pytest.approx(2 / 3)
    assert harmonic_mean(0.0, 0.0) == 0.0
