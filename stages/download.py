"""Fetches the archives of one data set: mirrors in turn, resumed, verified; good files are kept."""

from pathlib import Path

from mlrepro.data.download import download
from mlrepro.settings.pipeline import load_data_settings
from mlrepro.stage import main


def stage(settings: str, name: str) -> None:
    print(f"download {name}: its archives, verified, into data/{name}/archives")
    download(load_data_settings(Path(settings), name), Path("data") / name)


main(stage, "params.yaml", "data set")
