"""A file of a whole network, in its authors' layout or in ours, into a Classifier.

How a file is read without running code from it is in weight_files.py, how its keys become ours in
layouts.py.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Size, Tensor, nn

from mlrepro.errors import InputError
from mlrepro.files import file_sha256
from mlrepro.models.layouts import POSITIONS, split_authors_state
from mlrepro.models.weight_files import read_state
from mlrepro.settings.run import Run

BACKBONE = "backbone.net."  # what our keys of the backbone begin with
HEAD = "head."
ON_TEST = "on_test."  # what `select_on_test` keeps in a file beside the chosen weights

# Not in files of FrozenBatchNorm and old InPlaceABN, and word vectors not in ML-GCN's.
OPTIONAL = (".num_batches_tracked", ".inp")

SHOWN = 3  # of the keys that differ, in a message


# --- loading -------------------------------------------------------------------------------------


def load_network(model: nn.Module, path: Path, drop: Sequence[str] = ()) -> tuple[str, str]:
    """Fills a Classifier in place from a file of the whole network.

    drop: keys, or what precedes one of their dots, that stay as `model` has them; `head.` is left
        out. Nothing else may be missing or left over, but for OPTIONAL

    Returns the file's sha256, and what of the network is not from it, empty where everything is.
    Raises InputError that names the first differing keys and their shapes; `model` is then as it
    was.
    """
    state = read_state(path)
    state = {key: value for key, value in state.items() if not key.startswith(ON_TEST)}

    # What of the network will not be from the file.
    notes = []
    if drop:
        notes.append(f"{' and '.join(drop)} started anew")
    if POSITIONS in state:
        notes += _compare_positions(state[POSITIONS], model.head, path)

    # Our own files begin so; all others are official ones, or of no network that is known.
    if not any(key.startswith(BACKBONE) for key in state):
        state = _from_authors_layout(state, path)

    # A part that is to start anew may be in the file alone, in the network alone, or in both.
    wanted = model.state_dict()
    unknown = [part for part in drop if not _names_any(part, (*wanted, *state))]
    state = {key: value for key, value in state.items() if not _is_dropped(key, drop)}

    differences = {"to start anew, but unknown": unknown}
    differences |= _differing_keys(state, wanted, drop)
    if any(differences.values()):
        raise InputError(_another_network(path, differences, state, wanted))

    # Not strict, for OPTIONAL and dropped keys; everything else has just been compared.
    model.load_state_dict(state, strict=False)
    return file_sha256(path), "; ".join(notes)


def _compare_positions(table: Tensor, head: nn.Module, path: Path) -> list[str]:
    """A note where Query2Label's table (1, C, h, w) in a file is for maps of another size.

    Raises InputError for a table that is not its fixed one, e.g. learned positions.
    """
    # Only files of Query2Label have a table, and only they need its code.
    from mlrepro.models.heads.query2label import sine_positions

    fixed = table.ndim == 4 and torch.allclose(
        table.float(), sine_positions(*table.shape[1:]), atol=1e-3
    )
    if not fixed:
        raise InputError(
            f"{path}: {POSITIONS} is not Query2Label's fixed sine table; "
            "no other positions are known"
        )

    positions = getattr(head, "positions", None)
    if positions is None or table.shape[2:] == positions.shape[2:]:
        return []
    size = list(positions.shape[2:])
    size_in_file = list(table.shape[2:])
    return [f"positions made anew for maps of {size}, the file has {size_in_file}"]


def _from_authors_layout(state: dict[str, Tensor], path: Path) -> dict[str, Tensor]:
    """An official state dict with the keys of a Classifier."""
    backbone, head = split_authors_state(state, path)
    ours = {BACKBONE + key: value for key, value in backbone.items()}
    return ours | {HEAD + key: value for key, value in head.items()}


def _is_dropped(key: str, drop: Sequence[str]) -> bool:
    """Whether a key is one of `drop`, or below one of them."""
    inner = f"{key.removeprefix(HEAD)}."
    return any(inner.startswith(f"{part}.") for part in drop)


def _names_any(part: str, keys: Sequence[str]) -> bool:
    return any(_is_dropped(key, [part]) for key in keys)


def _differing_keys(
    state: dict[str, Tensor], wanted: dict[str, Tensor], drop: Sequence[str]
) -> dict[str, list[str]]:
    """Keys by how a file and the network differ, without those that are OPTIONAL or dropped."""
    missing = []
    for key in wanted:
        may_lack = key.endswith(OPTIONAL) or _is_dropped(key, drop)
        if key not in state and not may_lack:
            missing.append(key)

    left_over = []
    reshaped = []
    for key, value in state.items():
        if key in wanted:
            if value.shape != wanted[key].shape:
                reshaped.append(key)
        elif not key.endswith(OPTIONAL):
            left_over.append(key)
    return {"missing": missing, "left over": left_over, "of another shape": reshaped}


def _another_network(
    path: Path,
    differences: dict[str, list[str]],
    state: dict[str, Tensor],
    wanted: dict[str, Tensor],
) -> str:
    """The message that a file is of another network: of each difference the first keys."""

    def with_shapes(key: str) -> str:
        shapes = [str(list(part[key].shape)) for part in (state, wanted) if key in part]
        return f"{key} {', here '.join(shapes)}"

    lines = [f"{path}: is of another network, with other classes, backbone, head or window:"]
    for kind, keys in differences.items():
        if keys:
            first = "; ".join(with_shapes(key) for key in keys[:SHOWN])
            lines.append(f"  {len(keys)} {kind}, first {first}")
    lines.append(
        "Give this network's file, or name what is to start anew in `checkpoint_drop`",
    )
    return "\n".join(lines)


# --- options of the head that a file tells -------------------------------------------------------


def head_options(run: Run) -> dict[str, bool | int | float | str]:
    """The options of a run's head.

    Query2Label's that the run file does not say (no `ffn`) are read from its checkpoint.
    """
    from_checkpoint = run.head == "query2label" and run.checkpoint
    if not from_checkpoint or "ffn" in run.head_options:
        return run.head_options

    state = read_state(Path(run.checkpoint))
    in_file = query2label_options(state, run.checkpoint)
    return in_file | run.head_options


def query2label_options(
    state: dict[str, Tensor], where: object = "checkpoint"
) -> dict[str, bool | int | str]:
    """What a Query2Label network's state dict says of its head's options.

    All but `heads` and `dropout`. `where` names the file in the InputError for a network without a
    decoder, or whose layers keep self-attention in a way that the authors' code cannot make.
    """
    shapes = {key.removeprefix(HEAD): value.shape for key, value in state.items()}
    encoder = _layers(shapes, "encoder")
    decoder = _layers(shapes, "decoder")
    kept = [f"{layer}self_attn.in_proj_weight" in shapes for layer in decoder]

    # Known are networks with self-attention in all layers, in all but the first, and in none.
    all_but_first = [False] + [True] * (len(kept) - 1)
    is_known = all(kept) or not any(kept) or kept == all_but_first
    if not decoder or not is_known:
        raise InputError(
            f"{where}: is not of a known Query2Label; "
            f"its decoder layers keep self-attention so: {kept}"
        )
    if all(kept):
        keep_self_attention = "both"
    elif any(kept):
        keep_self_attention = "other"
    else:
        keep_self_attention = "none"

    # nn.Linear's weight is (out, in).
    ffn, hidden = shapes[f"{decoder[0]}linear1.weight"]
    options = {
        "ffn": ffn,
        "enc_layers": len(encoder),
        "dec_layers": len(decoder),
        "keep_self_attention": keep_self_attention,
    }
    if "input_proj.weight" in shapes:
        options |= {"keep_input_proj": True, "hidden": hidden}
    return options


def _layers(shapes: dict[str, Size], part: str) -> list[str]:
    """The prefixes of the transformer layers of `part`, encoder or decoder, that a state has."""
    prefixes = [f"transformer.{part}.layers.{i}." for i in range(len(shapes))]
    return [prefix for prefix in prefixes if f"{prefix}linear1.weight" in shapes]
