"""Files of one picture each, `1.jpg.xmp` or `1.xmp` beside `1.jpg`."""

from mlrepro_cli.init_data.layouts.rows import LabelFile, UserFolder
from mlrepro_cli.init_data.name_forms import stem


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
