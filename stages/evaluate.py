"""Scores one trained run, or with `epochs: 0` its checkpoint as it is, on the test split.

Keeps the logits, writes the record, and beside the logits what varies by nature.
"""

from mlrepro.environments import write_environment
from mlrepro.evaluation.record import EvaluationPlan, evaluate_checkpoint, evaluate_run
from mlrepro.evaluation.score import write_logits
from mlrepro.layout import read_layout
from mlrepro.memory import keep_freed_memory
from mlrepro.provenance import missing_commit
from mlrepro.records import keep_record, put_back_record, write_record
from mlrepro.report.markdown import number
from mlrepro.stage import main
from mlrepro.studies.runs import read_run, reported_map
from mlrepro.tracking import open_tracker
from mlrepro.training.checkpoint import remove_held


def stage(settings: str, run_id: str, seed: int) -> None:
    keep_freed_memory()
    layout = read_layout(settings)
    run = read_run(layout, run_id)
    out = layout.output(run_id, seed)
    path = layout.record(run_id, seed)
    kept = layout.kept_record(run_id, seed)

    # This may fail: what was good stays until there is better.
    put_back_record(path, kept)
    # DVC holds by now what the train stage gave, whose checkpoint is of no more use.
    remove_held()

    plan = EvaluationPlan.of(layout)
    if run.epochs:
        trained = layout.trained(run_id, seed)
        record, logits = evaluate_run(run, seed, layout.data, trained, plan)
    else:
        record, logits = evaluate_checkpoint(run, seed, layout.data, out, plan)

    write_logits(logits, out / "logits.safetensors")
    write_record(record, path)
    keep_record(path, kept)
    write_environment(record.environment, layout.environment(run_id, seed), path)

    tracker = open_tracker(layout, run, seed, "evaluate")
    tracker.record(record, path, reported_map(layout, run_id))

    metrics = record.selected.metrics
    print(
        f"evaluate {run_id}, seed {seed}: test mAP {number(metrics['mAP'])} (SE "
        f"{number(record.selected.mAP_se)}), CF1 {number(metrics['CF1'])}, "
        f"{record.cost.gmacs:.3f} GMACs "
        f"-> {path}"
    )
    note = missing_commit(record.environment.commit)
    if note:
        print(note)


main(stage, "params.yaml", "run", "seed")
