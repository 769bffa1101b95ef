"""The sizes of models: which parameters they have, of which shapes, and how many numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from refimpl.axes import AxesError

Shapes = dict[str, tuple[int, ...]]
UNTRAINED = (".running_", "final_logits_bias")  # parts of the names of what is only recorded


def attention_shapes(name: str, width: int, inner: int) -> Shapes:
    """The parameters of one attention whose heads are `inner` wide together."""
    return {
        f"{name}.in_proj_weight": (3 * inner, width),
        f"{name}.in_proj_bias": (3 * inner,),
        f"{name}.out_proj.weight": (width, inner),
        f"{name}.out_proj.bias": (width,),
    }


def block_shapes(
    name: str, width: int, hidden: int, layer_scale: bool = False, inner: int = 0
) -> Shapes:
    """The parameters of one Transformer block; its heads are `inner` wide together, or `width`."""
    shapes: Shapes = {
        "ln_1.weight": (width,),
        "ln_1.bias": (width,),
        **attention_shapes("attn", width, inner or width),
        "ln_2.weight": (width,),
        "ln_2.bias": (width,),
        "mlp.c_fc.weight": (hidden, width),
        "mlp.c_fc.bias": (hidden,),
        "mlp.c_proj.weight": (width, hidden),
        "mlp.c_proj.bias": (width,),
    }
    if layer_scale:
        shapes |= {"ls_1.gamma": (width,), "ls_2.gamma": (width,)}
    return {f"{name}.{part}": shape for part, shape in shapes.items()}


class Blocks(Protocol):
    """What the blocks of a Transformer need to know of a configuration."""

    @property
    def layers(self) -> int:
        """How many blocks."""

    @property
    def heads(self) -> int:
        """Heads of each attention."""

    @property
    def activation(self) -> str:
        """The name of an operation."""

    @property
    def eps(self) -> float:
        """The guard of each layer norm."""


@dataclass(frozen=True)
class Vit:
    """A Vision Transformer on square images; `activation` is the name of an operation.

    `classes` is the width of a linear head, `embed` that of a projection without bias; 0 means
    none. Without a class token the tokens are averaged.
    """

    patch: int
    width: int
    layers: int
    heads: int
    hidden: int
    image: int = 224
    channels: int = 3
    classes: int = 0
    embed: int = 0
    activation: str = "gelu"
    eps: float = 1e-6
    patch_bias: bool = True
    class_token: bool = True
    pre_norm: bool = False
    layer_scale: bool = False

    @property
    def tokens(self) -> int:
        """Patches of an image, and the class token."""
        return (self.image // self.patch) ** 2 + self.class_token

    def shapes(self, at: str = "") -> Shapes:
        """Name and shape of every parameter; `at` is written before each name."""
        D = self.width
        shapes: Shapes = {"conv1.weight": (D, self.channels, self.patch, self.patch)}
        if self.patch_bias:
            shapes["conv1.bias"] = (D,)
        if self.class_token:
            shapes["class_embedding"] = (D,)
        shapes["positional_embedding"] = (self.tokens, D)
        norms = ("ln_pre", "ln_post") if self.pre_norm else ("ln_post",)
        shapes |= {f"{norm}.{part}": (D,) for norm in norms for part in ("weight", "bias")}
        for i in range(self.layers):
            name = f"transformer.resblocks.{i}"
            shapes |= block_shapes(name, D, self.hidden, self.layer_scale)
        if self.embed:
            shapes["proj"] = (D, self.embed)
        if self.classes:
            shapes |= {"head.weight": (self.classes, D), "head.bias": (self.classes,)}
        return {at + name: shape for name, shape in shapes.items()}

    def accept(self, images: Any) -> None:
        """Raise `AxesError` for images of another shape."""
        accept_images("vit", images, self.channels, self.image)


@dataclass(frozen=True)
class ResNet:
    """The ResNet of CLIP: `blocks` bottlenecks in each of four stages, and an attention pool."""

    blocks: tuple[int, int, int, int]
    width: int  # channels after the stem
    embed: int
    image: int = 224
    channels: int = 3
    eps: float = 1e-5

    @property
    def heads(self) -> int:
        """Heads of the attention pool, 64 wide each."""
        return self.width * 32 // 64

    @property
    def tokens(self) -> int:
        """Pixels of the last feature map, and their mean."""
        return (self.image // 32) ** 2 + 1

    def shapes(self, at: str = "") -> Shapes:
        """Name and shape of every parameter and of every recorded mean and variance."""
        half, features = self.width // 2, self.width * 32
        shapes: Shapes = {}
        stem = ((half, self.channels), (half, half), (self.width, half))
        for i, (out, into) in enumerate(stem, start=1):
            shapes |= _conv_and_norm(f"conv{i}", f"bn{i}", out, into, 3)
        into = self.width
        for stage, count in enumerate(self.blocks):
            mid = self.width * 2**stage
            for i in range(count):
                name = f"layer{stage + 1}.{i}"
                shapes |= _conv_and_norm(f"{name}.conv1", f"{name}.bn1", mid, into, 1)
                shapes |= _conv_and_norm(f"{name}.conv2", f"{name}.bn2", mid, mid, 3)
                shapes |= _conv_and_norm(f"{name}.conv3", f"{name}.bn3", 4 * mid, mid, 1)
                if i == 0:
                    down = f"{name}.downsample"
                    shapes |= _conv_and_norm(f"{down}.0", f"{down}.1", 4 * mid, into, 1)
                into = 4 * mid
        shapes["attnpool.positional_embedding"] = (self.tokens, features)
        for part, out in (("k", features), ("q", features), ("v", features), ("c", self.embed)):
            shapes[f"attnpool.{part}_proj.weight"] = (out, features)
            shapes[f"attnpool.{part}_proj.bias"] = (out,)
        return {at + name: shape for name, shape in shapes.items()}

    def accept(self, images: Any) -> None:
        """Raise `AxesError` for images of another shape."""
        accept_images("resnet", images, self.channels, self.image)


def _conv_and_norm(conv: str, norm: str, out: int, into: int, side: int) -> Shapes:
    parts = ("weight", "bias", "running_mean", "running_var")
    return {f"{conv}.weight": (out, into, side, side), **{f"{norm}.{p}": (out,) for p in parts}}


@dataclass(frozen=True)
class Text:
    """The text tower of CLIP: a causal Transformer over token ids."""

    width: int
    layers: int
    heads: int
    hidden: int
    embed: int
    context: int = 77
    vocabulary: int = 49408
    activation: str = "quick_gelu"
    eps: float = 1e-5

    def shapes(self) -> Shapes:
        """Name and shape of every parameter."""
        shapes: Shapes = {
            "token_embedding.weight": (self.vocabulary, self.width),
            "positional_embedding": (self.context, self.width),
            "ln_final.weight": (self.width,),
            "ln_final.bias": (self.width,),
            "text_projection": (self.width, self.embed),
        }
        for i in range(self.layers):
            shapes |= block_shapes(f"transformer.resblocks.{i}", self.width, self.hidden)
        return shapes

    def accept(self, ids: Any) -> None:
        """Raise `AxesError` for ids of another shape, type or range."""
        accept_ids("text", ids, self.context, self.vocabulary)


@dataclass(frozen=True)
class Clip:
    """An image tower and a text tower that end in one space."""

    vision: Vit | ResNet
    text: Text

    def shapes(self) -> Shapes:
        """Name and shape of every parameter, as OpenAI names them."""
        return self.vision.shapes("visual.") | self.text.shapes() | {"logit_scale": ()}


Config = Vit | Clip


def accept_images(who: str, images: Any, channels: int, side: int) -> None:
    """Raise `AxesError` unless images are (any number, channels, side, side)."""
    shape = np.shape(images) if not hasattr(images, "shape") else images.shape
    if len(shape) != 4 or tuple(shape[1:]) != (channels, side, side):
        raise AxesError(
            f"{who}: images has shape {tuple(shape)}, expected (B, {channels}, {side}, {side})"
        )


def accept_ids(who: str, ids: Any, context: int, vocabulary: int) -> None:
    """Raise `AxesError` unless ids are (texts, at most context) integers below vocabulary."""
    ids = np.asarray(ids)
    if ids.dtype.kind not in "iu":
        raise AxesError(f"{who}: ids has dtype {ids.dtype}, expected integers")
    if ids.ndim != 2 or not 0 < ids.shape[1] <= context:
        raise AxesError(f"{who}: ids has shape {ids.shape}, expected (texts, at most {context})")
    if ids.size and (ids.min() < 0 or ids.max() >= vocabulary):
        worst = ids.min() if ids.min() < 0 else ids.max()
        raise AxesError(f"{who}: ids has {worst}, but the vocabulary has {vocabulary}")


def count(config: Any) -> int:
    """How many trained numbers a model has; recorded means and variances are not trained.

    >>> count(VIT_B_16)
    86567656
    """
    shapes = config.shapes().items()
    trained = (shape for name, shape in shapes if not any(part in name for part in UNTRAINED))
    return sum(map(math.prod, trained))


def _vit(patch: int, width: int, layers: int, heads: int) -> Vit:
    return Vit(patch, width, layers, heads, 4 * width, classes=1000)


def clip_vit(
    patch: int, width: int, layers: int, embed: int, text: int, image: int = 224, head: int = 64
) -> Clip:
    """A CLIP of OpenAI's proportions with a Vision Transformer."""
    vision = Vit(
        patch,
        width,
        layers,
        width // head,
        4 * width,
        image,
        embed=embed,
        activation="quick_gelu",
        eps=1e-5,
        patch_bias=False,
        pre_norm=True,
    )
    return Clip(vision, Text(text, 12, text // 64, 4 * text, embed))


def clip_resnet(blocks: tuple[int, int, int, int], width: int, embed: int) -> Clip:
    """A CLIP of OpenAI's proportions with a ResNet."""
    return Clip(ResNet(blocks, width, embed), Text(512, 12, 8, 2048, embed))


VIT_TESTING = Vit(16, 10, 1, 2, 10, classes=1000)
VIT_TI_16 = _vit(16, 192, 12, 3)
VIT_S_16, VIT_S_32 = _vit(16, 384, 12, 6), _vit(32, 384, 12, 6)
VIT_B_8, VIT_B_16, VIT_B_32 = (_vit(patch, 768, 12, 12) for patch in (8, 16, 32))
VIT_L_16, VIT_L_32 = _vit(16, 1024, 24, 16), _vit(32, 1024, 24, 16)
VIT_H_14 = _vit(14, 1280, 32, 16)
DINOV2_S_14 = replace(_vit(14, 384, 12, 6), classes=0, layer_scale=True)
CLIP_B_32, CLIP_B_16 = (clip_vit(patch, 768, 12, 512, 512) for patch in (32, 16))
CLIP_L_14 = clip_vit(14, 1024, 24, 768, 768)
CLIP_L_14_336 = clip_vit(14, 1024, 24, 768, 768, image=336)
CLIP_H_14 = clip_vit(14, 1280, 32, 1024, 1024, head=80)
CLIP_H_14 = replace(CLIP_H_14, text=replace(CLIP_H_14.text, layers=24))
CLIP_RN50 = clip_resnet((3, 4, 6, 3), 64, 1024)
CLIP_RN101 = clip_resnet((3, 4, 23, 3), 64, 512)

MODELS: dict[str, Config] = {
    "vit-testing": VIT_TESTING,
    "vit-ti-16": VIT_TI_16,
    "vit-s-16": VIT_S_16,
    "vit-s-32": VIT_S_32,
    "vit-b-8": VIT_B_8,
    "vit-b-16": VIT_B_16,
    "vit-b-32": VIT_B_32,
    "vit-l-16": VIT_L_16,
    "vit-l-32": VIT_L_32,
    "vit-h-14": VIT_H_14,
    "dinov2-s-14": DINOV2_S_14,
    "clip-vit-b-32": CLIP_B_32,
    "clip-vit-b-16": CLIP_B_16,
    "clip-vit-l-14": CLIP_L_14,
    "clip-vit-l-14-336": CLIP_L_14_336,
    "clip-vit-h-14": CLIP_H_14,
    "clip-rn50": CLIP_RN50,
    "clip-rn101": CLIP_RN101,
}
