"""Writes the run files of AAM's sweeps.

Each is its data set's run at 224 pixels with one setting changed.

python studies/sweeps.py            # from the repository's root
python studies/sweeps.py --check    # exit status 1 where one is not what this would write
"""

import re
import textwrap
from pathlib import Path

from mlrepro.settings.base import read_yaml
from mlrepro.studies.written_files import write_or_check

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
        base_text = (study / folder / "runs" / f"{base}.yaml").read_text(encoding="utf-8")
        of_sweeps = study / f"{data}-sweeps" / "runs"
        for key, setting in sweeps["settings"].items():
            for suffix, value in setting["values"].items():
                path = of_sweeps / f"{base}_{suffix}.yaml"
                files[path] = changed(base_text, key, setting, suffix, value)
    return files


def changed(base: str, key: str, setting: dict, suffix: str, value: float) -> str:
    """The text of the base run with another value of one setting, another variant and comment."""
    comments = []
    settings = []
    for line in base.splitlines():
        if line.startswith("#"):
            comments.append(line.removeprefix("#").strip())
        else:
            settings.append(line)
    body = "\n".join(settings) + "\n"

    # In the text, since YAML that is read and written again loses how people have laid it out.
    match = re.search(rf"\b{key}: ([^,}}]+)", body)
    if match is None:
        raise SystemExit(f"{key}: the base run does not say it")
    former = float(match[1])
    body = body[: match.start(1)] + str(value) + body[match.end(1) :]
    body = re.sub(r"^variant: oi$", f"variant: oi_{suffix}", body, flags=re.MULTILINE)

    change = f"{setting['title']} {value} instead of {former:g} (Figure {setting['figure']})"
    of_base = re.sub(BASE_ROWS, "", " ".join(comments))
    wrapped = textwrap.fill(
        f"{change}: {of_base}", WIDTH, initial_indent="# ", subsequent_indent="# "
    )
    return f"{wrapped}\n{body}"


def main() -> None:
    description = __doc__.splitlines()[0]
    write_or_check(sweep_files, description, "every run of the sweeps is as sweeps.yaml says")


if __name__ == "__main__":
    main()
