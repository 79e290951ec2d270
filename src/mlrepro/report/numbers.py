"""Tables of printed numbers by their verdict: on the index, and on a study's page."""

from collections import Counter
from collections.abc import Sequence

from mlrepro.report.markdown import ABSENT, Markdown, code, escape, folded, link, name, table
from mlrepro.studies.kinds import KINDS
from mlrepro.studies.numbers import VERDICTS, Number, counted
from mlrepro.studies.reported import ReportedRow

# Differences that the index lists of each study; the studies' pages have all.
MOST_DIFFERENCES = 4

# By study its numbers.
NumbersByStudy = dict[str, list[Number]]


def sentence(numbers: Sequence[Number]) -> str:
    """How many numbers are printed, and how many have each verdict."""
    counts = counted(numbers)
    parts = []
    for verdict in VERDICTS:
        count = counts[verdict]
        # 1 differs, 2 differ; the other verdicts are no verbs.
        word = "differ" if verdict == "differs" and count > 1 else verdict
        if count:
            parts.append(f"{count} {word}")
    return f"{len(numbers)} printed numbers: {', '.join(parts)}"


def kind_table(numbers: Sequence[Number]) -> str:
    """A row a kind of numbers, and one of all."""
    rows = []
    for kind in KINDS:
        of_kind = [number for number in numbers if number.kind == kind]
        if of_kind:
            rows.append([kind, *_cells(of_kind)])
    rows.append([Markdown("**all**"), *_cells(numbers)])
    headers = ["kind of number", "printed", *VERDICTS, "share that is reproduced"]
    return table("l" + "r" * (len(headers) - 1), headers, rows)


def _cells(numbers: Sequence[Number]) -> list[str]:
    counts = counted(numbers)
    judged = counts["reproduced"] + counts["differs"]
    share = f"{100 * counts['reproduced'] / judged:.0f} %" if judged else ABSENT
    return [*verdict_cells(numbers), share]


def verdict_cells(numbers: Sequence[Number]) -> list[str]:
    """How many numbers there are, and how many of each verdict."""
    counts = counted(numbers)
    return [str(len(numbers)), *(str(counts[verdict]) for verdict in VERDICTS)]


def holding_table(by_study: NumbersByStudy) -> str | None:
    """A row a study and kind of which numbers are reproduced; none where none is."""
    rows = []
    for study, numbers in by_study.items():
        for kind in KINDS:
            counts = counted([number for number in numbers if number.kind == kind])
            if counts["reproduced"]:
                judged = counts["reproduced"] + counts["differs"]
                of_judged = f"{counts['reproduced']} of {judged}"
                rows.append([link(study, f"{study}.md"), kind, of_judged])
    if not rows:
        return None
    return table("llr", ["study", "kind of number", "reproduced of those that were checked"], rows)


# ---- What differs -------------------------------------------------------------------------------


def differing(by_study: NumbersByStudy) -> tuple[str | None, int]:
    """The largest differences of each study, and how many there are in all; none without any.

    Largest by their share of what is printed: the numbers are of many units.
    """
    rows = []
    total = 0
    for study, numbers in by_study.items():
        different = [number for number in numbers if number.verdict == "differs"]
        different.sort(key=_relative, reverse=True)
        total += len(different)
        for number in different[:MOST_DIFFERENCES]:
            rows.append([link(study, f"{study}.md"), *_difference_cells(number)])
    if not rows:
        return None, 0

    headers = ["study", "where", "number", "printed", "ours", "difference"]
    return table("lllrrr", headers, rows), total


def _relative(number: Number) -> float:
    return abs(number.difference) / max(abs(number.cell.number), 1e-9)


def _difference_cells(number: Number) -> list[str]:
    cell = number.cell
    where = ", ".join((_table_name(cell.table), _row_name(cell), cell.data_set))
    return [
        escape(where),
        escape(cell.metric),
        escape(cell.printed),
        plain(number.measured),
        f"{number.difference:+.3g}",
    ]


def _row_name(cell: ReportedRow) -> str:
    """Its name, and the network and size that tell rows of one name apart."""
    backbone = cell.backbone if cell.backbone != cell.row else ""
    return " ".join(str(part) for part in (cell.row, backbone, cell.resolution) if part)


def _table_name(table_id: str) -> str:
    # 2 and IV are the document's own numbers; other tables have a name of this project's.
    is_number = table_id[:1].isdigit() or table_id.isupper()
    return f"Table {table_id}" if is_number else table_id


def plain(value: float | None) -> str:
    """Four significant digits, and all of an integer."""
    if value is None:
        return ABSENT
    return f"{value:,.0f}" if value == round(value) else f"{value:.4g}"


# ---- What nobody has run ------------------------------------------------------------------------


def missing_table(by_study: NumbersByStudy) -> str | None:
    """A row a study, data set and command of numbers that are not run; none where none is."""
    groups: dict[tuple[str, str, str], list[Number]] = {}
    for study, numbers in by_study.items():
        for number in numbers:
            if number.verdict == "not run":
                group = (study, number.cell.data_set, _of_all_runs(number.reason))
                groups.setdefault(group, []).append(number)
    if not groups:
        return None

    rows = []
    for (study, data_set, command), numbers in sorted(groups.items(), key=_largest_first):
        kinds = Counter(number.kind for number in numbers)
        said = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
        page = link(study, f"{study}.md")
        rows.append([page, name(data_set), str(len(numbers)), said, _as_shown(command)])
    headers = ["study", "data set", "numbers", "of", "what would run them"]
    return table("llrll", headers, rows)


def _of_all_runs(command: str) -> str:
    """The command of the whole pipeline, instead of that of one run's stage."""
    file, stage, _ = command.partition(":evaluate@")
    return file if stage else command.removesuffix(":search")


def _as_shown(text: str) -> str:
    """A command as code, a reason as text."""
    is_command = text.startswith(("dvc ", "python "))
    return code(text) if is_command else escape(text)


def _largest_first(entry: tuple[tuple[str, str], list[Number]]) -> tuple:
    group, numbers = entry
    return -len(numbers), group


# ---- On a study's page --------------------------------------------------------------------------


def every_number(numbers: Sequence[Number]) -> str:
    """A row a printed number, behind a title where there are many."""
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
    rows = []
    for number in numbers:
        cell = number.cell
        difference = ABSENT if number.difference is None else f"{number.difference:+.3g}"
        rows.append(
            [
                escape(cell.table),
                escape(_row_name(cell)),
                name(cell.data_set),
                escape(cell.metric),
                escape(cell.printed),
                plain(number.measured),
                difference,
                number.verdict,
                _as_shown(number.reason),
            ]
        )

    text = table("llllrrrll", headers, rows)
    return folded(text, len(rows), f"All {len(rows)} numbers")
