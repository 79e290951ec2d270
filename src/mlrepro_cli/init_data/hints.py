"""What to say where nothing tells labels: what is there instead."""

from collections import Counter

from mlrepro_cli.init_data.layouts import file_names
from mlrepro_cli.init_data.layouts.rows import LabelFile

# As many pictures must have a word for it to look like a label.
LEAST = 3
SHOWN = 3

# Files that hold other files, or pictures as arrays.
PACKED = (".zip", ".tar", ".tgz", ".tar.gz", ".7z", ".rar")
ARRAYS = (".tfrecord", ".h5", ".hdf5", ".npy", ".npz", ".mat", ".mdb", ".pkl", ".arrow")
# Tables of other programs.
TABLES = (".ods", ".numbers", ".xlsb", ".sqlite", ".sqlite3", ".db", ".feather", ".sav", ".dta")
TABLES += (".rds", ".dbf", ".gsheet")


def packed_hint(files: list[LabelFile]) -> list[str]:
    """Clauses on archives, arrays and databases, which may hold the pictures or the labels."""
    clauses = []
    remedies = (
        (PACKED, "unpack it"),
        (ARRAYS, "write its pictures as files"),
        (TABLES, "save it as `CSV UTF-8`"),
    )
    for suffixes, remedy in remedies:
        places = [file.place for file in files if file.place.lower().endswith(suffixes)]
        if places:
            clauses.append(f"{', '.join(places[:SHOWN])} is not looked into: {remedy} first")
    return clauses


def file_name_hint(pictures: list[str]) -> list[str]:
    """A clause on the words in files' names; none where they do not look like labels.

    A name is not read as a label unasked: whether it is one, only the user knows.
    """
    of_windows = [picture for picture in pictures if "\\" in picture]
    if 2 * len(of_windows) > len(pictures):
        return [
            f"names of pictures hold backslashes, such as {of_windows[0]}, as of an archive made "
            "on Windows: unpack it again with a program that makes folders of them, such as 7z"
        ]
    words = Counter(file_names.words_of(picture) for picture in pictures)
    del words[""]
    frequent = [word for word, count in words.most_common() if count >= LEAST]
    if len(frequent) < 2 or words.total() < len(pictures) / 2:
        return []
    shown = ", ".join(frequent[:SHOWN])
    return [
        f"names of pictures begin or end with {shown}: if these are labels, say --layout "
        f"{file_names.OPTION}"
    ]
