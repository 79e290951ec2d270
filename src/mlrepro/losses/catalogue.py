"""The list of losses. To add one: a module here, a line below, its settings, a test.

No torch is imported: the settings read this list in processes that never need torch, and
`create_loss` imports the module of the one loss that a run asks for. So a loss that is added or
edited touches no run with another loss.
"""

from dataclasses import dataclass

PACKAGE = "mlrepro.losses"


@dataclass(frozen=True)
class LossEntry:
    """Where a loss is found, and what other code must know of it. References are `module:name`.

    function: of (logits, targets), whose further arguments are the fields of the loss's settings.
    builder: of (settings, `LossContext`), returns a `Loss`; for one that needs more than the batch.
    A loss has one of the two.
    grid: of (settings, classes, `LabelStates`), returns the `GridTerms` by which the grid search
    differentiates all its members at once; without it, it takes the loss member by member.
    full_labels: reads full labels, where -1 is ignored. The others read observed labels, where 0 is
    unknown and -1 a known negative.
    closed_form: its linear layer is computed and not trained (training/grid/closed_form.py), or
    made of the labels' names (training/zero_shot.py).
    """

    function: str | None = None
    builder: str | None = None
    grid: str | None = None
    full_labels: bool = False
    closed_form: bool = False

    @property
    def module(self) -> str:
        """The full name of the loss's module."""
        reference = self.function or self.builder
        return f"{PACKAGE}.{reference.partition(':')[0]}"


LOSSES = {
    # Full labels.
    "bce": LossEntry(function="binary:bce", grid="binary:grid_terms", full_labels=True),
    "bce_ls": LossEntry(function="binary:bce_ls", grid="binary:grid_terms", full_labels=True),
    "asl": LossEntry(function="asymmetric:asl", full_labels=True),
    "aam": LossEntry(function="angular_margin:aam", full_labels=True),
    "bce_weighted": LossEntry(builder="class_weighted:build", full_labels=True),
    "ridge": LossEntry(function="ridge:ridge", full_labels=True, closed_form=True),
    "zero_shot": LossEntry(function="zero_shot:zero_shot", full_labels=True, closed_form=True),
    # Observed labels, Cole et al. 2021.
    "an": LossEntry(function="assume_negative:an", grid="assume_negative:grid_terms"),
    "an_ls": LossEntry(function="assume_negative:an_ls", grid="assume_negative:grid_terms"),
    "wan": LossEntry(function="assume_negative:wan", grid="assume_negative:wan_grid_terms"),
    "iu": LossEntry(builder="observed_only:build_iu", grid="observed_only:iu_grid_terms"),
    "iun": LossEntry(function="observed_only:iu", grid="observed_only:iun_grid_terms"),
    "pr": LossEntry(function="pairwise_ranking:pr"),
    "epr": LossEntry(builder="expected_positives:build", grid="expected_positives:grid_terms"),
    "role": LossEntry(builder="role:build", grid="role:grid_terms"),
    # Observed labels, what followed.
    "em": LossEntry(function="entropy_maximisation:em"),
    "em_apl": LossEntry(builder="entropy_maximisation:build_em_apl"),
    "ll_r": LossEntry(builder="large_loss:build"),
    "ll_ct": LossEntry(builder="large_loss:build"),
    "ll_cp": LossEntry(builder="large_loss:build"),
    "gr": LossEntry(builder="generalised_robust:build"),
    "splc": LossEntry(builder="splc_hill:build_splc"),
    "hill": LossEntry(function="splc_hill:hill"),
}

FULL_LABEL_LOSSES = tuple(name for name, entry in LOSSES.items() if entry.full_labels)
