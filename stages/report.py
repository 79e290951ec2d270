"""Renders the page of a pipeline under reports/ and the index of all pages, from records alone.

Several params.yaml at once: their pages side by side, and the index once. A figure is drawn anew
where its data or the code have changed.
"""

from mlrepro.errors import InputError
from mlrepro.layout import read_layout
from mlrepro.report.build import write_pages
from mlrepro.stage import main


def stage(*settings: str) -> None:
    layouts = [read_layout(path) for path in settings]
    errors = write_pages(layouts)

    print("report:", *(layout.page for layout in layouts), "and reports/README.md")
    if errors:
        raise InputError("; ".join(errors))


main(stage, "params.yaml", "params.yaml ...")
