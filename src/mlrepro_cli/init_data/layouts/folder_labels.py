"""Whether names of folders are labels; what is not clear is asked."""

from collections import Counter

from mlrepro_cli.init_data.answers import Answers, Question, option
from mlrepro_cli.init_data.layouts.folder_tree import FolderOfPictures
from mlrepro_cli.init_data.negatives import sounds_unknown
from mlrepro_cli.init_data.not_labels import NOT_LABELS, bare
from mlrepro_cli.init_data.split_words import holds_split_word

# So many names that share words are no chance.
LEAST_NAMES = 4
# So many folders with hardly more pictures are no labels.
MANY_FOLDERS = 10
# What people put between two labels in the name of a folder.
MARKS = (" and ", " & ", "&", "+", ",", ";", "|", "__", "_", "-", " ")


def refuse_no_labels(folders: list[FolderOfPictures]) -> None:
    """Raises Question for folders that other things than labels are called by."""
    odd = [folder.place for folder in folders if _is_no_label(folder.name)]
    others = [folder.place for folder in folders if not _is_no_label(folder.name)]
    if odd and not others:
        raise Question(
            f"{' and '.join(odd)}: folders of pictures, masks or outputs, no labels; give the "
            "folder or the file that says the labels, or, where these are labels, say --layout "
            "folders"
        )
    if odd:
        raise Question(
            f"{' and '.join(odd)} beside {', '.join(others[:3])}: that is hardly a label; move it "
            "out of the folder, or, where it is a label, say --layout folders"
        )

    in_parts = [folder.place for folder in folders if holds_split_word(folder.name)]
    if len(in_parts) > 1 and len(in_parts) == len(folders):
        raise Question(
            f"{' and '.join(in_parts[:4])}: names of labels or of parts of the data? Rename parts "
            "to train, val and test, with folders of labels in each; where these are labels, say "
            "--layout folders"
        )


def _is_no_label(name: str) -> bool:
    """With a number, too, as images_001 and label_2."""
    return bare(name).rstrip("0123456789") in NOT_LABELS


def ask_about_unknown(names: set[str], answers: Answers) -> None:
    """Raises Question for a folder of what nobody knows."""
    for name in sorted(names - {*answers.positive, *answers.negative, *answers.unknown}):
        if sounds_unknown(name):
            raise Question(
                f"{name}: is it a label as the others are ({option('positive', name)}), or does "
                f"nobody know the labels of its pictures ({option('unknown', name)}, which leaves "
                "them out)?"
            )


def refuse_deep(folders: list[FolderOfPictures]) -> None:
    """Raises Question where pictures lie two folders deep, either of which may be the label."""
    deep = [folder for folder in folders if not folder.pictures and not _one_way(folder)]
    same_inside = len(folders) > 1 and len({tuple(folder.folders) for folder in folders}) == 1
    if not deep or (same_inside and all(len(folder.folders) == 1 for folder in folders)):
        return
    first = deep[0]
    inner = next(iter(first.folders.values()))
    raise Question(
        f"{first.place}: its pictures lie deeper, in {', '.join(list(first.folders)[:3])}; is the "
        f"label {first.name!r} or {inner.name!r}? Say --layout folders for the upper folder, "
        "--layout folders-deepest for the one that pictures lie in; or give only the folder that "
        f"holds the folders of labels, such as {first.place}"
    )


def _one_way(folder: FolderOfPictures) -> bool:
    """One folder alone in it that says nothing more: `dog/dog`, `n01440764/images`."""
    if len(folder.folders) != 1:
        return False
    [inner] = folder.folders.values()
    return not inner.folders and (bare(inner.name) in {bare(folder.name)} | NOT_LABELS)


def refuse_parts_apart(labelled: list[tuple[str, str, list[str]]]) -> None:
    """Raises Question where two parts have no label in common: something else was read."""
    by_split: dict[str, set[str]] = {}
    for name, split, _ in labelled:
        by_split.setdefault(split, set()).add(name)
    (first, names), *others = by_split.items()
    for split, of_split in others:
        if not names & of_split:
            raise Question(
                f"{first} has the labels {', '.join(sorted(names)[:3])}, and {split} has "
                f"{', '.join(sorted(of_split)[:3])}: none is in both; mend the folders, or say "
                "--layout folders where that is meant"
            )


def refuse_one_each(labelled: list[tuple[str, str, list[str]]]) -> None:
    """Raises Question where there are hardly more pictures than folders, as with one a patient."""
    names = {name for name, _, _ in labelled}
    count = sum(len(pictures) for _, _, pictures in labelled)
    if len(names) >= MANY_FOLDERS and len(names) > count / 2:
        raise Question(
            f"{len(names)} folders, such as {min(names)}, hold {count} pictures: hardly labels; if "
            "they are, say --layout folders, else give the file that says the labels"
        )


def name_labels(
    name: str, labelled: list[tuple[str, str, list[str]]], answers: Answers
) -> list[str]:
    """The label of a folder; several where the user says what stands between them.

    Raises Question where a name is made of other folders' names, as `cat+dog` beside cat and dog.
    """
    if answers.separator:
        return [part.strip() for part in name.split(answers.separator) if part.strip()]
    names = {other for other, _, _ in labelled}
    for mark in MARKS:
        parts = {part.strip() for part in name.split(mark)}
        if answers.separator is None and len(parts) > 1 and parts <= names:
            raise Question(
                f"{name}: one label, or the labels {' and '.join(sorted(parts))}, which have "
                f"folders of their own? Say --separator '{mark}' for several, --separator '' for "
                "one"
            )
    return [name]


def made_of_words(names: set[str]) -> list[str]:
    """A line where all names are made of a few words, as `blue_dress` and `red_dress` are."""
    for mark in ("_", "-", " "):
        words = [name.split(mark) for name in sorted(names)]
        counts = Counter(word for of_name in words for word in of_name)
        several = all(len(of_name) > 1 for of_name in words)
        repeated = several and min(counts.values()) > 1
        if repeated and len(names) >= LEAST_NAMES:
            shown = ", ".join(list(counts)[:4])
            return [f"Names of folders are made of {shown}: for a label each, --separator '{mark}'"]
    return []
