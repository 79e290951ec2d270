"""Which of timm's networks are image towers of a model of pictures and texts, and where that lies.

timm's weights are those of the image tower alone. open_clip loads both towers from a repository of
Hugging Face's hub; here is which one belongs to which network. training/zero_shot.py checks that it
gives the pictures the same embeddings.
"""

import re

HUB = "hf-hub:"
FOLDER = "local-dir:"

CLIP = re.compile(r"resnet\d+(x\d+)?_clip|vit_[a-z]+_patch\d+_clip_(quickgelu_)?\d+")

# A tag of these means that timm's repository of the image tower holds the whole model, too.
SAME_REPOSITORY = (
    "openai",
    "yfcc15m",
    "cc12m",
    "laion400m_e32",
    "metaclip_400m",
    "metaclip_2pt5b",
    "metaclip_altogether",
    "metaclip2_worldwide",
)

SIGLIP = re.compile(
    r"vit_(?P<size>base|large|so400m|giantopt)_patch(?P<patch>\d+)_siglip_(?P<resolution>\d+)"
    r"\.(?P<tag>webli|v2_webli|webli_i18n)"
)
SIGLIP_SIZES = {"base": "B", "large": "L", "so400m": "SO400M", "giantopt": "gopt"}

# timm's name -> repository.
REPOSITORIES = {
    "vit_base_patch32_clip_224.laion2b": "laion/CLIP-ViT-B-32-laion2B-s34B-b79K",
    "vit_base_patch16_clip_224.laion2b": "laion/CLIP-ViT-B-16-laion2B-s34B-b88K",
    "vit_large_patch14_clip_224.laion2b": "laion/CLIP-ViT-L-14-laion2B-s32B-b82K",
    "vit_huge_patch14_clip_224.laion2b": "laion/CLIP-ViT-H-14-laion2B-s32B-b79K",
    "vit_giant_patch14_clip_224.laion2b": "laion/CLIP-ViT-g-14-laion2B-s12B-b42K",
    "vit_gigantic_patch14_clip_224.laion2b": "laion/CLIP-ViT-bigG-14-laion2B-39B-b160k",
    "vit_base_patch32_clip_224.datacompxl": "laion/CLIP-ViT-B-32-DataComp.XL-s13B-b90K",
    "vit_base_patch32_clip_256.datacompxl": "laion/CLIP-ViT-B-32-256x256-DataComp-s34B-b86K",
    "vit_base_patch16_clip_224.datacompxl": "laion/CLIP-ViT-B-16-DataComp.XL-s13B-b90K",
    "vit_large_patch14_clip_224.datacompxl": "laion/CLIP-ViT-L-14-DataComp.XL-s13B-b90K",
    "vit_base_patch16_clip_224.dfn2b": "apple/DFN2B-CLIP-ViT-B-16",
    "vit_large_patch14_clip_quickgelu_224.dfn2b": "apple/DFN2B-CLIP-ViT-L-14",
    "vit_large_patch14_clip_224.dfn2b_s39b": "apple/DFN2B-CLIP-ViT-L-14-39B",
    "vit_huge_patch14_clip_quickgelu_224.dfn5b": "apple/DFN5B-CLIP-ViT-H-14",
    "vit_huge_patch14_clip_quickgelu_378.dfn5b": "apple/DFN5B-CLIP-ViT-H-14-378",
    "convnext_base.clip_laion2b": "laion/CLIP-convnext_base_w-laion2B-s13B-b82K",
    "convnext_base.clip_laion2b_augreg": "laion/CLIP-convnext_base_w-laion2B-s13B-b82K-augreg",
    "convnext_base.clip_laiona": "laion/CLIP-convnext_base_w-laion_aesthetic-s13B-b82K",
    "convnext_base.clip_laiona_320": "laion/CLIP-convnext_base_w_320-laion_aesthetic-s13B-b82K",
    "convnext_base.clip_laiona_augreg_320": (
        "laion/CLIP-convnext_base_w_320-laion_aesthetic-s13B-b82K-augreg"
    ),
    "convnext_large_mlp.clip_laion2b_augreg": (
        "laion/CLIP-convnext_large_d.laion2B-s26B-b102K-augreg"
    ),
    "convnext_xxlarge.clip_laion2b_soup": (
        "laion/CLIP-convnext_xxlarge-laion2B-s34B-b82K-augreg-soup"
    ),
    "convnext_xxlarge.clip_laion2b_rewind": (
        "laion/CLIP-convnext_xxlarge-laion2B-s34B-b82K-augreg-rewind"
    ),
    "eva02_base_patch16_clip_224.merged2b": "timm/eva02_base_patch16_clip_224.merged2b_s8b_b131k",
    "eva02_large_patch14_clip_224.merged2b": "timm/eva02_large_patch14_clip_224.merged2b_s4b_b131k",
    "eva02_large_patch14_clip_336.merged2b": "timm/eva02_large_patch14_clip_336.merged2b_s6b_b61k",
    "vit_pe_core_tiny_patch16_384.fb": "timm/PE-Core-T-16-384",
    "vit_pe_core_small_patch16_384.fb": "timm/PE-Core-S-16-384",
    "vit_pe_core_base_patch16_224.fb": "timm/PE-Core-B-16",
    "vit_pe_core_large_patch14_336.fb": "timm/PE-Core-L-14-336",
    "vit_pe_core_gigantic_patch14_448.fb": "timm/PE-Core-bigG-14-448",
    # Of 384 pixels, used at 378.
    "vit_so400m_patch14_siglip_378.webli": "timm/ViT-SO400M-14-SigLIP-384",
}


def text_tower_of(name: str) -> str | None:
    """The address, as open_clip takes it, of the whole model whose image tower is timm's `name`.

    name: with its tag. None where none is known, and where timm's network computes another
    activation than its weights were trained with.
    """
    import timm

    config = timm.get_pretrained_cfg(name)
    if config is None or quick_gelu_of(name):
        return None
    # The tag that timm takes where none is given.
    whole_name = f"{config.architecture}.{config.tag}"

    if whole_name in REPOSITORIES:
        return HUB + REPOSITORIES[whole_name]
    siglip = SIGLIP.fullmatch(whole_name)
    if siglip:
        return HUB + _siglip_repository(**siglip.groupdict())
    if config.tag in SAME_REPOSITORY and CLIP.fullmatch(config.architecture):
        return HUB + config.hf_hub_id
    return None


def _siglip_repository(size: str, patch: str, resolution: str, tag: str) -> str:
    """Such as timm/ViT-B-16-SigLIP2-256, of timm's vit_base_patch16_siglip_256.v2_webli."""
    network = f"ViT-{SIGLIP_SIZES[size]}-{patch}"
    version = "SigLIP2" if tag.startswith("v2") else "SigLIP"
    languages = "-i18n" if tag.endswith("i18n") else ""
    # The size that most are of is not named.
    pixels = "" if resolution == "224" else f"-{resolution}"
    return f"timm/{network}-{version}{languages}{pixels}"


def quick_gelu_of(name: str) -> str | None:
    """The name of the same network with QuickGELU, where its weights were trained so and it is not.

    So are OpenAI's and MetaCLIP's, of which timm has both forms.
    """
    import timm

    config = timm.get_pretrained_cfg(name)
    if config is None or "quickgelu" in name:
        return None
    # timm notes of weights how they were trained, whichever network they are loaded into.
    notes = "".join(config.notes or ())
    if "quickgelu" not in notes:
        return None
    return name.replace("_clip_", "_clip_quickgelu_")
