"""Several tables of one data set."""

from mlrepro_cli.init_data.answers import Question
from mlrepro_cli.init_data.layouts.rows import ABSENT, PRESENT, UNKNOWN, LabelFile
from mlrepro_cli.init_data.layouts.table.listing import Listed, Reading, merge, named

Pictures = dict[str, Listed]
SHOWN = 5


def add_missing_marks(readings: list[Reading], listed: list[Pictures]) -> None:
    """Of pictures whose table has no column of a label that another table has, it is unknown."""
    marked = [reading for reading in readings if reading.marks]
    headers = dict.fromkeys(header for each in marked for header in each.columns.labels.marks)
    for reading, pictures in zip(readings, listed, strict=True):
        missing = [header for header in headers if header not in reading.columns.labels.marks]
        if not reading.marks or not missing:
            continue
        for picture in pictures.values():
            picture.states |= dict.fromkeys(missing, UNKNOWN)
        print(
            f"{reading.sheet.file.path}: it has no column of {', '.join(missing[:SHOWN])}, which "
            "another table has: unknown on its pictures, unless another says"
        )


def combine(tables: list[tuple[LabelFile, Pictures]], union: bool) -> Pictures:
    """All pictures of several tables. Raises Question where two tables disagree on one.

    union: pictures have the labels of all tables.
    """
    combined: Pictures = {}
    file_of: dict[str, LabelFile] = {}
    for file, pictures in tables:
        common = [picture for picture in pictures if picture in combined]
        if not union:
            _refuse_other_labels(file, pictures, combined, file_of, common)
        _refuse_other_splits(file, pictures, combined, file_of, common)
        for picture, listed in pictures.items():
            if picture in combined:
                merge(combined[picture], listed)
            else:
                combined[picture] = listed
                file_of[picture] = file
    return combined


def _refuse_other_labels(
    file: LabelFile,
    pictures: Pictures,
    combined: Pictures,
    file_of: dict[str, LabelFile],
    common: list[str],
) -> None:
    different = [p for p in common if _contradict(pictures[p], combined[p])]
    if not different:
        return

    picture = different[0]
    other = file_of[picture].path
    two = f"{file.path} and {other}"
    remedy = f"Name the right one (mlrepro init-data {file.path})"
    if other == file.path:
        two = f"two sheets of {file.path}"
        remedy = "Leave the right one in it"

    raise Question(
        f"{two}: both list {len(common)} pictures, and disagree on {len(different)} of them; "
        f"{picture} has the labels {named(pictures[picture].present)} and "
        f"{named(combined[picture].present)}. {remedy}, or move the other away, or say --union, "
        "which takes the labels of both"
    )


def _contradict(one: Listed, other: Listed) -> bool:
    """Whether a label is there in one table, and in the other it is not."""
    return any(
        ABSENT in (one.state_of(label), other.state_of(label))
        for label in one.present ^ other.present
    )


def _refuse_other_splits(
    file: LabelFile,
    pictures: Pictures,
    combined: Pictures,
    file_of: dict[str, LabelFile],
    common: list[str],
) -> None:
    for picture in common:
        splits = {pictures[picture].split, combined[picture].split} - {""}
        if len(splits) > 1:
            raise Question(
                f"{file.path} and {file_of[picture].path}: {picture} is in both, and so in "
                f"{' and '.join(sorted(splits))}; leave it in one, or name the one table that is "
                "right"
            )


def without_unlabelled(
    listed: list[tuple[LabelFile, Pictures]],
) -> list[tuple[LabelFile, Pictures]]:
    """The tables without a split, or all, that has no label at all: it waits for its labels.

    As pictures without a label they would make every score wrong. What is left out is printed.
    """
    kept = []
    for file, pictures in listed:
        labelled = {
            picture.split for picture in pictures.values() if PRESENT in picture.states.values()
        }
        waiting = {picture.split for picture in pictures.values()} - labelled
        without = {
            picture: listing for picture, listing in pictures.items() if listing.split in labelled
        }
        if waiting:
            parts = ", ".join(sorted(split or "all" for split in waiting))
            print(
                f"{file.path}: left out ({parts}), {len(pictures) - len(without)} pictures of "
                "which none has a label"
            )
        kept.append((file, without))
    return kept
