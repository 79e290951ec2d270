"""Sections that the pages of comparisons and of studies share, and how a page shows a figure.

A section is a list of markdown parts, which a page sets apart by blank lines; it is empty where the
records have nothing to show.
"""

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from mlrepro.records import Failures, Records
from mlrepro.report import figures, tables
from mlrepro.report.markdown import Markdown, link, picture
from mlrepro.report.render import ANY_PAGE, render_section
from mlrepro.report.shown_classes import record_places
from mlrepro.studies.reference import Compared, sentence

# What stands in no name of a figure's file.
NOT_IN_NAMES = re.compile(r"[^\w.-]+")


def figure_link(
    path: Path, name: str, alt: str, figure: Callable[..., None], *data, **options
) -> Markdown:
    """Draws figure(*data, stem, **options) for the page `path`, where it has changed.

    Returns the markdown that shows it.
    """
    # A name that somebody wrote, of a sweep or a data set, is no path.
    name = NOT_IN_NAMES.sub("-", name)
    stem = path.parent / "figures" / f"{path.stem}-{name}"
    figures.draw(figure, data, stem, options)
    return link(picture(alt, f"figures/{stem.name}.png"), f"figures/{stem.name}.svg")


def failed_section(failures: Failures, page: Path = ANY_PAGE) -> list[str]:
    """What the last launch could not do, and where it says more."""
    if not failures:
        return []
    return [render_section("failed.md.j2", page, failures=failures)]


def reference_section(compared: Sequence[Compared], page: Path = ANY_PAGE) -> list[str]:
    """Whether runs give what they gave when their reference was made."""
    if not compared:
        return []
    section = render_section(
        "reference.md.j2",
        page,
        sentence=sentence(compared),
        rows=tables.reference_table(compared),
        sources=list(dict.fromkeys(row.reference.source for row in compared)),
    )
    return [section]


def attention_section(path: Path) -> list[str]:
    """What stages/attention.py has drawn for this page."""
    pictures = sorted((path.parent / "figures").glob(f"{path.stem}-attention-*.png"))
    if not pictures:
        return []
    shown = [picture(file.stem, f"figures/{file.name}") for file in pictures]
    return [render_section("attention.md.j2", path, pictures=shown)]


def counts_section(heading: Markdown, runs: Records, path: Path, suffix: str = "") -> list[str]:
    """How many labels the runs predict, and how good ROLE's estimated ones are.

    suffix: of the figure's name.
    """
    counting = {
        run: records
        for run, records in runs.items()
        if all(record.selected.predicted_positives is not None for record in records)
    }
    if not counting:
        return []

    section = render_section(
        "counts.md.j2",
        path,
        heading=heading,
        positives=tables.positives_table(counting),
        curves=_positives_curves(counting, path, suffix),
        estimates=tables.estimates_table(counting),
    )
    return [section]


def _positives_curves(runs: Records, path: Path, suffix: str) -> str | None:
    by_epoch = {
        run: records
        for run, records in runs.items()
        if figures.validation_curve(records, "val_positives")
    }
    if not by_epoch:
        return None
    return figure_link(
        path,
        f"positives-curves{suffix}",
        "Labels a validation picture by epoch, a line a run",
        figures.training_curves,
        by_epoch,
        column="val_positives",
        label="labels a validation picture",
    )


def label_sections(runs: Records, link: Callable[..., str], page: Path = ANY_PAGE) -> list[str]:
    """The figures of the course studies for any run, from records that tell of it.

    Metrics by epoch of each run (the VOC2007 transfer study), and of the first run balancing and
    errors by label (the MIRFLICKR study). link: `figure_link` of the page.
    """
    return _epochs_section(runs, link, page) + _balancing_section(runs, link, page)


def _epochs_section(runs: Records, link: Callable[..., str], page: Path) -> list[str]:
    # Only runs with `epoch_metrics` keep metrics of their epochs.
    curves = [
        link(f"epochs-{run}", f"Metrics of {run} by epoch", figures.epoch_curves, records)
        for run, records in runs.items()
        if records[0].history[-1].metrics
    ]
    if not curves:
        return []
    return [render_section("epochs.md.j2", page, curves=curves)]


def _balancing_section(runs: Records, link: Callable[..., str], page: Path) -> list[str]:
    if not runs:
        return []

    # One run is shown: balancing is of the data, and so the same for all.
    record = next(iter(runs.values()))[0]
    classes = record.selected.per_class
    if not classes[0].confusion:
        return []

    places = record_places(record)
    shown = classes if places is None else [classes[place] for place in places]
    section = render_section(
        "balancing.md.j2",
        page,
        record=record,
        balance=link(
            "balance",
            "Positives before and after balancing",
            figures.balance,
            shown,
        ),
        confusion=link(
            "confusion",
            "A 2 x 2 confusion matrix a label",
            figures.confusion_matrices,
            classes,
        ),
    )
    return [section]
