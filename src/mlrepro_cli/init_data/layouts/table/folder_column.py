"""Names of pictures whose folders stand in a column of their own."""

from collections.abc import Sequence
from dataclasses import replace

from mlrepro_cli.init_data.layouts.table.headers import is_any
from mlrepro_cli.init_data.layouts.table.sheet import Sheet

FOLDER_WORDS = frozenset("folder folders subfolder dir directory relativepath relative".split())
# As many pictures must lie where both columns say.
MOST = 1 / 2


def with_folders(sheet: Sheet, names: tuple[str, ...], pictures: Sequence[str]) -> Sheet:
    """The table with the folders before the names, where pictures of several have one name.

    Prints which column was taken for the folders.
    """
    headers = [header for header in sheet.headers if is_any(header, FOLDER_WORDS)]
    if not headers or len(names) != 1:
        return sheet
    if len({_last(picture, 1) for picture in pictures}) == len(pictures):
        return sheet
    places = {_last(picture, 2) for picture in pictures}
    cells = sheet.column(names[0])
    if any("/" in cell or "\\" in cell for cell in cells):
        return sheet

    for header in headers:
        folders = [folder.replace("\\", "/") for folder in sheet.column(header)]
        joined = [f"{folder}/{name}" for folder, name in zip(folders, cells, strict=True)]
        if sum(_last(name, 2) in places for name in joined) > MOST * len(joined):
            print(f"{sheet.file.path}: folders of pictures in {header!r}, as {joined[0]}")
            return _with_column(sheet, names[0], joined)
    return sheet


def _with_column(sheet: Sheet, header: str, cells: list[str]) -> Sheet:
    place = sheet.headers.index(header)
    rows = [
        [*row[:place], cell, *row[place + 1 :]] for row, cell in zip(sheet.rows, cells, strict=True)
    ]
    return replace(sheet, rows=rows)


def _last(path: str, count: int) -> str:
    return "/".join(path.split("/")[-count:]).casefold()
