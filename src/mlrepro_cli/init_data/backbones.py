"""Which frozen networks are compared: those of budgets.yaml, or those that the user names."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

from mlrepro.errors import InputError
from mlrepro.extras import install_command, missing
from mlrepro.models.catalogue import EMBEDDING, MIRRORED, ROOT, parts_of
from mlrepro.settings.losses import PROMPT, check_prompt

OFFERED_NAMES = 3  # where one is not known


@dataclass(frozen=True)
class Wanted:
    """What a user asks to be compared.

    budget:     quick, standard or thorough.
    resolution: for all networks; none: as budgets.yaml says, or what timm says of each network.
    backbones:  of timm's. The first is the one that losses are searched on and that `runs` train;
                the first of budgets.yaml stays beside them, to be compared with. None: as
                budgets.yaml says.
    prompts:    sentences in which the text towers of backbones that have one read the labels'
                names; [""]: they do not.
    """

    budget: str
    resolution: int | None = None
    backbones: Sequence[str] = ()
    prompts: Sequence[str] = (PROMPT,)


@dataclass(frozen=True)
class Named:
    """A network that a user names, with its weights and its own resolution.

    network:  as runs on maps and pictures read it. features: as the others do.
    text:     of an image tower, where the whole model lies; none where that is not known.
    """

    network: dict
    features: dict
    text: str | None


def choose_backbones(budgets: dict, wanted: Wanted) -> dict:
    """budgets.yaml with other `backbones`, `features` and `network`, and with `zero_shot`.

    Raises InputError for names that are none of timm's, and for a resolution that one cannot take.
    """
    budgets = budgets | {"zero_shot": []}
    _check_prompts(wanted.prompts)
    named = [_named(name) for name in dict.fromkeys(wanted.backbones)]
    if named:
        first = named[0]
        compared = [budgets["backbones"][0], *(others.features for others in named[1:])]
        budgets["features"] = first.features
        budgets["network"] = first.network
        budgets["backbones"] = []
        for features in compared:
            if features not in [first.features, *budgets["backbones"]]:
                budgets["backbones"].append(features)

    if wanted.resolution:
        changed = {"resolution": wanted.resolution}
        budgets["features"] = budgets["features"] | changed
        budgets["network"] = budgets["network"] | changed
        budgets["backbones"] = [features | changed for features in budgets["backbones"]]
    if named:
        _check([budgets["features"], *budgets["backbones"], budgets["network"]])
        budgets["zero_shot"] = _zero_shot(named, wanted)
    if any(wanted.prompts) and wanted.prompts != (PROMPT,) and not budgets["zero_shot"]:
        raise InputError(
            f"--prompt {wanted.prompts[0]!r}: no --backbone is named whose text tower is known; "
            "SigLIP's and CLIP's are, such as vit_base_patch16_siglip_224.webli"
        )
    return budgets


def _zero_shot(named: list[Named], wanted: Wanted) -> list[dict]:
    entries = []
    for network in named:
        backbone = network.features["backbone"]
        if network.text and any(wanted.prompts) and backbone.endswith(EMBEDDING):
            entry = {
                "backbone": backbone,
                "resolution": wanted.resolution or network.features["resolution"],
                "text": network.text,
                "prompts": list(wanted.prompts),
            }
            entries.append(entry)
    return [entry for place, entry in enumerate(entries) if entry not in entries[:place]]


def _check_prompts(prompts: Sequence[str]) -> None:
    for prompt in filter(None, prompts):
        try:
            check_prompt(prompt)
        except ValueError as error:
            raise InputError(f"--prompt {error}") from None


def tell_zero_shot(entries: list[dict]) -> None:
    """Prints which text towers read the labels' names, and what is missing for it here."""
    for entry in entries:
        print(
            f"The labels' names are read by {entry['text']}, as {entry['prompts'][0]!r}: a row of "
            "the page without any training (--prompt '' leaves it out)."
        )
    if entries and missing("zero-shot"):
        print(
            f"That needs {', '.join(missing('zero-shot'))}, not installed here: "
            f"{install_command('zero-shot')}"
        )


def _named(name: str) -> Named:
    """timm's dot of a tag becomes `__`."""
    # Here: they import torch, which init-data else does without.
    import timm

    from mlrepro.models.backbones import timm_name
    from mlrepro.models.pretrained import PACKAGED

    written = name.replace(".", "__")
    parts = parts_of(written)
    networks = parts.networks
    packaged = all(network in PACKAGED for network in networks)
    try:
        config = timm.get_pretrained_cfg(timm_name(networks[0]))
    except (RuntimeError, ValueError):  # of names and tags that timm does not have
        config = None
    if config is None:
        raise InputError(
            f"--backbone {name}: none of timm's networks (timm {timm.__version__}); "
            f"{_nearest_names(name)}"
        )
    if not packaged and not config.has_weights:
        raise InputError(
            f"--backbone {name}: timm has no weights of it (timm {timm.__version__}); "
            f"{_nearest_names(name)}"
        )

    _, *size = config.input_size
    made = {"weights": "package" if packaged else "timm", "resolution": max(size)}
    if len(networks) > 1:
        network = {"backbone": written} | made
        return Named(network, network, None)

    # Of an image tower, the features are the embedding that it was trained to give.
    text = _text_tower(timm_name(networks[0]))
    plain = networks[0].removesuffix(EMBEDDING)
    mirrored = MIRRORED if parts.mirrored else ""
    root = ROOT if parts.root else ""
    embeds = EMBEDDING if text or networks[0] != plain else ""
    return Named(
        # Heads on maps want maps.
        network={"backbone": plain + mirrored} | made,
        features={"backbone": plain + embeds + mirrored + root} | made,
        text=text,
    )


def _nearest_names(name: str) -> str:
    """A sentence that offers the most alike of the networks that timm has weights of."""
    import timm

    known = timm.list_models(pretrained=True)
    close = difflib.get_close_matches(name, known, n=OFFERED_NAMES)
    if close:
        return f"did you mean {' or '.join(close)}?"
    return "timm.list_models(pretrained=True) names them"


def _text_tower(timms: str) -> str | None:
    """Where the model lies whose image tower this is; says where another network has it."""
    from mlrepro.models.text_towers import quick_gelu_of, text_tower_of

    better = quick_gelu_of(timms)
    if better:
        print(
            f"--backbone {timms}: its weights were trained with another activation than it has; "
            f"--backbone {better} computes what they were trained for, and reads the labels' names"
        )
    return text_tower_of(timms)


def _check(chosen: list[dict]) -> None:
    """Builds each network without memory: what it cannot take is said now, not after hours."""
    from mlrepro.models.backbones import map_size

    for features in chosen:
        map_size(features["backbone"], features["resolution"])
