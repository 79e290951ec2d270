"""Audits the scores that third parties have handed in for a study, and writes their records.

Scores on the web are fetched; others, and all labels, are placed below data/ by a person.
"""

from pathlib import Path

from mlrepro.errors import InputError
from mlrepro.stage import main
from mlrepro.studies.external import FOLDER, read_external
from mlrepro_cli.audit.external import fetch_scores, renew_record, settings_files


def stage(study: str) -> None:
    files = settings_files(Path(study))
    if not files:
        raise InputError(f"{study}/{FOLDER}: no settings; see docs/contributing-scores.md")

    for path in files:
        fetch_scores(read_external(path))
        change = "written" if renew_record(path) else "as it was"
        print(f"external {path.stem}: {path.with_suffix('.json')}, {change}")


main(stage, "studies/<study>")
