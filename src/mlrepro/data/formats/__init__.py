"""Readers of the layouts that data sets are published in.

`catalogue` lists them; `listing` says what each gives, one `ListedPicture` a picture, unopened.
"""

from pathlib import Path
from typing import Any

import pandas

from mlrepro.data.formats.catalogue import Format, format_of
from mlrepro.data.formats.listing import as_table
from mlrepro.data.formats.reading import load_array, read_text
from mlrepro.errors import InputError

__all__ = ["Format", "format_of", "load_array", "read", "read_text"]


def read(settings: Any, root: Path) -> tuple[pandas.DataFrame, list[str]]:
    """Read the annotations below the picture root: a row a picture, in the data set's order.

    Returns the table, whose columns are the fields of `ListedPicture`, and the class names. Raises
    InputError for annotations that contradict each other or the settings.
    """
    pictures, classes = format_of(settings).read(settings, Path(root))
    table = as_table(pictures)

    # A picture that is trained on and tested on would make every number too good.
    repeated = table[table["image"].duplicated(keep=False)]
    if len(repeated):
        image = repeated["image"].iloc[0]
        parts = repeated.loc[repeated["image"] == image, "part"].tolist()
        raise InputError(
            f"{root}: {repeated['image'].nunique()} pictures are in more than one split, "
            f"e.g. {image} in {' and '.join(parts)}; a picture belongs to one: mend `splits`"
        )

    return table, classes
