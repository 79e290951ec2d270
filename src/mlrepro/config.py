"""Typed settings: what params.yaml and a run file may say. Unknown keys and mistyped names are errors that offer a remedy."""

import hashlib
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import yaml
from pydantic import BaseModel, Field, PositiveFloat, ValidationError, model_validator

from mlrepro.config_data import Captions, Corruption, DataSettings, Features, Strict, nearest
from mlrepro.errors import InputError

Model = TypeVar("Model", bound=BaseModel)
YAML_LOADER = getattr(
    yaml, "CSafeLoader", yaml.SafeLoader
)  # libyaml's is ten times as fast, where it was built
Head = Literal[
    "linear",
    "gap",
    "gmp",
    "gapgmp",
    "boostlu",
    "query2label",
    "ml_decoder",
    "csra",
    "mlgcn",
    "graph",
    "mlp",
]


class Plain(Strict):
    """Losses without settings. bce_weighted: positive terms times negatives / positives of their class in the training labels."""

    name: Literal["bce", "bce_weighted", "an", "iu", "iun", "pr", "splc", "hill"]


class LabelSmoothing(Strict):
    name: Literal["bce_ls", "an_ls"]
    smoothing: float = Field(0.1, ge=0, lt=1)


class Wan(Strict):
    name: Literal["wan"]
    negative_weight: float | None = None  # none: 1 / (classes - 1)


class ExpectedPositives(Strict):
    """`expected_positives`: labels a picture, or `validation`: measured on the validation pictures' full labels."""

    name: Literal["epr", "role"]
    expected_positives: float | Literal["validation"]


class EntropyMaximisation(Strict):
    name: Literal["em"]
    alpha: float = Field(ge=0)  # weight of the unobserved entries' entropy


class PseudoLabels(Strict):
    """EM with asymmetric pseudo-labels: after epoch `warm_up` (the first is 1) and every later one, some become negatives."""

    name: Literal["em_apl"]
    alpha: float = Field(ge=0)
    beta: float = Field(ge=0)  # weight of the pseudo-labelled entries
    warm_up: int = Field(ge=1)


class LargeLoss(Strict):
    name: Literal["ll_r", "ll_ct", "ll_cp"]
    delta_rel: float = Field(
        gt=0, le=100
    )  # percent of a batch's entries by which the rejected ones grow an epoch
    version: Literal[2022, 2023] = (
        2023  # of the authors' code; ll_cp writes the threshold's own entry only in 2023's
    )


class Gr(Strict):
    """Generalised robust loss. beta: w and b at the first epoch and after the last; alpha: mu and s; q: q2 and q3."""

    name: Literal["gr"]
    beta: tuple[float, float, float, float] = (
        0.0,
        2.0,
        -2.0,
        -2.0,
    )  # w first, w last, b first, b last
    alpha: tuple[PositiveFloat, PositiveFloat, PositiveFloat, PositiveFloat] = (
        0.5,
        2.0,
        0.8,
        0.5,
    )  # mu, s first; mu, s last
    q: tuple[PositiveFloat, PositiveFloat] = (0.01, 1.0)


class Asl(Strict):
    name: Literal["asl"]
    gamma_neg: float = 4.0
    gamma_pos: float = 0.0
    clip: float = 0.05
    stop_gradient: bool = (
        True  # the focusing weight is not differentiated (the authors' training setting)
    )
    reduction: Literal["sum", "batch_mean", "query2label"] = (
        "sum"  # query2label: 1000 x mean over entries, logs from 1e-5
    )
    label_smoothing: float = Field(0.0, ge=0, lt=1)  # targets 1 - it and it


class Aam(Strict):
    """Asymmetric angular margin loss of logits that are cosines. `released`: deep-object-reid's; `otx`: its later form."""

    name: Literal["aam"]
    scale: PositiveFloat = 23.0
    k: float = Field(0.7, ge=0, le=1)
    margin: float = 0.0
    gamma_neg: float = Field(1.0, ge=0)
    gamma_pos: float = Field(0.0, ge=0)
    clip: float = Field(0.05, ge=0, lt=1)
    version: Literal["released", "otx"] = "released"
    label_smoothing: float = Field(0.0, ge=0, lt=1)  # targets 1 - it and it


LossSettings = Annotated[
    Plain
    | LabelSmoothing
    | Wan
    | ExpectedPositives
    | EntropyMaximisation
    | PseudoLabels
    | LargeLoss
    | Gr
    | Asl
    | Aam,
    Field(discriminator="name"),
]
POOLING_OPTIONS = ("angular",)
HEAD_OPTIONS = {
    "gap": POOLING_OPTIONS,
    "gmp": POOLING_OPTIONS,
    "gapgmp": POOLING_OPTIONS,
    "boostlu": ("alpha",),
    "csra": ("heads", "lam"),
    "query2label": (
        "hidden",
        "heads",
        "ffn",
        "enc_layers",
        "dec_layers",
        "dropout",
        "keep_self_attention",
        "keep_input_proj",
    ),
    "ml_decoder": ("groups", "embedding", "ffn", "heads", "dropout", "angular"),
    "mlgcn": ("hidden",),
    "graph": ("layer", "pooling", "angular", "embedding", "ffn"),
    "mlp": ("batch_norm", "dropout"),
}


def check_head_options(head: str, options: Iterable[str]) -> None:
    valid = list(HEAD_OPTIONS.get(head, ()))
    if unknown := set(options) - set(valid):
        remedy = nearest(min(unknown), valid) if valid else "it has none"
        raise InputError(f"head_options: {min(unknown)!r} is none of head {head!r}; {remedy}")


TRAINING = (
    "optimizer",
    "checkpoint_drop",
    "freeze",
    "ema",
    "early_stop",
    "sampler",
    "augment",
    "select_on_test",
    "stop_below",
    "linear_init",
)
FULL_LABEL_LOSSES = (
    "bce",
    "bce_ls",
    "asl",
    "aam",
    "bce_weighted",
)  # the others read observed labels


class Optimizer(Strict):
    name: Literal["adam", "adamw", "sgd"] = "adam"
    lr: float = Field(gt=0)
    weight_decay: float = Field(0.0, ge=0)
    momentum: float = Field(
        0.9, ge=0, lt=1
    )  # sgd only; one_cycle runs it .95, .85, .95 instead, as Adam's beta1
    # Which parameters decay. matrices: those of more than one dimension, biases not (ASL, ML-Decoder, Query2Label's Adam_twd).
    # no_bias: as matrices, and norms' and queries' weights not either; biases learn twice as fast (AAM).
    decay: Literal["all", "matrices", "no_bias"] = "all"
    sam_rho: PositiveFloat | None = None  # sharpness-aware minimisation around the optimiser
    clip_norm: PositiveFloat | None = None  # of the gradient, before each step
    # linear: from a third of lr to lr over 10 epochs; cosine: to 0 over all epochs (both an epoch a step).
    schedule: Literal["constant", "one_cycle", "linear", "cosine"] = "constant"
    planned_epochs: int | None = Field(
        None, ge=1
    )  # what one_cycle and cosine are laid out for; none: `epochs`
    div_factor: PositiveFloat = 25.0  # one_cycle: lr / div_factor at the start
    final_div_factor: PositiveFloat = 1e4  # one_cycle: the start divided by it at the end
    lr_scaling: Literal["none", "batch_256"] = (
        "none"  # batch_256: lr x batch_size / 256 (Query2Label's third parties)
    )
    head_lr_factor: float = Field(
        1.0, gt=0
    )  # the head's lr over the backbone's (LargeLoss, BoostLU and GR: 10)


class EarlyStop(Strict):
    """aam: `patience` epochs not above the smoothed best, after the first fifth of the epochs. query2label: the best of plain
    and EMA weights more than `patience` epochs ago, and EMA now below its best."""

    rule: Literal["aam", "query2label"]
    patience: int = Field(5, ge=1)


class Graph(Strict):
    """The label graph of the heads `graph` and `mlgcn`, made from the training split of the run's data set.

    words: word vectors in GloVe's text format in a file, package://module/file or <zip archive>#<member>; or a text model,
    bert:<folder, package://module/folder or hub name>. counts: P(j | i) is divided by images, or by object instances as
    deep-object-reid ships it. misaligned: word vectors in the data set's own class order under an adjacency in sorted order,
    as deep-object-reid ships them for COCO and NUS-WIDE.
    """

    words: str
    tau: float = Field(0.4, gt=0, le=1)
    p: float = Field(0.25, ge=0, le=1)
    counts: Literal["images", "instances"] = "images"
    misaligned: bool = False


class LinearStage(Strict):
    """What comes before the end-to-end training of a `linear_init` run: the linear layer alone, on extracted features."""

    loss: LossSettings
    optimizer: Optimizer
    epochs: int = Field(ge=1)
    batch_size: int = Field(ge=2)


class Run(Strict):
    """One experiment. Its id, which is also the file's name, follows from the fields (`run_id`)."""

    data: str
    labels: Literal["full", "single"] = "full"
    inputs: Literal[
        "features", "maps", "images", "captions"
    ]  # maps: extracted feature maps of a frozen backbone
    captions: Captions | None = (
        None  # their vectors alone (`inputs: captions`), or joined to the pooled output of the backbone
    )
    head: Head
    head_options: dict[str, bool | int | float | str] = {}
    graph: Graph | None = None
    backbone: str
    weights: str  # timm, torchvision, none, package://module/file, or a file
    checkpoint: str | None = (
        None  # a file of the whole network, in ours or its authors' layout, loaded over `weights`
    )
    checkpoint_drop: list[
        str
    ] = []  # prefixes of our keys that start anew instead (query_embed, fc)
    # query2label: stem and first stage, and batch norms never learn (ResNets: nor their statistics change). backbone: all of it.
    freeze: Literal["none", "query2label", "backbone"] = "none"
    resolution: int | None = Field(None, ge=32)  # none: with `inputs: captions`
    loss: LossSettings
    optimizer: Optimizer | None = None  # none: with `epochs: 0` only
    epochs: int = Field(
        ge=0
    )  # 0: the checkpoint is scored as it is, `batch_size` pictures at a time
    batch_size: int = Field(ge=2)
    ema: float | None = Field(
        None, gt=0, lt=1
    )  # decay of averaged weights, which are validated beside the plain ones
    ema_start: int = Field(0, ge=0)  # first epoch of the average
    early_stop: EarlyStop | None = None
    sampler: Literal["uniform", "class_uniform", "shards"] = (
        "uniform"  # a class, then one of its pictures; shard after shard
    )
    precision: Literal["auto", "float32", "bfloat16"] = (
        "auto"  # auto: bfloat16 on a GPU, float32 elsewhere
    )
    augment: Literal[
        "none",
        "flip",
        "flip_both",
        "flip_jitter",
        "query2label",
        "query2label_released",
        "ml_decoder",
        "aam",
    ] = "none"  # see data/augment/recipes
    normalise: Literal["backbone", "imagenet", "half", "unit"] = (
        "backbone"  # half: mean and std 0.5; unit: 0 and 1
    )
    resize: Literal["backbone", "bilinear", "bicubic", "cv2"] = (
        "backbone"  # cv2: bilinear without antialiasing
    )
    select_on_test: bool = (
        False  # the best epoch on test is kept and reported too, as the papers do; never instead
    )
    empty_classes: Literal["zero", "skip", "nan"] = (
        "zero"  # AP of a class without positives in the mean (sklearn: zero)
    )
    selection: Literal["best", "last"] = (
        "best"  # what the report compares: best epoch on validation, or the last
    )
    validation: Literal["val", "test"] = (
        "val"  # test: of studies without a third split; the last epoch alone is measured
    )
    epoch_metrics: bool = (
        False  # thresholded metrics of train and validation an epoch, and the validation loss
    )
    stop_below: float | None = Field(
        None, ge=0
    )  # ends after an epoch this many points of val mAP below the best (0: or level)
    linear_init: LinearStage | None = (
        None  # trained first; its best weights on validation, and ROLE's labels, are the start
    )
    # `released` repeats what the authors' code does and their papers do not say:
    # - Cole et al. 2021: the last incomplete batch of validation and test is never scored (that of train is left out under
    #   both protocols: it is a different one each epoch); torch is not seeded, so that every training draws a seed of its
    #   own, recorded as torch_seed; `iun` never finds its negatives (it looks for -1 among labels of 0 and 1) and sees the
    #   observed positives alone.
    # - LargeLoss 2022: `ll_cp` with version 2022 compares its name with `is`, in vain, and is ll_ct.
    protocol: Literal["released", "corrected"] = "corrected"
    variant: str | None = None

    @model_validator(mode="after")
    def _consistent(self):
        captions, alone = self.captions, self.inputs == "captions"
        changed = {
            name for name, field in Run.model_fields.items() if getattr(self, name) != field.default
        }
        of_pictures = changed & {"augment", "resize", "normalise", "checkpoint", "freeze"}
        as_it_is = (
            not changed & {*TRAINING}
            and self.checkpoint
            and (self.inputs, self.selection) == ("images", "last")
        )
        optimizer = self.optimizer or Optimizer(lr=1)  # none: nothing is trained
        observed = [
            stage.loss.name
            for stage in (self, self.linear_init)
            if stage and stage.loss.name not in FULL_LABEL_LOSSES
        ]
        chosen = self.selection == "best" or changed & {
            "select_on_test",
            "early_stop",
            "linear_init",
            "stop_below",
        }
        check_head_options(self.head, self.head_options)
        for wrong, message in (
            (
                (self.inputs in ("features", "captions")) != (self.head == "linear"),
                "`head: linear` and `inputs: features` belong together, or `captions`: the linear head reads vectors, every other "
                "head reads pictures or maps",
            ),
            (
                alone != (self.resolution is None),
                "`resolution` is missing; with `inputs: captions` alone there is none",
            ),
            (
                alone
                and (
                    not captions or (self.backbone, self.weights) != (captions.name, captions.model)
                ),
                "`inputs: captions` needs `captions`, with its name as `backbone` and its model as `weights`",
            ),
            (
                captions
                and (self.inputs == "maps" or self.head not in ("linear", "gap", "gmp", "gapgmp")),
                "`captions` are joined to pooled outputs: set `inputs: features`, or images and a pooling head",
            ),
            (
                captions and not alone and captions.name not in (self.variant or ""),
                f"`variant` must hold the captions' name, {captions and captions.name!r}: the run id shows it",
            ),
            (
                of_pictures and self.inputs != "images",
                f"`{'`, `'.join(sorted(of_pictures))}` needs `inputs: images`; features and maps were extracted without it",
            ),
            (
                (self.graph is None) == (self.head in ("graph", "mlgcn")),
                "`graph` and `head: graph` or `mlgcn` belong together",
            ),
            (
                self.graph and self.labels != "full",
                "`graph` is made from the full labels of train; set `labels: full`",
            ),
            (
                self.loss.name == "aam" and not self.head_options.get("angular"),
                "loss 'aam' reads cosines; set `head_options: {angular: true}` (gap, ml_decoder or graph)",
            ),
            (
                not (self.optimizer if self.epochs else as_it_is),
                "a run needs `optimizer`; or with `epochs: 0`, which scores a checkpoint as it is, `checkpoint`, `inputs: images`, "
                f"`selection: last` and none of {', '.join(TRAINING)}",
            ),
            (
                optimizer.sam_rho and self.loss.name == "role",
                "optimizer.sam_rho: ROLE's label estimates cannot be perturbed; leave it out",
            ),
            (
                observed and self.labels == "full",
                f"loss {' and '.join(observed)!r} reads observed labels; set `labels: single`, or use bce or bce_ls",
            ),
            (
                self.epoch_metrics and self.labels != "full",
                "`epoch_metrics` needs `labels: full`: others' losses have no value on validation pictures",
            ),
            (
                self.validation == "test"
                and (chosen or getattr(self.loss, "expected_positives", 0) == "validation"),
                "`validation: test` needs `selection: last`, nothing else that reads it: it is the test",
            ),
            (
                self.loss.name == "em_apl" and self.loss.warm_up >= self.epochs,
                f"loss.warm_up must be below epochs ({self.epochs}), or no pseudo-label is ever made",
            ),
            (
                self.ema_start and (not self.ema or self.ema_start >= self.epochs),
                "ema_start needs `ema`, and must be below epochs",
            ),
            (
                self.early_stop and self.early_stop.rule == "query2label" and not self.ema,
                "early_stop: rule query2label watches averaged weights; set `ema`, or take rule aam",
            ),
            (
                (optimizer.planned_epochs or self.epochs) < self.epochs,
                "optimizer.planned_epochs must not be below epochs",
            ),
            (
                optimizer.planned_epochs and optimizer.schedule not in ("one_cycle", "cosine"),
                "optimizer.planned_epochs needs schedule one_cycle or cosine",
            ),
            (
                optimizer.schedule != "one_cycle"
                and (optimizer.div_factor, optimizer.final_div_factor) != (25.0, 1e4),
                "optimizer.div_factor and final_div_factor need schedule one_cycle",
            ),
            (self.checkpoint_drop and not self.checkpoint, "checkpoint_drop needs `checkpoint`"),
            (
                self.sampler == "shards" and self.inputs != "images",
                "`sampler: shards` needs `inputs: images`",
            ),
            (
                self.checkpoint and self.linear_init,
                "checkpoint and linear_init exclude each other: both are the start",
            ),
            (
                self.linear_init and (self.head, self.inputs) != ("gap", "images"),
                "`linear_init` needs `head: gap` and `inputs: images`, whose linear layer it starts from",
            ),
            (
                bool(self.linear_init) != (self.variant or "").startswith("linear_init"),
                "`linear_init` and a `variant` that starts with linear_init belong together: the run id shows it",
            ),
        ):
            if wrong:
                raise ValueError(message)
        return self

    def scored(self, pictures: int) -> int:
        """How many of a split's `pictures` are scored: all of them, or whole batches under the released protocol."""
        return pictures - pictures % self.batch_size if self.protocol == "released" else pictures

    def linear_stage(self) -> "Run":
        """The first stage of a `linear_init` run as a run of its own."""
        return self.model_copy(
            update={
                **dict(self.linear_init),
                "inputs": "features",
                "head": "linear",
                "augment": "none",
                "linear_init": None,
                "stop_below": None,
                "ema": None,
                "ema_start": 0,
                "early_stop": None,
                "select_on_test": False,
                "freeze": "none",
            }
        )

    @property
    def run_id(self) -> str:
        parts = [self.head, self.loss.name, self.backbone, self.data]
        parts += [self.labels] if self.labels != "full" else []
        parts += [str(part) for part in (self.resolution, self.variant) if part]
        return "-".join(parts)

    @property
    def digest(self) -> str:
        """sha256 of what the file says beyond the defaults: its layout, and settings that later versions add, do not count."""
        values = self.model_dump(mode="json", exclude_defaults=True)
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


class Search(Strict):
    """The grid of the linear mode on the pipeline's features, trained together; see stages/search.py."""

    losses: list[LossSettings] = Field(min_length=1)
    learning_rates: list[PositiveFloat] = [1e-2, 1e-3, 1e-4, 1e-5]
    batch_sizes: list[Annotated[int, Field(ge=2)]] = [8, 16]
    epochs: int = Field(25, ge=1)
    seeds: list[int] = Field([0], min_length=1)


class Ordering(Strict):
    """What a paper claims, as pairs of runs here: the first of each should have the higher mAP."""

    claim: str
    pairs: list[tuple[str, str]] = Field(min_length=1)


RUNS_OF_BUDGET = {
    "quick": 2,
    "standard": 4,
    "thorough": 9,
}  # that own data trains beyond the search


class Pipeline(Strict):
    """A params.yaml: the data sets, and where a pipeline has runs, which runs and seeds."""

    name: str = (
        "demo"  # of the data set that the pipeline's runs use; names report and records in own-data
    )
    title: str | None = None  # of the report
    intro: str | None = None  # its first paragraph
    data: dict[str, DataSettings]
    corruption: Corruption = Corruption()
    features: Features | None = None
    captions: Captions | None = None
    runs: list[str] = []
    seeds: list[int] = [0]
    search: Search | None = None
    orderings: list[Ordering] = []  # for the report
    budget: Literal["quick", "standard", "thorough"] | None = (
        None  # of own data: `mlrepro init-data` writes its runs
    )
    checkpoint_pages: list[
        str
    ] = []  # where a person finds the files that the runs name as `checkpoint`

    @model_validator(mode="after")
    def _consistent(self):
        if unknown := {
            run for ordering in self.orderings for pair in ordering.pairs for run in pair
        } - set(self.runs):
            raise ValueError(
                f"orderings: {min(unknown)!r} is none of `runs`; {nearest(min(unknown), self.runs)}"
            )
        if self.budget and len(self.runs) != RUNS_OF_BUDGET[self.budget]:
            raise ValueError(
                f"`budget: {self.budget}` has {RUNS_OF_BUDGET[self.budget]} `runs`, not {len(self.runs)}; run "
                f"`mlrepro init-data` with --budget {self.budget}, or remove `budget` to list runs of your own"
            )
        return self

    def grid(self) -> list[tuple["Run", int]]:
        """The members of the search, each a run with its learning rate and batch size, and a seed."""
        return [
            (
                Run(
                    data=self.name,
                    labels="full" if loss.name in FULL_LABEL_LOSSES else "single",
                    inputs="features",
                    head="linear",
                    backbone=self.features.backbone,
                    weights=self.features.weights or "published",
                    resolution=self.features.resolution,
                    loss=loss,
                    optimizer={"lr": lr},
                    epochs=self.search.epochs,
                    batch_size=batch_size,
                ),
                seed,
            )
            for loss in self.search.losses
            for seed in self.search.seeds
            for batch_size in self.search.batch_sizes
            for lr in self.search.learning_rates
        ]


def _describe(error: dict) -> str:
    where = ".".join(str(part) for part in error["loc"]) or "top level"
    message = error["msg"].removeprefix("Value error, ")
    expected = error.get("ctx", {}).get("expected") or error.get("ctx", {}).get("expected_tags")
    if expected:
        given = error.get("ctx", {}).get("tag", error["input"])
        valid = re.findall(r"'([^']+)'", expected)
        message = f"{given!r} is not a valid name; {nearest(str(given), valid)}"
    return f"{where}: {message}"


def read_yaml(path: Path) -> dict:
    try:
        values = yaml.load(Path(path).read_text(encoding="utf-8"), YAML_LOADER)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not readable as YAML: {error}") from None
    if not isinstance(values, dict):
        raise InputError(f"{path}: expected `key: value` lines, found {type(values).__name__}")
    return values


def load(model: type[Model], path: Path) -> Model:
    """Reads a YAML file as `model`. Raises InputError that names the file, each wrong key and the nearest valid name."""
    try:
        return model.model_validate(read_yaml(path))
    except ValidationError as error:
        problems = "\n".join(f"  {_describe(e)}" for e in error.errors())
        raise InputError(f"{path}:\n{problems}") from None


def load_pipeline(path: Path) -> Pipeline:
    return load(Pipeline, path)


def load_data_settings(path: Path, name: str):
    data = load_pipeline(path).data
    if name not in data:
        raise InputError(f"{path}: data.{name} is not described; {nearest(name, list(data))}")
    return data[name]


def load_run(path: Path) -> Run:
    """Reads one run file; its name must be its run id, so that stage, MLflow run, record and table row agree."""
    run = load(Run, path)
    if Path(path).stem != run.run_id:
        raise InputError(
            f"{path}: its settings say {run.run_id!r}; rename the file to {run.run_id}.yaml or mend a setting"
        )
    if not re.fullmatch(r"[A-Za-z0-9_-]+", run.run_id):
        raise InputError(
            f"{path}: run id {run.run_id!r} may hold only letters, digits, '_' and '-'"
        )
    return run
