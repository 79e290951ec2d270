"""Fetches the archives of one data set: mirrors in turn, resumed, verified; good files are kept.

Of own data, where this stage always runs, records of the search that were removed are put back.
"""

from pathlib import Path

from mlrepro.data.download import download
from mlrepro.layout import OWN_DATA, read_layout
from mlrepro.settings.pipeline import load_data_settings
from mlrepro.stage import main
from mlrepro.studies.runs import put_back_searched


def stage(settings: str, name: str) -> None:
    print(f"download {name}: its archives, verified, into data/{name}/archives")
    download(load_data_settings(Path(settings), name), Path("data") / name)
    if Path(settings).parent.name == OWN_DATA:
        put_back_searched(read_layout(settings))


main(stage, "params.yaml", "data set")
