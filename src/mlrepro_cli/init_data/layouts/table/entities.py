"""Signs that a web page's text holds in a table: `cat &amp; dog` is cat & dog."""

import html
import re
from dataclasses import replace
from html.entities import name2codepoint

from mlrepro_cli.init_data.layouts.table.sheet import Sheet

ENTITY = re.compile(r"&(#\d+|#x[0-9a-f]+|[a-z]+\d?);", re.IGNORECASE)


def without_entities(text: str) -> str:
    """With the signs themselves; `R&D;QA` has none of HTML's names and stays as it is."""
    return ENTITY.sub(_sign, text)


def with_signs(sheet: Sheet, headers: tuple[str, ...]) -> Sheet:
    """The table with the signs themselves in these columns; prints an example."""
    places = [sheet.headers.index(header) for header in headers]
    rows = []
    example = ""
    for row in sheet.rows:
        plain = list(row)
        for place in places:
            # A list of JSON keeps its quotes apart from those of its labels.
            if not row[place].startswith('["'):
                plain[place] = without_entities(row[place])
            if plain[place] != row[place]:
                example = example or f"{row[place]!r} is {plain[place]!r}"
        rows.append(plain)

    if not example:
        return sheet
    print(f"{sheet.file.path}: signs are written as in web pages: {example}")
    return replace(sheet, rows=rows)


def _sign(match: re.Match) -> str:
    is_known = match[1].startswith("#") or match[1] in name2codepoint or match[1] == "apos"
    return html.unescape(match[0]) if is_known else match[0]
