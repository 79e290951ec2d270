"""Whether the orderings that a paper claims hold on a comparison's data. No torch."""

import math
import statistics
from collections.abc import Sequence

from mlrepro.records import Record
from mlrepro.report.tables import Runs, code, escape, mean_map, metric_values, noise, number, table
from mlrepro.settings.pipeline import Ordering


def seed_noise(first: list[Record], second: list[Record]) -> float | None:
    """Twice the standard error of the difference of mean mAP over seeds, in points; none where a run has one seed alone."""
    values = [metric_values(records, "mAP") for records in (first, second)]
    known = min(map(len, values)) > 1
    return (
        2 * math.sqrt(sum(statistics.variance(mAPs) / len(mAPs) for mAPs in values))
        if known
        else None
    )


def ordering_section(runs: Runs, orderings: Sequence[Ordering]) -> list[str]:
    """A table with a row a claimed pair; nothing where the settings claim none."""
    rows = []
    for ordering in orderings:
        for index, (higher, lower) in enumerate(ordering.pairs):
            claim = escape(ordering.claim) if index == 0 else ""
            pair = [code(higher), code(lower)]
            if any(run not in runs or mean_map(runs[run]) is None for run in (higher, lower)):
                rows.append([claim, "not run", "-", "-", "-", *pair])
                continue
            difference = mean_map(runs[higher]) - mean_map(runs[lower])
            seeds, both = seed_noise(runs[higher], runs[lower]), noise(runs[higher], runs[lower])
            said = ("holds" if difference > 0 else "reversed") + " on these pictures" * (
                abs(difference) <= both
            )
            said = (
                "one seed"
                if seeds is None
                else "cannot be told"
                if abs(difference) <= seeds
                else said
            )
            rows.append([claim, said, f"{difference:+.2f}", number(seeds), number(both), *pair])
    return (
        [
            "## Which orderings hold here",
            "Each claim as pairs of runs, the one that should be higher first, with the difference of their mean test mAP in "
            "points. *On these pictures*: by more than twice the standard error over seeds, but not by more than the noise "
            "(docs/reading-reports.md), so that other test pictures might turn it round.",
            table(
                "llrrrll",
                [
                    "claim",
                    "verdict",
                    "difference",
                    "noise of seeds",
                    "noise",
                    "should be higher",
                    "than",
                ],
                rows,
            ),
        ]
        if rows
        else []
    )
