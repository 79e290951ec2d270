"""What a params.yaml may say of data sets, observed labels, features and captions."""

from pathlib import Path
from typing import Annotated, Literal, Union

from pydantic import AfterValidator, Field, field_validator, model_validator

from mlrepro.addresses import has_secrets
from mlrepro.settings.base import Seed, Strict, file_name

Split = Literal["train", "val", "test"]
DifficultRule = Literal["negative", "positive", "ignore"]

VOC_CLASSES = [
    "aeroplane",
    "bicycle",
    "bird",
    "boat",
    "bottle",
    "bus",
    "car",
    "cat",
    "chair",
    "cow",
    "diningtable",
    "dog",
    "horse",
    "motorbike",
    "person",
    "pottedplant",
    "sheep",
    "sofa",
    "train",
    "tvmonitor",
]

# Of what is clearly there (the annotations' suffix _r1), in the order of the files.
MIRFLICKR_CLASSES = [
    "baby",
    "bird",
    "car",
    "clouds",
    "dog",
    "female",
    "flower",
    "male",
    "night",
    "people",
    "portrait",
    "river",
    "sea",
    "tree",
]


# What we add to the names of archives, for a download that is not complete.
OURS = (".part", ".part.json", ".lock")


class Archive(Strict):
    """One file to fetch.

    `urls`: mirrors in order; http(s)://, package://module/file, a file or a folder that holds it.
    """

    name: Annotated[str, AfterValidator(file_name)]
    urls: list[str] = []
    sha256: str | None = None
    md5: str | None = None
    size: int | None = Field(None, ge=0)

    @field_validator("name")
    @classmethod
    def _not_one_of_ours(cls, name: str) -> str:
        if name.lower().endswith(OURS):
            raise ValueError(
                f"{name!r} ends as files of incomplete downloads do; name it otherwise"
            )
        return name


class Limits(Strict):
    """What servers and archives may ask of a machine. A data set that needs more says so.

    bytes_a_minute: a server that sends less is left for the next mirror.
    wait_seconds:   so long a server may tell us to wait (Retry-After).
    file_bytes:     of an archive whose size the settings do not state.
    picture_bytes:  of a picture that is fetched by itself.
    unpacked_bytes: of all files in an archive.
    unpacked_ratio: so many times an archive's own bytes; below 1 GB, it only warns.
    """

    bytes_a_minute: int = Field(60_000, ge=0)
    wait_seconds: float = Field(120, ge=0)
    file_bytes: int = Field(10**12, ge=1)
    picture_bytes: int = Field(100_000_000, ge=1)
    unpacked_bytes: int = Field(10**12, ge=1)
    unpacked_ratio: float = Field(100, ge=1)


class HoldOut(Strict):
    """Validation (or test) rows cut out of train (Cole et al. 2021: 20 %, numpy RandomState(1200)).

    `train`: so many of the remaining rows, drawn by the seed, are kept (the captions study: 1,000);
    none: all.
    """

    fraction: float = Field(0.2, gt=0, lt=1)
    seed: Seed = 1200
    train: int | None = Field(None, ge=2)
    split: Literal["val", "test"] = "val"


class Shards(Strict):
    """WebDataset tar files that prepare writes into data/<set>/shards.

    Pictures are then read from these (data/shards.py).

    pictures: a shard.
    address:  http(s):// prefix, or folder (below data/<set>), that they were copied to; none: not
              copied.
    kept:     so many of those behind http(s):// stay on a machine's disk, the latest; none: all.
    """

    pictures: int = Field(1000, ge=1)
    address: str | None = None
    kept: int | None = Field(None, ge=32)

    @field_validator("address")
    @classmethod
    def _without_secrets(cls, address: str | None) -> str | None:
        if address and has_secrets(address):
            raise ValueError(
                "an address with a user, a password or a token, and it would be kept in "
                "summary.json; write ${NAME} in its place, and set the variable NAME of the "
                "environment"
            )
        return address


class FormatSettings(Strict):
    """What every format has: `archives` to download, or a `folder` that is used in place.

    Whatever derives from it may be named by a params.yaml.

    rejected_limit: share of unreadable pictures above which prepare stops.
    without_label: what becomes of training pictures that have no label. Kept, no label of theirs is
            observed where one positive a picture is; those held out and test pictures always stay.
    appearance: `stored`: pictures are read as the papers' code does; `shown`: as a viewer shows
            them, turned as EXIF says, on white, dark grey scaled (data/appearance.py).
    watched: the pictures in `folder` may be replaced: every `dvc repro` of own data looks at them
            (data/watch.py).
    label_files: path -> sha256 of what `mlrepro init-data` read the labels from; every `dvc repro`
            says which of them have changed since.
    shards: none: pictures are read from their files.
    limits: what servers and archives may ask of a machine.
    """

    archives: list[Archive] = []
    folder: Path | None = None
    hold_out: HoldOut | None = None
    rejected_limit: float = Field(0.001, ge=0, le=1)
    without_label: Literal["keep", "leave_out"] = "keep"
    appearance: Literal["stored", "shown"] = "stored"
    watched: bool = False
    label_files: dict[str, str] = {}
    shards: Shards | None = None
    limits: Limits = Limits()

    @field_validator("archives")
    @classmethod
    def _different_names(cls, archives: list[Archive]) -> list[Archive]:
        names = [archive.name for archive in archives]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"two archives are called {name!r}; name them differently")
        return archives

    @model_validator(mode="after")
    def _one_source(self) -> "FormatSettings":
        if bool(self.archives) == bool(self.folder):
            raise ValueError(
                "give either `archives` (to download) or `folder` (already unpacked), not both or "
                "neither"
            )
        return self


class VocData(FormatSettings):
    """Pascal VOC's layout.

    root:   the folder below the archives' one, such as VOCdevkit/VOC2012.
    splits: our split -> ImageSets/Main/<name>.txt, of one set or of several.
    """

    format: Literal["voc"]
    root: str
    splits: dict[Split, str | list[str]]
    classes: list[str] = VOC_CLASSES
    difficult: DifficultRule | dict[Split, DifficultRule]


class CocoPart(Strict):
    """One split of COCO.

    images:                 folder of the pictures, such as train2014.
    instances and captions: annotation files, such as annotations/instances_train2014.json.
    """

    images: str
    instances: str
    captions: str | None = None


class CocoData(FormatSettings):
    """COCO's layout.

    unannotated: pictures without any annotated object are all-zero rows, or left out.
    uncaptioned: pictures without a caption.
    row_order:   id_text sorts ids as strings, as Cole et al.'s files are.
    """

    format: Literal["coco"]
    splits: dict[Split, CocoPart]
    unannotated: Literal["keep", "drop"]
    uncaptioned: Literal["keep", "drop"] = "keep"
    class_order: Literal["category_id", "alphabetical"]
    row_order: Literal["id_text", "id_number"] = "id_text"


class CsvData(FormatSettings):
    """A table with one row a picture.

    pictures:      the folder that names in the table are relative to; none: there are no pictures,
                   the captions are used alone.
    unlabelled:    a table without labels and splits; its rows get the split `unlabelled`.
    split_column:  none: every row is `train`, and test_fraction is cut out of it.
    unknown_column: labels of a picture that nobody knows to be there or not; none: all are known.
    separator:     between the labels of one picture.
    classes:       none: every label that occurs, sorted.
    """

    format: Literal["csv"]
    table: str
    pictures: str | None = "."
    unlabelled: str | None = None
    image_column: str = "image"
    labels_column: str = "labels"
    split_column: str | None = "split"
    caption_column: str | None = None
    unknown_column: str | None = None
    separator: str = " "
    classes: list[str] | None = None
    test_fraction: float | None = Field(None, gt=0, lt=1)
    test_seed: Seed = 1200

    @property
    def without_pictures(self) -> bool:
        return self.pictures is None


class DigitsData(FormatSettings):
    """Pictures composed from scikit-learn's handwritten digits (data/formats/digits.py).

    pictures: how many of each split.
    """

    format: Literal["digits"]
    pictures: dict[Split, int]
    seed: Seed = 0


class FormattedData(FormatSettings):
    """The .npy files of Cole et al. 2021, formatted_<part>_images.npy and the like.

    splits:      our split -> part; their "val" is the test set.
    pictures:    what the listed paths are relative to, below the picture root.
    class_names: a text file below the picture root, one name a line; none: the class indices.
    """

    format: Literal["formatted"]
    splits: dict[Split, str] = {"train": "train", "test": "val"}
    pictures: str = "."
    class_names: str | None = None


class CubData(FormatSettings):
    """CUB-200-2011. `root`: the folder below the archive's one."""

    format: Literal["cub"]
    root: str = "CUB_200_2011"


class ListsData(FormatSettings):
    """deep-object-reid's JSON lists.

    {"classes": [...], "images": [[path, [a label, or one an object]], ...]}

    splits:   our split -> list.
    pictures: what the listed paths are relative to.
    """

    format: Literal["lists"]
    splits: dict[Split, str]
    pictures: str = "."


class MirflickrData(FormatSettings):
    """MIRFLICKR-25K with its 14 labels of what is clearly there.

    The MIRFLICKR study does not say which 20,000 pictures it used.

    annotations: folder of the files <label>_r1.txt.
    first:       im1.jpg to im<first>.jpg are what the pictures are drawn from.
    pictures:    how many are drawn.
    seed:        draws the pictures, and the test set among them.
    """

    format: Literal["mirflickr"]
    annotations: str = "."
    classes: list[str] = MIRFLICKR_CLASSES
    first: int = Field(25_000, ge=2, le=25_000)
    pictures: int = Field(20_000, ge=2, le=25_000)
    test_fraction: float = Field(0.2, gt=0, lt=1)
    seed: Seed = 0

    @model_validator(mode="after")
    def _enough_pictures(self) -> "MirflickrData":
        if self.pictures > self.first:
            raise ValueError(
                f"`pictures: {self.pictures}` is more than the first {self.first} that they are "
                "drawn from; lower it, or raise `first`"
            )
        return self


class OpenImagesData(FormatSettings):
    """Open Images: verified image-level labels, and pictures that are fetched one by one.

    class_names: archive with id and name of each class, in class order.
    splits:      our split -> their parts, each with its archive.
    unverified:  a class that nobody verified: negative, as in training, or ignored, as in
                 validation and test. Counted as negative there, a model of 86.8 mAP scores 28 to 33
                 (ML-Decoder's issue 41).
    picture_url: of <part>/<id>.jpg.
    """

    format: Literal["openimages"]
    class_names: str
    splits: dict[Split, dict[Literal["train", "validation", "test"], str]]
    unverified: Literal["negative", "ignore"]
    picture_url: str


FORMATS = tuple(FormatSettings.__subclasses__())

DataSettings = Annotated[Union[FORMATS], Field(discriminator="format")]  # noqa: UP007 (made at run time)


class Corruption(Strict):
    """Observed labels: how many known positives and known negatives a picture keeps.

    -1: all. `negatives`: for the loss iu at least one.
    ignored: what labels that are ignored count as: negatives, which may be drawn (Cole et al. 2021
             have none to ignore), or none of both.
    """

    positives: int = Field(1, ge=-1)
    negatives: int = Field(0, ge=-1)
    seed: Seed = 1200
    ignored: Literal["negative", "unobserved"] = "negative"


class Published(Strict):
    """Names of .npy files (N, channels) in the data set's archives.

    Of the pictures of train, held-out ones too, and of test.
    """

    train: str
    test: str


class Features(Strict):
    """A frozen backbone whose pooled output the `linear` runs train on.

    Extracted by us, or as its authors published it.

    maps:       the feature maps before pooling, for runs with `inputs: maps`.
    batch_size: none: what the memory holds.
    """

    backbone: str
    weights: str | None = None
    published: Published | None = None
    resolution: int = Field(ge=32)
    maps: bool = False
    batch_size: int | None = Field(None, ge=1)

    @model_validator(mode="after")
    def _one_source(self) -> "Features":
        if bool(self.weights) == bool(self.published):
            raise ValueError(
                "give either `weights` (to extract with) or `published` (files of features), "
                "not both or neither"
            )
        if self.maps and self.published:
            raise ValueError("`maps` needs `weights`: published features are pooled")
        return self


class Captions(Strict):
    """A frozen text model.

    The vectors of the pictures' captions are computed once (stages/embed.py).

    name:    of the file of vectors, and in run ids.
    model:   package://module/folder, a folder, or a name on Hugging Face's hub.
    pooling: the first token's vector, or the mean over all tokens.
    sha256:  of the model's weights, as the embed stage prints it; vectors of others are refused.
    """

    name: str = Field(pattern="^[A-Za-z0-9_]+$")
    model: str
    pooling: Literal["cls", "mean"]
    sha256: str | None = None
