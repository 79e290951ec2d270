"""config.json of a model folder: what of it a network is built and asked by."""

from collections import Counter
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PositiveFloat,
    ValidationError,
    model_validator,
)

from mlrepro.errors import InputError
from mlrepro.files import refuse_something_else
from mlrepro.models.heads.catalogue import check_head_options
from mlrepro.settings.base import described

CONFIG = "config.json"
WEIGHTS = "model.safetensors"

# Without what names a build, as in 2.14.1+cpu.
VERSIONS = {name: version(name).partition("+")[0] for name in ("mlrepro", "torch", "timm")}

# Pixels a side: more than any network of ours reads.
LARGEST_RESOLUTION = 4096


def _check_different(names: list[str]) -> list[str]:
    for name, count in Counter(names).items():
        if count > 1:
            raise ValueError(f"{name!r} is there {count} times")
    return names


ThreeNumbers = tuple[float, float, float]
Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class Versions(BaseModel):
    """Of what the folder was made with."""

    mlrepro: str
    torch: str
    timm: str


class MadeBy(BaseModel):
    """What every version of the file says."""

    versions: Versions


class ModelConfig(MadeBy):
    """What answers depend on. Beside it stand timm's own keys, and where the run comes from.

    thresholds:   of logits, one a class; none: the class is never predicted.
    appearance:   how a picture is read (data/appearance.py); older folders do not say it.
    resize:       how it is brought to `resolution`; mean and std of its channels follow.
    architecture: timm's key: its network has these weights.
    sha256:       by file of the folder.
    """

    model_config = ConfigDict(strict=True, frozen=True, allow_inf_nan=False)

    classes: Annotated[list[str], Field(min_length=1), AfterValidator(_check_different)]
    thresholds: list[float | None]
    logit_scale: PositiveFloat
    backbone: str
    head: str
    head_options: dict[str, bool | int | float | str]
    resolution: int = Field(ge=1, le=LARGEST_RESOLUTION)
    appearance: Literal["stored", "shown"] = "stored"
    resize: Literal["bilinear", "bicubic", "cv2"]
    mean: ThreeNumbers
    std: tuple[PositiveFloat, PositiveFloat, PositiveFloat]
    architecture: str | None = None
    sha256: dict[str, Digest]

    @model_validator(mode="after")
    def _consistent(self) -> "ModelConfig":
        if len(self.thresholds) != len(self.classes):
            raise ValueError(
                f"{len(self.thresholds)} thresholds for {len(self.classes)} classes; one each"
            )
        if WEIGHTS not in self.sha256:
            raise ValueError(f"sha256 names no {WEIGHTS}, without which there is no network")
        for name in self.sha256:
            if Path(name).name != name:
                raise ValueError(f"sha256: {name!r} is no file of this folder")
        check_head_options(self.head, self.head_options)
        return self


def read_config(folder: Path) -> dict:
    """What a ModelConfig holds.

    Raises InputError for a file of another major version of mlrepro, or that lacks a key, or whose
    values cannot be.
    """
    refuse_something_else(folder / CONFIG)
    content = (folder / CONFIG).read_bytes()
    try:
        _check_version(MadeBy.model_validate_json(content).versions)
        return ModelConfig.model_validate_json(content).model_dump()
    except ValidationError as error:
        raise InputError(f"{CONFIG}:\n{described(error)}") from None


def _check_version(made_by: Versions) -> None:
    then = made_by.mlrepro
    now = VERSIONS["mlrepro"]
    if then.partition(".")[0] != now.partition(".")[0]:
        raise InputError(f"made by mlrepro {then}, which mlrepro {now} cannot read")
