"""Takes the present records of a pipeline as its reference, for whoever runs it again.

By hand and once, never in a pipeline:
python stages/reference.py params.yaml "2030-01-31, a machine, versions" writes reported.csv.
"""

from mlrepro.layout import read_layout
from mlrepro.stage import main
from mlrepro.studies.reference import write_reference


def stage(settings: str, source: str) -> None:
    layout = read_layout(settings)
    write_reference(layout, source)
    print(f"reference: {layout.reported}: {len(layout.expected)} runs, {source}")


main(stage, "params.yaml", "source")
