"""Looks at the file that a run names as `checkpoint`, which a person must fetch.

Keeps its size, sha256 and head options.
"""

from pathlib import Path

from mlrepro.errors import InputError
from mlrepro.files import file_sha256, write_json
from mlrepro.layout import read_layout
from mlrepro.models.checkpoints import query2label_options
from mlrepro.models.weight_files import read_state
from mlrepro.stage import main
from mlrepro.studies.runs import read_run


def stage(settings: str, run_id: str, seed: str) -> None:
    layout = read_layout(settings)
    path = Path(read_run(layout, run_id).checkpoint or "")

    # Their authors keep these files where a person has to click.
    if not path.is_file():
        pages = "\n  ".join(layout.pipeline.checkpoint_pages)
        wanted = "/".join(path.parts[-2:])
        raise InputError(
            f"{path}: no such file. Get {wanted} in a browser from one of\n  {pages}\n"
            f"put it at {path}, and run the same command again"
        )

    facts = {
        "file": str(path),
        "size": path.stat().st_size,
        "sha256": file_sha256(path),
        "head_options": query2label_options(read_state(path), path),
    }
    out = layout.output(run_id, int(seed))
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / "checkpoint.json", facts)
    print(f"fetch {run_id}: {facts}")


main(stage, "params.yaml", "run", "seed")
