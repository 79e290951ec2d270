"""Counts pictures, classes and labels of a data set from its label files, without any picture."""

from pathlib import Path

from mlrepro.stage import main
from mlrepro.studies.counts import count_study, labels_folder


def stage(study: str, name: str) -> None:
    print(f"counts {name}: of the label files in {labels_folder(name)}")
    path = count_study(Path(study), name)
    print(f"counts {name}: {path}")


main(stage, "studies/<study>", "data set")
