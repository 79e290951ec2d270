"""The page of an audit: scores from anywhere under every protocol."""

from dataclasses import dataclass
from pathlib import Path

from mlrepro.audit.audit import Audit
from mlrepro.audit.class_order import AS_GIVEN
from mlrepro.audit.compare import Compared, Comparison
from mlrepro.audit.evaluate import Outcome
from mlrepro.audit.picture_ids import shown
from mlrepro.audit.protocols import find_option
from mlrepro.records import ExternalRecord
from mlrepro.report import figures
from mlrepro.report.markdown import ABSENT, Markdown, folded, link, number, shell, signed, table
from mlrepro.report.pages import figure_link
from mlrepro.report.render import write_page

# Of the protocols nearest to a reported number.
LISTED = 12
# Of p-values that are shown.
SMALLEST_P = 0.0001
# Columns of a comparison with other scores.
COMPARED = ["", "these", "those", "difference", "95 %", "95 % unpaired", "p", "told apart"]


@dataclass(frozen=True)
class AuditPage:
    """What the page is made of.

    title:    names the scores.
    record:   of the scores, none where nobody asked for one. record_file: as the page names it.
    against:  the scores that they were compared with, and the comparison.
    command:  the words that make the page again.
    """

    title: str
    audit: Audit
    record: ExternalRecord | None
    record_file: str | None
    against: tuple[str, Comparison] | None
    command: list[str]


def write_audit(page: AuditPage, path: Path) -> None:
    """Writes the page and its figure in `figures/` beside it."""
    audit = page.audit
    spread_figure = figure_link(
        path,
        "protocols",
        "What each choice of protocol is worth",
        figures.protocol_spread,
        spread(audit),
    )

    write_page(
        "audit.md.j2",
        path,
        told=page,
        audit=audit,
        metric=audit.question.metric,
        joined=audit.joined,
        source=page.record.source if page.record else None,
        command=Markdown(" ".join(shell(word) for word in page.command)),
        record_link=link(page.record_file, page.record_file) if page.record_file else None,
        notes=[*audit.joined.notes, *audit.scale.remarks],
        order_note=order_note(audit),
        default=audit.default_in_words,
        nearest=nearest_table(audit) if audit.verdict else None,
        choices=choice_table(audit),
        spread=spread_figure,
        protocols=protocol_table(audit),
        classes=class_table(audit),
        comparison=comparison_table(page.against[1].rows) if page.against else None,
    )


# ---- Against a reported number -------------------------------------------------------------------


def nearest_table(audit: Audit) -> str:
    """The protocols nearest to the number, by their distance to it."""
    printed = audit.verdict.printed
    rows = []
    for outcome in audit.verdict.nearest[:LISTED]:
        rows.append(
            [
                signed(outcome.value - printed.value),
                number(outcome.value),
                "yes" if printed.is_given_by(outcome.value) else "no",
                str(len(outcome.departures)),
                outcome.describe(audit.question.metric),
            ]
        )

    headers = ["distance", audit.question.metric, "rounds to it", "departures", "protocol"]
    return table("rrlrl", headers, rows)


# ---- What choices are worth ----------------------------------------------------------------------


def choice_table(audit: Audit) -> str:
    """Every choice alone, the dearest first."""
    rows = []
    for outcome in audit.single_choices:
        [field] = outcome.departures
        option = find_option(field, getattr(outcome.protocol, field), audit.question.metric)
        rows.append(
            [
                signed(outcome.value - audit.default.value),
                number(outcome.value),
                outcome.describe(audit.question.metric),
                option.who or ABSENT,
            ]
        )
    return table("rrll", ["points", audit.question.metric, "choice", "who does so"], rows)


def protocol_table(audit: Audit) -> str:
    """All of them, by value."""
    metric = audit.question.metric

    # Of equal values that of the fewest departures first.
    def place(outcome: Outcome) -> tuple[float, int]:
        return -outcome.value, len(outcome.departures)

    ordered = sorted(audit.outcomes, key=place)
    rows = [[number(outcome.value), outcome.describe(metric)] for outcome in ordered]
    text = table("rl", [metric, "protocol"], rows)
    return folded(text, len(rows), f"All {len(rows)} protocols")


def spread(audit: Audit) -> figures.Spread:
    verdict = audit.verdict
    metric = audit.question.metric
    return figures.Spread(
        metric=metric,
        default=audit.default.value,
        singles=[(outcome.describe(metric), outcome.value) for outcome in audit.single_choices],
        all=[outcome.value for outcome in audit.outcomes],
        interval=audit.interval if metric == "mAP" else None,
        printed=(verdict.printed.value, verdict.printed.rounding) if verdict else None,
    )


# ---- The classes ---------------------------------------------------------------------------------


def class_table(audit: Audit) -> str:
    rows = []
    for row in audit.classes:
        low, high = row.interval or (None, None)
        between = ABSENT if low is None else f"{number(low)} to {number(high)}"
        rows.append([row.name, str(row.positives), str(row.difficult), number(row.AP), between])
    headers = ["class", "positives", "difficult", "AP", "95 % of resamples"]
    return folded(table("lrrrr", headers, rows), len(rows), "AP by class")


def order_note(audit: Audit) -> str | None:
    """What is wrong with the order of the classes, as a sentence; none if it is right."""
    order = audit.order
    given = order.mAPs[AS_GIVEN]
    if order.found and order.found in order.mAPs:
        found = order.mAPs[order.found]
        pairs = [f"{called} looks like {seen}" for called, seen in order.columns.items()]
        return (
            f"The columns are not in the labels' order: mAP is {given:.1f} as given (chance is "
            f"{order.chance:.1f}), and {found:.1f} in the order {order.found!r}. By what their "
            f"columns rank, {shown(pairs)}."
        )

    if order.is_inverted:
        return (
            f"The lowest scores are the best: mAP is {given:.1f}, and {order.inverted:.1f} of the "
            "negated scores; are they distances?"
        )

    if order.at_chance:
        return (
            f"mAP is {given:.1f}, near chance ({order.chance:.1f}), in every order of the classes: "
            "are the ids those of these rows?"
        )
    return None


# ---- Two sets of scores --------------------------------------------------------------------------


def comparison_table(rows: list[Compared]) -> str:
    cells = [compared_cells(row, otherwise="no") for row in rows]
    return table("lrrrrrrl", COMPARED, cells)


def compared_cells(row: Compared, otherwise: str) -> list[str]:
    """What COMPARED calls for. otherwise: where the two cannot be told apart."""
    difference = row.difference
    return [
        row.name,
        number(row.first),
        number(row.second),
        signed(difference.points),
        between(difference.interval),
        between(difference.unpaired_interval),
        chance(difference.p),
        "yes" if difference.is_told_apart else otherwise,
    ]


def chance(p: float) -> str:
    """A p-value."""
    return f"< {SMALLEST_P:.4f}" if p < SMALLEST_P else number(p, 4)


def between(ends: tuple[float, float]) -> str:
    return f"{signed(ends[0])} to {signed(ends[1])}"
