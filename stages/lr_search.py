"""Suggests a learning rate for a run file, from one pass over its training rows; writes the sweep as lr_search.csv."""

import pandas

from mlrepro.layout import read_layout
from mlrepro.stage import main
from mlrepro.training.lr_search import search_lr, suggest
from mlrepro.training.run import read_labelled


def stage(settings: str, run_id: str, seed: str) -> None:
    layout = read_layout(settings)
    run, path = layout.run(run_id), layout.output(run_id, int(seed)) / "lr_search.csv"
    swept = search_lr(run, int(seed), read_labelled(layout.data))
    path.parent.mkdir(parents=True, exist_ok=True)
    pandas.DataFrame(swept).to_csv(path, index=False)
    print(f"lr search {run_id}, seed {seed}: optimizer.lr {suggest(swept):.2g} (now {run.optimizer.lr:g}) -> {path}")


main(stage, "params.yaml", "run", "seed")
