"""Markdown tables of result records. An absent value is "-", and no average is taken over one."""

import math
import re
import statistics
from collections import Counter
from collections.abc import Container, Sequence

from tabulate import tabulate

from mlrepro.judging import MINIMUM_TOLERANCE, mean_and_std, tolerance
from mlrepro.records import Record

ABSENT = "-"
FEW_POSITIVES = 10  # test positives below which one picture moves a class's AP by several points
REGIMES = {"full": "full labels", "single": "single-positive labels"}
SPLITS = ("train", "val", "test")

Runs = dict[
    str, list[Record]
]  # run id -> its records by seed, in rank order where `ranked` made it

GROUPED = ("OP", "OR", "OF1", "CP", "CR", "CF1")
# Heading -> header -> name in `Measurement.metrics`. One threshold for all classes is 004's: for runs with captions.
ONE_THRESHOLD = {
    f"{average} F1 by one threshold for all classes, tuned on validation or a probability": {
        "tuned": f"tuned_global_{average}_F1",
        **{f"0.{i}": f"{average}_F1_at_0.{i}" for i in range(1, 6)},
    }
    for average in ("micro", "macro", "sample")
}
METRICS = {
    "Labels above threshold 0.5": {name: name for name in GROUPED},
    "The three highest labels of each picture": {name: f"top3_{name}" for name in GROUPED},
    "Thresholds by class, tuned on validation": {name: f"tuned_{name}" for name in GROUPED},
    **ONE_THRESHOLD,
    "F1 by kind of average, at threshold 0.5": {
        "micro F1": "micro_F1",
        "macro F1": "macro_F1",
        "sample F1": "sample_F1",
        "sample precision": "sample_precision",
        "sample recall": "sample_recall",
        "IoU": "sample_IoU",
    },
    "Agreement of whole label sets, at threshold 0.5": {
        "exact match": "exact_match",
        "label accuracy": "label_accuracy",
        "label accuracy, all negative": "all_negative_accuracy",
    },
}
AVERAGE_PRECISIONS = {
    "exact": "mAP",
    "interpolated": "mAP_interpolated",
    "11-point": "mAP_11point",
    "exact, classes with test positives": "mAP_nonempty",
}


def number(value: float | None, decimals: int = 2) -> str:
    return ABSENT if value is None else f"{value:.{decimals}f}"


def spread(values: list[float | None], decimals: int = 2) -> str:
    """`mean ± std (n)` over seeds, the mean alone for one seed, "-" when any value is absent."""
    if not values or None in values:
        return ABSENT
    mean, std = mean_and_std(values)
    return (
        number(mean, decimals)
        if std is None
        else f"{mean:.{decimals}f} ± {std:.{decimals}f} ({len(values)})"
    )


def code(text: str) -> str:
    return f"`{text}`"


def escape(text: str) -> str:
    """A user's label as literal markdown text in one table cell."""
    return re.sub(r"([\\`*_<>|\[\]~])", r"\\\1", " ".join(text.split()))


def table(align: str, headers: list[str], rows: list[list[str]]) -> str:
    """GitHub markdown. `align`: one letter a column, l or r (`pipe`, because tabulate's `github` has no colons)."""
    sides = [{"l": "left", "r": "right"}[letter] for letter in align]
    return tabulate(rows, headers, tablefmt="pipe", colalign=sides, disable_numparse=True)


def metric_values(
    records: list[Record], metric: str, selection: str | None = None
) -> list[float | None]:
    """One value a record, in percent: of the weights `best` or `last`, or of those that each run selects."""
    chosen = [record.measurements.get(selection or record.run.selection) for record in records]
    return [measurement and measurement.metrics.get(metric) for measurement in chosen]


def mean(values: Sequence[float | None]) -> float | None:
    """None of no values, or where one is absent."""
    return None if not values or None in values else statistics.fmean(values)


def mean_map(records: list[Record]) -> float | None:
    return mean(metric_values(records, "mAP"))


def standard_error(records: list[Record]) -> float:
    """SE of mAP from resampled test pictures, in points, averaged over seeds."""
    return statistics.fmean(record.selected.mAP_se for record in records)


def noise(first: list[Record], second: list[Record]) -> float:
    """mAP points by which two runs must differ to be told apart (formula: docs/reading-reports.md)."""
    spreads = [
        tolerance(metric_values(run, "mAP"), standard_error(run), minimum=0.0)
        for run in (first, second)
    ]
    return max(MINIMUM_TOLERANCE, math.hypot(*spreads))


def within_noise(runs: Runs) -> set[str]:
    """Runs, apart from the first, that cannot be told apart from it."""
    scored = [run for run, records in runs.items() if mean_map(records) is not None]
    return {
        run
        for run in scored[1:]
        if mean_map(runs[scored[0]]) - mean_map(runs[run]) <= noise(runs[scored[0]], runs[run])
    }


def ranked(records: Runs) -> Runs:
    """Highest mAP first; runs without one last; ties by run id."""
    means = {run: mean_map(group) for run, group in records.items()}
    return {
        run: records[run]
        for run in sorted(records, key=lambda run: (means[run] is None, -(means[run] or 0.0), run))
    }


def best_of_regime(runs: Runs) -> dict[str, str]:
    """The first ranked run with an mAP, for each labels regime that has one."""
    first = {
        records[0].run.labels: run
        for run, records in reversed(runs.items())
        if mean_map(records) is not None
    }
    return {regime: first[regime] for regime in REGIMES if regime in first}


def shortfalls(records: list[Record], seeds: list[int]) -> list[str]:
    """What a run lacks to be complete."""
    measured = {record.seed for record in records}
    lacks = [f"seed {seed} not run" for seed in seeds if seed not in measured]
    for record in records:
        test = record.splits["test"]
        if (
            len(record.history) != record.run.epochs
            and record.run.stop_below is None
            and not record.run.early_stop
        ):
            lacks.append(f"seed {record.seed}: {len(record.history)} of {record.run.epochs} epochs")
        if test.used != record.run.scored(test.expected):
            lacks.append(f"seed {record.seed}: {test.used} of {test.expected} test pictures")
        if metric_values([record], "mAP") == [None]:
            lacks.append(f"seed {record.seed}: no mAP")
    return lacks


def status(records: list[Record], seeds: list[int], failed: bool = False) -> str:
    if not records:
        return "failed" if failed else "not run"
    return "partial" if shortfalls(records, seeds) else "complete"


def class_ap(records: list[Record]) -> list[list[float | None]]:
    """AP in percent: a list a class, in the data set's order, each with one value a record."""
    return [
        [None if c.AP is None else 100 * c.AP for c in values]
        for values in zip(*(record.selected.per_class for record in records), strict=True)
    ]


def ranking_table(
    runs: Runs, expected: dict[str, list[int]], in_noise: set[str], failed: Container[str] = ()
) -> str:
    """Every expected run, the measured ones by mAP. `in_noise`: runs that cannot be told apart from the first. `failed`: by the
    last launch."""
    first = next((mean_map(records) for records in runs.values()), None)
    rows = []
    for rank, (run, records) in enumerate(runs.items(), 1):
        mean, settings, cost = mean_map(records), records[0].run, records[0].cost
        has = mean is not None
        epochs = [
            record.measurements["best"].epoch for record in records if "best" in record.measurements
        ]
        rows.append(
            [
                str(rank) if has else ABSENT,
                code(run),
                settings.labels,
                settings.inputs,
                spread(metric_values(records, "mAP")),
                number(standard_error(records)) if has else ABSENT,
                ("≈ " if run in in_noise else "") + number(mean - first) if has else ABSENT,
                ", ".join(map(str, epochs)) or ABSENT,
                number(cost.gmacs),
                number(cost.parameters / 1e6),
                number(statistics.fmean(record.environment.train_seconds for record in records), 1),
                status(records, expected[run]),
            ]
        )
    rows += [
        [ABSENT, code(run)] + [ABSENT] * 9 + [status([], seeds, run in failed)]
        for run, seeds in expected.items()
        if run not in runs
    ]
    return table(
        "rlllrrrrrrrl",
        [
            "#",
            "run",
            "labels",
            "inputs",
            "mAP",
            "SE",
            "to best",
            "best epoch",
            "GMACs",
            "M params",
            "train s",
            "status",
        ],
        rows,
    )


def metric_table(runs: Runs, columns: dict[str, str]) -> str:
    """`columns`: header -> name in `Measurement.metrics`."""
    rows = [
        [code(run)] + [spread(metric_values(records, name)) for name in columns.values()]
        for run, records in runs.items()
    ]
    return table("l" + "r" * len(columns), ["run", *columns], rows)


def selection_table(runs: Runs) -> str:
    """The named variants of mAP for both selections of weights, two rows a run."""
    rows = [
        [code(run) if selection == "best" else "", selection]
        + [spread(metric_values(records, name, selection)) for name in AVERAGE_PRECISIONS.values()]
        for run, records in runs.items()
        for selection in ("best", "last")
    ]
    return table(
        "ll" + "r" * len(AVERAGE_PRECISIONS), ["run", "weights", *AVERAGE_PRECISIONS], rows
    )


def positives_table(runs: Runs) -> str:
    """Labels that a test picture's probabilities add up to, its true ones, and EPR's and ROLE's k, labels a picture."""
    rows = []
    for run, (first, *_) in runs.items():
        k = getattr(first.run.loss, "expected_positives", None)
        predicted = spread([record.selected.predicted_positives for record in runs[run]])
        rows.append(
            [
                code(run),
                predicted,
                number(first.splits["test"].cardinality),
                number(first.splits["val"].cardinality if k == "validation" else k),
            ]
        )
    return table("lrrr", ["run", "predicted labels", "true labels", "k of the loss"], rows)


def estimates_table(runs: Runs) -> str | None:
    """ROLE's estimated labels of the training pictures against all true ones; none without records that tell of them."""
    rows = []
    for run, records in runs.items():
        epochs = [
            [
                r.history[0],
                next(e for e in r.history if e.epoch == r.measurements["best"].epoch),
                r.history[-1],
            ]
            for r in records
            if r.history and r.history[-1].estimate_mAP is not None
        ]
        if epochs:
            rows.append(
                [code(run)]
                + [
                    spread([getattr(epoch, key) for epoch in column])
                    for key in ("estimate_mAP", "estimate_positives")
                    for column in zip(*epochs, strict=True)
                ]
                + [number(records[0].splits["train"].cardinality)]
            )
    headers = [
        "run",
        *(f"{what}, {epoch}" for what in ("mAP", "labels") for epoch in ("first", "best", "last")),
        "true labels",
    ]
    return table("l" + "r" * 7, headers, rows) if rows else None


def regime_table(runs: Runs) -> str:
    """mAP of setup (the run id without loss and labels regime) and loss x {full, single}; the gap is to the setup's best full."""
    cells: dict[str, dict[str, Runs]] = {}
    for records in runs.values():
        run = records[0].run
        setup = "-".join(
            str(part)
            for part in (run.head, "*", run.backbone, run.data, run.resolution, run.variant)
            if part
        )
        cells.setdefault(setup, {}).setdefault(run.loss.name, {})[run.labels] = records
    rows = []
    for setup, losses in sorted(cells.items()):  # losses stay in rank order
        full = [mean_map(regimes["full"]) for regimes in losses.values() if "full" in regimes]
        best = max((value for value in full if value is not None), default=None)
        for loss, regimes in losses.items():
            single = mean_map(regimes.get("single", []))
            rows.append(
                [code(setup), code(loss)]
                + [spread(metric_values(regimes.get(regime, []), "mAP")) for regime in REGIMES]
                + [ABSENT if None in (single, best) else number(single - best)]
            )
    return table("llrrr", ["setup", "loss", *REGIMES.values(), "single - best full"], rows)


def class_table(best: Runs) -> str:
    """AP by class of one run a regime. † marks classes with few test positives; a second mean leaves them out."""
    classes = list(best.values())[-1][
        0
    ].selected.per_class  # of the single-positive run: its observed labels differ
    columns = [class_ap(records) for records in best.values()]
    rows = [
        [
            escape(c.name) + (" †" if c.test < FEW_POSITIVES else ""),
            str(c.train),
            str(c.observed),
            str(c.test),
        ]
        + [spread(column[i]) for column in columns]
        for i, c in enumerate(classes)
    ]
    enough = [i for i, c in enumerate(classes) if c.test >= FEW_POSITIVES]
    rows.append(
        ["**mAP, all classes**", "", "", ""]
        + [spread(metric_values(records, "mAP")) for records in best.values()]
    )
    if 0 < len(enough) < len(classes):
        rows.append(
            [f"**mean of the {len(enough)} without †**", "", "", ""]
            + [
                spread([mean(seed) for seed in zip(*(column[i] for i in enough), strict=True)])
                for column in columns
            ]
        )
    headers = [
        "class",
        "train",
        "observed",
        "test",
        *(f"AP, {REGIMES[r[0].run.labels]}" for r in best.values()),
    ]
    return table("lrrr" + "r" * len(best), headers, rows)


def label_table(record: Record) -> str:
    """Positives by class and their share of the pictures, most frequent in train first."""
    train, test = record.splits["train"].used, record.splits["test"].used
    rows = [
        [
            escape(c.name),
            str(c.train),
            number(100 * c.train / train if train else None),
            str(c.observed),
            str(c.test),
            number(100 * c.test / test if test else None),
        ]
        for c in sorted(record.selected.per_class, key=lambda c: -c.train)
    ]
    return table("lrrrrr", ["class", "train", "% of train", "observed", "test", "% of test"], rows)


def picture_table(records: list[Record]) -> str:
    """Pictures a split. Records that used different pictures give a row each, with how many they are."""
    counts = Counter(
        (SPLITS.index(name), c.expected, c.used, c.cardinality)
        for r in records
        for name, c in r.splits.items()
    )
    rows = [
        [SPLITS[split], str(expected), str(used), str(expected - used), number(cardinality), str(n)]
        for (split, expected, used, cardinality), n in sorted(counts.items())
    ]
    return table(
        "lrrrrr", ["split", "pictures", "used", "rejected", "labels a picture", "records"], rows
    )


def cost_table(runs: Runs) -> str:
    rows = []
    for run, records in runs.items():
        measured = {"train_seconds": 1, "images_per_second": 1, "peak_memory_mib": 0}  # decimals
        rows.append(
            [
                code(run),
                number(records[0].cost.trainable_parameters / 1e6),
                number(records[0].cost.gflops),
            ]
            + [
                spread([getattr(r.environment, name) for r in records], n)
                for name, n in measured.items()
            ]
        )
    return table(
        "lrrrrr", ["run", "M trained params", "GFLOPs", "train s", "pictures/s", "peak MiB"], rows
    )


def environment_table(records: list[Record]) -> str:
    """What the records were made with; where they differ, every value with its number of records."""
    facts: dict[str, Counter] = {}
    for record in records:
        environment, provenance = record.environment, record.provenance
        commit = provenance.commit[:12] + (" with uncommitted changes" if provenance.dirty else "")
        for name, value in {
            "commit": commit,
            "manifest sha256": provenance.manifest_sha256[:12],
            "pretrained weights": provenance.pretrained,
            "device": environment.device,
            "precision": environment.precision,
            "threads": environment.threads,
            "python": environment.python,
            **dict(sorted(environment.versions.items())),
        }.items():
            facts.setdefault(name, Counter())[str(value)] += 1
    rows = [
        [
            name,
            escape(
                ", ".join(
                    value if len(counter) == 1 else f"{value} ({n} records)"
                    for value, n in sorted(counter.items())
                )
            ),
        ]
        for name, counter in facts.items()
    ]
    return table("ll", ["what", "value"], rows)
