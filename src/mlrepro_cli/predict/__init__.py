"""`mlrepro predict`: labels pictures with an exported model; MLflow serves the same answers."""


def _load_pyfunc(folder: str):
    """MLflow's door: the `mlflow/` of every exported model names this package as its loader.

    folder: MLflow's copy of the model folder. Returns an object with `predict(rows)`.
    """
    from mlrepro_cli.predict.serving import ServedModel

    return ServedModel(folder)
