"""Tables of printed numbers by their verdict: on the index, and on a study's page."""

from collections import Counter
from collections.abc import Sequence

from mlrepro.report.markdown import ABSENT, Markdown, code, escape, folded, link, name, table
from mlrepro.studies.kinds import KINDS
from mlrepro.studies.numbers import VERDICTS, Number, counted

# Differences that the index lists; the studies' pages have all.
MOST_DIFFERENCES = 15

# By study its numbers.
NumbersByStudy = dict[str, list[Number]]


def sentence(numbers: Sequence[Number]) -> str:
    """How many numbers are printed, and how many have each verdict."""
    counts = counted(numbers)
    parts = []
    for verdict in VERDICTS:
        many_differ = verdict == "differs" and counts[verdict] > 1
        if counts[verdict]:
            parts.append(f"{counts[verdict]} {'differ' if many_differ else verdict}")
    return f"{len(numbers)} printed numbers: {', '.join(parts)}"


def kind_table(numbers: Sequence[Number]) -> str:
    """A row a kind of numbers, and one of all."""
    rows = []
    for kind in KINDS:
        of_kind = [number for number in numbers if number.kind == kind]
        if of_kind:
            rows.append([kind, *_cells(of_kind)])
    rows.append([Markdown("**all**"), *_cells(numbers)])
    headers = ["kind of number", "printed", *VERDICTS, "reproduced of the comparable"]
    return table("l" + "r" * (len(headers) - 1), headers, rows)


def _cells(numbers: Sequence[Number]) -> list[str]:
    counts = counted(numbers)
    comparable = len(numbers) - counts["not comparable"]
    share = f"{100 * counts['reproduced'] / comparable:.0f} %" if comparable else ABSENT
    return [str(len(numbers)), *(str(counts[verdict]) for verdict in VERDICTS), share]


def verdict_cells(numbers: Sequence[Number]) -> list[str]:
    """How many numbers there are, and how many of each verdict."""
    counts = counted(numbers)
    return [str(len(numbers)), *(str(counts[verdict]) for verdict in VERDICTS)]


# ---- What differs -------------------------------------------------------------------------------


def differing(by_study: NumbersByStudy) -> tuple[str | None, int]:
    """The largest differences across the studies, and how many there are; none without any.

    Largest by their share of what is printed: the numbers are of many units.
    """
    different = []
    for study, numbers in by_study.items():
        different += [(study, number) for number in numbers if number.verdict == "differs"]
    if not different:
        return None, 0

    different.sort(key=lambda entry: _relative(entry[1]), reverse=True)
    rows = []
    for study, number in different[:MOST_DIFFERENCES]:
        rows.append([link(study, f"{study}.md"), *_difference_cells(number)])
    headers = ["study", "where", "number", "printed", "ours", "difference"]
    return table("lllrrr", headers, rows), len(different)


def _relative(number: Number) -> float:
    return abs(number.difference) / max(abs(number.cell.number), 1e-9)


def _difference_cells(number: Number) -> list[str]:
    cell = number.cell
    where = ", ".join(str(part) for part in (_table_name(cell.table), cell.row, cell.data_set))
    return [
        escape(where),
        escape(cell.metric),
        escape(cell.printed),
        plain(number.measured),
        f"{number.difference:+.3g}",
    ]


def _table_name(table_id: str) -> str:
    return f"Table {table_id}" if table_id[:1].isdigit() or table_id.isupper() else table_id


def plain(value: float | None) -> str:
    """Four significant digits, and all of an integer."""
    if value is None:
        return ABSENT
    return f"{value:,.0f}" if value == round(value) else f"{value:.4g}"


# ---- What nobody has run ------------------------------------------------------------------------


def missing_table(by_study: NumbersByStudy) -> str | None:
    """A row a study and data set with numbers that are not run; none where there is none."""
    groups: dict[tuple[str, str], list[Number]] = {}
    for study, numbers in by_study.items():
        for number in numbers:
            if number.verdict == "not run":
                groups.setdefault((study, number.cell.data_set), []).append(number)
    if not groups:
        return None

    rows = []
    for (study, data_set), numbers in sorted(groups.items(), key=_largest_first):
        kinds = Counter(number.kind for number in numbers)
        said = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
        command = next((number.reason for number in numbers if number.reason), "")
        first = command.split("@")[0].removesuffix(":evaluate")
        page = link(study, f"{study}.md")
        rows.append([page, name(data_set), str(len(numbers)), said, code(first)])
    headers = ["study", "data set", "numbers", "of", "what would run them"]
    return table("llrll", headers, rows)


def _largest_first(entry: tuple[tuple[str, str], list[Number]]) -> tuple:
    group, numbers = entry
    return -len(numbers), group


# ---- On a study's page --------------------------------------------------------------------------


def every_number(numbers: Sequence[Number]) -> str:
    """A row a printed number, behind a title where there are many."""
    rows = []
    for number in numbers:
        cell = number.cell
        difference = ABSENT if number.difference is None else f"{number.difference:+.3g}"
        rows.append(
            [
                escape(cell.table),
                escape(" ".join(str(part) for part in (cell.row, cell.resolution) if part)),
                name(cell.data_set),
                escape(cell.metric),
                escape(cell.printed),
                plain(number.measured),
                difference,
                number.verdict,
                _reason(number),
            ]
        )
    headers = [
        "table",
        "row",
        "data set",
        "number",
        "printed",
        "ours",
        "difference",
        "status",
        "why, or how",
    ]
    text = table("llllrrrll", headers, rows)
    return folded(text, len(rows), f"All {len(rows)} numbers")


def _reason(number: Number) -> str:
    """A command as code, anything else as text."""
    if number.verdict == "not run" and number.reason:
        return code(number.reason)
    return escape(number.reason)
