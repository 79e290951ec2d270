"""One experiment: what a run file may say, and what must fit together in it."""

import hashlib
import json
from pathlib import Path
from typing import Literal

from pydantic import Field, PositiveFloat, model_validator

from mlrepro.errors import InputError
from mlrepro.losses.catalogue import LOSSES
from mlrepro.models.heads.catalogue import HEADS, check_head_options, find_head
from mlrepro.settings.base import Strict, load
from mlrepro.settings.data import Captions
from mlrepro.settings.losses import FULL_LABEL_LOSSES, LossSettings
from mlrepro.settings.run_id import VALID, RunId

Head = Literal[tuple(HEADS)]

PLANNED_SCHEDULES = ("one_cycle", "cosine")
ONE_CYCLE_DEFAULTS = (25.0, 1e4)

# Settings of decoded pictures, which extracted features and maps were made without.
PICTURE_SETTINGS = frozenset({"augment", "resize", "normalise", "checkpoint", "freeze"})

# Settings that say how weights change: a checkpoint that is scored as it is has none of them.
TRAINING_SETTINGS = (
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

# Settings that choose among epochs by their validation scores.
CHOOSING_SETTINGS = frozenset({"select_on_test", "early_stop", "linear_init", "stop_below"})


class Optimizer(Strict):
    """How the weights move.

    momentum: of sgd alone; `one_cycle` runs it .95, .85, .95 instead, as Adam's beta1.
    decay:    which parameters decay. `matrices`: those of more than one dimension, biases not (ASL,
              ML-Decoder, Query2Label's Adam_twd). `no_bias`: as matrices, and norms' and queries'
              weights not either; biases learn twice as fast (AAM).
    sam_rho:  sharpness-aware minimisation around the optimiser.
    clip_norm: of the gradient, before each step.
    schedule: `linear`: from a third of lr to lr over 10 epochs; `cosine`: to 0 over all epochs
              (both change once an epoch); `one_cycle`: changes at each step.
    planned_epochs: what one_cycle and cosine are laid out for; none: the run's `epochs`.
    div_factor: one_cycle starts at lr / div_factor.
    final_div_factor: one_cycle ends at its start divided by it.
    lr_scaling: `batch_256`: lr x batch_size / 256 (Query2Label's third parties).
    head_lr_factor: the head's lr over the backbone's (LargeLoss, BoostLU and GR: 10).
    """

    name: Literal["adam", "adamw", "sgd"] = "adam"
    lr: float = Field(gt=0)
    weight_decay: float = Field(0.0, ge=0)
    momentum: float = Field(0.9, ge=0, lt=1)
    decay: Literal["all", "matrices", "no_bias"] = "all"
    sam_rho: PositiveFloat | None = None
    clip_norm: PositiveFloat | None = None
    schedule: Literal["constant", "one_cycle", "linear", "cosine"] = "constant"
    planned_epochs: int | None = Field(None, ge=1)
    div_factor: PositiveFloat = ONE_CYCLE_DEFAULTS[0]
    final_div_factor: PositiveFloat = ONE_CYCLE_DEFAULTS[1]
    lr_scaling: Literal["none", "batch_256"] = "none"
    head_lr_factor: float = Field(1.0, gt=0)


class EarlyStop(Strict):
    """When a training ends before its last epoch.

    aam: `patience` epochs not above the smoothed best, after the first fifth of the epochs.
    query2label: the best of plain and EMA weights is more than `patience` epochs ago, and EMA is
    now below its best.
    """

    rule: Literal["aam", "query2label"]
    patience: int = Field(5, ge=1)


class Graph(Strict):
    """The label graph of the heads `graph` and `mlgcn`, made from the run's training split.

    words:  word vectors in GloVe's text format in a file, package://module/file or
            <zip archive>#<member>; or a text model, bert:<folder, package://module/folder or hub
            name>.
    counts: P(j | i) is divided by images, or by object instances as deep-object-reid ships it.
    misaligned: word vectors in the data set's own class order under an adjacency in sorted order,
            as deep-object-reid ships them for COCO and NUS-WIDE.
    """

    words: str
    tau: float = Field(0.4, gt=0, le=1)
    p: float = Field(0.25, ge=0, le=1)
    counts: Literal["images", "instances"] = "images"
    misaligned: bool = False


class LinearStage(Strict):
    """What comes before the end-to-end training of a `linear_init` run.

    It trains the linear layer alone, on extracted features.
    """

    loss: LossSettings
    optimizer: Optimizer
    epochs: int = Field(ge=1)
    batch_size: int = Field(ge=2)


class Run(Strict):
    """One experiment. Its id, which is also the file's name, follows from the fields (`run_id`)."""

    # What is learned, and from what.
    data: str
    labels: Literal["full", "single"] = "full"
    inputs: Literal["features", "maps", "images", "captions"]
    """maps: extracted feature maps of a frozen backbone."""
    captions: Captions | None = None
    """Their vectors alone (`inputs: captions`), or joined to the pooled output of the backbone."""

    # The network, and where its first weights come from.
    head: Head
    head_options: dict[str, bool | int | float | str] = {}
    graph: Graph | None = None
    backbone: str
    weights: str
    """timm, torchvision, none, package://module/file, or a file."""
    checkpoint: str | None = None
    """A file of the whole network, in ours or its authors' layout, loaded over `weights`."""
    checkpoint_drop: list[str] = []
    """Prefixes of our keys that start anew instead (query_embed, fc)."""
    freeze: Literal["none", "query2label", "backbone"] = "none"
    """query2label: stem and first stage, and batch norms, never learn (of ResNets their statistics
    do not change either). backbone: all of it."""
    resolution: int | None = Field(None, ge=32)
    """Pixels a side; none with `inputs: captions`."""

    # How it is trained.
    loss: LossSettings
    optimizer: Optimizer | None = None
    """None with `epochs: 0` only."""
    epochs: int = Field(ge=0)
    """0: the checkpoint is scored as it is, `batch_size` pictures at a time."""
    batch_size: int = Field(ge=2)
    ema: float | None = Field(None, gt=0, lt=1)
    """Decay of averaged weights, which are validated beside the plain ones."""
    ema_start: int = Field(0, ge=0)
    """First epoch of the average."""
    early_stop: EarlyStop | None = None
    sampler: Literal["uniform", "class_uniform", "shards"] = "uniform"
    """class_uniform: a class, then one of its pictures; shards: shard after shard."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """auto: bfloat16 on a GPU, float32 elsewhere."""
    threads: int | None = Field(None, ge=1)
    """None: one on features and captions, one a core on maps and images (threads.py)."""

    # What happens to a picture (data/augment/recipes).
    augment: Literal[
        "none",
        "flip",
        "flip_both",
        "flip_jitter",
        "query2label",
        "query2label_released",
        "ml_decoder",
        "aam",
    ] = "none"
    normalise: Literal["backbone", "imagenet", "half", "unit"] = "backbone"
    """half: mean and std 0.5; unit: 0 and 1."""
    resize: Literal["backbone", "bilinear", "bicubic", "cv2"] = "backbone"
    """cv2: bilinear without antialiasing."""

    # Which epoch counts, and how it is scored.
    select_on_test: bool = False
    """The best epoch on test is kept and reported too, as the papers do; never instead."""
    empty_classes: Literal["zero", "skip", "nan"] = "zero"
    """AP of a class without positives in the mean (sklearn: zero)."""
    selection: Literal["best", "last"] = "best"
    """What the report compares: the best epoch on validation, or the last."""
    validation: Literal["val", "test"] = "val"
    """test: of studies without a third split; the last epoch alone is measured."""
    epoch_metrics: bool = False
    """Thresholded metrics of train and validation an epoch, and the validation loss."""
    stop_below: float | None = Field(None, ge=0)
    """Ends after an epoch this many points of validation mAP below the best (0: or level with
    it)."""
    linear_init: LinearStage | None = None
    """Trained first; its best weights on validation, and ROLE's labels, are the start."""

    protocol: Literal["released", "corrected"] = "corrected"
    """`released` repeats what the authors' code does and their papers do not say.

    - Cole et al. 2021: the last incomplete batch of validation and test is never scored (that of
      train is left out under both protocols: it is a different one each epoch); torch is not
      seeded, so that every training draws a seed of its own, recorded as torch_seed; `iun` never
      finds its negatives (it looks for -1 among labels of 0 and 1) and sees the observed positives
      alone.
    - LargeLoss 2022: `ll_cp` with version 2022 compares its name with `is`, in vain, and is ll_ct.
    """
    variant: str | None = None

    @model_validator(mode="after")
    def _consistent(self) -> "Run":
        check_head_options(self.head, self.head_options)
        self._check_inputs()
        self._check_captions()
        self._check_graph()
        self._check_loss()
        self._check_epochs()
        self._check_optimizer()
        self._check_checkpoint()
        self._check_selection()
        return self

    def _changed(self) -> set[str]:
        """Names of the settings that are not at their defaults."""
        fields = Run.model_fields.items()
        return {name for name, field in fields if getattr(self, name) != field.default}

    def _check_inputs(self) -> None:
        given = "vectors" if self.inputs in ("features", "captions") else "maps"
        if find_head(self.head).reads not in (given, "either"):
            raise ValueError(
                "`head: linear` and `inputs: features` belong together, or `captions`: the linear "
                "head reads vectors, mlp either, every other head reads pictures or maps"
            )

        captions_alone = self.inputs == "captions"
        if captions_alone != (self.resolution is None):
            raise ValueError("`resolution` is missing; with `inputs: captions` alone there is none")

        of_pictures = self._changed() & PICTURE_SETTINGS
        if of_pictures and self.inputs != "images":
            names = "`, `".join(sorted(of_pictures))
            raise ValueError(
                f"`{names}` needs `inputs: images`; features and maps were extracted without it"
            )

        if self.sampler == "shards" and self.inputs != "images":
            raise ValueError("`sampler: shards` needs `inputs: images`")

    def _check_captions(self) -> None:
        if self.inputs == "captions":
            described = self.captions and (self.captions.name, self.captions.model)
            if described != (self.backbone, self.weights):
                raise ValueError(
                    "`inputs: captions` needs `captions`, with its name as `backbone` and its "
                    "model as `weights`"
                )

        if not self.captions:
            return
        if self.inputs == "maps" or not find_head(self.head).takes_captions:
            raise ValueError(
                "`captions` are joined to pooled outputs: set `inputs: features`, or images and a "
                "pooling head"
            )
        if self.inputs != "captions" and self.captions.name not in (self.variant or ""):
            raise ValueError(
                f"`variant` must hold the captions' name, {self.captions.name!r}: "
                "the run id shows it"
            )

    def _check_graph(self) -> None:
        if (self.graph is None) == find_head(self.head).label_graph:
            raise ValueError("`graph` and `head: graph` or `mlgcn` belong together")
        if self.graph and self.labels != "full":
            raise ValueError("`graph` is made from the full labels of train; set `labels: full`")

    def _check_loss(self) -> None:
        if self.loss.name == "aam" and not self.head_options.get("angular"):
            raise ValueError(
                "loss 'aam' reads cosines; set `head_options: {angular: true}` (gap, ml_decoder or "
                "graph)"
            )

        stages = [self, self.linear_init] if self.linear_init else [self]
        observed = [stage.loss.name for stage in stages if stage.loss.name not in FULL_LABEL_LOSSES]
        if observed and self.labels == "full":
            raise ValueError(
                f"loss {' and '.join(observed)!r} reads observed labels; set `labels: single`, "
                "or use bce or bce_ls"
            )

        if self.epoch_metrics and self.labels != "full":
            raise ValueError(
                "`epoch_metrics` needs `labels: full`: others' losses have no value on validation "
                "pictures"
            )
        if self.loss.name == "em_apl" and self.loss.warm_up >= self.epochs:
            raise ValueError(
                f"loss.warm_up must be below epochs ({self.epochs}), "
                "or no pseudo-label is ever made"
            )

    def _check_epochs(self) -> None:
        """Something is trained, or computed, or a checkpoint is scored as it is."""
        if self.closed_form:
            self._check_closed_form()
            return
        if self.epochs and not self.optimizer or not self.epochs and not self._scored_as_it_is():
            raise ValueError(
                "a run needs `optimizer`; or with `epochs: 0`, which scores a checkpoint as it is, "
                "`checkpoint`, `inputs: images`, `selection: last` and none of "
                f"{', '.join(TRAINING_SETTINGS)}"
            )

        if self.ema_start and (not self.ema or self.ema_start >= self.epochs):
            raise ValueError("ema_start needs `ema`, and must be below epochs")
        if self.early_stop and self.early_stop.rule == "query2label" and not self.ema:
            raise ValueError(
                "early_stop: rule query2label watches averaged weights; set `ema`, or take rule aam"
            )

    def _check_closed_form(self) -> None:
        plain = self.inputs == "features" and self.epochs == 1 and not self.captions
        if not plain or self._changed() & {*TRAINING_SETTINGS, "selection", "validation"}:
            raise ValueError(
                f"loss {self.loss.name!r} has a closed form: set `head: linear`, "
                "`inputs: features`, `epochs: 1`, and neither captions nor any of "
                f"{', '.join(TRAINING_SETTINGS)}"
            )

    def _scored_as_it_is(self) -> bool:
        trained = self._changed() & set(TRAINING_SETTINGS)
        whole = self.checkpoint and self.inputs == "images" and self.selection == "last"
        return bool(whole and not trained)

    def _check_optimizer(self) -> None:
        optimizer = self.optimizer
        if optimizer is None:
            return

        if optimizer.sam_rho and self.loss.name == "role":
            raise ValueError(
                "optimizer.sam_rho: ROLE's label estimates cannot be perturbed; leave it out"
            )

        if optimizer.planned_epochs and optimizer.planned_epochs < self.epochs:
            raise ValueError("optimizer.planned_epochs must not be below epochs")
        if optimizer.planned_epochs and optimizer.schedule not in PLANNED_SCHEDULES:
            raise ValueError("optimizer.planned_epochs needs schedule one_cycle or cosine")

        factors = (optimizer.div_factor, optimizer.final_div_factor)
        if optimizer.schedule != "one_cycle" and factors != ONE_CYCLE_DEFAULTS:
            raise ValueError("optimizer.div_factor and final_div_factor need schedule one_cycle")

    def _check_checkpoint(self) -> None:
        if self.checkpoint_drop and not self.checkpoint:
            raise ValueError("checkpoint_drop needs `checkpoint`")
        if self.checkpoint and self.linear_init:
            raise ValueError("checkpoint and linear_init exclude each other: both are the start")

        if self.linear_init and (self.head, self.inputs) != ("gap", "images"):
            raise ValueError(
                "`linear_init` needs `head: gap` and `inputs: images`, "
                "whose linear layer it starts from"
            )
        named = (self.variant or "").startswith("linear_init")
        if bool(self.linear_init) != named:
            raise ValueError(
                "`linear_init` and a `variant` that starts with linear_init belong together: "
                "the run id shows it"
            )

    def _check_selection(self) -> None:
        if self.validation != "test":
            return

        # Whatever reads validation scores would read the test set's.
        chooses = self.selection == "best" or self._changed() & CHOOSING_SETTINGS
        counts_labels = getattr(self.loss, "expected_positives", None) == "validation"
        if chooses or counts_labels:
            raise ValueError(
                "`validation: test` needs `selection: last`, nothing else that reads it: "
                "it is the test"
            )

    @property
    def closed_form(self) -> bool:
        """Whether its layer is computed in one step; the search or zero_shot stage does it."""
        return LOSSES[self.loss.name].closed_form

    @property
    def zero_shot(self) -> bool:
        """Whether its layer is made of the labels' names."""
        return self.loss.name == "zero_shot"

    def scored(self, pictures: int) -> int:
        """How many of a split's `pictures` are scored.

        All of them, or whole batches under the released protocol.
        """
        if self.protocol == "released":
            return pictures - pictures % self.batch_size
        return pictures

    def linear_stage(self) -> "Run":
        """The first stage of a `linear_init` run as a run of its own."""
        # What concerns pictures or the second stage alone is set back.
        plain = {
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
        return self.model_copy(update={**dict(self.linear_init), **plain})

    @property
    def run_id(self) -> str:
        # Not checked here: `load_run` refuses an id that breaks the grammar, with the file's name.
        parts = RunId.model_construct(
            head=self.head,
            loss=self.loss.name,
            backbone=self.backbone,
            data=self.data,
            labels=self.labels,
            resolution=self.resolution,
            variant=self.variant,
        )
        return str(parts)

    @property
    def digest(self) -> str:
        """sha256 of what the file says beyond the defaults.

        Its layout, and settings that later versions add, do not count.
        """
        values = self.model_dump(mode="json", exclude_defaults=True)
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def load_run(path: Path) -> Run:
    """Reads one run file.

    Its name must be its run id, so that stage, MLflow run, record and table row agree.
    """
    run = load(Run, path)
    if Path(path).stem != run.run_id:
        raise InputError(
            f"{path}: its settings say {run.run_id!r}; "
            f"rename the file to {run.run_id}.yaml or mend a setting"
        )
    if not VALID.fullmatch(run.run_id):
        raise InputError(
            f"{path}: run id {run.run_id!r} may hold only letters, digits, '_' and '-'"
        )
    return run
