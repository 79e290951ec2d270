"""Unpacks one data set, checks every picture and writes its manifest, which all stages read."""

from pathlib import Path

from mlrepro.data.prepare import prepare
from mlrepro.settings.pipeline import load_data_settings
from mlrepro.stage import main


def stage(settings: str, name: str) -> None:
    print(f"prepare {name}: unpack, check every picture, write data/{name}/manifest.parquet")
    prepare(load_data_settings(Path(settings), name), Path("data") / name)


main(stage, "params.yaml", "data set")
