"""Checks of what is printed more than once, in one document or in several."""

from collections import defaultdict

from mlrepro.studies.checks.finding import Finding, tables_of
from mlrepro.studies.reported import ReportedRow

# mAP points between printed results of one method and protocol that are worth a word.
DIFFERENT_LIMIT = 4.0

# Training pictures by year of the data set: all, and those with objects.
COCO_TRAIN_IMAGES = {
    "2014": (82_783, 82_081),
    "2017": (118_287, 117_266),
}


def same_run_other_number(rows: list[ReportedRow]) -> list[Finding]:
    """One run has one number, in whichever table of a document it stands."""
    groups: dict[tuple, list[ReportedRow]] = defaultdict(list)
    for cell in rows:
        if cell.run:
            groups[cell.document, cell.run, cell.metric].append(cell)

    findings = []
    for (document, run, metric), cells in groups.items():
        if len({cell.number for cell in cells}) > 1:
            printed = [f"{cell.printed} ({cell.row}, Table {cell.table})" for cell in cells]
            evidence = f"{document}, {metric}: {', '.join(printed)}"
            findings.append(Finding("same_run_other_number", tables_of(cells), run, evidence))
    return findings


def papers_disagree(rows: list[ReportedRow]) -> list[Finding]:
    """Printed mAPs of one run that lie far apart between papers.

    No proof of an error, but the target is uncertain.
    """
    groups: dict[str, list[ReportedRow]] = defaultdict(list)
    for cell in rows:
        if cell.run and cell.metric == "mAP":
            groups[cell.run].append(cell)

    findings = []
    for run, cells in groups.items():
        low = min(cells, key=lambda cell: cell.number)
        high = max(cells, key=lambda cell: cell.number)
        gap = high.number - low.number
        if gap > DIFFERENT_LIMIT and high.document != low.document:
            evidence = (
                f"{high.printed} ({high.document}) - {low.printed} ({low.document}) = {gap:.1f}"
            )
            findings.append(Finding("papers_disagree", tables_of([high, low]), run, evidence))
    return findings


def data_set_year(rows: list[ReportedRow]) -> list[Finding]:
    """A data set that is labelled with one year and has another year's number of pictures."""
    findings = []
    for cell in rows:
        if cell.metric != "train_images" or "COCO" not in cell.row:
            continue
        for year, counts in COCO_TRAIN_IMAGES.items():
            if year not in cell.row and cell.number in counts:
                evidence = (
                    f"{cell.printed} training images are COCO {year}'s ({counts[0]}, or "
                    f"{counts[1]} with objects), labelled {cell.row}"
                )
                findings.append(Finding("data_set_year", (cell.table,), cell.row, evidence))
    return findings
