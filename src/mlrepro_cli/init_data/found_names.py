"""The names in label files and the pictures that were found for them, as the user is told.

Every comparison that was needed is counted and told with an example, a name that several pictures
answer to is asked about, and one that none answers to stays as it is and is listed as missing.
"""

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from mlrepro.errors import InputError
from mlrepro_cli.init_data.answers import Question
from mlrepro_cli.init_data.layouts.rows import LabelFile, LabelRow
from mlrepro_cli.init_data.name_forms import AS_WRITTEN, is_address
from mlrepro_cli.init_data.picture_matching import Ambiguous, Match, PictureNames
from mlrepro_cli.pictures import is_picture

SHOWN = 3
BETWEEN_NAMES = re.compile(r"[;,|\s]+")
# 1.23E+16
ROUNDED = re.compile(r"\d([.,]\d+)?E[+-]?\d+")


class Names:
    """Finds the pictures of label files, and keeps how. One for all files of a folder.

    hints: clauses on where pictures may be that are not found.
    """

    def __init__(self, root: Path, pictures: list[str], hints: Sequence[str] = ()):
        self._root = root
        self._hints = hints
        self._pictures = pictures
        self._names = PictureNames(root, pictures)
        # (name, source, split) -> what was found.
        self._matches: dict[tuple[str, str, str], Match] = {}

    def picture(self, name: str, file: LabelFile) -> str:
        """The path of the picture that a file means; its name where there is none.

        Raises Question where several are called so.
        """
        return self._found(name, file.place, file.split)

    def _found(self, name: str, source: str, split: str) -> str:
        key = (name, source, split)
        if key not in self._matches:
            try:
                self._matches[key] = self._names.match(*key)
            except Ambiguous as error:
                first, second, *others = error.candidates
                raise Question(
                    f"{self._root / source}: {name!r} may be {first} or {second}"
                    f"{f', or one of {len(others)} more' if others else ''}; write the folder "
                    "before the name there, or move the pictures that are not meant away"
                ) from None
        return self._matches[key].picture or name

    def matched(self, rows: list[LabelRow]) -> list[LabelRow]:
        """The rows with the pictures' paths; a name that no picture has stays.

        Raises Question where a name means several, or a picture has several, and InputError where
        no name has a picture.
        """
        # Of tables, paths are there already.
        renamed = [
            row._replace(image=self._found(row.image, row.source, row.split)) if row.source else row
            for row in rows
        ]
        self._refuse_second_names()
        missing = self._missing()
        if missing and len(missing) == len(self._matches):
            self._refuse_all(missing)
        return renamed

    def lines(self) -> list[str]:
        """What to tell the user of how pictures were found, with an example of each way."""
        # Several files may name a picture.
        found = dict.fromkeys(match for match in self._matches.values() if match.picture)
        counted = Counter(match.how for match in found)
        examples: dict[str, tuple[str, str]] = {}
        for (name, _, _), match in self._matches.items():
            examples.setdefault(match.how, (name, match.picture))
        told = []
        for how, count in counted.most_common():
            name, picture = examples[how]
            example = f" ({name!r} is {picture})" if how != AS_WRITTEN else ""
            told.append(f"{count} {how}{example}")

        lines = [f"Pictures were found: {', '.join(told)}"] if told else []
        missing = self._missing()
        if missing:
            count = len({name for name, _, _ in missing})
            lines.append(
                f"Names without a picture, left out: {count}, such as {_shown(missing)}"
                f"{_clause_on(missing)}"
            )
        return lines

    def sources(self) -> list[str]:
        """Places of the files that name pictures."""
        return list(dict.fromkeys(source for _, source, _ in self._matches))

    def _missing(self) -> list[tuple[str, str, str]]:
        return [key for key, match in self._matches.items() if not match.picture]

    def _refuse_second_names(self) -> None:
        """Raises Question where two names of a file, not alike, lead to one picture."""
        first_name: dict[tuple[str, str], tuple[str, str]] = {}
        for (name, source, _), match in self._matches.items():
            if not match.picture:
                continue
            other, how = first_name.setdefault((match.picture, source), (name, match.how))
            alike = match.how == how == AS_WRITTEN
            if other != name and not alike:
                raise Question(
                    f"{self._root / source}: {other!r} ({how}) and {name!r} ({match.how}) both "
                    f"lead to {match.picture}; put the picture that is missing there, or take its "
                    "row out, or write one name for one picture"
                )

    def _refuse_all(self, missing: list[tuple[str, str, str]]) -> None:
        """Raises InputError that shows names of both sides."""
        source = self._root / missing[0][1]
        there = ", ".join(repr(picture) for picture in self._pictures[:SHOWN])
        hints = "".join(f"; {hint}" for hint in self._hints) + _clause_on(missing)
        if is_address(missing[0][0]):
            raise InputError(
                f"{source}: pictures are given by addresses ({_shown(missing)}), and none is here; "
                "fetch them, so that they lie as files below the folder that you give, under the "
                "same names"
            )
        raise InputError(
            f"{source}: none of the {len(missing)} names there is a picture below {self._root}: "
            f"it names {_shown(missing)}; {len(self._pictures)} pictures lie there"
            f"{', such as ' if there else ''}{there}{hints}; give the folder that holds both, or "
            "mend the names"
        )


def _shown(missing: list[tuple[str, str, str]]) -> str:
    return ", ".join(repr(name) for name, _, _ in missing[:SHOWN])


def _clause_on(missing: list[tuple[str, str, str]]) -> str:
    """A clause on names that a spreadsheet has taken for long numbers, and on several; else ""."""
    rounded = [name for name, _, _ in missing if ROUNDED.fullmatch(name)]
    several = [name for name, _, _ in missing if _is_several(name)]
    if several:
        return f"; {several[0]!r} are several names: write a row for each"
    if not rounded:
        return ""
    return (
        f"; {rounded[0]} is a number that a spreadsheet has rounded: write the names again, in a "
        "column whose format is text"
    )


def _is_several(name: str) -> bool:
    """`1.jpg;2.jpg`"""
    names = [part for part in BETWEEN_NAMES.split(name) if part]
    return len(names) > 1 and all(map(is_picture, names))
