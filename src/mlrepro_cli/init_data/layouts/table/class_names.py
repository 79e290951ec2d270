"""Names of labels that stand in a table of their own, as those of Open Images do."""

import re

from mlrepro_cli.init_data.layouts.table.listing import Listed
from mlrepro_cli.init_data.layouts.table.sheet import Sheet

# /m/01g317, of Google's knowledge graph.
MACHINE_ID = re.compile(r"/[mgt]/\w+")


def is_class_names(sheet: Sheet) -> bool:
    """A table of two columns, ids and names, with or without a header."""
    return len(sheet.headers) == 2 and all(MACHINE_ID.fullmatch(row[0]) for row in sheet.rows)


def read_class_names(sheets: list[Sheet]) -> dict[str, str]:
    """By id."""
    names = {}
    for sheet in sheets:
        rows = sheet.rows
        if MACHINE_ID.fullmatch(sheet.headers[0]):
            rows = [sheet.headers, *rows]
        names |= dict(rows)
        print(f"{sheet.file.path}: the names of {len(rows)} labels")
    return names


def name_labels(pictures: dict[str, Listed], names: dict[str, str]) -> None:
    """Puts names in the place of ids that have one."""
    for listed in pictures.values():
        listed.states = {names.get(label, label): state for label, state in listed.states.items()}
