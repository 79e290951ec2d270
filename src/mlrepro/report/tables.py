"""Markdown tables of result records, one a function. Runs come in rank order."""

from collections import Counter
from collections.abc import Container, Sequence

from mlrepro.environments import Environment
from mlrepro.judging import (
    REGIMES,
    class_ap,
    completeness,
    mean,
    mean_map,
    metric_values,
    standard_error,
)
from mlrepro.metrics.catalogue import AVERAGE_PRECISIONS
from mlrepro.provenance import is_known
from mlrepro.records import ClassResult, Epoch, Record, Records
from mlrepro.report.markdown import ABSENT, Markdown, code, number, signed, spread, table
from mlrepro.run_pairs import RunPair, RunPairs
from mlrepro.settings.run import Run
from mlrepro.studies.reference import Compared

FEW_POSITIVES = 10  # test positives below which one picture moves a class's AP by several points
FEW_MARK = "†"

SPLITS = ("train", "val", "test")
MILLION = 1e6
DIGEST_LENGTH = 12  # characters of a commit or a sha256 that a table shows


# ---- Runs beside each other --------------------------------------------------------------------


def ranking_table(
    runs: Records,
    expected: dict[str, list[int]],
    pairs: RunPairs,
    failed: Container[str] = (),
) -> str:
    """Every expected run, the measured ones by mAP.

    expected: seeds by run id.
    pairs:    the measured runs in pairs.
    failed:   runs that the last launch could not do.
    """
    headers = [
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
        "status",
    ]
    to_first = {pair.second: pair for pair in pairs.of_first}

    rows = []
    for rank, (run, records) in enumerate(runs.items(), 1):
        state = completeness(records, expected[run])
        rows.append([*_ranking_cells(rank, records, to_first.get(run)), state])

    # Runs without records come last, in the order of the settings.
    for run, seeds in expected.items():
        if run not in runs:
            nothing = [ABSENT] * (len(headers) - 3)
            rows.append([ABSENT, code(run), *nothing, completeness([], seeds, run in failed)])

    return table("rlllrrrrrrl", headers, rows)


def _ranking_cells(rank: int, records: list[Record], pair: RunPair | None) -> list[str]:
    """A run's row without its status. A run without an mAP has no rank.

    pair: with the first run; none of that itself.
    """
    run = records[0].run
    cost = records[0].cost

    mAP = mean_map(records)
    place = ABSENT
    error = ABSENT
    difference = ABSENT
    if mAP is not None:
        place = str(rank)
        error = number(standard_error(records))
        difference = points_to_first(pair)

    best_epochs = [
        str(record.measurements["best"].epoch)
        for record in records
        if "best" in record.measurements
    ]
    return [
        place,
        code(run.run_id),
        run.labels,
        run.inputs,
        spread(metric_values(records, "mAP")),
        error,
        difference,
        ", ".join(best_epochs) or ABSENT,
        number(cost.gmacs),
        number(cost.parameters / MILLION),
    ]


def points_to_first(pair: RunPair | None) -> str:
    """How many points a run is behind, with half of the 95 % interval; none: it is the first."""
    if pair is None:
        return number(0.0)
    difference = pair.difference
    text = f"{number(-difference.points)} ± {number(difference.margin)}"
    return text if pair.is_told_apart else f"≈ {text}"


def reference_table(compared: Sequence[Compared]) -> str:
    """Runs beside what they gave when the reference was made."""
    headers = ["run", "reference", "reproduced on this machine", "delta", "tolerance", "status"]
    rows = []
    for row in compared:
        printed = row.reference.printed
        if row.reference.std is not None:
            printed += f" ± {row.reference.std:.2f}"
        delta = ABSENT if row.delta is None else signed(row.delta)
        rows.append(
            [code(row.run), printed, spread(row.mAPs), delta, number(row.tolerance), row.status]
        )
    return table("lrrrrl", headers, rows)


def metric_table(runs: Records, columns: dict[str, str]) -> str:
    """`columns`: header -> name in `Measurement.metrics`."""
    rows = []
    for run, records in runs.items():
        values = [spread(metric_values(records, name)) for name in columns.values()]
        rows.append([code(run), *values])

    align = "l" + "r" * len(columns)
    return table(align, ["run", *columns], rows)


def selection_table(runs: Records) -> str:
    """The kinds of average precision for both selections of weights, two rows a run."""
    columns = AVERAGE_PRECISIONS.columns
    rows = []
    for run, records in runs.items():
        for selection in ("best", "last"):
            # A run is named once.
            name = code(run) if selection == "best" else ""
            values = [
                spread(metric_values(records, metric, selection)) for metric in columns.values()
            ]
            rows.append([name, selection, *values])

    align = "ll" + "r" * len(columns)
    return table(align, ["run", "weights", *columns], rows)


def regime_table(runs: Records) -> str:
    """mAP by setup and loss with full and with single-positive labels.

    A setup is a run id without loss and labels regime; the gap is to its best run with full labels.
    """
    headers = ["setup", "loss", *REGIMES.values(), "single - best full"]

    # Setup -> loss -> regime -> records; losses stay in rank order.
    setups: dict[str, dict[str, Records]] = {}
    for records in runs.values():
        run = records[0].run
        by_loss = setups.setdefault(_setup(run), {})
        by_regime = by_loss.setdefault(run.loss.name, {})
        by_regime[run.labels] = records

    rows = []
    for setup, by_loss in sorted(setups.items()):
        best_full = _best_full(by_loss)

        for loss, by_regime in by_loss.items():
            full = by_regime.get("full", [])
            single = by_regime.get("single", [])
            single_map = mean_map(single)
            if single_map is None or best_full is None:
                gap = None
            else:
                gap = single_map - best_full

            values = [spread(metric_values(records, "mAP")) for records in (full, single)]
            rows.append([code(setup), code(loss), *values, number(gap)])

    return table("llrrr", headers, rows)


def _best_full(by_loss: dict[str, Records]) -> float | None:
    """The highest mAP with full labels of losses, each with its records by regime."""
    means = [mean_map(by_regime.get("full", [])) for by_regime in by_loss.values()]
    return max((mAP for mAP in means if mAP is not None), default=None)


def _setup(run: Run) -> str:
    parts = (run.head, "*", run.backbone, run.data, run.resolution, run.variant)
    return "-".join(str(part) for part in parts if part)


# ---- How many labels are predicted -------------------------------------------------------------


def positives_table(runs: Records) -> str:
    """Labels a test picture: what its probabilities add up to, its true ones, and the loss's k.

    k: the expected positives that EPR and ROLE are told.
    """
    rows = []
    for run, records in runs.items():
        splits = records[0].splits
        predicted = [record.selected.predicted_positives for record in records]

        k = getattr(records[0].run.loss, "expected_positives", None)
        if k == "validation":
            k = splits["val"].cardinality

        rows.append(
            [
                code(run),
                spread(predicted),
                number(splits["test"].cardinality),
                number(k),
            ]
        )
    return table("lrrr", ["run", "predicted labels", "true labels", "k of the loss"], rows)


def estimates_table(runs: Records) -> str | None:
    """ROLE's estimated labels of the training pictures against all true ones.

    None without records that tell of them.
    """
    headers = [
        "run",
        "mAP, first",
        "mAP, best",
        "mAP, last",
        "labels, first",
        "labels, best",
        "labels, last",
        "true labels",
    ]
    rows = []
    for run, records in runs.items():
        estimating = [
            record
            for record in records
            if record.history and record.history[-1].estimate_mAP is not None
        ]
        if not estimating:
            continue

        # From three epochs a seed to the first epochs of all seeds, their best and their last.
        first_best_last = [_first_best_last(record) for record in estimating]
        moments = list(zip(*first_best_last, strict=True))
        rows.append(
            [
                code(run),
                *(spread([epoch.estimate_mAP for epoch in epochs]) for epochs in moments),
                *(spread([epoch.estimate_positives for epoch in epochs]) for epochs in moments),
                number(records[0].splits["train"].cardinality),
            ]
        )
    return table("l" + "r" * 7, headers, rows) if rows else None


def _first_best_last(record: Record) -> tuple[Epoch, Epoch, Epoch]:
    history = record.history
    number_of_best = record.measurements["best"].epoch
    best = next(epoch for epoch in history if epoch.epoch == number_of_best)
    return history[0], best, history[-1]


# ---- Classes and pictures ----------------------------------------------------------------------


def class_table(best: Records, places: Sequence[int] | None = None) -> str:
    """AP by class of one run a regime.

    A mark is at classes with few test positives; a second mean leaves them out. places: of the
    classes that have a row; none: all. Means are of all.
    """
    regimes = [REGIMES[records[0].run.labels] for records in best.values()]
    headers = ["class", "train", "observed", "test", *(f"AP, {regime}" for regime in regimes)]

    # The single-positive run comes last, and its observed labels are fewer than those of train.
    last_run = list(best.values())[-1]
    classes = last_run[0].selected.per_class

    columns = [class_ap(records) for records in best.values()]
    rows = []
    if places is None:
        places = range(len(classes))
    for place in places:
        c = classes[place]
        counts = [str(c.train), str(c.observed), str(c.test)]
        aps = [spread(column[place]) for column in columns]
        rows.append([_marked_name(c), *counts, *aps])

    # Means are over classes, which have no counts in common.
    no_counts = ["", "", ""]
    means = [spread(metric_values(records, "mAP")) for records in best.values()]
    rows.append([Markdown("**mAP, all classes**"), *no_counts, *means])

    # Without a class that has few, or with none that has enough, there is nothing to leave out.
    common = [place for place, c in enumerate(classes) if c.test >= FEW_POSITIVES]
    if 0 < len(common) < len(classes):
        title = Markdown(f"**mean of the {len(common)} without {FEW_MARK}**")
        means = [_mean_over(common, column) for column in columns]
        rows.append([title, *no_counts, *means])

    return table("lrrr" + "r" * len(best), headers, rows)


def _marked_name(c: ClassResult) -> str:
    few = f" {FEW_MARK}" if c.test < FEW_POSITIVES else ""
    return c.name + few


def _mean_over(classes: list[int], column: list[list[float | None]]) -> str:
    """Over these classes of a column of APs by class and seed: a mean a seed, and their spread."""
    by_seed = zip(*(column[index] for index in classes), strict=True)
    return spread([mean(seed) for seed in by_seed])


def label_table(record: Record, places: Sequence[int] | None = None) -> str:
    """Positives by class and their share of the pictures, most frequent in train first.

    places: of the classes that have a row; none: all.
    """
    classes = record.selected.per_class
    if places is not None:
        classes = [classes[place] for place in places]
    train = record.splits["train"].used
    test = record.splits["test"].used

    rows = []
    for c in sorted(classes, key=lambda c: -c.train):
        rows.append(
            [
                c.name,
                str(c.train),
                _percentage(c.train, train),
                str(c.observed),
                str(c.test),
                _percentage(c.test, test),
            ]
        )
    return table("lrrrrr", ["class", "train", "% of train", "observed", "test", "% of test"], rows)


def _percentage(part: int, whole: int) -> str:
    return number(100 * part / whole if whole else None)


def picture_table(records: list[Record]) -> str:
    """Pictures a split.

    Records that used different pictures give a row each, with how many they are.
    """
    headers = ["split", "pictures", "used", "rejected", "labels a picture", "records"]

    counts = Counter()
    for record in records:
        for split, pictures in record.splits.items():
            # The index sorts splits as they are used.
            key = (SPLITS.index(split), pictures.expected, pictures.used, pictures.cardinality)
            counts[key] += 1

    rows = []
    for (split, expected, used, cardinality), n in sorted(counts.items()):
        rows.append(
            [
                SPLITS[split],
                str(expected),
                str(used),
                str(expected - used),
                number(cardinality),
                str(n),
            ]
        )
    return table("lrrrrr", headers, rows)


# ---- Cost and environment ----------------------------------------------------------------------


def cost_table(runs: Records) -> str:
    headers = ["run", "M trained params", "GFLOPs", "train s", "pictures/s", "peak MiB"]
    rows = []
    for run, records in runs.items():
        cost = records[0].cost
        used = [environment(record) for record in records]
        rows.append(
            [
                code(run),
                number(cost.trainable_parameters / MILLION),
                number(cost.gflops),
                spread([each.train_seconds for each in used], 1),
                spread([each.images_per_second for each in used], 1),
                spread([each.peak_memory_mib for each in used], 0),
            ]
        )
    return table("lrrrrr", headers, rows)


def environment(record: Record) -> Environment:
    """An empty one of a record of which nothing is known."""
    return record.environment or Environment()


def environment_table(records: list[Record]) -> str:
    """What the records were made with.

    Where they differ: every value with its number of records.
    """
    counts: dict[str, Counter] = {}
    for record in records:
        for fact, value in _environment_facts(record).items():
            counts.setdefault(fact, Counter())[value] += 1

    rows = []
    for fact, values in counts.items():
        if len(values) == 1:
            text = next(iter(values))
        else:
            text = ", ".join(f"{value} ({n} records)" for value, n in sorted(values.items()))
        rows.append([fact, text])
    return table("ll", ["what", "value"], rows)


def _environment_facts(record: Record) -> dict[str, str]:
    used = environment(record)
    commit = used.commit or ABSENT
    if is_known(commit):
        commit = commit[:DIGEST_LENGTH]
        if used.dirty:
            commit += " with uncommitted changes"

    machine = [used.device, used.precision]
    if used.threads:
        noun = "thread" if used.threads == 1 else "threads"
        machine.append(f"{used.threads} {noun}")
    versions = [f"{name} {version}" for name, version in sorted(used.versions.items())]
    if used.python:
        versions.insert(0, f"python {used.python}")

    return {
        "manifest sha256": record.provenance.manifest_sha256[:DIGEST_LENGTH],
        "pretrained weights": record.provenance.pretrained,
        "commit": commit,
        "machine": ", ".join(filter(None, machine)) or ABSENT,
        "versions": ", ".join(versions) or ABSENT,
    }
