"""A JSON a picture, `1.json` beside `1.jpg`, of `{"tags": ["cat"], ...}`: only where asked.

Programs that fetch pictures write such files, and their tags may be anything.
"""

import json
from collections.abc import Iterator

from mlrepro.data.formats import read_text
from mlrepro.errors import InputError
from mlrepro_cli.init_data.answers import Question
from mlrepro_cli.init_data.layouts.rows import LabelFile, LabelRow, UserFolder
from mlrepro_cli.init_data.layouts.sidecars import read_sidecars, sidecars_of_pictures
from mlrepro_cli.init_data.layouts.table.headers import label_family

NAME = "a JSON of labels a picture"
OPTION = "json-files"
SUFFIX = ".json"


def read(folder: UserFolder) -> Iterator[LabelRow]:
    if folder.answers.layout == OPTION:
        yield from read_sidecars(folder, SUFFIX, _labels)


def hint(folder: UserFolder) -> list[str]:
    """A clause where there are such files, with labels by a key that is called so."""
    files = sidecars_of_pictures(folder, SUFFIX)
    keys: dict[str, None] = {}
    for file in files.values():
        try:
            keys |= dict.fromkeys(_keys(file, _content(file)))
        except InputError:
            continue
    if not keys:
        return []
    return [
        f"{len(files)} pictures have a JSON of their name with {', '.join(keys)} in it: if these "
        f"are labels, say --layout {OPTION}"
    ]


def _content(file: LabelFile) -> dict:
    try:
        content = json.loads(read_text(file.path, file.answers.encoding or ""))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{file.path}: no valid JSON ({error}); mend it or move it away") from None
    return content if isinstance(content, dict) else {}


def _keys(file: LabelFile, content: dict) -> list[str]:
    """Those of labels: that the user names, or that are called so."""
    wanted = file.answers.label_columns
    return [
        key
        for key, value in content.items()
        if (key in wanted if wanted else label_family(key) is not None)
        and isinstance(value, list | str)
    ]


def _labels(file: LabelFile) -> set[str]:
    content = _content(file)
    keys = _keys(file, content)
    if len(keys) > 1 and not file.answers.label_columns:
        options = " or ".join(f"--labels-column {key!r}" for key in keys)
        raise Question(f"{file.path}: labels in {', '.join(keys)}; say which with {options}")
    if not keys:
        raise InputError(
            f"{file.path}: no list of labels in it (its keys: {', '.join(content)}); say which key "
            "holds them, --labels-column KEY, or move the file away"
        )
    found = [content[key] for key in keys]
    labels = {label for value in found for label in ([value] if isinstance(value, str) else value)}
    odd = [label for label in labels if not isinstance(label, str)]
    if odd:
        raise InputError(f'{file.path}: {odd[0]!r} is no label; write names, such as ["cat"]')
    return labels - {""}
