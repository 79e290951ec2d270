"""mlflow/: the model for `mlflow models serve`, with a copy of its folder inside."""

from pathlib import Path

from mlrepro_cli.predict.config import VERSIONS

# The package whose `_load_pyfunc` MLflow calls; it is written into every exported model.
LOADER = "mlrepro_cli.predict"


def write_mlflow(model_folder: Path, folder: Path) -> None:
    """Writes `folder` with a copy of the model folder as it is at this moment."""
    # Imported here, for it takes its time, and most that can be refused is refused before.
    import mlflow.pyfunc

    example = [{"image": "base64 of a picture's file"}]
    mlflow.pyfunc.save_model(
        folder,
        loader_module=LOADER,
        data_path=str(model_folder),
        input_example=example,
        signature=mlflow.models.infer_signature(example),
        pip_requirements=[f"{name}=={version}" for name, version in VERSIONS.items()],
    )
