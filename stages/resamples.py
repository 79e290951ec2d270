"""Gives records of older versions their resamples of the test pictures, from logits at hand.

Pages then compare their runs in pairs. Nothing is trained or scored again.
"""

from mlrepro.evaluation.add_resamples import add_resamples
from mlrepro.layout import read_layout
from mlrepro.stage import main


def stage(settings: str) -> None:
    layout = read_layout(settings)
    added, lacking = add_resamples(layout)
    print(f"resamples {layout.results}: {added} records have got theirs, {lacking} lack them still")


main(stage, "params.yaml")
