"""Writes the table of a user's labels, params.yaml and run files, as budgets.yaml says."""

from hashlib import sha256
from pathlib import Path

import pandas
import yaml

from mlrepro.data.manifest import SUMMARY, manifest_digest, read_manifest
from mlrepro.data.picture_names import picture_name
from mlrepro.errors import InputError
from mlrepro.files import file_sha256
from mlrepro.layout import OWN_TABLES
from mlrepro.records import read_records
from mlrepro.report.render import count
from mlrepro.settings.base import read_yaml
from mlrepro.settings.losses import FULL_LABEL_LOSSES
from mlrepro.settings.pipeline import RUNS_OF_BUDGET
from mlrepro.settings.run import Run
from mlrepro_cli.init_data.backbones import Wanted, choose_backbones, tell_zero_shot
from mlrepro_cli.init_data.label_answers import Applied
from mlrepro_cli.init_data.own_data import OwnData

# What may be between labels: the first that is in none of them.
SEPARATORS = "|;,\t\x1f"
DATA = Path("data")
# Of more files, as of one a picture, it is not noted what they hold.
MOST_LABEL_FILES = 100
HEADING = "# Written by `mlrepro init-data`: run that again when pictures or labels change.\n"


def write_settings(
    to: Path,
    name: str,
    own: OwnData,
    wanted: Wanted,
    partial: bool,
    applied: Applied | None = None,
) -> None:
    """Writes the settings of the pipeline in `to`, and prints what to do next.

    The losses of the runs are those that the search found best on validation, if it has run.
    partial: labels that are not given are unknown. applied: what answers changed. An older
    params.yaml is kept beside the new one; run files that are there stay.
    """
    separator = _separator(own)
    text = _table(own, separator)
    # DVC notices a change by the name.
    digest = sha256(text.encode()).hexdigest()[:8]
    table = OWN_TABLES.resolve() / f"{name}-{digest}.csv"

    # What the budget asks for, with the user's resolution.
    known = choose_backbones(read_yaml(to / "budgets.yaml"), wanted)
    losses = known["losses"]
    has_unknown = bool(own.unknown.any())
    if partial or has_unknown:
        losses = losses + known["partial_losses"]
    runs = _runs(
        known, losses, RUNS_OF_BUDGET[wanted.budget], _validation_mAPs(to / "results" / name, own)
    )

    # The pipeline's settings, read by every stage.
    settings = {
        "name": name,
        "title": f"Own data: {name}",
        "budget": wanted.budget,
        "intro": _intro(len(own.frame), known, wanted.budget, partial, applied),
        "data": {name: _data_settings(own, table, separator)},
        "corruption": _corruption(has_unknown),
        "features": known["features"],
        "backbones": known["backbones"],
        "search": known["search"] | {"losses": losses},
        "zero_shot": known["zero_shot"],
        "seeds": known["seeds"],
        "runs": [run.run_id for run in runs],
    }

    file = to / "params.yaml"
    _keep_older(file)
    _write(table, text)
    _write(file, HEADING + yaml.safe_dump(settings, sort_keys=False, allow_unicode=True))
    for run in runs:
        _write_new_run(to / "runs" / f"{run.run_id}.yaml", run)

    tell_zero_shot(known["zero_shot"])
    minutes = known["minutes"][wanted.budget] * len(own.frame) // 1000 + 1
    more = f" and {count(len(runs), 'more run')}" if runs else ""
    print(
        f"Written: {file}, with ridge regressions on the features of {len(known['backbones']) + 1} "
        f"backbones, {len(losses)} losses on those of the last{more}. Next, about "
        f"{count(minutes, 'minute')} on two cores: dvc repro {to / 'dvc.yaml'}"
    )


def _corruption(has_unknown: bool) -> dict:
    """All labels are kept as they are.

    Where some are unknown, those that are absent are known to be. Else, one that is not given is 0.
    """
    if has_unknown:
        return {"positives": -1, "negatives": -1, "ignored": "unobserved"}
    return {"positives": -1, "negatives": 0}


def _data_settings(own: OwnData, table: Path, separator: str) -> dict:
    settings = {
        "format": "csv",
        "folder": own.root.as_posix(),
        "table": table.as_posix(),
        "separator": separator,
        "appearance": "shown",
        "watched": True,
    }
    if own.unknown.any():
        settings["unknown_column"] = "unknown"
    label_files = _label_files(own)
    if label_files:
        settings["label_files"] = label_files
    return settings


def _label_files(own: OwnData) -> dict[str, str]:
    """sha256 by path, by which it is seen that labels were changed; none of many files."""
    if len(own.label_files) > MOST_LABEL_FILES:
        return {}
    # What is no UTF-8 cannot stand in the settings.
    named = [file for file in own.label_files if picture_name(str(file)) == str(file)]
    return {str(file): file_sha256(file) for file in named}


def _separator(own: OwnData) -> str:
    """A mark that is in no label. Raises InputError where all are."""
    used = {character for name in own.classes for character in name}
    for mark in SEPARATORS:
        if mark not in used:
            return mark
    raise InputError(
        f"{own.root}: labels hold all of {SEPARATORS!r}, and none is left to stand between two "
        "labels; mend them: leave one of these out of all"
    )


def _table(own: OwnData, separator: str) -> str:
    """The pictures' labels as csv.

    Columns of unknown labels, and of what belongs together, only where there are such.
    """
    columns = {
        "image": [_path(image) for image in own.frame["image"]],
        "labels": [separator.join(sorted(names)) for names in own.frame["label"]],
        "split": own.frame["split"],
    }
    if own.unknown.any():
        columns["unknown"] = [separator.join(sorted(names)) for names in own.frame["unknown"]]
    if own.frame["together"].duplicated().any():
        columns["group"] = own.frame["together"]
    return pandas.DataFrame(columns).to_csv(index=False)


def _path(image: str) -> str:
    """The path of a picture; readers of tables take away the spaces that it begins with."""
    return f"./{image}" if image[0].isspace() else image


def _validation_mAPs(results: Path, own: OwnData) -> dict[str, float]:
    """The best validation mAP, in percent, of each loss that the search has trained on these."""
    data = DATA / results.name
    # Other pictures may have had this name.
    if not (data / SUMMARY).is_file() or read_manifest(data).root != own.root:
        return {}

    digest = manifest_digest(data)
    scores = {}
    # A search trains each loss with several seeds; the first tells enough.
    for first, *_ in read_records(results).values():
        if first.run.inputs == "features" and first.provenance.manifest_sha256 == digest:
            scores[first.run.loss.name] = max(epoch.val_mAP for epoch in first.history)
    return scores


def _runs(
    known: dict,
    losses: list[dict],
    count: int,
    validation_mAPs: dict[str, float],
) -> list[Run]:
    """The first runs of budgets.yaml, each with the loss whose rank on validation it asks for."""
    best_first = sorted(losses, key=lambda loss: -validation_mAPs.get(loss["name"], 0))

    runs = []
    for entry in known["runs"][:count]:
        loss = best_first[entry["loss"]]
        labels = "full" if loss["name"] in FULL_LABEL_LOSSES else "single"
        chosen = {"data": "own", "loss": loss, "labels": labels}
        runs.append(Run(**known["network"] | entry | chosen))
    return runs


def _intro(pictures: int, known: dict, budget: str, partial: bool, applied: Applied | None) -> str:
    resolution = known["features"]["resolution"]
    text = f"Methods compared on {pictures} pictures with `budget: {budget}`, at {resolution} px."
    if partial:
        text += (
            " Labels that are not given are unknown, also of test pictures: every score is below "
            "the truth."
        )
    if applied:
        text += f" {applied.total} answers to its label review are applied: {applied}."
    return text


def _keep_older(file: Path) -> None:
    if file.exists():
        older = len(list(file.parent.glob(f"{file.name}.bak*")))
        file.rename(file.with_name(f"{file.name}.bak{older}"))


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")


def _write_new_run(file: Path, run: Run) -> None:
    """Writes a run file, unless the user has one."""
    if not file.exists():
        settings = run.model_dump(mode="json", exclude_defaults=True)
        _write(file, yaml.safe_dump(settings, sort_keys=False))
