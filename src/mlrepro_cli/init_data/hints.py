"""What to say where nothing tells labels: what is there instead."""

import re
from collections import Counter

from mlrepro_cli.init_data.layouts.rows import LabelFile

# `cat.12.jpg`, `Abyssinian_1.jpg`, `dog (3).png`: words, then a number.
WORDS_AND_NUMBER = re.compile(r"([^\W\d_][^\d]*?)[ ._(-]*\d+\)?$")
# As many pictures must have a word for it to look like a label.
LEAST = 3
SHOWN = 3

# Files that hold other files, or pictures as arrays.
PACKED = (".zip", ".tar", ".tgz", ".tar.gz", ".7z", ".rar")
ARRAYS = (".tfrecord", ".h5", ".hdf5", ".npy", ".npz", ".mat", ".mdb", ".pkl")


def packed_hint(files: list[LabelFile]) -> list[str]:
    """Clauses on archives and arrays, which may hold the pictures or the labels."""
    clauses = []
    for suffixes, remedy in ((PACKED, "unpack it"), (ARRAYS, "write its pictures as files")):
        places = [file.place for file in files if file.place.lower().endswith(suffixes)]
        if places:
            clauses.append(f"{', '.join(places[:SHOWN])} is not looked into: {remedy} first")
    return clauses


def file_name_hint(pictures: list[str]) -> list[str]:
    """A clause on the words that files' names begin with; none where they do not look like labels.

    A name is never read as a label: whether it is one, only the user knows.
    """
    words = Counter()
    for picture in pictures:
        stem = picture.rpartition("/")[2].rpartition(".")[0]
        match = WORDS_AND_NUMBER.match(stem)
        if match:
            words[match[1]] += 1

    frequent = [word for word, count in words.most_common() if count >= LEAST]
    if len(frequent) < 2 or words.total() < len(pictures) / 2:
        return []
    shown = ", ".join(frequent[:SHOWN])
    return [f"names of pictures begin with {shown}: if these are labels, move each to a folder"]
