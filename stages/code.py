"""Writes what code stands behind each run of a pipeline: digests in which comments do not count."""

from mlrepro.code import write_codes
from mlrepro.layout import read_layout
from mlrepro.stage import main


def stage(settings: str) -> None:
    layout = read_layout(settings)
    names = write_codes(layout)
    print(f"code: of {', '.join(names)} -> {layout.code}")


main(stage, "params.yaml")
