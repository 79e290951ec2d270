"""Writes what the models of a study's runs cost (studies/<study>/complexity.json).

No data, no weights, no GPU.
"""

from pathlib import Path

from mlrepro.models.complexity.study import study_costs
from mlrepro.stage import main
from mlrepro.studies.study import load_study


def stage(folder: str) -> None:
    study = load_study(Path(folder))
    costs = study_costs(study, Path(folder))

    # Many runs share a model: they differ in loss, labels or seed alone.
    path = Path(folder) / "complexity.json"
    costs.write(path)
    print(f"complexity: {path}: {len(costs.runs)} runs of {costs.models} models")


main(stage, "studies/<study>")
