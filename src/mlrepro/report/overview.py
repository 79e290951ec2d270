"""The index of all pages, with one table and one figure across the studies. No torch."""

import re
from pathlib import Path

from mlrepro.errors import InputError
from mlrepro.report import figures
from mlrepro.report.pages import figure_link
from mlrepro.report.tables import escape, table
from mlrepro.studies.results import StudyResults, cost_points, read_study


def write_index(reports: Path, studies: Path) -> None:
    """Writes `reports`/README.md from the studies below `studies` that have a study.yaml, and from the other pages there.

    Every report stage calls it, so it depends on what is on disk alone. Raises InputError where a page has no title."""
    index = reports / "README.md"
    found = [read_study(path.parent) for path in sorted(studies.glob("*/study.yaml"))]
    parts = ["# Reports"]
    if found:
        parts += [
            "What papers print, beside what this project measures. Each page shows every printed row, also those that are "
            "not run.",
            _study_table(found, reports),
            "Results are printed rows, one for each data set; their status is computed from result records. A study's page "
            "says what each word means, and what a run that is not run would take.",
        ]
    if panels := _coco_panels(found):
        parts += [
            "## mAP against cost, COCO",
            figure_link(
                index,
                "cost",
                "mAP against measured GMACs on COCO",
                figures.map_against_cost,
                panels,
            ),
            "Printed mAP (hollow) and reproduced mAP (filled) at the GMACs that this project measures. COCO 2014 and 2017 "
            "have different test pictures: a number of one is not comparable with a number of the other.",
        ]
    others = _other_pages(reports, {study.folder.name for study in found})
    if others or not found:
        parts += ["## Other pages"] * bool(found)
        parts.append("\n".join(others) or "No page has been made yet: `dvc repro` makes the first.")
    reports.mkdir(parents=True, exist_ok=True)
    index.write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def _study_table(found: list[StudyResults], reports: Path) -> str:
    rows = []
    for results in found:
        text, counts, page = results.study.text, results.statuses, f"{results.folder.name}.md"
        name = (
            f"[{results.folder.name}]({page})" if (reports / page).exists() else results.folder.name
        )
        authors = escape(text.authors[0]) + (" et al." if len(text.authors) > 1 else "")
        rows.append(
            [
                name,
                f"[{escape(text.title)}]({text.link}), {authors}{f' {text.year}' if text.year else ''}",
                str(sum(listed.rows for listed in text.tables)),
                str(len(results.study.rows)),
                str(counts["reproduced"]),
                f"{counts['exceeds']} / {counts['below']}",
                f"{counts['partial']} / {counts['failed']}",
                str(counts["not-run"]),
                str(counts["not-comparable"]),
                str(len(text.findings)),
            ]
        )
    return table(
        "llrrrrrrrr",
        [
            "study",
            "source",
            "rows",
            "numbers",
            "reproduced",
            "exceeds / below",
            "partial / failed",
            "not run",
            "not comparable",
            "does not add up",
        ],
        rows,
    )


def _coco_panels(found: list[StudyResults]) -> dict[str, list[figures.Point]]:
    """The studies' points on COCO; what two studies print alike stands once, under the first of them."""
    panels: dict[str, dict[tuple, figures.Point]] = {}
    for results in found:
        for data_set, points in cost_points(results).items():
            for point in points if data_set.startswith("coco") else []:
                panel = panels.setdefault(f"COCO {data_set[4:]}", {})
                panel.setdefault(
                    (point.gmacs, point.reported), point._replace(series=results.folder.name)
                )
    return {title: list(panel.values()) for title, panel in sorted(panels.items())}


def _other_pages(reports: Path, studies: set[str]) -> list[str]:
    """A line a page that is no study's: its title, linked, and the first sentence below it."""
    lines = []
    for page in sorted(reports.glob("*.md")):
        if page.name != "README.md" and page.stem not in studies:
            paragraphs = page.read_text(encoding="utf-8").split("\n\n")
            if not paragraphs[0].startswith("# "):
                raise InputError(
                    f"{page}: does not begin with a '# title' line; make the page again or move it away"
                )
            sentence = re.match(
                r".*?[.!?](?=\s+[^a-z]|$)|.*", " ".join("".join(paragraphs[1:2]).split())
            ).group()
            lines.append(f"- [{paragraphs[0][2:].strip()}]({page.name}): {sentence}")
    return lines
