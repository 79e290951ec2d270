"""Models of pictures and texts, loaded by open_clip: what they say of words and of pictures."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from mlrepro.data.images import normalise
from mlrepro.errors import InputError
from mlrepro.extras import require
from mlrepro.models.text_towers import FOLDER
from mlrepro.models.weight_files import tensors_sha256

EXTRA = "zero-shot"

# Labels that are put through the text tower together.
TOGETHER = 64


class NotHere(InputError):
    """A model of pictures and texts cannot be had on this machine now; another day it may be."""


@dataclass(frozen=True)
class ImageTextModel:
    """source: its address. sha256: of the weights of all but the image tower.

    bias: what is added to scaled cosines; none where the model was trained without.
    """

    model: nn.Module
    tokenizer: object
    source: str
    sha256: str
    scale: float
    bias: float | None

    @torch.inference_mode()
    def embed_words(self, words: Sequence[str], prompts: Sequence[str]) -> Tensor:
        """(C, D) float32 of length 1: of each the mean of its prompts' embeddings, on the CPU."""
        from open_clip import build_zero_shot_classifier

        device = next(self.model.parameters()).device
        columns = build_zero_shot_classifier(
            self.model,
            self.tokenizer,
            list(words),
            list(prompts),
            num_classes_per_batch=TOGETHER,
            device=device,
        )
        return columns.T.float().cpu().contiguous()

    @torch.inference_mode()
    def embed_pictures(self, pictures: Tensor) -> Tensor:
        """uint8 (B, 3, S, S), normalised here as this model wants it, to (B, D) of length 1."""
        config = self.model.visual.preprocess_cfg
        batch = normalise(pictures, config["mean"], config["std"])
        return normalize(self.model.encode_image(batch).float())


def load_image_text(source: str, resolution: int, device: torch.device) -> ImageTextModel:
    """source: hf-hub:OWNER/NAME or local-dir:FOLDER. resolution: of the pictures that it will see.

    No code of the repository is run. Raises NotHere where open_clip is not installed or the files
    cannot be had, and InputError for a folder that holds no such model.
    """
    try:
        require(EXTRA, f"zero-shot scores by {source}:")
    except InputError as error:
        raise NotHere(str(error)) from None

    # A hub may be reached another day; a folder is what it is.
    kind = InputError if source.startswith(FOLDER) else NotHere
    try:
        model, tokenizer = _load(source, resolution)
    except Exception as error:  # hub, network and file errors have no common type
        reason = str(error).partition("\n")[0]
        raise kind(
            f"{source}: not to be loaded by open_clip ({type(error).__name__}: {reason}); where "
            "there is a network, `hf download OWNER/NAME --local-dir FOLDER` fetches it, and "
            "`text: local-dir:FOLDER` names it here"
        ) from None

    model = model.to(device).eval().requires_grad_(False)
    state = model.state_dict()
    of_text = {key: value for key, value in state.items() if not key.startswith("visual.")}
    bias = model.logit_bias
    return ImageTextModel(
        model,
        tokenizer,
        source,
        tensors_sha256(of_text),
        scale=model.logit_scale.exp().item(),
        bias=None if bias is None else bias.item(),
    )


def _load(source: str, resolution: int) -> tuple[nn.Module, object]:
    import open_clip

    config = open_clip.get_model_config(source)
    text = config["text_cfg"]
    # What a tokenizer is made with stands in the repository, and could ask for code of its own.
    if "trust_remote_code" in json.dumps(text):
        raise ValueError("its configuration asks for code to be run, which is not done")

    size = config["vision_cfg"]["image_size"]
    model = open_clip.create_model(
        source,
        force_image_size=None if size == resolution else resolution,
        require_pretrained=True,
        weights_only=True,
    )
    return model, open_clip.get_tokenizer(source)
