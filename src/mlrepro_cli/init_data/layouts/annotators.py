"""What several people say of one picture: where they differ on a label, nobody knows it."""

from collections import Counter
from collections.abc import Iterator

from mlrepro_cli.init_data.layouts.rows import PRESENT, UNKNOWN, LabelRow, unlabelled


def agreed(picture: str, split: str, said: list[set[str]]) -> Iterator[LabelRow]:
    """said: the labels of each person; of nobody, the picture waits for its labels."""
    if not said:
        yield unlabelled(picture, split)
        return
    counts = Counter(label for labels in said for label in labels)
    for label, count in sorted(counts.items()):
        yield LabelRow(picture, split, label, PRESENT if count == len(said) else UNKNOWN)
    if not counts:
        yield LabelRow(picture, split, "")
