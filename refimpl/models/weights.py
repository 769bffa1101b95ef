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

from refimpl.models.names import Layout, WeightsError
from refimpl.models.registry import families, family, layouts

LARGEST_HEADER = 100_000_000  # bytes, the limit of the format
LONGEST_NAME = 200  # characters of an array's name
NAME_SHOWN = 40  # of a longer one
NAMED = 5  # how many wrong names an error lists
DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "I64": "<i8", "I32": "<i4"}


def read(path: str | Path, config: Any = None) -> tuple[Any, dict[str, np.ndarray]]:
    """Read a model from a safetensors file; without a configuration the shapes must tell it.

    Half precision is widened to float32. Shapes do not tell the number of heads, the activation
    and epsilon: see `infer`. What makes images is read with a configuration alone.

    Raises WeightsError for a damaged file and for arrays that are missing, surplus or misshapen.
    """
    state = load(path)
    if config is None:
        _recognise(state)
    params = translate(state, config)
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
    start, held = 8 + length, size - 8 - length
    for name in header:
        if len(name) > LONGEST_NAME:
            raise WeightsError(
                f"{path}: {name[:NAME_SHOWN]}… is a name of {len(name)} characters, "
                f"expected at most {LONGEST_NAME}"
            )
    places = {name: _place(f"{path}: {name}", entry, held) for name, entry in header.items()}
    end = 0
    for name, (first, last, _, _) in sorted(places.items(), key=lambda item: item[1][:2]):
        if first != end:
            raise WeightsError(f"{path}: {name} starts at byte {first}, expected {end}")
        end = last
    if end != held:
        raise WeightsError(f"{path}: {held} bytes of data, but the header speaks of {end}")
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


def _place(what: str, entry: Any, held: int) -> tuple[int, int, str, tuple[int, ...]]:
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
    if last > held or last - first != need:
        raise WeightsError(
            f"{what}: shape {tuple(shape)} of {dtype} takes {need} bytes, "
            f"data_offsets {first} to {last} of {held} do not hold them"
        )
    return first, last, dtype, tuple(shape)


def _widen(array: np.ndarray, dtype: str) -> np.ndarray:
    if dtype == "BF16":
        return (array.astype(np.uint32) << 16).view(np.float32)
    return array.astype(np.float32) if dtype == "F16" else array


OTHERS = {  # a name that gives away what is none of our models, and what it is
    r"(vision_model\.)?head\.probe$|(visual\.trunk\.)?attn_pool\.latent$": "a SigLIP, whose "
    "pooling by attention",
    r"(text_model\.)?embeddings\.token_embedding\.|text_projection": "a text tower alone, which",
    r"(unet|model\.diffusion_model)\.|(down|up)_blocks\.": "a U-Net, which "
    "without its configuration",
}
NO_LAYOUT = Layout("", ())  # names that are ours already


def translate(state: Mapping[str, Any], config: Any = None) -> dict[str, np.ndarray]:
    """Arrays under another library's names, under ours; a configuration tells of which family.

    Raises WeightsError where two names become one, or a third of an attention's input is missing.
    """
    among = family(config).layouts if config else layouts()
    found = next((layout for layout in among if layout.fits(state)), NO_LAYOUT)
    return found.translate(state)


def infer(params: Mapping[str, np.ndarray]) -> Any:
    """The configuration that the shapes tell, of the family to which one of the names belongs.

    Raises WeightsError where what is needed to tell is missing or misshapen.
    """
    telling = [model for model in families() if model.infer is not None]
    for model in telling:
        if model.sign in params and model.infer is not None:
            return model.infer(params)
    signs = ", ".join(f"{model.sign} is missing" for model in telling)
    raise WeightsError(f"weights: {signs}: none of {known()}")


def known() -> str:
    """The families that can be read, in words."""
    return ", ".join(model.says for model in families() if model.infer is not None)


def _recognise(state: Mapping[str, Any]) -> None:
    """Raise WeightsError, in words, for the arrays of what is none of our models."""
    vision = any(re.match(r"vision_model\.|visual\.", name) for name in state)
    for telltale, what in OTHERS.items():
        told = next((name for name in state if re.match(telltale, name)), "")
        if told and not (what.startswith("a text tower") and vision):
            raise WeightsError(
                f"weights: {told} belongs to {what} is not among the models here: {known()}"
            )
    if state and not any(layout.fits(state) for layout in layouts()):
        raise WeightsError(
            f"weights: names such as {', '.join([*state][:3])} belong to no known layout; known "
            f"are {known()} of OpenAI, open_clip, transformers and timm"
        )


def check(params: Mapping[str, np.ndarray], config: Any) -> None:
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
