"""Checks of a study by program: of what its document prints, and of our own files.

A check of the printed tables takes the rows of one study and returns findings with the calculation
written out; rounding is always granted. study.yaml tells each finding by the name of its check.
`consistency` holds the checks of reported.csv, study.yaml and run files, which raise errors.
"""

from mlrepro.studies.checks.averages import (
    accuracy_of_nothing,
    change_against_parts,
    copied_column,
    f1_against_precision_and_recall,
    other_number_of_samples,
    out_of_range,
    top3_against_all,
)
from mlrepro.studies.checks.consistency import check_names, check_reported, check_study
from mlrepro.studies.checks.costs import (
    faster_though_larger,
    gflops_copied_between_data_sets,
    mixed_size_units,
    parameters_in_binary_millions,
    pooling_costs_more,
)
from mlrepro.studies.checks.finding import Finding
from mlrepro.studies.checks.repeats import data_set_year, papers_disagree, same_run_other_number
from mlrepro.studies.reported import ReportedRow

__all__ = ["CHECKS", "Finding", "check_names", "check_reported", "check_study", "check_tables"]

CHECKS = (
    f1_against_precision_and_recall,
    out_of_range,
    copied_column,
    change_against_parts,
    same_run_other_number,
    top3_against_all,
    parameters_in_binary_millions,
    mixed_size_units,
    faster_though_larger,
    gflops_copied_between_data_sets,
    pooling_costs_more,
    data_set_year,
    accuracy_of_nothing,
    other_number_of_samples,
    papers_disagree,
)


def check_tables(rows: list[ReportedRow]) -> list[Finding]:
    """All checks on the rows of one study, in the order of CHECKS."""
    findings = []
    for check in CHECKS:
        findings += check(rows)
    return findings
