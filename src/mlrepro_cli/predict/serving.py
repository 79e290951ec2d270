"""A model as `mlflow models serve` runs it."""

import base64
import io
from pathlib import Path

import pandas

from mlrepro_cli.predict.answer import predict
from mlrepro_cli.predict.model import load_model


class ServedModel:
    """Answers to rows with a column `image`: the base64 of a picture's file."""

    def __init__(self, folder: str):
        self._config, self._network = load_model(Path(folder))

    def predict(self, rows: pandas.DataFrame) -> list[dict]:
        """An answer a row, whose `image` is the row's number."""

        def file(row: int) -> io.BytesIO:
            return io.BytesIO(base64.b64decode(rows["image"].iloc[row], validate=True))

        return list(predict(self._config, self._network, range(len(rows)), file))
