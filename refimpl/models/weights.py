"""Weights: safetensors files read with care, and the names of other libraries turned into ours.

Our own names are OpenAI's for CLIP (`visual.transformer.resblocks.0.attn.in_proj_weight`), and the
same without `visual.` for a Vision Transformer alone. Known besides: open_clip; transformers, its
CLIP, that one's vision tower alone, ViT and DINOv2, before version 5 and since; the ViT of timm.
Nothing is guessed: a missing, a surplus and a misshapen array are errors that name it, and what is
none of these models is refused in words.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from refimpl.models.configs import Clip, Config, ResNet, Text, Vit

LARGEST_HEADER = 100_000_000  # bytes, the limit of the format
LONGEST_NAME = 200  # characters of an array's name that are quoted
NAMED = 5  # how many wrong names an error lists
DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "I64": "<i8", "I32": "<i4"}


class WeightsError(ValueError):
    """A file of weights is damaged, or does not hold what a model needs."""


def read(path: str | Path, config: Config | None = None) -> tuple[Config, dict[str, np.ndarray]]:
    """Read a model from a safetensors file; without a configuration the shapes must tell it.

    Half precision is widened to float32. Shapes do not tell the number of heads, the activation
    and epsilon: see `infer`.

    Raises WeightsError for a damaged file and for arrays that are missing, surplus or misshapen.
    """
    state = load(path)
    _recognise(state)
    params = translate(state)
    config = config or infer(params)
    check(params, config)
    return config, params


def load(path: str | Path) -> dict[str, np.ndarray]:
    """The arrays of a safetensors file, every size checked before anything is allocated."""
    path = Path(path)
    if path.exists() and not path.is_file():
        raise WeightsError(f"{path}: is no regular file")
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if size < 8 or length > min(size - 8, LARGEST_HEADER):
                raise WeightsError(f"{path}: header of {length} bytes in a file of {size}")
            header = json.loads(file.read(length), object_pairs_hook=_unique)
    except OSError as error:
        raise WeightsError(f"{path}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        if isinstance(error, WeightsError):
            raise
        raise WeightsError(f"{path}: the header cannot be read: {error}") from None
    if not isinstance(header, dict):
        raise WeightsError(f"{path}: the header is no table of arrays")
    header.pop("__metadata__", None)
    start, room = 8 + length, size - 8 - length
    places = {
        name: _place(f"{path}: {name[:LONGEST_NAME]}", entry, room)
        for name, entry in header.items()
    }
    end = 0
    for name, (first, last, _, _) in sorted(places.items(), key=lambda item: item[1][:2]):
        if first != end:
            raise WeightsError(
                f"{path}: {name[:LONGEST_NAME]} starts at byte {first}, expected {end}"
            )
        end = last
    if end != room:
        raise WeightsError(f"{path}: {room} bytes of data, but the header speaks of {end}")
    arrays = {}
    for name, (first, _, dtype, shape) in places.items():
        raw = np.memmap(path, DTYPES[dtype], "r", start + first, shape) if math.prod(shape) else ()
        arrays[name] = _widen(np.asarray(raw, DTYPES[dtype]).reshape(shape), dtype)
    return arrays


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) < len(pairs):
        raise ValueError("a name occurs twice")
    return table


def _place(what: str, entry: Any, room: int) -> tuple[int, int, str, tuple[int, ...]]:
    """First byte, end, dtype and shape of one array."""
    try:
        dtype, shape, (first, last) = entry["dtype"], entry["shape"], entry["data_offsets"]
    except (TypeError, KeyError, ValueError):
        raise WeightsError(f"{what}: needs dtype, shape and data_offsets") from None
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise WeightsError(
            f"{what}: has dtype {str(dtype)[:40]}, expected one of {', '.join(DTYPES)}"
        )
    numbers = [*shape, first, last] if isinstance(shape, list) else [-1]
    if not all(type(n) is int and n >= 0 for n in numbers):
        raise WeightsError(f"{what}: shape and data_offsets must be natural numbers")
    if len(shape) > 8:
        raise WeightsError(f"{what}: has {len(shape)} axes")
    need = math.prod(shape) * np.dtype(DTYPES[dtype]).itemsize
    if last > room or last - first != need:
        raise WeightsError(
            f"{what}: shape {tuple(shape)} of {dtype} takes {need} bytes, "
            f"data_offsets {first} to {last} of {room} do not hold them"
        )
    return first, last, dtype, tuple(shape)


def _widen(array: np.ndarray, dtype: str) -> np.ndarray:
    if dtype == "BF16":
        return (array.astype(np.uint32) << 16).view(np.float32)
    return array.astype(np.float32) if dtype == "F16" else array


# The names of others, each rule a pattern and what takes its place. A mark at the end says what
# happens to the array: |T transposed, |1 and |2 without the axes of size 1 before the last one or
# two, |q |k |v a third of in_proj, |drop left out.
OPENAI = (
    (r"^text\.", ""),  # open_clip's models with a text tower of its own
    (r"^(input_resolution|context_length|vocab_size)$", "|drop"),
    (r".*\.num_batches_tracked$", "|drop"),
)
PERCEPTRON = ((r"\.mlp\.fc1\.", ".mlp.c_fc."), (r"\.mlp\.fc2\.", ".mlp.c_proj."))
TRANSFORMERS_CLIP = (
    (r"^(embeddings|encoder|pre_layrnorm|post_layernorm)\.", r"vision_model.\1."),  # alone
    (r".*\.position_ids$", "|drop"),
    (r"^vision_model\.encoder\.layers\.", "visual.transformer.resblocks."),
    (r"^vision_model\.embeddings\.patch_embedding\.", "visual.conv1."),
    (r"^vision_model\.embeddings\.position_embedding\.weight$", "visual.positional_embedding"),
    (r"^vision_model\.embeddings\.class_embedding$", "visual.class_embedding"),
    (r"^vision_model\.pre_layrnorm\.", "visual.ln_pre."),
    (r"^vision_model\.post_layernorm\.", "visual.ln_post."),
    (r"^visual_projection\.weight$", "visual.proj|T"),
    (r"^text_model\.encoder\.layers\.", "transformer.resblocks."),
    (r"^text_model\.embeddings\.token_embedding\.", "token_embedding."),
    (r"^text_model\.embeddings\.position_embedding\.weight$", "positional_embedding"),
    (r"^text_model\.final_layer_norm\.", "ln_final."),
    (r"^text_projection\.weight$", "text_projection|T"),
    (r"\.layer_norm([12])\.", r".ln_\1."),
    (r"\.self_attn\.out_proj\.", ".attn.out_proj."),
    (r"\.self_attn\.([qkv])_proj\.(weight|bias)$", r".attn.in_proj_\2|\1"),
    *PERCEPTRON,
)
TRANSFORMERS_VIT = (
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
LAYOUTS = {  # a name that gives the layout away, and its rules
    r"vision_model\.|text_model\.|embeddings\.patch_embedding\.": TRANSFORMERS_CLIP,
    r"(.*\.)?embeddings\.patch_embeddings\.projection\.": TRANSFORMERS_VIT,
    r"patch_embed\.proj\.": TIMM,
    r"": OPENAI,
}
OTHERS = {  # a name that gives away what is none of our models, and what it is
    r"(vision_model\.)?head\.probe$|(visual\.trunk\.)?attn_pool\.latent$": "a SigLIP, whose "
    "pooling by attention",
    r"(text_model\.)?embeddings\.token_embedding\.|text_projection": "a text tower alone, which",
    r"(unet|model\.diffusion_model)\.|(down|up)_blocks\.": "a U-Net, which",
}
KNOWN = "CLIP, its vision tower, ViT and DINOv2"
OURS = re.compile(r"(visual\.|text\.)?(conv1|transformer|class_embedding|token_embedding|ln_)\b")


def translate(state: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Arrays under another library's names, under ours.

    Raises WeightsError where two names become one, or a third of an attention's input is missing.
    """
    rules = (
        next(
            rules
            for telltale, rules in LAYOUTS.items()
            if any(re.match(telltale, name) for name in state)
        )
        if state
        else OPENAI
    )
    params: dict[str, np.ndarray] = {}
    thirds: dict[str, dict[str, np.ndarray]] = {}
    for theirs, value in state.items():
        name, _, mark = rename(theirs, rules).partition("|")
        array = np.asarray(value)
        if mark == "drop":
            continue
        if mark in ("q", "k", "v"):
            thirds.setdefault(name, {})[mark] = array
            continue
        if name in params:
            raise WeightsError(f"weights: {theirs} is {name}, which is there already")
        if mark == "T":
            array = array.T
        elif mark and math.prod(array.shape[: -int(mark)]) == 1:
            array = np.reshape(array, array.shape[-int(mark) :])
        params[name] = array
    for name, parts in thirds.items():
        missing = {"q", "k", "v"} - set(parts)
        if missing or name in params or len({part.shape for part in parts.values()}) > 1:
            raise WeightsError(f"weights: {name} needs q, k and v of one shape")
        params[name] = np.concatenate([parts["q"], parts["k"], parts["v"]])
    if rules is TRANSFORMERS_CLIP and "token_embedding.weight" not in params:
        return {name.removeprefix("visual."): array for name, array in params.items()}
    return params


def _recognise(state: Mapping[str, Any]) -> None:
    """Raise WeightsError, in words, for the arrays of what is none of our models."""
    vision = any(re.match(r"vision_model\.|visual\.", name) for name in state)
    for telltale, what in OTHERS.items():
        told = next((name for name in state if re.match(telltale, name)), "")
        if told and not (what.startswith("a text tower") and vision):
            raise WeightsError(
                f"weights: {told} belongs to {what} is not among the models here: {KNOWN}"
            )
    marks = (*(re.compile(telltale) for telltale in LAYOUTS if telltale), OURS)
    if state and not any(mark.match(name) for mark in marks for name in state):
        raise WeightsError(
            f"weights: names such as {', '.join([*state][:3])} belong to no known layout; known "
            f"are {KNOWN} of OpenAI, open_clip, transformers and timm"
        )


def rename(name: str, rules: tuple[tuple[str, str], ...]) -> str:
    """One name after all rules, its mark included.

    >>> rename("blocks.3.attn.qkv.weight", TIMM)
    'transformer.resblocks.3.attn.in_proj_weight'
    """
    for pattern, place in rules:
        name = re.sub(pattern, place, name)
    return name


def infer(params: Mapping[str, np.ndarray]) -> Config:
    """The configuration that the shapes tell.

    They do not tell the heads: 64 wide each, as OpenAI's are, or one head for a narrower width.
    Nor do they tell activation and epsilon: those are OpenAI's for a CLIP and for its vision tower,
    which has a norm before the first block and no bias of the patches, and for another Vision
    Transformer the exact GELU and 1e-6.

    Raises WeightsError where what is needed to tell is missing or misshapen.
    """
    clip = "token_embedding.weight" in params
    at = "visual." if clip else ""
    if f"{at}attnpool.positional_embedding" in params:
        vision: Vit | ResNet = _infer_resnet(params, at)
    else:
        vision = _infer_vit(params, at, clip)
    if not clip:
        if not isinstance(vision, Vit):
            raise WeightsError("weights: a ResNet without a text tower")
        return vision
    context, width = _shape(params, "positional_embedding", 2)
    layers, hidden = _blocks(params, "")
    vocabulary, _ = _shape(params, "token_embedding.weight", 2)
    _, embed = _shape(params, "text_projection", 2)
    return Clip(vision, Text(width, layers, _heads(width), hidden, embed, context, vocabulary))


def _infer_vit(params: Mapping[str, np.ndarray], at: str, clip: bool) -> Vit:
    width, channels, patch, _ = _shape(params, f"{at}conv1.weight", 4)
    tokens, _ = _shape(params, f"{at}positional_embedding", 2)
    class_token = clip or "class_embedding" in params
    layers, hidden = _blocks(params, at)
    embed_from = "text_projection" if clip else "proj"  # a CLIP without visual.proj is no model
    pre_norm, patch_bias = clip or "ln_pre.weight" in params, f"{at}conv1.bias" in params
    openai = clip or (pre_norm and not patch_bias)
    return Vit(
        patch,
        width,
        layers,
        _heads(width),
        hidden,
        image=patch * math.isqrt(tokens - class_token),
        channels=channels,
        classes=_shape(params, "head.weight", 2)[0] if "head.weight" in params else 0,
        embed=_shape(params, embed_from, 2)[1] if embed_from in params else 0,
        activation="quick_gelu" if openai else "gelu",
        eps=1e-5 if openai else 1e-6,
        patch_bias=patch_bias,
        class_token=class_token,
        pre_norm=pre_norm,
        layer_scale="transformer.resblocks.0.ls_1.gamma" in params,
    )


def _infer_resnet(params: Mapping[str, np.ndarray], at: str) -> ResNet:
    width, _, _, _ = _shape(params, f"{at}conv3.weight", 4)
    _, channels, _, _ = _shape(params, f"{at}conv1.weight", 4)
    tokens, _ = _shape(params, f"{at}attnpool.positional_embedding", 2)
    embed, _ = _shape(params, f"{at}attnpool.c_proj.weight", 2)
    one, two, three, four = (_numbers(params, f"{at}layer{stage}.") for stage in (1, 2, 3, 4))
    return ResNet(
        (one, two, three, four), width, embed, image=32 * math.isqrt(tokens - 1), channels=channels
    )


def _shape(params: Mapping[str, np.ndarray], name: str, axes: int) -> tuple[int, ...]:
    if name not in params:
        raise WeightsError(f"weights: {name} is missing")
    shape = params[name].shape
    if len(shape) != axes or 0 in shape:
        raise WeightsError(f"weights: {name} has shape {shape}, expected {axes} axes, none empty")
    return shape


def _numbers(params: Mapping[str, np.ndarray], before: str) -> int:
    """How many different numbers follow this beginning of a name."""
    found = (re.match(re.escape(before) + r"(\d{1,4})\.", name) for name in params)
    return len({match[1] for match in found if match})


def _blocks(params: Mapping[str, np.ndarray], at: str) -> tuple[int, int]:
    """The number of Transformer blocks, and the hidden width of their perceptrons."""
    hidden, _ = _shape(params, f"{at}transformer.resblocks.0.mlp.c_fc.weight", 2)
    return _numbers(params, f"{at}transformer.resblocks."), hidden


def _heads(width: int) -> int:
    return max(width // 64, 1)


def check(params: Mapping[str, np.ndarray], config: Config) -> None:
    """Raise WeightsError unless the arrays are exactly those of the configuration."""
    shapes = config.shapes()
    wrong = [f"{name} is missing" for name in shapes if name not in params]
    wrong += [f"{name} is surplus" for name in params if name not in shapes]
    for name, shape in shapes.items():
        if name in params:
            found = np.asarray(params[name])
            if found.shape != shape:
                wrong.append(f"{name} has shape {found.shape}, expected {shape}")
            elif found.dtype.kind != "f":
                wrong.append(f"{name} has dtype {found.dtype}, expected real numbers")
    if wrong:
        more = f" and {len(wrong) - NAMED} more" if len(wrong) > NAMED else ""
        raise WeightsError(f"weights: {'; '.join(wrong[:NAMED])}{more}")
