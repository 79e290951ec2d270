"""Tags that say the part of a picture, as Supervisely and FiftyOne keep `train` and `val`."""

from collections import Counter

from mlrepro_cli.init_data.layouts.rows import PRESENT, LabelRow, UserFolder
from mlrepro_cli.init_data.split_words import split_word


def take_parts(folder: UserFolder, rows: list[LabelRow]) -> list[LabelRow]:
    """The rows in the parts that labels such as `train` and `val` say, without these labels.

    Only where there are two of them at least, other labels in each part, no picture in two parts,
    and nothing else that says a part: a train alone may be one on rails.
    """
    words = {row.label: split_word(row.label) for row in rows if row.label}
    part_of = {word: part for word, part in words.items() if part}
    if len(set(part_of.values())) < 2:
        return rows
    said = {(row.image, part_of[row.label]) for row in rows if row.label in part_of}
    parts = dict(said)
    is_other = any(row.split or row.state != PRESENT for row in rows if row.label in part_of)
    labelled = {parts.get(row.image, "") for row in rows if row.label and row.label not in part_of}
    is_other = is_other or not labelled >= set(part_of.values())
    if len(parts) < len(said) or is_other or folder.answers.split_column == "":
        return rows

    counts = Counter(parts.values())
    told = ", ".join(f"{part} ({count})" for part, count in sorted(counts.items()))
    folder.note(
        f"Labels {', '.join(sorted(part_of))} are taken as parts of the data, not as labels: "
        f"{told}; to have them as labels, say --split-column ''"
    )
    kept = [
        # The picture stays, where that was all that was said of it.
        row._replace(label="") if row.label in part_of else row
        for row in rows
    ]
    return [row._replace(split=parts.get(row.image, "")) for row in kept]
