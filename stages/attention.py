"""Draws where a Query2Label run looks for its likeliest labels.

In the given pictures, or in test pictures for its page.
"""

from pathlib import Path

from mlrepro.data.appearance import whole_picture
from mlrepro.data.manifest import read_manifest
from mlrepro.data.picture_names import picture_file
from mlrepro.errors import InputError
from mlrepro.layout import read_layout
from mlrepro.models.attention import attention_of_pictures
from mlrepro.models.checkpoints import load_network
from mlrepro.report.attention import (
    draw_attention,
    first_test_pictures,
    given_pictures,
    likeliest_labels,
)
from mlrepro.stage import main
from mlrepro.studies.runs import read_run
from mlrepro.training.task import create_task


def stage(settings: str, run_id: str, seed: str, *pictures: str) -> None:
    layout = read_layout(settings)
    run = read_run(layout, run_id)
    if (run.head, run.inputs) != ("query2label", "images"):
        raise InputError(
            f"{run_id}: has no attention to draw; "
            "name a run with `head: query2label` and `inputs: images`"
        )

    manifest = read_manifest(layout.data)
    task = create_task(run, manifest, layout.data, weights=False)
    if run.epochs:
        weights = layout.trained(run_id, int(seed)) / f"{run.selection}.safetensors"
    else:
        weights = Path(run.checkpoint)  # scored as it is
    load_network(task.model, weights)

    if pictures:
        chosen = given_pictures(manifest, pictures)
        folder = layout.output(run_id, int(seed)) / "attention"
    else:
        chosen = first_test_pictures(manifest)
        folder = layout.page.parent / "figures"
    task.inputs.manifest = chosen
    task.inputs.shards = None  # the pictures' own files are read

    # The file's name begins with that of the page that shows it.
    page = layout.page.stem if layout.study == "own-data" else layout.study
    names = chosen.frame["image"]
    for row, logits, maps in attention_of_pictures(task.model, task.inputs, len(names)):
        # The network sees it squeezed to a square; what is drawn on is the picture as it is.
        picture = whole_picture(picture_file(chosen.root, names.iloc[row]), chosen.appearance)
        labels = likeliest_labels(manifest.classes, logits, maps)

        path = folder / f"{page}-attention-{run_id}-s{seed}-{row + 1}.png"
        draw_attention(picture, labels, path)
        print(f"attention: {names.iloc[row]} -> {path}")


main(stage, "params.yaml", "run", "seed", "picture...")
