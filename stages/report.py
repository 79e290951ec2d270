"""Renders a pipeline's page under reports/ and the index of all pages, from records alone."""

from pathlib import Path

from mlrepro.layout import Layout, current_records, read_layout
from mlrepro.report.overview import write_index
from mlrepro.report.pages import write_comparison
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
    title = "Demo: composed digits" if layout.study == "demo" else f"Own data: {layout.name}"
    write_comparison(title, INTRO[layout.study], current_records(layout), layout.pipeline.runs, layout.pipeline.seeds,
                     layout.page, f"dvc repro {layout.dvc_file}")


INTRO = {
    "demo": "Pictures composed from scikit-learn's handwritten digits, made to exercise every stage of the pipeline. The numbers "
            "say how the methods compare on this data set, and nothing about any paper.",
    "own-data": "The methods compared on a data set that was described in `studies/own-data/params.yaml`.",
}

main(stage, "params.yaml")
