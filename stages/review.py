"""Own data: pages of labels that may be missing or wrong, and of the recommended run's mistakes."""

from mlrepro.environments import gather_environments
from mlrepro.layout import read_layout
from mlrepro.report.review import write_review
from mlrepro.stage import main


def stage(settings: str) -> None:
    layout = read_layout(settings)
    # The report gathers them, too: else the folder of records, on which both stages depend, would
    # change behind the one that comes first, which would run again next time.
    gather_environments(layout.results, layout.environments)

    labels, mistakes = write_review(layout)
    print(f"review: {mistakes} mistakes of the recommended run -> {layout.review}/mistakes.html")
    if labels is None:
        print("no `features` are extracted, so that labels are not looked at")
        return
    print(
        f"review: {labels.missing} labels that may be missing, {labels.wrong} that may be wrong, "
        f"{labels.unknown} of the unknown ones likely there -> {layout.review}/labels.html"
    )


main(stage, "params.yaml")
