"""All pages: a pipeline's own, and the index. From records alone."""

import gc
import multiprocessing
from collections.abc import Sequence
from pathlib import Path

from mlrepro.cores import usable_processors
from mlrepro.environments import gather_environments
from mlrepro.errors import InputError
from mlrepro.layout import Layout, read_layout, read_layouts
from mlrepro.records import Records, read_failures
from mlrepro.report.comparison import Comparison, write_comparison
from mlrepro.report.overview import write_index
from mlrepro.report.study_page import write_study
from mlrepro.studies.reference import read_reference
from mlrepro.studies.results import read_study
from mlrepro.studies.runs import current_records

REPORTS = Path("reports")
STUDIES = Path("studies")
OWN_DATA = "own-data"


def write_pages(layouts: Sequence[Layout]) -> list[str]:
    """Writes their pages, and the index once. Returns what is wrong with the input of some.

    Several pages are made in as many processes as there are processors, and what is wrong with one
    of them does not hold up the others. For a single page it is raised, as InputError.
    """
    for layout in layouts:
        _gather(layout)

    # Else a tenth of the time goes into looking for garbage among records and figures.
    gc.set_threshold(20_000, 20, 100)

    if len(layouts) == 1:
        write_page(layouts[0])
        write_index(REPORTS, STUDIES)
        return []

    # The last page to be made should be a short one.
    longest_first = sorted(layouts, key=_expected_work, reverse=True)
    with multiprocessing.get_context("fork").Pool(usable_processors()) as processes:
        errors = processes.map(_attempt, longest_first, chunksize=1)

        # In one of them, which has imported matplotlib already if anything was drawn.
        processes.apply(write_index, (REPORTS, STUDIES))

    return [error for error in errors if error is not None]


def _gather(layout: Layout) -> None:
    """Environments at hand into their tables, of a study's page those of all its data sets."""
    for each in read_layouts(layout.settings):
        gather_environments(each.results, each.environments)


def write_page(layout: Layout) -> None:
    if (layout.folder / "study.yaml").exists():
        write_study(read_study(layout.folder), layout.page)
    else:
        write_comparison(_comparison(layout), layout.page)


def _comparison(layout: Layout) -> Comparison:
    pipeline = layout.pipeline
    default_intro = f"Methods compared on the data set that `{layout.settings}` describes."
    return Comparison(
        title=pipeline.title or f"{layout.study}: {layout.name}",
        intro=pipeline.intro or default_intro,
        records=current_records(layout),
        expected=layout.expected,
        pipeline=layout.dvc_file,
        searched=layout.searched,
        zero_shot=layout.zero_shot,
        orderings=pipeline.orderings,
        claims=pipeline.claims,
        neighbours=_neighbours(layout) if pipeline.claims else {},
        failures=read_failures(layout.results),
        own_data=layout if layout.study == OWN_DATA else None,
        reference=read_reference(layout),
    )


def _neighbours(layout: Layout) -> Records:
    """Records of the other pipelines of the study."""
    records = {}
    for settings in sorted(layout.folder.glob("*/params.yaml")):
        if settings != layout.settings:
            records |= current_records(read_layout(settings))
    return records


def _attempt(layout: Layout) -> str | None:
    """What is wrong with the page's input, if anything."""
    try:
        write_page(layout)
    except InputError as error:
        return str(error)
    return None


def _expected_work(layout: Layout) -> tuple[int, int]:
    """Figures of the page as it was made last, if it was; and records."""
    page = layout.page
    before = page.read_text(encoding="utf-8") if page.exists() else ""
    records = list(layout.results.glob("*.json"))
    return before.count("](figures/"), len(records)
