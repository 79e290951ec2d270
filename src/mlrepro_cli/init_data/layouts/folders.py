"""A folder a label, `cat/1.jpg`, also below folders of splits, `train/cat/1.jpg`.

What zips and habits add is taken away and said: folders around all others, `seg_train/seg_train`,
`cat/train/1.jpg`, pictures beside the folders. What is no label, such as `masks`, is asked about.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from mlrepro.data.picture_names import picture_file
from mlrepro.errors import first_of
from mlrepro.files import file_sha256
from mlrepro.terminal import one_line
from mlrepro_cli.init_data.answers import Question
from mlrepro_cli.init_data.layouts.beside_pictures import masks_beside, say_pairs
from mlrepro_cli.init_data.layouts.doubtful_folders import refuse_doubtful
from mlrepro_cli.init_data.layouts.folder_labels import (
    ask_about_unknown,
    made_of_words,
    name_labels,
    refuse_deep,
    refuse_no_labels,
    refuse_one_each,
    refuse_parts_apart,
)
from mlrepro_cli.init_data.layouts.folder_tree import FolderOfPictures, folder_tree
from mlrepro_cli.init_data.layouts.rows import LabelRow, UserFolder
from mlrepro_cli.init_data.not_labels import BESIDE_PICTURES, NOT_LABELS, OUTPUTS, PICTURES, bare
from mlrepro_cli.init_data.split_words import split_word, splits_of

NAME = "a folder a label"
OPTION = "folders"
SHOWN = 3
MOST_LABELS = 20

# (label, split, the pictures with it)
Labelled = tuple[str, str, list[str]]


@dataclass
class Understood:
    """What the folders say: a row a picture, and lines for the user."""

    rows: list[LabelRow] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def read(folder: UserFolder) -> Iterator[LabelRow]:
    """A row a picture in a folder.

    Files of the same bytes in a split are one picture, the first of them, with all their labels.
    """
    understood = understand(folder)
    for line in understood.notes:
        folder.note(line)
    yield from first_of_copies(folder.root, understood.rows)


def understand(folder: UserFolder) -> Understood:
    """What folders are labels, and which are parts. Raises Question where they may be either."""
    said = Understood()
    answered = folder.answers.layout == OPTION
    masks, line = masks_beside(folder.pictures)
    said.notes += [line] if line else []
    pictures = [picture for picture in folder.pictures if picture not in masks]
    top = _inner(folder_tree(pictures), said)

    labelled = []
    for split, part in _parts(top, said):
        labelled += _labels_of_part(split, part, said, answered)
    if not labelled:
        return said
    pairs = say_pairs(
        [picture for *_, of_label in labelled for picture in of_label], folder.answers
    )
    said.notes += [pairs] if pairs else []
    if not answered:
        refuse_parts_apart(labelled)

    ask_about_unknown({name for name, _, _ in labelled}, folder.answers)
    if not answered:
        refuse_one_each(labelled)
    for name, split, pictures in labelled:
        if name in folder.answers.unknown:
            said.notes.append(f"{name}: nobody knows its labels, {len(pictures)} pictures left out")
            continue
        for label in name_labels(name, labelled, folder.answers):
            said.rows += [LabelRow(picture, split, label) for picture in pictures]
    if folder.answers.separator is None:
        said.notes += made_of_words({name for name, _, _ in labelled})
    labels = sorted({row.label for row in said.rows})
    if len(labels) == 1 and not answered:
        said.rows.clear()
        said.notes.append(
            f"All pictures lie in {one_line(labels[0])}/: one label that all of them have says "
            "nothing"
        )
        return said
    labels = [one_line(label) for label in labels]
    said.notes.append(f"Folders taken as labels: {first_of(labels, MOST_LABELS)}")
    return said


def first_of_copies(root: Path, rows: list[LabelRow]) -> Iterator[LabelRow]:
    """The rows; copies of a picture in a split are told as the first of them."""
    first_with_bytes: dict[tuple[str, str], str] = {}
    digests: dict[str, str] = {}
    for row in rows:
        if row.image not in digests:
            digests[row.image] = _digest(picture_file(root, row.image))
        image = first_with_bytes.setdefault((row.split, digests[row.image]), row.image)
        yield row._replace(image=image)


def _inner(node: FolderOfPictures, said: Understood) -> FolderOfPictures:
    """Goes into a folder that is the only one, as zips have it around all others."""
    while len(node.folders) == 1:
        [only] = node.folders.values()
        if not only.has_labels_below():
            break
        said.notes.append(f"{only.place}/ has all folders in it: one level more, gone into")
        _note_beside(node, said)
        node = only
    return node


def _note_beside(node: FolderOfPictures, said: Understood) -> None:
    if node.pictures:
        shown = ", ".join(node.pictures[:SHOWN])
        said.notes.append(
            f"Pictures beside the folders have no label, {len(node.pictures)} left out: {shown}"
        )


def _parts(top: FolderOfPictures, said: Understood) -> list[tuple[str, FolderOfPictures]]:
    """Folders of train, val and test, each with its split; or all, which is of no split."""
    splits = splits_of(top.folders)
    others = [folder for name, folder in top.folders.items() if name not in splits]
    parts = [(split, top.folders[name]) for name, split in splits.items()]
    if not parts:
        return _label_then_split(top, said) or [("", top)]

    if others:
        if len(set(splits.values())) == 1 and not any(part.has_labels_below() for _, part in parts):
            # A label may be called train, beside bus and car.
            return [("", top)]
        unclear = [folder for folder in others if folder.has_several_below()]
        if unclear:
            raise Question(
                f"{', '.join(part.place for _, part in parts)} look like parts of the data, and "
                f"{unclear[0].place} beside them does not; is it one? Rename it to train, val or "
                "test, or move it out of the folder; or give only the folder that is meant"
            )
        for folder in others:
            said.notes.append(
                f"{folder.place}/: {len(folder.all_pictures())} pictures beside the parts, without "
                "folders of labels, left out"
            )
    _note_beside(top, said)
    told = ", ".join(f"{part.place} is {split}" for split, part in parts)
    said.notes.append(f"Folders taken as parts: {told}")
    return parts


def _label_then_split(
    top: FolderOfPictures, said: Understood
) -> list[tuple[str, FolderOfPictures]]:
    """`cat/train/1.jpg`: the parts lie in each folder of a label. Else nothing."""
    if not top.folders:
        return []

    parts: dict[str, FolderOfPictures] = {}
    for label, folder in top.folders.items():
        splits = splits_of(folder.folders)
        if folder.pictures or not splits or len(splits) < len(folder.folders):
            return []

        for name, split in splits.items():
            part = parts.setdefault(split, FolderOfPictures(split, split))
            pictures = folder.folders[name].all_pictures()
            part.folders.setdefault(label, FolderOfPictures(label, label)).pictures += pictures
    said.notes.append("Each folder of a label has folders of parts in it: taken as such")
    return list(parts.items())


def _labels_of_part(
    split: str, part: FolderOfPictures, said: Understood, answered: bool
) -> list[Labelled]:
    """The folders of labels of one part."""
    part = _inner(part, said)
    if not part.folders or _is_wrapper(part):
        place = f"{part.place}/" if part.place else "The folder"
        pictures = part.all_pictures()
        if split and pictures:
            said.notes.append(
                f"{place}: {len(pictures)} pictures without a folder of a label, left out"
            )
        return []
    _note_beside(part, said)

    folders = list(part.folders.values())
    if not answered:
        refuse_no_labels(folders)
        refuse_doubtful([folder.name for folder in folders])
        folders = [_pictures_alone(folder, said) for folder in folders]
        refuse_deep(folders)
    for folder in folders:
        _note_deep(folder, said)
    return [(folder.name, split, folder.all_pictures()) for folder in folders]


def _is_wrapper(part: FolderOfPictures) -> bool:
    """One folder of pictures alone, such as `train/images` or `test/test`, is no label."""
    if len(part.folders) != 1:
        return False
    [name] = part.folders
    return bare(name) in NOT_LABELS or split_word(name) != ""


def _pictures_alone(folder: FolderOfPictures, said: Understood) -> FolderOfPictures:
    """Without `covid/masks` beside `covid/images`, or beside pictures right in `covid`."""
    kinds = {bare(name) for name in folder.folders}
    is_in_images = bool(kinds & PICTURES) and not kinds - NOT_LABELS
    others = BESIDE_PICTURES | OUTPUTS if is_in_images else BESIDE_PICTURES
    if not kinds & others or not (folder.pictures or is_in_images):
        return folder

    kept = FolderOfPictures(folder.name, folder.place, list(folder.pictures))
    for name, below in folder.folders.items():
        if is_in_images and bare(name) in PICTURES:
            kept.pictures += below.all_pictures()
        elif is_in_images or bare(name) in others:
            said.notes.append(f"{below.place}/: no pictures to label, left out")
        else:
            kept.folders[name] = below
    return kept


def _note_deep(folder: FolderOfPictures, said: Understood) -> None:
    deep = len(folder.all_pictures()) - len(folder.pictures)
    if deep:
        below = ", ".join(list(folder.folders)[:SHOWN])
        said.notes.append(
            f"{folder.place}/: {deep} pictures lie deeper, in {below}; they are labelled "
            f"{folder.name}"
        )


def _digest(file: Path) -> str:
    """Of a file's bytes; one that cannot be read, as will be said of it, is like no other."""
    try:
        return file_sha256(file)
    except OSError:
        return str(file)
