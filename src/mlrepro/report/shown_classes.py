"""Which classes a page shows where a data set has thousands, and the table that has all of them.

Ten thousand rows are a page that no browser likes and a figure that nobody reads. The most frequent
classes, the rarest and the worst say what there is to see.
"""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mlrepro.files import write_bytes
from mlrepro.judging import REGIMES, class_ap, mean
from mlrepro.records import ClassResult, Record, Records
from mlrepro.report.markdown import Markdown, link, number

# As many are all shown; of more, so many of each kind.
ALL = 120
EACH = 40

# Of the page, for tables that it links to.
TABLES = "tables"


@dataclass(frozen=True)
class ShownClasses:
    """Some of many classes.

    places: in the data set's order. each: how many of each kind there are at most. of: how many
    classes there are. link: to a table of all.
    """

    places: list[int]
    each: int
    of: int
    link: Markdown


def chosen_places(classes: Sequence[ClassResult], APs: Sequence[float | None]) -> list[int] | None:
    """The most frequent in train, the rarest, and those of the lowest AP; none: all are shown."""
    if len(classes) <= ALL:
        return None

    # sorted() keeps the data set's order among equals.
    frequent_first = sorted(range(len(classes)), key=lambda place: -classes[place].train)
    judged = [place for place, AP in enumerate(APs) if AP is not None]
    worst_first = sorted(judged, key=lambda place: APs[place])

    chosen = {*frequent_first[:EACH], *frequent_first[-EACH:], *worst_first[:EACH]}
    return sorted(chosen)


def record_places(record: Record) -> list[int] | None:
    """The same of one record."""
    classes = record.selected.per_class
    return chosen_places(classes, [c.AP for c in classes])


def shown_classes(best: Records, page: Path) -> ShownClasses | None:
    """Those of the runs whose AP a page shows, and writes the table of all; none: all are shown.

    best: a run a labels regime. The lowest AP is that of the first of them.
    """
    columns = {run: [mean(values) for values in class_ap(records)] for run, records in best.items()}

    # The single-positive run comes last, and its observed labels are fewer than those of train.
    *_, last_run = best.values()
    classes = last_run[0].selected.per_class
    first_column = next(iter(columns.values()))
    places = chosen_places(classes, first_column)
    if places is None:
        return None

    headers = [f"AP, {REGIMES[records[0].run.labels]}" for records in best.values()]
    by_header = dict(zip(headers, columns.values(), strict=True))

    name = f"{page.stem}-classes.csv"
    path = page.parent / TABLES / name
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, _table_of_all(classes, by_header))
    return ShownClasses(places, EACH, len(classes), link("all of them", f"{TABLES}/{name}"))


def _table_of_all(classes: Sequence[ClassResult], columns: dict[str, list[float | None]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["class", "train", "observed", "test", *columns])
    for place, c in enumerate(classes):
        APs = [column[place] for column in columns.values()]
        cells = ["" if AP is None else number(AP) for AP in APs]
        writer.writerow([c.name, c.train, c.observed, c.test, *cells])
    return text.getvalue().encode()
