"""Tables of made-up records. `made_up_record` is also what test_pages.py builds its pages from."""

import random

import pytest

from mlrepro.records import Record
from mlrepro.report import tables

VOC = (
    "aeroplane bicycle bird boat bottle bus car cat chair cow diningtable dog horse motorbike person pottedplant "
    "sheep sofa train tvmonitor"
).split()
OTHER_METRICS = [
    name
    for heading, columns in tables.METRICS.items()
    if heading not in tables.ONE_THRESHOLD
    for name in columns.values()
] + list(tables.AVERAGE_PRECISIONS.values())


def made_up_record(
    loss="bce",
    labels="full",
    mAP=70.0,
    seed=0,
    *,
    se=0.2,
    epochs=5,
    trained=None,
    scored=1000,
    classes=VOC,
    absent=(),
    gmacs=1.6,
    head="linear",
    variant=None,
    positives=None,
) -> Record:
    """A record with fixed numbers around `mAP`; `absent`: metrics without a value; `positives`: predicted in the last epoch."""
    rng = random.Random(f"{loss} {labels} {seed} {head}")
    metrics = {name: round(rng.uniform(40, 90), 4) for name in OTHER_METRICS} | {"mAP": mAP}
    metrics |= dict.fromkeys(absent)
    counts = [max(0, round(400 / (i + 1)) - 12) for i in range(len(classes))]
    per_class = [
        {
            "name": name,
            "train": 4 * n,
            "observed": 3 * n if labels == "single" else 4 * n,
            "test": n,
            "AP": min(1.0, max(0.0, rng.gauss(mAP / 100, 0.12))) if n else None,
        }
        for name, n in zip(classes, counts, strict=True)
    ]
    measurement = {
        "epoch": max(1, epochs - 1),
        "metrics": metrics,
        "mAP_se": se,
        "per_class": per_class,
    }
    settings = {"name": loss} | ({"expected_positives": 1.5} if loss in ("epr", "role") else {})
    history = [
        {
            "epoch": e,
            "lr": 0.001,
            "train_loss": 1 / e,
            "val_mAP": mAP * (1 - 0.5 / e) + rng.gauss(0, 0.4),
        }
        for e in range(1, (trained or epochs) + 1)
    ]
    if positives:
        measurement["predicted_positives"] = positives
        for entry in history:
            entry["val_positives"] = positives * entry["epoch"] / epochs
            if loss == "role":
                entry |= {
                    "estimate_mAP": 50.0 + entry["epoch"],
                    "estimate_positives": 10.0 - entry["epoch"],
                }
    return Record.model_validate(
        {
            "study": "demo",
            "data_set": "made up",
            "seed": seed,
            "history": history,
            "run": {
                "data": "toy",
                "labels": labels,
                "inputs": "features" if head == "linear" else "images",
                "head": head,
                "backbone": "efficientnet_lite0",
                "weights": "none",
                "resolution": 224,
                "loss": settings,
                "optimizer": {"lr": 0.001},
                "epochs": epochs,
                "batch_size": 16,
                "variant": variant,
            },
            "splits": {
                "train": {"expected": 4000, "used": 3999, "cardinality": 1.5},
                "val": {"expected": 1000, "used": 1000, "cardinality": 1.5},
                "test": {"expected": 1000, "used": scored, "cardinality": 1.5},
            },
            "measurements": {"best": measurement, "last": measurement | {"epoch": epochs}},
            "provenance": {
                "commit": "0123456789abcdef",
                "dirty": False,
                "settings_sha256": "a",
                "manifest_sha256": "b",
                "pretrained": "none",
                "pretrained_sha256": None,
                "weights_sha256": {},
                "mlflow_run_id": None,
            },
            "environment": {
                "python": "3.12.3",
                "versions": {"torch": "2.14.1", "timm": "1.0.31"},
                "device": "cpu",
                "precision": "float32",
                "threads": 2,
                "train_seconds": 10.25,
                "images_per_second": 200.0,
                "peak_memory_mib": 512.0,
            },
            "cost": {
                "parameters": 3_400_000,
                "trainable_parameters": 25_620,
                "gmacs": gmacs,
                "gflops": 2 * gmacs,
            },
        }
    )


def by_run(*records: Record) -> tables.Runs:
    groups: tables.Runs = {}
    for record in records:
        groups.setdefault(record.run.run_id, []).append(record)
    return groups


def cells(table: str) -> list[list[str]]:
    """Rows of a markdown table without its rule; fails when a row has another number of columns."""
    rows = [
        [cell.strip() for cell in line.strip("|").replace(r"\|", "¦").split("|")]
        for line in table.splitlines()
    ]
    assert len({len(row) for row in rows}) == 1
    return rows[:1] + rows[2:]


@pytest.mark.parametrize(
    "values, text",
    [
        ([70.0], "70.00"),
        ([70.0, 71.0], "70.50 ± 0.71 (2)"),
        ([70.0, None], "-"),
        ([None], "-"),
        ([], "-"),
        ([66.665], "66.67"),
        ([0.0], "0.00"),
    ],
)
def test_spread_needs_two_values_and_no_gap(values, text):
    assert tables.spread(values) == text


def test_a_table_aligns_numbers_right_and_keeps_a_users_label_literal():
    text = tables.table("lr", ["class", "AP"], [[tables.escape("a|b *c*_d_"), "007.10"]])
    assert text.splitlines()[1].endswith("-:|") and text.splitlines()[1].startswith("|:-")
    assert cells(text)[1] == [r"a¦b \*c\*\_d\_", "007.10"]


def test_ranking_orders_by_map_and_prints_every_expected_run():
    runs = tables.ranked(
        by_run(
            made_up_record("bce", mAP=70.0),
            made_up_record("asl", mAP=72.0),
            made_up_record("bce_ls", mAP=71.0, absent=["mAP"]),
            made_up_record("an", "single", mAP=60.0, scored=998),
        )
    )
    expected = dict.fromkeys([*runs, "never-run"], [0])
    rows = cells(tables.ranking_table(runs, expected, {"linear-bce-efficientnet_lite0-toy-224"}))[
        1:
    ]
    assert [row[1].split("-")[1] for row in rows] == ["asl", "bce", "an", "bce_ls", "run`"]
    assert [row[0] for row in rows] == ["1", "2", "3", "-", "-"]
    assert [row[6] for row in rows] == ["0.00", "≈ -2.00", "-12.00", "-", "-"]
    assert [row[-1] for row in rows] == ["complete", "complete", "partial", "partial", "not run"]
    assert rows[4] == ["-", "`never-run`"] + ["-"] * 9 + ["not run"]


def test_a_metric_that_one_seed_lacks_is_absent():
    runs = by_run(made_up_record(seed=0), made_up_record(seed=1, absent=["tuned_CF1"]))
    header, row = cells(
        tables.metric_table(runs, tables.METRICS["Thresholds by class, tuned on validation"])
    )
    assert header == ["run", "OP", "OR", "OF1", "CP", "CR", "CF1"]
    assert row[-1] == "-" and all(cell.endswith("(2)") for cell in row[1:-1])


def test_regime_gap_is_to_the_best_full_run_of_the_same_setup():
    runs = tables.ranked(
        by_run(
            made_up_record("bce", mAP=70.0),
            made_up_record("bce_ls", mAP=72.0),
            made_up_record("an", "single", mAP=60.0),
            made_up_record("asl", mAP=71.0),
            made_up_record("asl", "single", mAP=62.0),
            made_up_record("role", "single", mAP=65.0, head="gap"),
        )
    )
    rows = {(row[0], row[1]): row[2:] for row in cells(tables.regime_table(runs))[1:]}
    linear, gap = (f"`{head}-*-efficientnet_lite0-toy-224`" for head in ("linear", "gap"))
    assert rows[linear, "`asl`"] == ["71.00", "62.00", "-10.00"]
    assert rows[linear, "`an`"] == ["-", "60.00", "-12.00"]
    assert rows[gap, "`role`"] == ["-", "65.00", "-"]


def test_class_table_marks_rare_classes_and_averages_the_others():
    record = made_up_record(classes=VOC[:30])
    rows = cells(tables.class_table(by_run(record)))
    classes = record.selected.per_class
    enough = [c.AP for c in classes if c.test >= 10]
    assert [row[0].endswith("†") for row in rows[1:-2]] == [c.test < 10 for c in classes]
    assert rows[-2][-1] == "70.00"
    mean = 100 * sum(enough) / len(enough)
    assert rows[-1] == [f"**mean of the {len(enough)} without †**", "", "", "", f"{mean:.2f}"]


def test_predicted_labels_stand_beside_the_true_ones_and_k():
    runs = by_run(
        made_up_record("an", "single", positives=0.5),
        made_up_record("an", "single", seed=1, positives=0.7),
        made_up_record("epr", "single", positives=2.0),
        made_up_record("bce"),
    )
    rows = [row[1:] for row in cells(tables.positives_table(runs))[1:]]
    assert rows == [["0.60 ± 0.14 (2)", "1.50", "-"], ["2.00", "1.50", "1.50"], ["-", "1.50", "-"]]
    epr = made_up_record("epr", "single").model_dump()
    epr["run"]["loss"]["expected_positives"], epr["splits"]["val"]["cardinality"] = (
        "validation",
        1.7,
    )
    assert cells(tables.positives_table(by_run(Record.model_validate(epr))))[1][-1] == "1.70"


def test_estimated_labels_after_the_first_the_best_and_the_last_epoch():
    role = by_run(
        *(made_up_record("role", "single", seed=seed, positives=1.5 + seed) for seed in (0, 1))
    )
    assert cells(tables.estimates_table(role))[1][1:] == [
        *(f"{value}.00 ± 0.00 (2)" for value in (51, 54, 55, 9, 6, 5)),
        "1.50",
    ]
    assert (
        tables.estimates_table(
            by_run(made_up_record("bce", positives=1.0), made_up_record("role", "single"))
        )
        is None
    )


def test_records_that_differ_are_counted_apart():
    records = [made_up_record(seed=0), made_up_record(seed=1, scored=998)]
    assert [row for row in cells(tables.picture_table(records)) if row[0] in ("train", "test")] == [
        ["train", "4000", "3999", "1", "1.50", "2"],
        ["test", "1000", "998", "2", "1.50", "1"],
        ["test", "1000", "1000", "0", "1.50", "1"],
    ]
