"""The formats that a data set's settings may name, and what a format has to offer.

To add a format: a module in this folder that ends with its FORMAT, a line in MODULES, a settings
class in settings/data.py that derives from `FormatSettings`, and a test of a small folder in that
layout.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import pandas

from mlrepro.data.formats.listing import Listing

# `format` in the settings -> module in this folder, imported when a data set needs it.
MODULES = {
    "coco": "coco",
    "csv": "csv_table",
    "cub": "cub",
    "digits": "digits",
    "formatted": "formatted",
    "lists": "lists",
    "mirflickr": "mirflickr",
    "openimages": "openimages",
    "voc": "voc",
}


def _always(settings: Any) -> bool:
    return True


def _unchanged(settings: Any, table: pandas.DataFrame) -> pandas.DataFrame:
    return table


@dataclass(frozen=True, kw_only=True)
class Format:
    """What the download and prepare stages ask of a format; its settings come first in every call.

    read(settings, root)
        The listing, from the annotations below the picture root. Raises InputError for annotations
        that contradict each other or the settings.
    has_pictures(settings)
        False where a data set is used without its pictures, for its captions alone.
    is_trained_on(settings)
        False where it has test pictures only, as for checkpoints that others have trained.
    settle_labels(settings, table)
        The table as it is after validation pictures are held out, where that changes labels.
    picture_urls(settings, images)
        The address of each picture, of a format whose pictures are fetched one by one. None for
        all others, whose pictures are in archives.
    reads_archives_in_place
        Whether the fetched files are neither unpacked nor copied.
    remedy
        What else a user can do about pictures that cannot be used, as a clause.
    """

    read: Callable[[Any, Path], Listing]
    has_pictures: Callable[[Any], bool] = _always
    is_trained_on: Callable[[Any], bool] = _always
    settle_labels: Callable[[Any, pandas.DataFrame], pandas.DataFrame] = _unchanged
    picture_urls: Callable[[Any, Sequence[str]], dict[str, str]] | None = None
    reads_archives_in_place: bool = False
    remedy: str | None = None


def format_of(settings: Any) -> Format:
    """The format that the settings of a data set name. Imports its module, and what that needs."""
    module = import_module(f"{__package__}.{MODULES[settings.format]}")
    return module.FORMAT


def names_a_training_split(settings: Any) -> bool:
    """What `is_trained_on` is to formats whose settings have `splits`: more than the test split."""
    return set(settings.splits) != {"test"}
