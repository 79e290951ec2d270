"""Own data: pages of the recommended run's mistakes, and of labels that pictures may lack."""

from mlrepro.layout import read_layout
from mlrepro.report.review import write_review
from mlrepro.stage import main


def stage(settings: str) -> None:
    layout = read_layout(settings)
    missing, mistakes = write_review(layout)
    print(f"review: {missing} labels that may be missing, {mistakes} mistakes -> {layout.review}")


main(stage, "params.yaml")
