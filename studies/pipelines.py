"""Writes every dvc.yaml below studies/ from the params.yaml and the run files beside it.

python studies/pipelines.py            # from the repository's root
python studies/pipelines.py --check    # exit status 1 where one is not what this would write
"""

from mlrepro.pipelines import pipeline_files
from mlrepro.studies.written_files import write_or_check


def main() -> None:
    description = __doc__.splitlines()[0]
    write_or_check(pipeline_files, description, "every pipeline is as its params.yaml says")


if __name__ == "__main__":
    main()
