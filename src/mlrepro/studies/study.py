"""A study as its folder describes it: study.yaml and reported.csv together."""

from pathlib import Path

from mlrepro.settings.base import Strict, load
from mlrepro.settings.run_id import parse_run_id
from mlrepro.studies.description import Description
from mlrepro.studies.reported import ReportedRow, load_reported


class Study(Strict):
    """A source document: what we say of it, and what it prints."""

    name: str
    description: Description
    rows: list[ReportedRow]

    @property
    def runs(self) -> list[str]:
        """Run ids of the printed rows and of the sweeps, sorted."""
        runs = {row.run for row in self.rows if row.run}
        for sweep in self.description.sweeps:
            runs.update(sweep.runs)
        return sorted(runs)

    @property
    def models(self) -> list[str]:
        """Run ids whose networks have a cost to be measured: those that read pictures."""
        networks = {*self.runs, *self.description.gflops_of.values()}
        return [run for run in sorted(networks) if parse_run_id(run).resolution]


def load_study(folder: Path) -> Study:
    """Reads study.yaml and reported.csv of studies/<name>.

    That the two agree is for `studies.checks.check_study` to say.
    """
    return Study(
        name=folder.name,
        description=load(Description, folder / "study.yaml"),
        rows=load_reported(folder / "reported.csv"),
    )
