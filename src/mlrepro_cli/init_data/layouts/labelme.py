"""LabelMe's JSON: a file a picture, with shapes and flags."""

from collections.abc import Iterator

from mlrepro_cli.init_data.layouts.rows import ABSENT, LabelFile, LabelRow
from mlrepro_cli.init_data.name_forms import stem

NAME = "LabelMe's files"
# Of a region that nobody has looked at.
IGNORED = "__ignore__"


def is_it(content: dict | list) -> bool:
    return (
        isinstance(content, dict)
        and isinstance(content.get("shapes"), list)
        and "imagePath" in content
    )


def read(file: LabelFile, content: dict) -> Iterator[LabelRow]:
    # The file is called as its picture is; the path in it, which may be that of another machine,
    # says the suffix and the folder.
    own, written = file.path.stem, str(content["imagePath"] or "")
    last = written.replace("\\", "/").rpartition("/")[2]
    picture = written if last and stem(last) == own else own
    labels = {shape["label"] for shape in content["shapes"]} - {IGNORED}
    flags = content.get("flags") or {}
    labels |= {flag for flag, is_set in flags.items() if is_set}

    for label in sorted(labels) or [""]:
        yield LabelRow(picture, file.split, label)
    for flag in sorted(set(flags) - labels):
        yield LabelRow(picture, file.split, flag, ABSENT)
