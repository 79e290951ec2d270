"""Finds the pictures below a user's folder, and the one layout that says their labels."""

import os
import posixpath
from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace
from pathlib import Path

from mlrepro.data.picture_names import picture_name
from mlrepro.errors import InputError
from mlrepro.files import is_something_else
from mlrepro_cli.init_data.answers import NO_ANSWERS, Answers, Question
from mlrepro_cli.init_data.folder_names import name_folders
from mlrepro_cli.init_data.found_names import Names
from mlrepro_cli.init_data.hints import PACKED, file_name_hint, packed_hint
from mlrepro_cli.init_data.layouts import (
    FOLDER_LAYOUTS,
    LAYOUTS,
    SET_LAYOUTS,
    folders,
    json_files,
    picture_lists,
    text_files,
    xmp,
)
from mlrepro_cli.init_data.layouts.reading import read_label_files
from mlrepro_cli.init_data.layouts.rows import PRESENT, UNLABELLED, LabelRow, UserFolder
from mlrepro_cli.init_data.negatives import ask_about_negatives, take_unknown
from mlrepro_cli.init_data.part_labels import take_parts
from mlrepro_cli.init_data.part_lists import with_parts_of_lists
from mlrepro_cli.init_data.split_words import split_in_path
from mlrepro_cli.init_data.user_folder import has_pictures, look_into
from mlrepro_cli.pictures import SUFFIXES

# Files that say all labels of one picture, where they name one.
A_PICTURE = (".xml", ".json")
ONLY_ASKED = (text_files, picture_lists, json_files, xmp)
# Tables ask what labels mean where they read them.
TABLE = "table"
# A label file that the user named may lie so many folders below the one that holds the pictures.
FOLDERS_UP = 2


@dataclass(frozen=True)
class FoundLabels:
    """What lies in a user's folder.

    root:     the folder that pictures are named from.
    pictures: all below it, listed with a label or not.
    left_out: pictures that are not used, and why.
    rows:     with the pictures' paths below root, or names that no picture there has.
    notes:    lines for the user: what was understood, and what was left out.
    files:    those that the rows were read from.
    """

    root: Path
    pictures: list[str]
    left_out: dict[str, str]
    rows: list[LabelRow]
    notes: list[str] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)


def find_labels(path: Path, answers: Answers = NO_ANSWERS) -> FoundLabels:
    """Pictures and labels of a folder, or those that one label file lists. Prints what was found.

    Raises Question for labels in two layouts that may contradict each other, InputError where there
    are none.
    """
    if is_something_else(path) and not path.is_dir():
        raise InputError(f"{path}: no regular file; give a folder of pictures, or a table")
    if not path.exists():
        raise InputError(f"{path}: no such file or folder; give one that holds pictures")
    if not path.is_dir() and path.name.lower().endswith(PACKED):
        raise InputError(f"{path}: is not looked into; unpack it, and give the folder")
    root = _root(path)
    _refuse_other_letters(root)
    folder = look_into(root, answers, None if path.is_dir() else path.resolve())

    if folder.given and not folder.files:
        raise InputError(f"{path}: no file of labels; give the folder of pictures, or such a file")

    # Label files say more than folders do, which may be there for order alone.
    names = Names(root, folder.pictures, packed_hint(folder.beside))
    option, rows = _one_layout(path, folder, names)
    rows = _without_unlabelled(folder, rows)
    if option not in FOLDER_LAYOUTS:
        rows = names.matched(rows)
        for line in names.lines():
            folder.note(line)
        if option != TABLE:
            rows = take_parts(folder, rows)
        rows = with_parts_of_lists(folder, rows, names)
        rows = _with_parts_of_folders(folder, rows)
        _refuse_disagreeing_files(option, rows)
        _compare_with_folders(folder, option, rows, names)
    else:
        rows = with_parts_of_lists(folder, rows, names)
        rows = name_folders(folder, rows)
    if option not in (*FOLDER_LAYOUTS, TABLE):
        ask_about_negatives(rows, answers)
        rows = take_unknown(rows, answers)

    print(f"{path}: {len(folder.pictures)} pictures, {LAYOUTS[option].NAME}")
    for line in folder.lines:
        print(line)
    found = _with_pictures_outside(folder, rows)
    places = {row.source for row in rows} | set(names.sources())
    files = [folder.root / place for place in sorted(places - {""})]
    return replace(found, files=[file for file in files if file.is_file()])


def _refuse_other_letters(root: Path) -> None:
    """Raises InputError for a folder whose name the settings, which are UTF-8, cannot hold."""
    if picture_name(str(root)) != str(root):
        raise InputError(
            f"{picture_name(str(root))}: the name of this folder is not UTF-8; rename it"
        )


def _root(path: Path) -> Path:
    """The folder that pictures are named from: the given one, or that of the given file.

    Where the file's own folder has no picture, one above it: annotations lie in a folder beside
    those of the pictures.
    """
    if path.is_dir():
        return path.resolve()

    folder = path.resolve().parent
    for candidate in [folder, *folder.parents[:FOLDERS_UP]]:
        if has_pictures(candidate):
            return candidate
    return folder


def _one_layout(path: Path, folder: UserFolder, names: Names) -> tuple[str, list[LabelRow]]:
    """The name for `--layout` of the only layout that is there, and its rows."""
    only = folder.answers.layout
    found = {} if only in FOLDER_LAYOUTS else read_label_files(folder, names)
    # A part without any label says nothing that another layout does not.
    labelled = {option: rows for option, rows in found.items() if any(row.label for row in rows)}

    if len(labelled) > 1:
        layouts = [f"{LAYOUTS[option].NAME} (--layout {option})" for option in labelled]
        files = [
            _files_of(rows, names) for option, rows in labelled.items() if option not in SET_LAYOUTS
        ]
        raise Question(
            f"{path}: labels are there as {' and '.join(layouts)}, which may contradict each "
            f"other; say which with --layout, or give the file: {' or '.join(files)}"
        )
    if labelled:
        return next(iter(labelled.items()))

    if not folder.given and (only is None or only in FOLDER_LAYOUTS):
        option = only or "folders"
        try:
            rows = list(FOLDER_LAYOUTS[option].read(folder))
        except Question as question:
            # Files that were left out may be what is meant.
            seen = [*folder.lines, *_hints(folder)]
            raise Question("; ".join([str(question), *seen])) from None
        if rows:
            return option, rows
    raise InputError(_nothing_found(path, folder, found))


def _nothing_found(path: Path, folder: UserFolder, found: dict[str, list[LabelRow]]) -> str:
    named = [
        f"{LAYOUTS[option].NAME} without any label{_in(rows)}" for option, rows in found.items()
    ]
    seen = [*named, *folder.lines, *packed_hint(folder.beside)]
    seen += _hints(folder)
    seen += file_name_hint(folder.pictures)
    return (
        f"{path}: {len(folder.pictures)} pictures ({' '.join(SUFFIXES)}), no labels"
        f"{''.join(f'; {line}' for line in seen)}; "
        "give a folder of pictures with one thing that says their labels (a folder a label, "
        "a .csv or .tsv table with a column of picture names and one headed labels, VOC's lists or "
        "XML, COCO's, Label Studio's or FiftyOne's JSON, YOLO's text files with data.yaml, CVAT's "
        "XML), or that file"
    )


def _hints(folder: UserFolder) -> list[str]:
    """Clauses on layouts that are read only where the user says so."""
    return [line for layout in ONLY_ASKED for line in layout.hint(folder)]


def _in(rows: list[LabelRow]) -> str:
    """The first of the files that rows are from, for a clause; "" where they say none."""
    sources = sorted({row.source for row in rows} - {""})
    return f" ({sources[0]})" if sources else ""


def _files_of(rows: list[LabelRow], names: Names) -> str:
    """The first of the files that rows are from; of tables, of those that name pictures."""
    return rows[0].source or ", ".join(names.sources()[:1])


def _without_unlabelled(folder: UserFolder, rows: list[LabelRow]) -> list[LabelRow]:
    """The rows that say something; of how many pictures nothing is known is noted by their file."""
    kept = [row for row in rows if row.state != UNLABELLED]
    labelled = {(row.image, row.split) for row in kept}

    left_out = defaultdict(set)
    for row in rows:
        if row.state == UNLABELLED and (row.image, row.split) not in labelled:
            left_out[row.source].add(row.image)
    for source, images in left_out.items():
        folder.note(
            f"{source}: {len(images)} pictures without anything on their labels are left out, such "
            f"as {min(images)}; as pictures without a label they would make every score wrong"
        )
    return kept


def _with_parts_of_folders(folder: UserFolder, rows: list[LabelRow]) -> list[LabelRow]:
    """The rows in the parts that pictures' folders are called by, where labels say no part.

    Only where all folders are parts, of two kinds at least. What both say differently is noted.
    """
    # A name that no picture has says nothing.
    there = {row.image for row in rows} & set(folder.pictures)
    by_folder = {image: split_in_path(posixpath.dirname(image)) for image in there}
    if folder.answers.split_column == "" or "" in by_folder.values():
        return rows
    said = {row.image: row.split for row in rows if row.split and row.image in there}
    if said:
        others = [image for image, split in said.items() if by_folder[image] != split]
        if others:
            folder.note(
                f"{len(others)} pictures are said to be of another part than their folder is "
                f"called: {min(others)} is {said[min(others)]}"
            )
            return rows
        without = there - set(said)
        if without:
            folder.note(
                f"{len(without)} pictures of which nothing says a part are of that by which their "
                f"folder is called, such as {min(without)}; to draw others, say --split-column ''"
            )
        return [row._replace(split=row.split or by_folder.get(row.image, "")) for row in rows]

    counts = Counter(by_folder.values())
    if len(counts) < 2:
        return rows
    told = ", ".join(f"{part} ({count})" for part, count in sorted(counts.items()))
    folder.note(
        f"Parts are those that the folders of pictures are called by: {told}; to draw others, say "
        "--split-column ''"
    )
    return [row._replace(split=by_folder.get(row.image, "")) for row in rows]


def _refuse_disagreeing_files(option: str, rows: list[LabelRow]) -> None:
    """Raises Question where two files, each of which says all labels of its pictures, differ.

    Files of different labels, as one a label, complete each other; files of one picture each do
    not. Tables ask on their own.
    """
    if option == TABLE:
        return
    of_picture: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    vocabulary = defaultdict(set)
    pictures_of = defaultdict(set)
    for row in rows:
        pictures_of[row.source].add(row.image)
        of_picture[row.image][row.source].update({row.label} - {""})
        vocabulary[row.source].update({row.label} - {""})

    for image, by_file in of_picture.items():
        sources = sorted(by_file)
        for first, second in zip(sources, sources[1:], strict=False):
            differ = by_file[first] != by_file[second]
            are_of_one = all(
                len(pictures_of[source]) == 1 and source.lower().endswith(A_PICTURE)
                for source in (first, second)
            )
            if differ and (are_of_one or vocabulary[first] & vocabulary[second]):
                raise Question(
                    f"{first} and {second} both list {image}, with labels {sorted(by_file[first])} "
                    f"and {sorted(by_file[second])}; give the file that is right, or move the "
                    "other away"
                )


def _compare_with_folders(
    folder: UserFolder, option: str, rows: list[LabelRow], names: Names
) -> None:
    """Raises Question where folders are labels, too, and a label file says otherwise.

    Where folders have other names than the file's labels, they are there for order.
    """
    if folder.answers.layout or folder.given:
        return
    try:
        by_folder = folders.understand(folder).rows
    except Question:
        return
    labels = {row.label for row in by_folder}
    shared = labels & {row.label for row in rows}
    if not shared or 2 * len(shared) < len(labels):
        return

    said = defaultdict(set)
    for row in rows:
        said[row.image].update({row.label} if row.state == PRESENT else set())
    for row in by_folder:
        if row.label not in said.get(row.image, set()):
            others = sorted(said[row.image]) if row.image in said else "no row"
            raise Question(
                f"{folder.root}: folders are labels ({', '.join(sorted(labels)[:3])}), and "
                f"{_files_of(rows, names)} says otherwise: {row.image} has {others} there; say "
                f"--layout folders or --layout {option}, or move that file away"
            )
    folder.note("Folders say the same labels as that file, which is read")


def _with_pictures_outside(folder: UserFolder, rows: list[LabelRow]) -> FoundLabels:
    """What was found; with pictures outside the folder, all are named from one that has them."""
    outside = [row.image for row in rows if os.path.isabs(row.image) and Path(row.image).is_file()]
    if not outside:
        return FoundLabels(folder.root, folder.pictures, folder.left_out, rows, folder.lines)

    root = Path(os.path.commonpath([folder.root, *map(posixpath.dirname, outside)]))
    print(f"Pictures lie outside the folder: all are named from {root}")

    def renamed(image: str) -> str:
        return os.path.relpath(folder.root / image, root)

    return FoundLabels(
        root=root,
        pictures=sorted({renamed(image) for image in folder.pictures + outside}),
        left_out={renamed(image): reason for image, reason in folder.left_out.items()},
        rows=[row._replace(image=renamed(row.image)) for row in rows],
        notes=folder.lines,
    )
