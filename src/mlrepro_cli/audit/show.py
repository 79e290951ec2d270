"""What an audit says in a terminal."""

from tabulate import tabulate

from mlrepro.audit.audit import Audit
from mlrepro.audit.compare import Comparison
from mlrepro.audit.tables import ScoreTable
from mlrepro.report.audit_page import COMPARED, compared_cells, order_note
from mlrepro.report.markdown import number, signed

LISTED = 12  # protocols


def show_inputs(scores: ScoreTable, audit: Audit) -> None:
    joined = audit.joined
    scale = audit.scale
    rows, columns = scores.values.shape
    print(
        f"scores: {scores.source}: {rows:,} pictures x {columns} columns, {scale.kind} from "
        f"{scale.least:.4g} to {scale.most:.4g}"
    )
    shown = joined.labels("ignored") == 1
    difficult = int((joined.labels("positive") == 1).sum() - shown.sum())
    text = f"labels: {audit.labels.source}: {joined.pictures:,} pictures x "
    text += f"{len(joined.classes)} classes, {shown.sum() / joined.pictures:.2f} labels a picture"
    if difficult:
        text += f", {difficult:,} difficult ones"
    print(text)

    for note in [*joined.notes, *scale.remarks]:
        print(f"  - {note}")
    if warning := order_note(audit):
        print(f"  ! {warning}")
    print()


def show_protocols(audit: Audit) -> None:
    metric = audit.question.metric
    print(f"The default: {audit.default_in_words}.")
    text = f"{metric} {number(audit.default.value)}"
    if metric == "mAP":
        low, high = audit.interval
        text += f" (95 % of resampled pictures: {number(low)} to {number(high)})"
    print(text)
    print(
        f"{len(audit.outcomes)} protocols give {number(audit.least)} to {number(audit.most)}; one "
        f"choice alone is worth up to {number(audit.worth)} points."
    )
    print()

    if audit.verdict:
        _show_verdict(audit)
        return
    rows = [
        [
            signed(outcome.value - audit.default.value),
            number(outcome.value),
            outcome.describe(metric),
        ]
        for outcome in audit.single_choices[:LISTED]
    ]
    _print_table(["points", metric, "choice, the others as in the default"], rows)


def _show_verdict(audit: Audit) -> None:
    verdict = audit.verdict
    metric = audit.question.metric
    rows = [
        [
            signed(outcome.value - verdict.printed.value),
            number(outcome.value),
            "yes" if verdict.printed.is_given_by(outcome.value) else "",
            outcome.describe(metric),
        ]
        for outcome in verdict.nearest[:LISTED]
    ]
    _print_table(["distance", metric, "rounds to it", "protocol"], rows)

    text = verdict.printed.text
    if verdict.given_by:
        plainest = verdict.given_by[0]
        print(
            f"{text} is what {len(verdict.given_by)} of the protocols round to; the plainest: "
            f"{plainest.describe(metric)} ({number(plainest.value, 3)})."
        )
    else:
        nearest = verdict.nearest[0]
        print(
            f"No protocol gives {text}; the nearest, {nearest.describe(metric)}, gives "
            f"{number(nearest.value, 3)}."
        )
    if verdict.given_by and verdict.numbers * 2 > verdict.printable:
        print(
            f"The protocols give {verdict.numbers} different numbers where only "
            f"{verdict.printable} can be printed: some protocol gives nearly any number, and one "
            "that departs in several choices proves little."
        )
    print()


def show_comparison(comparison: Comparison, first: str, second: str) -> None:
    print(f"{first} against {second}, on the same {comparison.pictures:,} pictures:")
    _print_table(COMPARED, [compared_cells(row, otherwise="") for row in comparison.rows])

    told_apart = sum(row.difference.is_told_apart for row in comparison.rows)
    unpaired = sum(row.difference.is_apart_unpaired for row in comparison.rows)
    print(
        f"{told_apart} of {len(comparison.rows)} differences are more than chance (p, adjusted for "
        f"all of them, at most 0.05); by unpaired intervals it would be {unpaired}."
    )
    if comparison.left_out:
        print(f"Left out, for one of the two lacks them: {', '.join(comparison.left_out)}.")
    print()


def _print_table(headers: list[str], rows: list[list[str]]) -> None:
    print(tabulate(rows, headers, tablefmt="simple", disable_numparse=True))
    print()
