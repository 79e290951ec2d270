"""Which frozen networks are compared: those of budgets.yaml, or those that the user names."""

from collections.abc import Sequence
from dataclasses import dataclass

from mlrepro.errors import InputError


@dataclass(frozen=True)
class Wanted:
    """What a user asks to be compared.

    budget:     quick, standard or thorough.
    resolution: for all networks; none: as budgets.yaml says, or what timm says of each network.
    backbones:  of timm's. The first is the one that losses are searched on and that `runs` train;
                the first of budgets.yaml stays beside them, to be compared with. None: as
                budgets.yaml says.
    """

    budget: str
    resolution: int | None = None
    backbones: Sequence[str] = ()


def choose_backbones(budgets: dict, wanted: Wanted) -> dict:
    """budgets.yaml with other `backbones`, `features` and `network`.

    Raises InputError for names that are none of timm's, and for a resolution that one cannot take.
    """
    budgets = dict(budgets)
    names = wanted.backbones
    if names:
        named = [_features(name) for name in dict.fromkeys(names)]
        compared = [budgets["backbones"][0], *named[1:]]
        budgets["features"] = budgets["network"] = named[0]
        budgets["backbones"] = [features for features in compared if features != named[0]]

    if wanted.resolution:
        changed = {"resolution": wanted.resolution}
        budgets["features"] = budgets["features"] | changed
        budgets["network"] = budgets["network"] | changed
        budgets["backbones"] = [features | changed for features in budgets["backbones"]]
    if names:
        _check([budgets["features"], *budgets["backbones"]])
    return budgets


def _features(name: str) -> dict:
    """A network with its weights and its own resolution. timm's dot of a tag becomes `__`."""
    # Here: they import torch, which init-data else does without.
    import timm

    from mlrepro.models.backbones import timm_name
    from mlrepro.models.catalogue import parts_of
    from mlrepro.models.pretrained import PACKAGED

    written = name.replace(".", "__")
    networks = parts_of(written).networks
    packaged = all(network in PACKAGED for network in networks)
    try:
        config = timm.get_pretrained_cfg(timm_name(networks[0]))
    except (RuntimeError, ValueError):  # of names and tags that timm does not have
        config = None
    if config is None:
        raise InputError(
            f"--backbone {name}: none of timm's networks (timm {timm.__version__}); "
            "timm.list_models(pretrained=True) names them"
        )
    _, *size = config.input_size
    return {
        "backbone": written,
        "weights": "package" if packaged else "timm",
        "resolution": max(size),
    }


def _check(chosen: list[dict]) -> None:
    """Builds each network without memory: what it cannot take is said now, not after hours."""
    from mlrepro.models.backbones import map_size

    for features in chosen:
        map_size(features["backbone"], features["resolution"])
