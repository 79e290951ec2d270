"""Which picture a name means: the one at its place, else by ever looser comparisons."""

import os
import posixpath
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

from mlrepro.data.picture_names import picture_file, picture_name
from mlrepro.files import file_sha256
from mlrepro_cli.init_data.name_forms import AS_WRITTEN, folded, forms, parts, stem
from mlrepro_cli.init_data.not_labels import is_beside_pictures
from mlrepro_cli.init_data.split_words import split_in_path

CASE = "without regard to large letters, accents and blanks around names"
END = "by the end of the path"
STEM = "by name without suffix"
OTHER_SUFFIX = "with another suffix"
NUMBER = "by number, without leading zeros"
OUTSIDE = "outside the folder"


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

        # The disk may have what addresses are written in, and the file plain names.
        for picture in pictures:
            if "%" in picture:
                plain = folded(unquote(_last(picture)))
                self._by_last.setdefault(plain, [picture])

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
        candidates = self._longest_end(self._by_last, folded(wanted[-1]), wanted)
        if candidates and all(map(is_beside_pictures, candidates)):
            self._refuse_beside(candidates, wanted)
        return candidates, ""

    def _refuse_beside(self, candidates: list[str], wanted: list[str]) -> None:
        """Raises Ambiguous for thumbnails and masks whose picture has another suffix."""
        of_any_suffix = self._by_stem[folded(stem(wanted[-1]))]
        others = [picture for picture in of_any_suffix if not is_beside_pictures(picture)]
        if others and len(wanted) == 1:
            raise Ambiguous(candidates + others)

    def _without_suffix(self, form: str, folder: str) -> tuple[list[str], str]:
        wanted = parts(form)
        last = stem(wanted[-1])
        candidates = self._longest_end(self._by_stem, folded(last), wanted)
        how = OTHER_SUFFIX if last != wanted[-1] else STEM

        if not candidates and last != wanted[-1]:
            # 1.jpg is called 1.jpg.png.
            candidates = self._longest_end(self._by_stem, folded(wanted[-1]), wanted)
            how = STEM
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
            with_folder = folded("/".join(wanted[-2:]))
            candidates = self._by_last_two.get(with_folder, candidates)

        *wanted_folders, _ = wanted
        common = {}
        for picture in candidates:
            *folders, _ = parts(picture)
            common[picture] = _common_end(wanted_folders, folders)
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
