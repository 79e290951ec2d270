"""Scores one trained run, or with `epochs: 0` its checkpoint as it is, on the test split; keeps logits, writes the record."""

from pathlib import Path

from mlrepro.evaluation import evaluate_checkpoint, evaluate_run, write_logits
from mlrepro.layout import read_layout
from mlrepro.records import write_record
from mlrepro.stage import main
from mlrepro.studies.reported import load_reported
from mlrepro.tracking import open_tracker


def stage(settings: str, run_id: str, seed: str) -> None:
    layout = read_layout(settings)
    run, out, path = (
        layout.run(run_id),
        layout.output(run_id, int(seed)),
        layout.record(run_id, int(seed)),
    )
    evaluate, read = (
        (evaluate_run, layout.trained(run_id, int(seed)))
        if run.epochs
        else (evaluate_checkpoint, out)
    )
    record, logits = evaluate(run, int(seed), layout.data, read, layout.study, layout.name)
    write_logits(logits, out / "logits.safetensors")
    write_record(record, path)
    reported = reported_map(layout.folder / "reported.csv", run_id)
    open_tracker(layout, run, int(seed), "evaluate").record(record, path, reported)
    metrics = record.selected.metrics
    print(
        f"evaluate {run_id}, seed {seed}: test mAP {metrics['mAP']:.2f} (SE {record.selected.mAP_se:.2f}), "
        f"CF1 {metrics['CF1']:.2f}, {record.cost.gmacs:.3f} GMACs -> {path}"
    )


def reported_map(path: Path, run_id: str) -> float | None:
    """What the study prints for this run, where it prints one number."""
    rows = load_reported(path) if path.is_file() else []
    numbers = {row.number for row in rows if row.run == run_id and row.metric == "mAP"}
    return numbers.pop() if len(numbers) == 1 else None


main(stage, "params.yaml", "run", "seed")
