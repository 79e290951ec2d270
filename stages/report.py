"""Renders a pipeline's page under reports/ and the index of all pages, from records alone."""

from functools import partial
from pathlib import Path

from mlrepro.layout import Layout, current_records, read_layout
from mlrepro.report.overview import write_index
from mlrepro.report.pages import write_comparison
from mlrepro.report.recommend import advice
from mlrepro.report.study_page import write_study
from mlrepro.report.study_results import read_study
from mlrepro.stage import main


def stage(settings: str) -> None:
    layout = read_layout(settings)
    if (layout.folder / "study.yaml").exists():
        write_study(read_study(layout.folder), layout.page)
    else:
        compare(layout)
    write_index(Path("reports"), Path("studies"))
    print(f"report: {layout.page} and reports/README.md")


def compare(layout: Layout) -> None:
    title = layout.pipeline.title or f"{layout.study}: {layout.name}"
    intro = layout.pipeline.intro or f"Methods compared on the data set that `{layout.settings}` describes."
    records = current_records(layout)
    write_comparison(title, intro, records, layout.expected, layout.page, f"dvc repro {layout.dvc_file}", layout.searched,
                     layout.pipeline.orderings, partial(advice, layout=layout) if layout.study == "own-data" else None)


main(stage, "params.yaml")
