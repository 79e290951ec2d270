"""Writes the run files of studies that try every variant of one run on every backbone.

Each such study has a variants.yaml: the settings that all runs share, the backbones, and by variant
a comment and the settings that it changes.

python studies/variants.py            # from the repository's root
python studies/variants.py --check    # exit status 1 where one is not what this would write
"""

from pathlib import Path

import yaml

from mlrepro.settings.base import read_yaml
from mlrepro.settings.run import Run
from mlrepro.studies.written_files import write_or_check

STUDIES = Path("studies")
DESCRIPTION = "variants.yaml"

# Settings of a run that are mappings stand in one line, as people write them.
WIDTH = 1000


def variant_files(studies: Path = STUDIES) -> dict[Path, str]:
    """What every run file of such a study should hold, by path."""
    files = {}
    for path in sorted(studies.glob(f"*/{DESCRIPTION}")):
        described = read_yaml(path)
        for backbone in described["backbones"]:
            for name, variant in described["variants"].items():
                settings = _settings(described, backbone, name, variant)
                run_id = Run.model_validate(settings).run_id
                text = _run_file(variant["comment"], settings)
                files[path.parent / "runs" / f"{run_id}.yaml"] = text
    return files


def _settings(described: dict, backbone: str, name: str, variant: dict) -> dict:
    """The settings of one run. A variant called `base` changes nothing that the run id must say."""
    settings = described["settings"] | {"backbone": backbone} | variant.get("changes", {})
    if variant.get("named", True):
        settings["variant"] = name
    return settings


def _run_file(comment: str, settings: dict) -> str:
    lines = [f"# {line}" for line in comment.strip().splitlines()]
    for key, value in settings.items():
        text = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=WIDTH)
        # Behind a number or a word, YAML writes that the document ends.
        value_alone = text.removesuffix("...\n").strip()
        lines.append(f"{key}: {value_alone}")
    return "\n".join(lines) + "\n"


def main() -> None:
    description = __doc__.splitlines()[0]
    write_or_check(variant_files, description, "every run file is as its variants.yaml says")


if __name__ == "__main__":
    main()
