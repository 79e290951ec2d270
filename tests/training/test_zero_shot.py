"""What zero-shot scores are made of: words, a layer, one number; and where text towers lie."""

import os

import numpy as np
import pytest
import timm
import torch
from conftest import skip_without
from scipy.special import expit
from torch.nn.functional import linear
from towers import SIZE, TOWER, make_towers

from mlrepro.errors import InputError
from mlrepro.models.backbones import create_backbone
from mlrepro.models.catalogue import EMBEDDING
from mlrepro.models.image_text import load_image_text
from mlrepro.models.text_towers import HUB, quick_gelu_of, text_tower_of
from mlrepro.settings.run import Run
from mlrepro.training.train import train_run
from mlrepro.training.zero_shot import fitted_bias, label_words, make_layer

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("dog", "dog"),
        ("traffic_light", "traffic light"),
        ("TrafficLight", "traffic light"),
        ("TRAFFIC LIGHT", "traffic light"),
        ("TVMonitor", "tv monitor"),
        ("  Potted__plant ", "potted plant"),
        ("T-shirt", "t-shirt"),
        ("001.Black_footed_Albatross", "black footed albatross"),
        ("n02085620-Chihuahua", "chihuahua"),
        ("3.5mm_jack", "3.5mm jack"),
        ("Straße", "straße"),
        ("7", "7"),
        ("_", "_"),
    ],
)
def test_labels_become_words(name, words):
    assert label_words(name) == words


def test_the_bias_gives_as_many_labels_as_there_are():
    random = np.random.default_rng(0)
    logits = random.normal(20, 3, (50, 4)).astype(np.float32)
    labels = (random.random((50, 4)) < 0.3).astype(np.int8)
    labels[:10, 2] = -1
    known = labels >= 0
    bias = fitted_bias(logits, labels)
    assert expit(logits + bias)[known].mean() == pytest.approx((labels[known] == 1).mean())

    # Where none is there, fewer than one of the known; where none is known, nothing.
    nothing = np.zeros_like(labels)
    assert 0 < expit(logits + fitted_bias(logits, nothing)).sum() < 1
    assert fitted_bias(logits, nothing - 1) == 0


@pytest.mark.parametrize("bias", [None, -10.0])
def test_the_layer_on_embeddings_is_what_open_clip_computes(tmp_path, bias):
    skip_without("zero-shot")
    towers = make_towers(tmp_path / "towers", bias)
    model = load_image_text(towers.text, SIZE, CPU)
    assert model.bias == bias

    words = ["cat", "traffic light"]
    layer = make_layer(model, words, ["a photo of a {}."])
    backbone, _ = create_backbone(TOWER + EMBEDDING, str(towers.weights), SIZE)
    pictures = torch.randn(3, 3, SIZE, SIZE)
    texts = model.tokenizer([f"a photo of a {name}." for name in words])
    with torch.inference_mode():
        features = backbone.eval()(pictures).mean((2, 3))
        expected, _ = towers.model.get_logits(pictures, texts)
    torch.testing.assert_close(linear(features, **layer), expected, rtol=1e-4, atol=1e-4)


def test_a_folder_that_is_no_model_and_one_that_asks_for_code(tmp_path):
    skip_without("zero-shot")
    with pytest.raises(InputError, match="not to be loaded by open_clip"):
        load_image_text(f"local-dir:{tmp_path}", SIZE, CPU)

    towers = make_towers(tmp_path / "towers")
    config = tmp_path / "towers" / "open_clip_config.json"
    asking = '"text_cfg": {"tokenizer_kwargs": {"trust_remote_code": true}, '
    config.write_text(config.read_text().replace('"text_cfg": {', asking))
    with pytest.raises(InputError, match="asks for code to be run, which is not done"):
        load_image_text(towers.text, SIZE, CPU)


def test_weights_that_are_not_there_are_not_random_ones(tmp_path):
    skip_without("zero-shot")
    towers = make_towers(tmp_path / "towers")
    (tmp_path / "towers" / "open_clip_model.safetensors").unlink()
    with pytest.raises(InputError, match="not to be loaded by open_clip"):
        load_image_text(towers.text, SIZE, CPU)


class Touch:
    """What a pickle of this unpacks to is a file that was not there."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_a_pickle_in_place_of_weights_is_not_run(tmp_path):
    skip_without("zero-shot")
    towers = make_towers(tmp_path / "towers")
    (tmp_path / "towers" / "open_clip_model.safetensors").unlink()
    pickled = {"logit_scale": Touch(tmp_path / "was_run")}
    torch.save(pickled, tmp_path / "towers" / "open_clip_pytorch_model.bin")
    with pytest.raises(InputError, match="not to be loaded by open_clip"):
        load_image_text(towers.text, SIZE, CPU)
    assert not (tmp_path / "was_run").exists()


def test_a_run_of_it_is_no_training(tmp_path):
    run = Run(
        data="own",
        inputs="features",
        head="linear",
        backbone=TOWER + EMBEDDING,
        weights="none",
        resolution=SIZE,
        loss={"name": "zero_shot", "text": "hf-hub:nobody/nothing"},
        epochs=1,
        batch_size=2,
    )
    assert run.loss.prompts == ["a photo of a {}."]
    with pytest.raises(InputError, match="which the zero_shot stage does"):
        train_run(run, 0, tmp_path, tmp_path / "out", "name")


# ---- Where text towers lie ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "repository"),
    [
        ("vit_base_patch16_siglip_224.webli", "timm/ViT-B-16-SigLIP"),
        ("vit_so400m_patch14_siglip_378.v2_webli", "timm/ViT-SO400M-14-SigLIP2-378"),
        ("vit_base_patch16_clip_224.laion2b", "laion/CLIP-ViT-B-16-laion2B-s34B-b88K"),
        ("vit_base_patch16_clip_quickgelu_224.openai", "timm/vit_base_patch16_clip_224.openai"),
        ("vit_base_patch16_clip_224.openai", None),
        ("vit_base_patch16_clip_224.openai_ft_in1k", None),
        ("vit_base_patch16_siglip_gap_224.webli", None),
        ("convnext_tiny.in12k_ft_in1k", None),
        ("vit_small_patch16_dinov3.lvd1689m", None),
        ("no_network", None),
    ],
)
def test_which_networks_have_a_text_tower(name, repository):
    assert text_tower_of(name) == (HUB + repository if repository else None)


def test_the_network_whose_activation_its_weights_were_trained_with():
    right = "vit_base_patch16_clip_quickgelu_224.openai"
    assert quick_gelu_of("vit_base_patch16_clip_224.openai") == right
    assert quick_gelu_of(right) is None
    assert quick_gelu_of("vit_base_patch16_clip_224.laion2b") is None


def test_text_towers_are_those_that_open_clip_lists():
    """Of the same width, size of pictures and activation."""
    skip_without("zero-shot")
    from open_clip import get_model_config
    from open_clip.pretrained import _PRETRAINED

    listed: dict[str, list[dict]] = {}
    for architecture, by_tag in _PRETRAINED.items():
        for weights in by_tag.values():
            repository = weights["hf_hub"].strip("/")
            listed.setdefault(repository, []).append(get_model_config(architecture))

    found = {name: text_tower_of(name) for name in timm.list_models(pretrained=True)}
    found = {name: text for name, text in found.items() if text}
    assert len(found) > 80
    for name, text in found.items():
        config = timm.get_pretrained_cfg(name)
        matching = [
            model
            for model in listed[text.removeprefix(HUB)]
            if model["vision_cfg"]["image_size"] == config.input_size[-1]
            and config.num_classes in (0, model["embed_dim"])
            and model.get("quick_gelu", False) == ("quickgelu" in name)
        ]
        assert matching, name
