"""Strict settings: unknown keys and mistyped names are errors that offer a remedy."""

import difflib
import re
from pathlib import Path
from typing import Annotated, Any, TypeVar

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    ValidationError,
    model_validator,
)

from mlrepro.errors import InputError
from mlrepro.files import refuse_something_else
from mlrepro.settings.seed import check_seed
from mlrepro.settings.yaml_size import YamlSizeError, check_size

Model = TypeVar("Model", bound=BaseModel)

# As many does a message list of a file.
SHOWN_PROBLEMS = 10

# libyaml's loader is ten times as fast, where it was built.
YAML_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


Seed = Annotated[int, BeforeValidator(check_seed)]


def _check_not_empty(values: list) -> list:
    if not values:
        raise ValueError("the list is empty; write at least one")
    return values


# Of a list: at least one.
NOT_EMPTY = AfterValidator(_check_not_empty)


class Strict(BaseModel):
    """A frozen model that refuses keys it does not know and names the nearest one that it does.

    Its numbers are finite: JSON, which records are, has no others.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values

        valid = list(cls.model_fields)
        for key in values:
            if key not in valid:
                raise ValueError(f"unknown key {key!r}; {nearest(str(key), valid)}")
        return values


# What no name of a file may have in it, on any system.
NOT_IN_FILE_NAMES = re.compile(r"[/\\:\x00-\x1f\x7f]")
LONGEST_FILE_NAME = 200  # bytes: some file systems allow 255, and we add endings


def file_name(name: str) -> str:
    """The name, which is to be of a file or a folder of ours. Raises ValueError where it is a path.

    So that nothing is ever written outside the folder that it belongs to.
    """
    is_path = NOT_IN_FILE_NAMES.search(name) or name.startswith(".")
    too_long = len(name.encode(errors="replace")) > LONGEST_FILE_NAME
    if not name.strip() or is_path or too_long:
        raise ValueError(
            f"{name[:LONGEST_FILE_NAME]!r} is not the name of a file: give one without '/', '\\' "
            f"and ':', that does not begin with '.', of at most {LONGEST_FILE_NAME} bytes"
        )
    return name


def nearest(name: str, valid: list[str]) -> str:
    """A sentence that offers the closest valid name, or lists them all."""
    close = difflib.get_close_matches(name, valid, n=1, cutoff=0.5)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"valid: {', '.join(sorted(valid))}"


def read_yaml(path: Path) -> dict:
    """The mapping that a YAML file holds. Raises InputError for every other content."""
    refuse_something_else(Path(path))
    try:
        text = Path(path).read_text(encoding="utf-8")
        check_size(text, YAML_LOADER)
        values = yaml.load(text, YAML_LOADER)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except YamlSizeError as error:
        raise InputError(f"{path}: {error}") from None
    # ValueError: of text that is no UTF-8, a 32nd day, a number of thousands of digits.
    except (yaml.YAMLError, ValueError) as error:
        raise InputError(f"{path}: not readable as YAML: {error}") from None

    if not isinstance(values, dict):
        raise InputError(f"{path}: expected `key: value` lines, found {type(values).__name__}")
    return values


def load(model: type[Model], path: Path) -> Model:
    """Reads a YAML file as `model`.

    Raises InputError that names the file, each wrong key and the nearest valid name.
    """
    try:
        return model.model_validate(read_yaml(path))
    except ValidationError as error:
        raise InputError(f"{path}:\n{described(error)}") from None


def load_json(model: type[Model], path: Path, what: str, remedy: str) -> Model:
    """Reads a JSON file that a program wrote as `model`.

    what: that it should be, such as "a result record". remedy: a clause.
    Raises InputError that names the file, each wrong key and the remedy, whatever is wrong: the
    file may be gone, cut off, changed by hand, or another program's.
    """
    refuse_something_else(path)
    try:
        return model.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; {remedy}") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); {remedy}") from None
    except ValidationError as error:
        raise InputError(f"{path}: not {what}; {remedy}:\n{described(error)}") from None


def described(error: ValidationError) -> str:
    """A line for each of pydantic's errors, in our words."""
    problems = error.errors()
    lines = [f"  {_describe(problem)}" for problem in problems[:SHOWN_PROBLEMS]]
    if len(problems) > SHOWN_PROBLEMS:
        lines.append(f"  and {len(problems) - SHOWN_PROBLEMS} more")
    return "\n".join(lines)


def _describe(problem: dict) -> str:
    """One of pydantic's errors in our words: where it is, what is wrong, what would be right."""
    where = ".".join(str(part) for part in problem["loc"]) or "top level"
    context = problem.get("ctx", {})

    # A name out of a list: pydantic quotes the list, we offer the nearest of it.
    expected = context.get("expected") or context.get("expected_tags")
    if expected:
        given = context.get("tag", problem["input"])
        valid = re.findall(r"'([^']+)'", expected)
        return f"{where}: {given!r} is not a valid name; {nearest(str(given), valid)}"

    message = problem["msg"].removeprefix("Value error, ")
    return f"{where}: {message}"
