"""Typed settings of data sets, observed labels, features and captions. Unknown keys are errors. No torch."""

import difflib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Split = Literal["train", "val", "test"]
VOC_CLASSES = (
    "aeroplane bicycle bird boat bottle bus car cat chair cow diningtable dog horse motorbike person pottedplant "
    "sheep sofa train tvmonitor"
).split()


def nearest(name: str, valid: list[str]) -> str:
    """A sentence that offers the closest valid name, or lists them all."""
    close = difflib.get_close_matches(name, valid, n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else f"valid: {', '.join(sorted(valid))}"


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, values: Any) -> Any:
        if isinstance(values, dict):
            for key in values:
                if key not in cls.model_fields:
                    raise ValueError(
                        f"unknown key {key!r}; {nearest(str(key), list(cls.model_fields))}"
                    )
        return values


class Archive(Strict):
    """One file to fetch. `urls`: mirrors in order; http(s)://, package://module/file, a file or a folder that holds it."""

    name: str
    urls: list[str] = []
    sha256: str | None = None
    md5: str | None = None
    size: int | None = None


class HoldOut(Strict):
    """Validation (or test) rows cut out of train (Cole et al. 2021: 20 %, numpy RandomState(1200))."""

    fraction: float = Field(0.2, gt=0, lt=1)
    seed: int = 1200
    train: int | None = Field(
        None, ge=2
    )  # so many of the rest, drawn by the seed, are kept (captions: 1,000); none: all
    split: Literal["val", "test"] = "val"


class Shards(Strict):
    """WebDataset tar files that prepare writes into data/<set>/shards, and that pictures are then read from (data/shards.py)."""

    pictures: int = Field(1000, ge=1)  # a shard
    address: str | None = (
        None  # http(s):// prefix, or folder (below data/<set>), that they were copied to; none: not copied
    )
    kept: int | None = Field(
        None, ge=32
    )  # so many of those behind http(s):// stay on a machine's disk, the latest; none: all


class _Data(Strict):
    archives: list[Archive] = []
    folder: Path | None = None  # a data set that is already unpacked, used in place
    hold_out: HoldOut | None = None
    rejected_limit: float = Field(
        0.001, ge=0, le=1
    )  # share of unreadable pictures above which prepare stops
    shards: Shards | None = None  # none: pictures are read from their files

    @model_validator(mode="after")
    def _one_source(self):
        if bool(self.archives) == bool(self.folder):
            raise ValueError(
                "give either `archives` (to download) or `folder` (already unpacked), not both or neither"
            )
        return self


DifficultRule = Literal["negative", "positive", "ignore"]


class VocData(_Data):
    format: Literal["voc"]
    root: str  # e.g. VOCdevkit/VOC2012, below the archives' folder
    splits: dict[
        Split, str | list[str]
    ]  # our split -> ImageSets/Main/<name>.txt, of one set or of several
    classes: list[str] = VOC_CLASSES
    difficult: DifficultRule | dict[Split, DifficultRule]


class CocoPart(Strict):
    images: str  # folder of the pictures, e.g. train2014
    instances: str  # e.g. annotations/instances_train2014.json
    captions: str | None = None


class CocoData(_Data):
    format: Literal["coco"]
    splits: dict[Split, CocoPart]
    unannotated: Literal[
        "keep", "drop"
    ]  # pictures without any annotated object: all-zero rows, or left out
    uncaptioned: Literal["keep", "drop"] = "keep"  # pictures without a caption
    class_order: Literal["category_id", "alphabetical"]
    row_order: Literal["id_text", "id_number"] = (
        "id_text"  # id_text: ids sorted as strings, as Cole et al.'s files are
    )


class CsvData(_Data):
    """A table with one row a picture. Pictures are named relative to `pictures`."""

    format: Literal["csv"]
    table: str
    pictures: str | None = "."  # none: there are none, the captions are used alone
    unlabelled: str | None = (
        None  # a table without labels and splits; its rows get the split `unlabelled`
    )
    image_column: str = "image"
    labels_column: str = "labels"
    split_column: str | None = (
        "split"  # none: every row is `train`, and test_fraction is cut out of it
    )
    caption_column: str | None = None
    separator: str = " "  # between the labels of one picture
    classes: list[str] | None = None  # none: every label that occurs, sorted
    test_fraction: float | None = Field(None, gt=0, lt=1)
    test_seed: int = 1200


class DigitsData(_Data):
    """Pictures composed from scikit-learn's handwritten digits; see data/formats/digits.py."""

    format: Literal["digits"]
    pictures: dict[Split, int]
    seed: int = 0


class FormattedData(_Data):
    """The .npy files of Cole et al. 2021, formatted_<part>_images.npy and the like, in `archives` or in `folder`."""

    format: Literal["formatted"]
    splits: dict[Split, str] = {
        "train": "train",
        "test": "val",
    }  # our split -> part; their "val" is the test set
    pictures: str = "."  # what the listed paths are relative to, below the picture root
    class_names: str | None = (
        None  # a text file below the picture root, one name a line; none: the class indices
    )


class CubData(_Data):
    format: Literal["cub"]
    root: str = "CUB_200_2011"  # below the archive's folder


class ListsData(_Data):
    """deep-object-reid's JSON lists: {"classes": [...], "images": [[path, [a label, or one an object]], ...]}."""

    format: Literal["lists"]
    splits: dict[Split, str]  # our split -> list
    pictures: str = "."  # what the listed paths are relative to


class MirflickrData(_Data):
    """MIRFLICKR-25K with its 14 labels of what is clearly there; 001 does not say which 20,000 pictures it used."""

    format: Literal["mirflickr"]
    annotations: str = "."  # folder of the files <label>_r1.txt
    classes: list[str] = (
        "baby bird car clouds dog female flower male night people portrait river sea tree".split()
    )
    pictures: int = Field(20_000, ge=2, le=25_000)
    test_fraction: float = Field(0.2, gt=0, lt=1)
    seed: int = 0  # draws the pictures, and the test set among them


class OpenImagesData(_Data):
    """Open Images: verified image-level labels, and pictures that the download stage fetches one by one."""

    format: Literal["openimages"]
    class_names: str  # archive: id and name of each class, in class order
    splits: dict[
        Split, dict[Literal["train", "validation", "test"], str]
    ]  # our split -> their parts, each with its archive
    # In training, a class that nobody verified; in validation and test it is ignored (counted as negative, a model of 86.8 mAP
    # scores 28 to 33: ML-Decoder's issue 41).
    unverified: Literal["negative", "ignore"]
    picture_url: str  # of <part>/<id>.jpg


DataSettings = Annotated[
    VocData
    | CocoData
    | CsvData
    | DigitsData
    | FormattedData
    | CubData
    | ListsData
    | MirflickrData
    | OpenImagesData,
    Field(discriminator="format"),
]


class Corruption(Strict):
    """Observed labels: `positives` known positives a picture (-1: all) and `negatives` known negatives (iu: at least one)."""

    positives: int = Field(1, ge=-1)
    negatives: int = Field(0, ge=-1)
    seed: int = 1200


class Published(Strict):
    """Names of .npy files (N, channels) in the data set's archives: of the pictures of train, held out ones too, and of test."""

    train: str
    test: str


class Features(Strict):
    """A frozen backbone whose pooled output the `linear` runs train on: extracted by us, or as its authors published it."""

    backbone: str
    weights: str | None = None
    published: Published | None = None
    resolution: int = Field(ge=32)
    maps: bool = False  # the feature maps before pooling, for runs with `inputs: maps`
    batch_size: int | None = Field(None, ge=1)  # none: what the memory holds

    @model_validator(mode="after")
    def _one_source(self):
        if bool(self.weights) == bool(self.published):
            raise ValueError(
                "give either `weights` (to extract with) or `published` (files of features), not both or neither"
            )
        if self.maps and self.published:
            raise ValueError("`maps` needs `weights`: published features are pooled")
        return self


class Captions(Strict):
    """A frozen text model; the vectors of the pictures' captions are computed once (stages/embed.py)."""

    name: str = Field(pattern="^[A-Za-z0-9_]+$")  # of the file of vectors, and in run ids
    model: str  # package://module/folder, a folder, or a name on Hugging Face's hub
    pooling: Literal["cls", "mean"]  # the first token's vector, or the mean over all tokens
    sha256: str | None = (
        None  # of the model's weights, as the embed stage prints it; vectors of others are refused
    )
