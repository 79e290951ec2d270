"""How many classes each data set of the studies has, for what is computed without its files."""

from mlrepro.errors import InputError
from mlrepro.settings.base import nearest

CLASS_COUNTS = {
    "voc2007": 20,
    "voc2012": 20,
    "coco2014": 80,
    "coco2017": 80,
    "nuswide": 81,
    "vg500": 500,
    "openimages_v6": 601,
    "cub": 312,
    "mirflickr25k": 14,
    "mirflickr20k": 14,
    # Ids 1 to 19, of which 12 is not used.
    "comp5329": 18,
    "comp5329_1000": 18,
}


def class_count(data_set: str) -> int:
    """Raises InputError with the nearest name for a data set that is not known."""
    if data_set not in CLASS_COUNTS:
        raise InputError(
            f"how many classes {data_set!r} has is not known; mend the run ids of reported.csv, or "
            f"add it to data/class_counts.py: {nearest(data_set, list(CLASS_COUNTS))}"
        )
    return CLASS_COUNTS[data_set]
