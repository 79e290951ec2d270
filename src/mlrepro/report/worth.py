"""Own data: what a better backbone, a better loss, roots of features or mirror images are worth.

Each is one difference on the test pictures between two runs of the page, paired picture by picture.
Which two is decided without the test (report/choose.py).
"""

from dataclasses import dataclass

from mlrepro.models.catalogue import MIRRORED, ROOT
from mlrepro.pairs import Difference
from mlrepro.records import Record, Records
from mlrepro.report.choose import Chosen
from mlrepro.report.markdown import code, number, table
from mlrepro.run_pairs import mean_resamples, run_difference


@dataclass(frozen=True)
class Step:
    """From one run to another.

    by_choice: mAP points by what runs are chosen by. on_test: of the test pictures.
    """

    name: str
    start: str
    end: str
    by_choice: float
    on_test: Difference


def worth_table(runs: Records, chosen: Chosen) -> str | None:
    """A row a step that the page's runs allow; none where they allow none."""
    steps = [step for step in _steps(runs, chosen) if step]
    if not steps:
        return None

    rows = []
    for step in steps:
        low, high = step.on_test.interval
        interval = f"{number(step.on_test.points)} ({number(low)} to {number(high)})"
        told = "yes" if low > 0 or high < 0 else "no"
        row = [step.name, code(step.start), code(step.end), number(step.by_choice), interval, told]
        rows.append(row)
    headers = ["change", "from", "to", "as chosen", "on test (95 %)", "beyond noise"]
    return table("lllrrl", headers, rows)


def _steps(runs: Records, chosen: Chosen) -> list[Step | None]:
    maps = chosen.maps
    named = [run for run in maps if runs[run][0].run.zero_shot]
    ridges = [run for run in maps if runs[run][0].run.closed_form and run not in named]
    untrained = {*named, *ridges}
    losses = [run for run in maps if runs[run][0].run.inputs == "features" and run not in untrained]
    if not ridges:
        return []

    steps = []
    # The same regression on the cheapest network and on that which is best without the test.
    cheapest = min(ridges, key=lambda run: runs[run][0].cost.gmacs)
    steps.append(_step("a better backbone", runs, chosen, cheapest, ridges[0]))

    # The best of the losses beside the regression on the same features.
    if losses:
        same = [run for run in ridges if _features(runs[run]) == _features(runs[losses[0]])]
        for ridge in same:
            steps.append(_step("a better loss", runs, chosen, ridge, losses[0]))

    # What the labels of the training pictures add to their names.
    for run in named:
        for ridge in ridges:
            if _features(runs[ridge]) == _features(runs[run]):
                steps.append(_step("labels, not names alone", runs, chosen, run, ridge))

    return steps + _forms_of_features(runs, chosen, ridges)


def _forms_of_features(runs: Records, chosen: Chosen, ridges: list[str]) -> list[Step | None]:
    """What is made of the same networks' outputs."""
    forms = {MIRRORED: "mirror images", ROOT: "roots of features"}
    steps = []
    for run in ridges:
        backbone, resolution = _features(runs[run])
        for suffix, name in forms.items():
            for other in ridges:
                if _features(runs[other]) == (backbone + suffix, resolution):
                    steps.append(_step(name, runs, chosen, run, other))
    return steps


def _features(records: list[Record]) -> tuple[str, int | None]:
    run = records[0].run
    return run.backbone, run.resolution


def _step(name: str, runs: Records, chosen: Chosen, start: str, end: str) -> Step | None:
    if start == end:
        return None
    maps = [mean_resamples(runs[run]) for run in (end, start)]
    if any(of_run is None or len(of_run) != len(maps[0]) for of_run in maps):
        return None
    return Step(
        name=name,
        start=start,
        end=end,
        by_choice=chosen.maps[end] - chosen.maps[start],
        on_test=run_difference(runs[end], runs[start], tuple(maps)),
    )
