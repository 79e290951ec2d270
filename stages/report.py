"""Renders the page of a pipeline under reports/ and the index of all pages, from records alone.

Several params.yaml at once: their pages side by side, and the index once. A figure is drawn anew
where its data or the code have changed. Environments that are at hand go into a table beside the
records.
"""

from pathlib import Path

from mlrepro.errors import InputError
from mlrepro.layout import Layout, read_layout
from mlrepro.report.build import write_pages
from mlrepro.stage import main
from mlrepro.studies.external import FOLDER
from mlrepro.studies.reference import read_compared, sentence


def stage(*settings: str) -> None:
    layouts = [read_layout(path) for path in settings]
    for study in dict.fromkeys(layout.folder for layout in layouts):
        renew_third_parties(study)
    errors = write_pages(layouts)

    print("report:", *(layout.page for layout in layouts), "and reports/README.md")
    if errors:
        raise InputError("; ".join(errors))
    for layout in layouts:
        print_reference(layout)


def renew_third_parties(study: Path) -> None:
    """From their scores, where these are at hand: what git keeps is the records alone."""
    if not (study / FOLDER).is_dir():
        return
    from mlrepro_cli.audit.external import renew_records  # here: most pages have none

    renew_records(study)


def print_reference(layout: Layout) -> None:
    """Whether the runs gave the reference's numbers, and where to look further."""
    compared = read_compared(layout)
    if not compared:
        return
    print()
    print(sentence(compared).replace("`", ""))
    print(f"the page:        {layout.page}")
    print(f"the MLflow runs: mlflow ui, experiment {layout.experiment}")


main(stage, "params.yaml", "params.yaml ...")
