"""The folder that a picture lies in is its label, whatever folders are above: `--layout` asks it.

Parts are told by the folders above.
"""

from collections.abc import Iterator

from mlrepro_cli.init_data.layouts.beside_pictures import masks_beside
from mlrepro_cli.init_data.layouts.folders import first_of_copies
from mlrepro_cli.init_data.layouts.rows import LabelRow, UserFolder
from mlrepro_cli.init_data.split_words import split_in_path

NAME = "a folder a label, the innermost"


def read(folder: UserFolder) -> Iterator[LabelRow]:
    """A row a picture that lies in a folder."""
    masks, line = masks_beside(folder.pictures)
    if line:
        folder.note(line)
    rows = []
    for picture in folder.pictures:
        if picture in masks:
            continue
        *above, label, _ = ["", *picture.split("/")]
        if label:
            rows.append(LabelRow(picture, split_in_path("/".join(above)), label))
    folder.note("The innermost folders are taken as labels, those above for order")
    yield from first_of_copies(folder.root, rows)
