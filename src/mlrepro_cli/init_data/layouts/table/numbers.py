"""Columns of numbers: what they measure, how small they are."""

from mlrepro_cli.init_data.layouts.table.headers import (
    MEASURE_WORDS,
    counts_labels,
    is_any,
    is_plural,
)
from mlrepro_cli.init_data.layouts.table.sheet import Sheet

# Numbers in so small a range may be counts or grades of a label.
SMALL = (-2, 10)


def number(cell: str) -> float | None:
    try:
        return float(cell.replace(",", "."))
    except ValueError:
        return None


def are_numbers(cells: list[str]) -> bool:
    return bool(cells) and all(number(cell) is not None for cell in cells)


def are_measures(sheet: Sheet, header: str) -> bool:
    """Whether a column holds numbers that are not whole: no names of labels."""
    cells = sheet.filled(header)
    numbers = [number(cell) for cell in cells]
    if not numbers or None in numbers or _are_pairs(header, cells):
        return False
    return any(each % 1 for each in numbers)


def _are_pairs(header: str, cells: list[str]) -> bool:
    """Whether `1,2` is 1 and 2 rather than a decimal.

    It is below a header of several, such as labels, or where most of the parts are cells, too.
    """
    parts = {part.strip() for cell in cells if "," in cell for part in cell.split(",")}
    are_whole = bool(parts) and all(part.isdecimal() and str(int(part)) == part for part in parts)
    return are_whole and (is_plural(header) or 2 * len(parts & set(cells)) > len(parts))


def are_shares(sheet: Sheet, header: str) -> bool:
    """Whether a column holds numbers from 0 to 1, not all whole, or percents of them."""
    cells = sheet.filled(header)
    numbers = [number(cell.removesuffix("%")) for cell in cells]
    if not numbers or None in numbers or is_any(header, MEASURE_WORDS):
        return False
    if all(cell.endswith("%") for cell in cells):
        return True
    return 0 <= min(numbers) and max(numbers) <= 1 and any(each % 1 for each in numbers)


def are_two_numbers(sheet: Sheet, header: str) -> bool:
    """Whether a column holds two different numbers, as 0 and 100, or 1 and 2."""
    cells = set(sheet.filled(header))
    return len(cells) == 2 and are_numbers(list(cells)) and not is_any(header, MEASURE_WORDS)


def are_small_numbers(sheet: Sheet, header: str) -> bool:
    """Whether a column may be of counts, grades or unsure marks, by its header and its numbers."""
    if is_any(header, MEASURE_WORDS) or counts_labels(header):
        return False
    numbers = [number(cell) for cell in sheet.filled(header)]
    if not numbers or None in numbers:
        return False
    least, most = SMALL
    return least <= min(numbers) and max(numbers) <= most
