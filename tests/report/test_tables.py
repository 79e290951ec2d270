"""Tables of made-up records. `made_up_record` is also what the tests of pages build theirs from."""

import random
from collections.abc import Sequence

import pytest

from mlrepro.judging import ranked
from mlrepro.metrics.catalogue import AVERAGE_PRECISIONS, BY_CLASS, DECISION_TABLES
from mlrepro.records import Record, Records
from mlrepro.report import markdown, tables
from mlrepro.run_pairs import compare_runs

VOC = (
    "aeroplane bicycle bird boat bottle bus car cat chair cow diningtable dog horse motorbike "
    "person pottedplant sheep sofa train tvmonitor"
).split()

METRICS = [
    metric
    for shown in (*DECISION_TABLES, AVERAGE_PRECISIONS)
    for metric in shown.columns.values()
    if not shown.captions_only
]

LOSSES_TOLD_K = ("epr", "role")


# ---- Made-up records ---------------------------------------------------------------------------


def made_up_record(  # noqa: PLR0913 (a test names the two or three that it is about)
    loss: str = "bce",
    labels: str = "full",
    mAP: float = 70.0,
    seed: int = 0,
    *,
    se: float = 0.2,
    epochs: int = 5,
    trained: int | None = None,
    scored: int = 1000,
    classes: Sequence[str] = VOC,
    absent: Sequence[str] = (),
    gmacs: float = 1.6,
    head: str = "linear",
    variant: str | None = None,
    positives: float | None = None,
    resamples: Sequence[float] | None = None,
) -> Record:
    """A record with fixed numbers around `mAP`.

    trained:   epochs of the history, where they are not all.
    scored:    test pictures, of 1000.
    absent:    metrics without a value.
    positives: labels a picture that are predicted in the last epoch.
    resamples: mAPs on resamples of the test pictures.
    """
    rng = random.Random(f"{loss} {labels} {seed} {head}")
    metrics = {name: round(rng.uniform(40, 90), 4) for name in METRICS}
    metrics |= {"mAP": mAP}
    metrics |= dict.fromkeys(absent)

    measurement = {
        "epoch": max(1, epochs - 1),
        "metrics": metrics,
        "mAP_se": se,
        "per_class": _made_up_classes(classes, labels, mAP, rng),
        "resamples": resamples,
    }
    history = _made_up_history(trained or epochs, mAP, rng)
    if positives:
        measurement["predicted_positives"] = positives
        for entry in history:
            entry["val_positives"] = positives * entry["epoch"] / epochs
            if loss == "role":
                entry["estimate_mAP"] = 50.0 + entry["epoch"]
                entry["estimate_positives"] = 10.0 - entry["epoch"]

    loss_settings = {"name": loss}
    if loss in LOSSES_TOLD_K:
        loss_settings["expected_positives"] = 1.5

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
                "loss": loss_settings,
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
                "settings_sha256": "a",
                "manifest_sha256": "b",
                "pretrained": "none",
                "pretrained_sha256": None,
            },
            "environment": {
                "commit": "0123456789abcdef",
                "dirty": False,
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


def _made_up_classes(
    names: Sequence[str], labels: str, mAP: float, rng: random.Random
) -> list[dict]:
    """Each has fewer positives than the one before; the last ones have none on test."""
    classes = []
    for index, name in enumerate(names):
        positives = max(0, round(400 / (index + 1)) - 12)
        ap = min(1.0, max(0.0, rng.gauss(mAP / 100, 0.12))) if positives else None
        classes.append(
            {
                "name": name,
                "train": 4 * positives,
                "observed": 3 * positives if labels == "single" else 4 * positives,
                "test": positives,
                "AP": ap,
            }
        )
    return classes


def _made_up_history(epochs: int, mAP: float, rng: random.Random) -> list[dict]:
    return [
        {
            "epoch": epoch,
            "lr": 0.001,
            "train_loss": 1 / epoch,
            "val_mAP": mAP * (1 - 0.5 / epoch) + rng.gauss(0, 0.4),
        }
        for epoch in range(1, epochs + 1)
    ]


def by_run(*records: Record) -> Records:
    groups: Records = {}
    for record in records:
        groups.setdefault(record.run.run_id, []).append(record)
    return groups


def ranked_runs(*records: Record) -> Records:
    return ranked(by_run(*records))


def cells(table: str) -> list[list[str]]:
    """Rows of a markdown table without its rule.

    Fails when a row has another number of columns. A bar inside a cell is read as ¦.
    """
    rows = []
    for line in table.splitlines():
        line = line.strip("|").replace(r"\|", "¦")
        rows.append([cell.strip() for cell in line.split("|")])

    assert len({len(row) for row in rows}) == 1
    header, _, *body = rows
    return [header, *body]


# ---- Pieces of markdown ------------------------------------------------------------------------


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
    assert markdown.spread(values) == text


def test_a_table_aligns_numbers_right_and_keeps_a_users_label_literal():
    text = markdown.table("lr", ["class", "AP"], [[markdown.escape("a|b *c*_d_"), "007.10"]])

    rule = text.splitlines()[1]
    assert rule.startswith("|:-") and rule.endswith("-:|")
    assert cells(text)[1] == [r"a¦b \*c\*\_d\_", "007.10"]


# ---- Runs beside each other --------------------------------------------------------------------


def test_ranking_orders_by_map_and_prints_every_expected_run():
    runs = ranked_runs(
        made_up_record("bce", mAP=71.6),
        made_up_record("asl", mAP=72.0),
        made_up_record("bce_ls", mAP=71.0, absent=["mAP"]),
        made_up_record("an", "single", mAP=60.0, scored=998),
    )
    expected = dict.fromkeys([*runs, "never-run"], [0])
    _, *rows = cells(tables.ranking_table(runs, expected, compare_runs(runs)))

    assert [row[1].split("-")[1] for row in rows] == ["asl", "bce", "an", "bce_ls", "run`"]
    assert [row[0] for row in rows] == ["1", "2", "3", "-", "-"]
    assert [row[6] for row in rows] == ["0.00", "≈ -0.40 ± 0.55", "-12.00 ± 0.55", "-", "-"]
    assert [row[-1] for row in rows] == ["complete", "complete", "partial", "partial", "not-run"]
    assert rows[4] == ["-", "`never-run`"] + ["-"] * 8 + ["not-run"]


def test_a_metric_that_one_seed_lacks_is_absent():
    runs = by_run(made_up_record(seed=0), made_up_record(seed=1, absent=["tuned_CF1"]))

    header, row = cells(tables.metric_table(runs, BY_CLASS.columns))

    assert header == ["run", "OP", "OR", "OF1", "CP", "CR", "CF1"]
    assert row[-1] == "-"
    assert all(cell.endswith("(2)") for cell in row[1:-1])


def test_regime_gap_is_to_the_best_full_run_of_the_same_setup():
    runs = ranked_runs(
        made_up_record("bce", mAP=70.0),
        made_up_record("bce_ls", mAP=72.0),
        made_up_record("an", "single", mAP=60.0),
        made_up_record("asl", mAP=71.0),
        made_up_record("asl", "single", mAP=62.0),
        made_up_record("role", "single", mAP=65.0, head="gap"),
    )

    _, *rows = cells(tables.regime_table(runs))
    by_setup_and_loss = {(setup, loss): values for setup, loss, *values in rows}

    linear = "`linear-*-efficientnet_lite0-toy-224`"
    gap = "`gap-*-efficientnet_lite0-toy-224`"
    assert by_setup_and_loss[linear, "`asl`"] == ["71.00", "62.00", "-10.00"]
    assert by_setup_and_loss[linear, "`an`"] == ["-", "60.00", "-12.00"]
    assert by_setup_and_loss[gap, "`role`"] == ["-", "65.00", "-"]


# ---- How many labels are predicted -------------------------------------------------------------


def test_predicted_labels_stand_beside_the_true_ones_and_k():
    runs = by_run(
        made_up_record("an", "single", positives=0.5),
        made_up_record("an", "single", seed=1, positives=0.7),
        made_up_record("epr", "single", positives=2.0),
        made_up_record("bce"),
    )
    _, *rows = cells(tables.positives_table(runs))
    assert [row[1:] for row in rows] == [
        ["0.60 ± 0.14 (2)", "1.50", "-"],
        ["2.00", "1.50", "1.50"],
        ["-", "1.50", "-"],
    ]


def test_a_k_that_was_taken_from_validation_is_its_number_of_labels():
    settings = made_up_record("epr", "single").model_dump()
    settings["run"]["loss"]["expected_positives"] = "validation"
    settings["splits"]["val"]["cardinality"] = 1.7

    _, row = cells(tables.positives_table(by_run(Record.model_validate(settings))))
    assert row[-1] == "1.70"


def test_estimated_labels_after_the_first_the_best_and_the_last_epoch():
    first_seed = made_up_record("role", "single", seed=0, positives=1.5)
    second_seed = made_up_record("role", "single", seed=1, positives=2.5)

    _, row = cells(tables.estimates_table(by_run(first_seed, second_seed)))
    mAPs = [f"{value}.00 ± 0.00 (2)" for value in (51, 54, 55)]
    labels = [f"{value}.00 ± 0.00 (2)" for value in (9, 6, 5)]
    assert row[1:] == [*mAPs, *labels, "1.50"]

    without_estimates = by_run(
        made_up_record("bce", positives=1.0), made_up_record("role", "single")
    )
    assert tables.estimates_table(without_estimates) is None


# ---- Classes and pictures ----------------------------------------------------------------------


def test_class_table_marks_rare_classes_and_averages_the_others():
    record = made_up_record()
    classes = record.selected.per_class
    common = [c.AP for c in classes if c.test >= 10]

    _, *rows = cells(tables.class_table(by_run(record)))
    *of_classes, of_all, of_common = rows

    assert [row[0].endswith("†") for row in of_classes] == [c.test < 10 for c in classes]
    assert of_all[-1] == "70.00"
    mean = 100 * sum(common) / len(common)
    assert of_common == [f"**mean of the {len(common)} without †**", "", "", "", f"{mean:.2f}"]


def test_records_that_differ_are_counted_apart():
    records = [made_up_record(seed=0), made_up_record(seed=1, scored=998)]

    _, *rows = cells(tables.picture_table(records))
    assert [row for row in rows if row[0] in ("train", "test")] == [
        ["train", "4000", "3999", "1", "1.50", "2"],
        ["test", "1000", "998", "2", "1.50", "1"],
        ["test", "1000", "1000", "0", "1.50", "1"],
    ]
