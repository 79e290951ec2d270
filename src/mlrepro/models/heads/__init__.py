"""Classification heads: a feature map (B, C, h, w) in, logits (B, K) out.

`linear` alone takes vectors (B, C). The catalogue lists them; `create_head` imports the module of
the head that is asked for, and no other. Nothing here imports torch: settings read the catalogue.
"""

import importlib
import inspect
from typing import TYPE_CHECKING

from mlrepro.models.heads.catalogue import HEADS, check_head_options, find_head

if TYPE_CHECKING:
    from torch import nn

__all__ = ["HEADS", "check_head_options", "create_head"]


def create_head(
    name: str, channels: int, num_classes: int, map_size: tuple[int, int] | None, **options
) -> "nn.Module":
    """Builds a head.

    name: one of `HEADS`
    channels: C of the maps or vectors that it reads
    map_size: (h, w) of the maps, for heads whose constructor asks for it; the others take any
    options: what the run file sets, and what the data gives where the constructor asks for it:
        `words` and `A` of a label graph, `text_dim` of captions

    Raises InputError for an unknown name or option, with the nearest valid one.
    """
    entry = find_head(name)
    head_class = getattr(importlib.import_module(entry.module), entry.class_name)

    # The constructor says what the head needs beyond the settings of a run file.
    arguments = set(inspect.signature(head_class).parameters)
    given = arguments - {"channels", "num_classes", *entry.options, *entry.fixed}
    check_head_options(name, options.keys() - given)

    if "map_size" in given:
        options["map_size"] = map_size
    return head_class(channels, num_classes, **entry.fixed, **options)
