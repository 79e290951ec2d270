"""Suggests a learning rate for a run file, and writes the sweep that it follows from."""

import pandas

from mlrepro.layout import read_layout
from mlrepro.stage import main
from mlrepro.studies.runs import read_run
from mlrepro.training.lr_search import search_lr, suggest
from mlrepro.training.splits import read_labelled


def stage(settings: str, run_id: str, seed: int) -> None:
    layout = read_layout(settings)
    run = read_run(layout, run_id)
    swept = search_lr(run, seed, read_labelled(layout.data))

    path = layout.output(run_id, seed) / "lr_search.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    pandas.DataFrame(swept).to_csv(path, index=False)
    print(
        f"lr search {run_id}, seed {seed}: optimizer.lr {suggest(swept):.2g} (now "
        f"{run.optimizer.lr:g}) -> {path}"
    )


main(stage, "params.yaml", "run", "seed")
