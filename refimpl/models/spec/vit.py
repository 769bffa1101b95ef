"""The record of the Vision Transformer."""

from __future__ import annotations

import math

import numpy as np

from refimpl.models.configs import MODELS, ResNet, Vit
from refimpl.models.gradients import vit_logits_vjp
from refimpl.models.mistakes import VIT
from refimpl.models.model import Choice, Model
from refimpl.models.names import PERCEPTRON, Layout, Params, WeightsError, numbers, shape_of
from refimpl.models.vit import vit_logits

TRANSFORMERS = (
    (r"^(vit|dinov2|backbone)\.", ""),
    (r"^embeddings\.mask_token$", "|drop"),
    (r"^embeddings\.cls_token$", "class_embedding|1"),
    (r"^embeddings\.position_embeddings$", "positional_embedding|2"),
    (r"^embeddings\.patch_embeddings\.projection\.", "conv1."),
    (r"^layernorm\.", "ln_post."),
    (r"^classifier\.", "head."),
    (r"^(encoder\.layer|layers)\.", "transformer.resblocks."),
    (r"\.(layernorm_before|norm1)\.", ".ln_1."),
    (r"\.(layernorm_after|norm2)\.", ".ln_2."),
    (r"\.attention\.output\.dense\.", ".attn.out_proj."),
    (r"\.attention\.o_proj\.", ".attn.out_proj."),
    (r"\.attention\.attention\.([qkv])(uery|ey|alue)\.(weight|bias)$", r".attn.in_proj_\3|\1"),
    (r"\.attention\.([qkv])_proj\.(weight|bias)$", r".attn.in_proj_\2|\1"),
    (r"\.intermediate\.dense\.", ".mlp.c_fc."),
    (r"^(transformer\.resblocks\.\d+)\.output\.dense\.", r"\1.mlp.c_proj."),
    (r"\.layer_scale([12])\.lambda1$", r".ls_\1.gamma"),
    *PERCEPTRON,
)
TIMM = (
    (r"^cls_token$", "class_embedding|1"),
    (r"^pos_embed$", "positional_embedding|2"),
    (r"^patch_embed\.proj\.", "conv1."),
    (r"^norm_pre\.", "ln_pre."),
    (r"^norm\.", "ln_post."),
    (r"^blocks\.", "transformer.resblocks."),
    (r"\.norm([12])\.", r".ln_\1."),
    (r"\.ls([12])\.gamma$", r".ls_\1.gamma"),
    (r"\.attn\.qkv\.(weight|bias)$", r".attn.in_proj_\1"),
    (r"\.attn\.proj\.", ".attn.out_proj."),
    *PERCEPTRON,
)
CHOICES = (
    Choice("activation", ("gelu", "gelu_tanh", "quick_gelu")),
    Choice("eps", (1e-5, 1e-6, 1e-12), "an epsilon of "),
)
MODULES = ((r"^conv1$", "patches|grid"),)
ENTERING = (
    (r"\.ln_2$", ".middle"),
    (r"^ln_pre$", "tokens"),
    (r"^transformer\.resblocks\.0\.ln_1$", "tokens"),
)


def images(config: Vit | ResNet, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Noise, and an image of zeros, whose tokens have little variance."""
    shape = (config.channels, config.image, config.image)
    noise = rng.normal(size=shape)
    return {"images": np.stack([noise, np.zeros(shape)]).astype(np.float32)}


def infer(params: Params) -> Vit:
    """The configuration that the shapes tell.

    They do not tell the heads: 64 wide each, as OpenAI's are, or one head for a narrower width.
    Nor do they tell activation and epsilon: for the vision tower of a CLIP, which has a norm before
    the first block and no bias of the patches, those are OpenAI's, else the exact GELU and 1e-6.

    Raises WeightsError where what is needed to tell is missing or misshapen.
    """
    if "attnpool.positional_embedding" in params:
        raise WeightsError("weights: a ResNet without a text tower")
    embed = shape_of(params, "proj", 2)[1] if "proj" in params else 0
    class_token, pre_norm = "class_embedding" in params, "ln_pre.weight" in params
    return infer_tower(params, "", class_token, pre_norm, embed)


def infer_tower(params: Params, at: str, class_token: bool, pre_norm: bool, embed: int) -> Vit:
    """A Vision Transformer whose names begin with `at`."""
    width, channels, patch, _ = shape_of(params, f"{at}conv1.weight", 4)
    tokens, _ = shape_of(params, f"{at}positional_embedding", 2)
    layers, hidden = infer_blocks(params, at)
    patch_bias = f"{at}conv1.bias" in params
    openai = bool(at) or (pre_norm and not patch_bias)
    return Vit(
        patch,
        width,
        layers,
        heads(width),
        hidden,
        image=patch * math.isqrt(tokens - class_token),
        channels=channels,
        classes=shape_of(params, "head.weight", 2)[0] if "head.weight" in params else 0,
        embed=embed,
        activation="quick_gelu" if openai else "gelu",
        eps=1e-5 if openai else 1e-6,
        patch_bias=patch_bias,
        class_token=class_token,
        pre_norm=pre_norm,
        layer_scale="transformer.resblocks.0.ls_1.gamma" in params,
    )


def infer_blocks(params: Params, at: str) -> tuple[int, int]:
    """The number of Transformer blocks, and the hidden width of their perceptrons."""
    hidden, _ = shape_of(params, f"{at}transformer.resblocks.0.mlp.c_fc.weight", 2)
    return numbers(params, f"{at}transformer.resblocks."), hidden


def heads(width: int) -> int:
    """As many heads as OpenAI's models have in this width."""
    return max(width // 64, 1)


MODEL = Model(
    name="vit",
    text=vit_logits,
    config=Vit,
    inputs=images,
    sizes={name: config for name, config in MODELS.items() if type(config) is Vit},
    choices=CHOICES,
    mistakes=VIT,
    gradient=vit_logits_vjp,
    compiled="refimpl.models.compiled",
    layouts=(
        Layout(r"(.*\.)?embeddings\.patch_embeddings\.projection\.", TRANSFORMERS),
        Layout(r"patch_embed\.proj\.", TIMM),
    ),
    modules=MODULES,
    entering=ENTERING,
    sign="conv1.weight",
    infer=infer,
    says="ViT and DINOv2",
)
