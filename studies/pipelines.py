"""Writes every dvc.yaml below studies/ from the params.yaml and the run files beside it.

python studies/pipelines.py            # from the repository's root
python studies/pipelines.py --check    # exit status 1 where one is not what this would write
"""

import argparse
import sys

from mlrepro.pipelines import pipeline_files


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing, name what differs")
    check = parser.parse_args().check

    stale = []
    for path, text in pipeline_files().items():
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            continue
        stale.append(path.as_posix())
        if not check:
            path.write_text(text, encoding="utf-8")

    print("\n".join(stale) or "every pipeline is as its params.yaml says")
    if check and stale:
        sys.exit(1)


if __name__ == "__main__":
    main()
