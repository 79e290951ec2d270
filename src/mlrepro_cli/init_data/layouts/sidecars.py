"""Files of one picture each, `1.jpg.xmp` or `1.xmp` beside `1.jpg`."""

from collections.abc import Callable, Iterable, Iterator

from mlrepro_cli.init_data.layouts.rows import LabelFile, LabelRow, UserFolder
from mlrepro_cli.init_data.name_forms import stem
from mlrepro_cli.init_data.split_words import split_in_path


def read_sidecars(
    folder: UserFolder, suffix: str, labels_in: Callable[[LabelFile], Iterable[str]]
) -> Iterator[LabelRow]:
    """A row a label of each picture that has such a file; labels_in: those that a file holds."""
    for picture, file in sidecars_of_pictures(folder, suffix).items():
        split = split_in_path(picture.rpartition("/")[0])
        for label in sorted(set(labels_in(file))) or [""]:
            yield LabelRow(picture, split, label, source=file.place)


def sidecars_of_pictures(folder: UserFolder, suffix: str) -> dict[str, LabelFile]:
    """The file of each picture that has one; that with the picture's suffix in its name first."""
    files = [file for file in folder.files if file.place.lower().endswith(suffix)]
    of_place = {file.place[: -len(suffix)]: file for file in files}
    found = {}
    for picture in folder.pictures:
        for name in (picture, stem(picture)):
            if name in of_place:
                found.setdefault(picture, of_place[name])
    return found
