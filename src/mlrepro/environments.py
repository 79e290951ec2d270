"""What varies by nature between two runs of the same thing: machine, versions, seconds, commit.

A training and an evaluation write it into a JSON of its own beside what they make. The report stage
gathers those of a pipeline into one table, environment.csv, which git keeps beside the records.
"""

import csv
import io
from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from mlrepro.errors import InputError
from mlrepro.files import file_sha256, write_bytes, write_json
from mlrepro.settings.base import Strict, described, load_json

TABLE = "environment.csv"


class Environment(Strict):
    """Where, when and with what a record was made. What is not known is none, or empty.

    commit:             or "unknown: " with the reason, where git named none.
    dirty:              whether code differed from the commit.
    images_per_second:  of training, all epochs; of a run with `epochs: 0`, of scoring the test
                        split.
    forward_per_second: of own data: pictures, of the whole network's forward pass, decoded before.
    weights_sha256:     of the produced files, by selection.
    record_sha256:      of the record's file that was written with it.
    """

    commit: str | None = None
    dirty: bool | None = None
    device: str | None = None
    precision: str | None = None
    threads: int | None = None
    python: str | None = None
    versions: dict[str, str] = {}
    train_seconds: float | None = None
    images_per_second: float | None = None
    peak_memory_mib: float | None = None
    forward_per_second: float | None = None
    weights_sha256: dict[str, str] = {}
    record_sha256: str | None = None


# It says something only where the run's outputs are.
LOCAL = ("record_sha256",)
MAPPINGS = ("versions", "weights_sha256")
COLUMNS = [field for field in Environment.model_fields if field not in LOCAL]

# By the record's name, <run>-s<seed>.
Environments = dict[str, Environment]


# ---- One run -----------------------------------------------------------------------------------


def write_environment(environment: Environment, path: Path, record: Path | None = None) -> None:
    """record: the file that was written with it, if any."""
    if record:
        environment = environment.model_copy(update={"record_sha256": file_sha256(record)})
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, environment.model_dump(mode="json", exclude_defaults=True))


def read_environment(path: Path) -> Environment:
    """An empty one where the file is absent."""
    if not path.is_file():
        return Environment()
    remedy = "delete it; without it, the report's cells of the machine stay empty"
    return load_json(Environment, path, "an environment as our stages write it", remedy)


# ---- The table of a folder of records ----------------------------------------------------------


def read_environments(results: Path) -> Environments:
    """The table of a folder of records, empty where there is none.

    Raises InputError for one that is damaged, such as by a merge that was not finished.
    """
    path = results / TABLE
    if not path.is_file():
        return {}

    environments = {}
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file, strict=True)
        try:
            for row in reader:
                name = f"{row['run']}-s{int(row['seed'])}"
                environments[name] = _of_row(row)
        except (ValueError, TypeError, KeyError, csv.Error) as error:
            problem = described(error) if isinstance(error, ValidationError) else f"  {error!r}"
            raise InputError(
                f"{path}, line {reader.line_num}: not a line of this table; mend it, or delete the "
                f"table: the report stage gathers what is at hand:\n{problem}"
            ) from None
    return environments


def gather_environments(results: Path, at_hand: Mapping[str, Path]) -> None:
    """Takes those at hand into the table of a folder of records.

    at_hand: files of write_environment by the record's name. One that was written with another
    record than the present one is left. Lines of other runs stay as they are, unless their record
    is gone. The file is written only where it changes.
    """
    environments = read_environments(results)
    for name, path in at_hand.items():
        record = results / f"{name}.json"
        environment = read_environment(path)
        if record.is_file() and environment.record_sha256 == file_sha256(record):
            environments[name] = environment

    kept = {
        name: environment
        for name, environment in environments.items()
        if (results / f"{name}.json").is_file()
    }
    if kept:
        _write_table(kept, results / TABLE)


def _write_table(environments: Environments, path: Path) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, ["run", "seed", *COLUMNS], lineterminator="\n")
    writer.writeheader()
    for name in sorted(environments, key=_run_and_seed):
        run_id, seed = _run_and_seed(name)
        writer.writerow({"run": run_id, "seed": seed} | _row(environments[name]))

    content = text.getvalue().encode()
    if not path.is_file() or path.read_bytes() != content:
        write_bytes(path, content)


def _run_and_seed(name: str) -> tuple[str, int]:
    run_id, _, seed = name.rpartition("-s")
    return run_id, int(seed)


def _row(environment: Environment) -> dict[str, object]:
    """The cells of its line. A mapping is `key=value key=value`; what is not known is empty."""
    values = environment.model_dump(mode="json")
    for name in MAPPINGS:
        values[name] = " ".join(f"{key}={value}" for key, value in values[name].items())
    return {name: values[name] for name in COLUMNS}


def _of_row(row: dict[str, str]) -> Environment:
    values: dict[str, object] = {
        name: row[name] for name in COLUMNS if row.get(name) and name not in MAPPINGS
    }
    for name in MAPPINGS:
        pairs = [pair.partition("=") for pair in (row.get(name) or "").split()]
        values[name] = {key: value for key, _, value in pairs}
    return Environment.model_validate(values)
