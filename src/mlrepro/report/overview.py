"""The index of all pages, with one table and one figure across the studies."""

import re
from dataclasses import dataclass
from pathlib import Path

from mlrepro.errors import InputError
from mlrepro.report import figures
from mlrepro.report.markdown import Markdown, escape, link, prose, table
from mlrepro.report.numbers import (
    NumbersByStudy,
    differing,
    holding_table,
    kind_table,
    missing_table,
    sentence,
    verdict_cells,
)
from mlrepro.report.pages import figure_link
from mlrepro.report.render import write_page
from mlrepro.report.study_costs import cost_points
from mlrepro.studies.description import Description
from mlrepro.studies.numbers import VERDICTS, numbers_of
from mlrepro.studies.results import StudyResults, read_study

INDEX = "README.md"

# Of templates/reference.md.j2.
REFERENCE_HEADING = "## Against the reference"

# A sentence ends before white space that no small letter follows: "e.g. nobody" is inside one.
FIRST_SENTENCE = re.compile(r".*?[.!?](?=\s+[^a-z]|$)|.*")


def write_index(reports: Path, studies: Path) -> None:
    """Writes the index of `reports`: of the studies below `studies`, and of the other pages.

    Every report stage calls it, so it depends on what is on disk alone. Raises InputError where a
    page has no title.
    """
    index = reports / INDEX
    descriptions = sorted(studies.glob("*/study.yaml"))
    read = [read_study(path.parent) for path in descriptions]
    by_study = {results.folder.name: numbers_of(results) for results in read}
    all_numbers = [number for group in by_study.values() for number in group]
    differences, how_many = differing(by_study)
    write_page(
        "overview.md.j2",
        index,
        sentence=sentence(all_numbers),
        kinds=kind_table(all_numbers),
        studies=_study_table(read, by_study, reports) if read else None,
        holding=holding_table(by_study),
        differences=differences,
        differing=how_many,
        not_run=missing_table(by_study),
        cost_figure=_cost_figure(read, index),
        pages=_other_pages(reports, {results.folder.name for results in read}),
    )


# ---- Studies ------------------------------------------------------------------------------------


def _study_table(studies: list[StudyResults], by_study: NumbersByStudy, reports: Path) -> str:
    headers = ["study", "source", "numbers", *VERDICTS, "does not add up"]
    rows = []
    for results in studies:
        description = results.description
        rows.append(
            [
                _study_link(results, reports),
                _source(description),
                *verdict_cells(by_study[results.folder.name]),
                str(len(description.findings)),
            ]
        )
    return table("ll" + "r" * (len(headers) - 2), headers, rows)


def _study_link(results: StudyResults, reports: Path) -> str:
    """Its name, linked to its page if there is one."""
    name = results.folder.name
    page = f"{name}.md"
    return link(name, page) if (reports / page).exists() else name


def _source(description: Description) -> Markdown:
    """Title, linked, the first author, and the year where it is known."""
    text = f"{link(description.title, description.link)}, {escape(description.authors[0])}"
    if len(description.authors) > 1:
        text += " et al."
    if description.year:
        text += f" {description.year}"
    return Markdown(text)


# ---- mAP against cost ---------------------------------------------------------------------------


def _cost_figure(studies: list[StudyResults], index: Path) -> str | None:
    panels = _coco_panels(studies)
    if not panels:
        return None
    title = "mAP against measured GMACs on COCO"
    return figure_link(index, "cost", title, figures.map_against_cost, panels)


def _coco_panels(studies: list[StudyResults]) -> dict[str, list[figures.Point]]:
    """The studies' points on COCO, by year of the data set.

    What two studies print alike stands once, under the first of them.
    """
    panels: dict[str, dict[tuple, figures.Point]] = {}
    for results in studies:
        points_by_set = cost_points(results, series=results.folder.name)
        for data_set, points in points_by_set.items():
            if not data_set.startswith("coco"):
                continue
            # coco2014 -> COCO 2014
            panel = panels.setdefault(f"COCO {data_set.removeprefix('coco')}", {})
            for point in points:
                panel.setdefault((point.gmacs, point.reported), point)
    return {title: list(panel.values()) for title, panel in sorted(panels.items())}


# ---- Other pages --------------------------------------------------------------------------------


@dataclass(frozen=True)
class OtherPage:
    """A page that is no study's.

    text: its first sentence, and what it says of its runs beside their reference.
    """

    link: Markdown
    text: Markdown


def _other_pages(reports: Path, studies: set[str]) -> list[OtherPage]:
    pages = []
    for path in sorted(reports.glob("*.md")):
        if path.name != INDEX and path.stem not in studies:
            pages.append(_read_page(path))
    return pages


def _read_page(path: Path) -> OtherPage:
    title, *paragraphs = path.read_text(encoding="utf-8").split("\n\n")
    if not title.startswith("# "):
        raise InputError(
            f"{path}: does not begin with a '# title' line; make the page again or move it away"
        )
    first_paragraph = " ".join(paragraphs[0].split()) if paragraphs else ""
    text = FIRST_SENTENCE.match(first_paragraph).group()
    if REFERENCE_HEADING in paragraphs:
        text += f" {paragraphs[paragraphs.index(REFERENCE_HEADING) + 1]}"

    # Both are markdown already, whoever wrote them.
    title = prose(title.removeprefix("# "))
    return OtherPage(link=link(title, path.name), text=prose(text))
