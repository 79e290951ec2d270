"""Writes the run files of AAM's sweeps.

Each is its data set's run at 224 pixels with one setting changed.

python studies/sweeps.py            # from the repository's root
python studies/sweeps.py --check    # exit status 1 where one is not what this would write
"""

import argparse
import re
import sys
import textwrap
from pathlib import Path

from mlrepro.settings.base import read_yaml

STUDY = Path("studies/aam")
WIDTH = 122

# What the base run's comment says of itself, and a sweep's run is not.
BASE_ROWS = r" \(Table 9; the middle of Figures 2 to 4\)"


def sweep_files(study: Path = STUDY) -> dict[Path, str]:
    """What every run file of the sweeps should hold, by path; see sweeps.yaml."""
    sweeps = read_yaml(study / "sweeps.yaml")
    files = {}
    for data, folder in sweeps["folders"].items():
        base = sweeps["base"].format(data=data)
        text = (study / folder / "runs" / f"{base}.yaml").read_text(encoding="utf-8")
        for key, setting in sweeps["settings"].items():
            for suffix, value in setting["values"].items():
                path = study / f"{data}-sweeps" / "runs" / f"{base}_{suffix}.yaml"
                files[path] = changed(text, key, setting, suffix, value)
    return files


def changed(base: str, key: str, setting: dict, suffix: str, value: float) -> str:
    """The text of the base run with another value of one setting, another variant and comment."""
    lines = base.splitlines()
    comments = [line.removeprefix("#").strip() for line in lines if line.startswith("#")]
    body = "\n".join(line for line in lines if not line.startswith("#")) + "\n"

    match = re.search(rf"\b{key}: ([^,}}]+)", body)
    if match is None:
        raise SystemExit(f"{key}: the base run does not say it")
    body = body[: match.start(1)] + str(value) + body[match.end(1) :]
    body = re.sub(r"^variant: oi$", f"variant: oi_{suffix}", body, flags=re.MULTILINE)

    described = re.sub(BASE_ROWS, "", " ".join(comments))
    change = (
        f"{setting['title']} {value} instead of {float(match[1]):g} (Figure {setting['figure']})"
    )
    comment = f"{change}: {described}"
    prefix = "# "
    wrapped = textwrap.fill(comment, WIDTH, initial_indent=prefix, subsequent_indent=prefix)
    return f"{wrapped}\n{body}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing, name what differs")
    check = parser.parse_args().check

    stale = []
    for path, text in sweep_files().items():
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            continue
        stale.append(path.as_posix())
        if not check:
            path.write_text(text, encoding="utf-8")

    print("\n".join(stale) or "every run of the sweeps is as sweeps.yaml says")
    if check and stale:
        sys.exit(1)


if __name__ == "__main__":
    main()
