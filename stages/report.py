"""Renders the page of a pipeline under reports/ and the index of all pages, from records alone.

Several params.yaml at once: their pages in as many processes as there are processors, and the index once; what is wrong with one
of them does not hold up the others. A figure is drawn anew where its data or the code have changed.
"""

import gc
import multiprocessing
import os
from functools import partial
from pathlib import Path

from mlrepro.errors import InputError
from mlrepro.layout import Layout, current_records, read_layout
from mlrepro.records import read_failures
from mlrepro.report.overview import write_index
from mlrepro.report.pages import write_comparison
from mlrepro.report.recommend import advice
from mlrepro.report.study_page import write_study
from mlrepro.stage import main
from mlrepro.studies.results import read_study


def stage(*settings: str) -> None:
    gc.set_threshold(
        20_000, 20, 100
    )  # or a tenth of the time goes into looking for garbage among records and figures
    layouts = [read_layout(path) for path in settings]
    pages = Path("reports"), Path("studies")
    if len(layouts) == 1:
        write_page(*layouts)
        write_index(*pages)
        errors = []
    else:
        longest_first = sorted(layouts, key=expected_work, reverse=True)
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        with multiprocessing.get_context("fork").Pool(cores) as processes:
            errors = [*filter(None, processes.map(attempt, longest_first, chunksize=1))]
            processes.apply(
                write_index, pages
            )  # in one that has imported matplotlib already if anything was drawn
    print("report:", *(layout.page for layout in layouts), "and reports/README.md")
    if errors:
        raise InputError("; ".join(errors))


def expected_work(layout: Layout) -> tuple[int, int]:
    """Figures of the page as it was made last, if it was; and records."""
    before = layout.page.read_text(encoding="utf-8") if layout.page.exists() else ""
    return before.count("](figures/"), len([*layout.results.glob("*.json")])


def attempt(layout: Layout) -> str | None:
    """What is wrong with the page's input, if anything."""
    try:
        write_page(layout)
    except InputError as error:
        return str(error)


def write_page(layout: Layout) -> None:
    if (layout.folder / "study.yaml").exists():
        return write_study(read_study(layout.folder), layout.page)
    advise = partial(advice, layout=layout) if layout.study == "own-data" else None
    title = layout.pipeline.title or f"{layout.study}: {layout.name}"
    intro = (
        layout.pipeline.intro
        or f"Methods compared on the data set that `{layout.settings}` describes."
    )
    records = current_records(layout)
    write_comparison(
        title,
        intro,
        records,
        layout.expected,
        layout.page,
        f"dvc repro {layout.dvc_file}",
        layout.searched,
        layout.pipeline.orderings,
        advise,
        read_failures(layout.results),
    )


main(stage, "params.yaml", "params.yaml ...")
