"""Renders a pipeline's page under reports/ and the index of all pages, from records alone."""

from pathlib import Path

from mlrepro.layout import read_layout
from mlrepro.report.pages import write_comparison, write_index
from mlrepro.results import read_records
from mlrepro.stage import main


def stage(settings: str) -> None:
    layout = read_layout(settings)
    records = read_records(layout.results)
    title = "Demo: composed digits" if layout.study == "demo" else f"Own data: {layout.name}"
    write_comparison(title, INTRO[layout.study], records, layout.pipeline.runs, layout.pipeline.seeds, layout.page,
                     f"dvc repro {layout.dvc_file}")
    write_index(Path("reports"))
    print(f"report: {layout.page} and reports/README.md, from {sum(map(len, records.values()))} records")


INTRO = {
    "demo": "Pictures composed from scikit-learn's handwritten digits, made to exercise every stage of the pipeline. The numbers "
            "say how the methods compare on this data set, and nothing about any paper.",
    "own-data": "The methods compared on a data set that was described in `studies/own-data/params.yaml`.",
}

main(stage, "params.yaml")
