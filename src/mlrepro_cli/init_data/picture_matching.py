"""Which picture a label file means: as it stands there, else by ever looser comparisons.

Every comparison that was needed is counted and told with an example, a name that several pictures
answer to is asked about, and one that none answers to stays as it is and is listed as missing.
"""

import os
import posixpath
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from mlrepro.data.picture_names import picture_file, picture_name
from mlrepro.errors import InputError
from mlrepro.files import file_sha256
from mlrepro_cli.init_data.answers import Question
from mlrepro_cli.init_data.layouts.rows import LabelFile, LabelRow
from mlrepro_cli.init_data.name_forms import AS_WRITTEN, folded, forms, is_address, parts, stem
from mlrepro_cli.init_data.not_labels import is_beside_pictures
from mlrepro_cli.init_data.split_words import split_in_path

CASE = "without regard to large letters and accents"
END = "by the end of the path"
STEM = "by name without suffix"
OTHER_SUFFIX = "with another suffix"
NUMBER = "by number, without leading zeros"
OUTSIDE = "outside the folder"
SHOWN = 3


class Match(NamedTuple):
    """The picture that a name means, as a path below the root, and how it was found.

    A picture outside the root has its absolute path. None of both where there is no picture.
    """

    picture: str
    how: str


NO_MATCH = Match("", "")


class Ambiguous(Exception):
    """A name that several pictures answer to, equally well."""

    def __init__(self, candidates: list[str]):
        super().__init__(candidates)
        self.candidates = sorted(candidates)


class PictureNames:
    """The pictures below a root, by what label files may call them.

    found: how names were matched -> how many, and an example for each.
    missing: names that no picture has.
    """

    def __init__(self, root: Path, pictures: list[str]):
        self._root = root
        self._pictures = set(pictures)
        self._by_folded = _grouped(pictures, folded)
        self._by_last = _grouped(pictures, lambda picture: folded(_last(picture)))
        self._by_last_two = _grouped(
            pictures, lambda picture: folded("/".join(picture.split("/")[-2:]))
        )
        self._by_stem = _grouped(pictures, lambda picture: folded(stem(_last(picture))))
        # Lists of many classes name the same pictures.
        self._found: dict[tuple[str, str, str], Match] = {}
        self._folders = {folded(_folder(picture)) for picture in pictures}
        self._by_number = _grouped(
            [picture for picture in pictures if stem(_last(picture)).isdecimal()],
            lambda picture: str(int(stem(_last(picture)))),
        )

    def match(self, name: str, source: str = "", split: str = "") -> Match:
        """source: place of the file that says the name. Raises Ambiguous."""
        key = (name.strip(), _folder(source), split)
        if key not in self._found:
            self._found[key] = self._match(*key)
        return self._found[key]

    def _match(self, name: str, folder: str, split: str) -> Match:
        meant = forms(name)
        for form, how in meant.items():
            picture = self._at_its_place(form, folder)
            if picture:
                return Match(picture, how)

        for form, how in meant.items():
            if os.path.isabs(form) and _is_file(Path(form)):
                return self._absolute(Path(form))
            # Listed, whatever its suffix: what is in the file decides.
            for beside in dict.fromkeys((folder, "")):
                path = posixpath.normpath(posixpath.join(beside, form))
                if not path.startswith(("/", "..")) and _is_file(self._root / path):
                    return Match(picture_name(path), how)
        return self._compared(meant, folder, split)

    def _at_its_place(self, form: str, folder: str) -> str | None:
        """The path beside the file that says it, or from any folder above that one."""
        if os.path.isabs(form):
            inside = os.path.relpath(form, self._root)
            return inside if inside in self._pictures else None
        while True:
            picture = posixpath.normpath(posixpath.join(folder, form))
            if picture in self._pictures:
                return picture
            if not folder:
                break
            folder = folder.rpartition("/")[0]

        # A path that leaves the root, as from a label file that was named.
        outside = Path(os.path.normpath(self._root / form))
        return str(outside) if form.startswith("../") and _is_file(outside) else None

    def _absolute(self, path: Path) -> Match:
        real = Path(os.path.realpath(path.parent)) / path.name
        if real.is_relative_to(self._root):
            return Match(picture_name(real.relative_to(self._root).as_posix()), AS_WRITTEN)
        return Match(str(path), OUTSIDE)

    def _compared(self, meant: dict[str, str], folder: str, split: str) -> Match:
        """By ever looser comparisons, each with all forms of the name."""
        for compare in (self._whole, self._by_its_end, self._without_suffix):
            for form, how in meant.items():
                if not parts(form):
                    continue
                candidates, how_found = compare(form, folder)
                if candidates:
                    picture = self._one_of(candidates, folder, split)
                    return Match(picture, how_found or _how_by_end(parts(form), picture, how))
        return NO_MATCH

    def _whole(self, form: str, folder: str) -> tuple[list[str], str]:
        """The whole path, without regard to large letters."""
        for beside in dict.fromkeys((folder, "")):
            path = folded(posixpath.normpath(posixpath.join(beside, form)))
            if path in self._by_folded:
                return self._by_folded[path], CASE
        return [], ""

    def _by_its_end(self, form: str, folder: str) -> tuple[list[str], str]:
        wanted = parts(form)
        # Where its own folder is there, the picture is missing, and not one of another folder.
        if len(wanted) > 1 and self._has_folder(form, folder):
            return [], ""
        return self._longest_end(self._by_last, folded(wanted[-1]), wanted), ""

    def _without_suffix(self, form: str, folder: str) -> tuple[list[str], str]:
        wanted = parts(form)
        last = stem(wanted[-1])
        candidates = self._longest_end(self._by_stem, folded(last), wanted)
        how = OTHER_SUFFIX if last != wanted[-1] else STEM
        if not candidates and last.isdecimal():
            candidates = self._longest_end(self._by_number, str(int(last)), wanted)
            how = NUMBER
        if len(wanted) > 1 and self._has_folder(form, folder):
            own = folded(wanted[-2])
            candidates = [one for one in candidates if folded(_last(_folder(one))) == own]
        return candidates, how

    def _has_folder(self, form: str, folder: str) -> bool:
        """Whether pictures lie in the very folder that a name is of."""
        return any(
            folded(_folder(posixpath.normpath(posixpath.join(beside, form)))) in self._folders
            for beside in dict.fromkeys((folder, ""))
        )

    def _longest_end(self, by_key: dict[str, list[str]], key: str, wanted: list[str]) -> list[str]:
        """Of the pictures with a key, those whose folders agree with the wanted ones longest."""
        candidates = by_key.get(key, [])
        if len(candidates) < 2:
            return candidates
        # Many folders may have a 1.jpg: those that agree in the next folder, too, go first.
        if len(wanted) > 1 and by_key is self._by_last:
            candidates = self._by_last_two.get(folded("/".join(wanted[-2:])), candidates)
        common = {picture: _common_end(wanted[:-1], parts(picture)[:-1]) for picture in candidates}
        longest = max(common.values())
        return [picture for picture in candidates if common[picture] == longest]

    def _one_of(self, candidates: list[str], folder: str, split: str) -> str:
        """The one that lies nearest to the label file, or in the part; one of copies."""
        if len(candidates) == 1:
            return candidates[0]
        near = _best(candidates, lambda picture: _common_start(folder, picture))
        # Masks are called as their pictures are.
        near = _best(near, lambda picture: not is_beside_pictures(picture))
        if split:
            near = _best(near, lambda picture: split_in_path(_folder(picture)) == split)
        if len(near) == 1 or self._are_copies(near):
            return min(near)
        raise Ambiguous(near)

    def _are_copies(self, pictures: list[str]) -> bool:
        """Whether all files are of the same bytes."""
        files = [picture_file(self._root, picture) for picture in pictures]
        try:
            if len({file.stat().st_size for file in files}) > 1:
                return False
            return len({file_sha256(file) for file in files}) == 1
        except OSError:
            return False


class Names:
    """Finds the pictures of label files, and keeps how. One for all files of a folder."""

    def __init__(self, root: Path, pictures: list[str]):
        self._root = root
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
        found = {match for match in self._matches.values() if match.picture}
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
            lines.append(f"Names without a picture, left out: {count}, such as {_shown(missing)}")
        return lines

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
        if is_address(missing[0][0]):
            raise InputError(
                f"{source}: pictures are given by addresses ({_shown(missing)}), and none is here; "
                "fetch them, so that they lie as files below the folder that you give, under the "
                "same names"
            )
        raise InputError(
            f"{source}: none of the {len(missing)} names there is a picture below {self._root}: "
            f"it names {_shown(missing)}; {len(self._pictures)} pictures lie there"
            f"{', such as ' if there else ''}{there}; give the folder that holds both, or mend the "
            "names"
        )


def _how_by_end(wanted: list[str], picture: str, how: str) -> str:
    """All that was written agrees, or only its end does."""
    if how != AS_WRITTEN:
        return how
    there = parts(picture)
    common = _common_end(wanted, there)
    if common == len(wanted):
        exact = there[-common:] == wanted
        return AS_WRITTEN if exact else CASE
    return END


def _shown(missing: list[tuple[str, str, str]]) -> str:
    return ", ".join(repr(name) for name, _, _ in missing[:SHOWN])


def _grouped(pictures: Iterable[str], key: Callable[[str], str]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for picture in pictures:
        groups.setdefault(key(picture), []).append(picture)
    return groups


def _best(candidates: list[str], worth: Callable[[str], int]) -> list[str]:
    worths = [worth(candidate) for candidate in candidates]
    return [
        candidate
        for candidate, of_it in zip(candidates, worths, strict=True)
        if of_it == max(worths)
    ]


def _common_end(wanted: list[str], there: list[str]) -> int:
    """How many parts agree, from the end."""
    count = 0
    for one, other in zip(reversed(wanted), reversed(there), strict=False):
        if folded(one) != folded(other):
            break
        count += 1
    return count


def _common_start(folder: str, picture: str) -> int:
    """How many folders a label file and a picture have in common, from the root."""
    count = 0
    for one, other in zip(folder.split("/"), picture.split("/")[:-1], strict=False):
        if one != other:
            break
        count += 1
    return count


def _last(picture: str) -> str:
    return picture.rpartition("/")[2]


def _folder(picture: str) -> str:
    return picture.rpartition("/")[0]


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False
