"""Whole models that `refimpl bench` runs, or a block of one: their text, and the same in PyTorch.

Weights are drawn, of a size that keeps activations near one.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from refimpl.bench.works import Call, Inputs, floats

BLOCK = "down_blocks.0"  # the residual block and the Transformer of Stable Diffusion's first level
RESIDUAL, READS = f"{BLOCK}.resnets.1", f"{BLOCK}.attentions.1"


def vit_b16() -> Any:
    """ViT-B/16."""
    from refimpl.models.configs import Vit

    return Vit(16, 768, 12, 12, 3072)


def gpt2_small() -> Any:
    """GPT-2 small."""
    from refimpl.models.spec.gpt2 import MODEL

    return MODEL.sizes["gpt2"]


def sd_unet() -> Any:
    """The U-Net of Stable Diffusion 1."""
    from refimpl.models.spec.sd_unet import SD_1

    return SD_1


def sd_vae() -> Any:
    """The autoencoder of Stable Diffusion 1."""
    from refimpl.models.spec.vae import SD

    return SD


def drawn(config: Any, *starts: str) -> dict[str, np.ndarray]:
    """Parameters of a configuration, those alone whose names start so."""
    rng = np.random.default_rng(1)
    return {
        name: floats(rng, *shape) * np.float32(math.prod(shape[1:]) ** -0.5)
        for name, shape in config.shapes().items()
        if name.startswith(starts or "")
    }


@functools.cache
def parameters(op: str) -> tuple[Any, dict[str, np.ndarray]]:
    """The configuration and the parameters of a work."""
    config = CONFIGS[op]()
    return config, drawn(config, *PARTS.get(op, ()))


CONFIGS: dict[str, Callable[[], Any]] = {
    "vit_b16": vit_b16,
    "gpt2_prompt": gpt2_small,
    "gpt2_token": gpt2_small,
    "sd_block": sd_unet,
    "vae_decode": sd_vae,
}
PARTS = {"sd_block": (f"{RESIDUAL}.", f"{READS}."), "vae_decode": ("decoder.", "post_quant")}


# The texts


def _vit_b16(images: np.ndarray) -> Call:
    from refimpl.models import compiled
    from refimpl.models.vit import vit

    return functools.partial(vit, images, *parameters("vit_b16")[::-1], compiled)


def _gpt2_prompt(ids: np.ndarray) -> Call:
    from refimpl.models import compiled
    from refimpl.models.gpt2 import gpt2

    return functools.partial(gpt2, ids, *parameters("gpt2_prompt")[::-1], compiled)


def _gpt2_token(ids: np.ndarray, cache: np.ndarray) -> Call:
    """The last place of the cache is that of the token; what is there is made anew."""
    from refimpl.models import compiled
    from refimpl.models.cache import front
    from refimpl.models.gpt2 import gpt2
    from refimpl.models.vit import join

    config, params = parameters("gpt2_token")
    memories = {
        f"transformer.resblocks.{i}.attn.{part}": join(of_layer[k])
        for i, of_layer in enumerate(cache)
        for k, part in enumerate(("key", "value"))
    }

    def call() -> np.ndarray:
        past = {name: front(memory, memory.shape[1] - 1) for name, memory in memories.items()}
        return gpt2(ids, params, config, compiled, past=past)

    return call


def _sd_block(x: np.ndarray, emb: np.ndarray, words: np.ndarray) -> Call:
    from refimpl.models import compiled
    from refimpl.models.feature_maps import residual
    from refimpl.models.sd_unet import read_words

    config, params = parameters("sd_block")

    def call() -> np.ndarray:
        y = residual(x, params, RESIDUAL, config, compiled, emb=emb)
        heads, depth = config.heads[0], config.depths[0]
        return read_words(y, words, params, READS, heads, depth, config, compiled)

    return call


def _vae_decode(z: np.ndarray) -> Call:
    from refimpl.models import compiled
    from refimpl.models.autoencoder import decode
    from refimpl.models.feature_maps import convolve

    config, params = parameters("vae_decode")

    def call() -> np.ndarray:
        return decode(convolve(z, params, "post_quant_conv", compiled), params, config, compiled)

    return call


def _terrain_adm(noisy: np.ndarray, sigma: np.ndarray, condition: np.ndarray) -> Call:
    """The parameters are those of the package, which is asked for them."""
    from refimpl.models import compiled
    from refimpl.models.consistency import consistency_adm
    from refimpl.models.spec.consistency import TERRAIN

    graph = terrain().Graph(terrain().load(), TERRAIN)
    given = noisy, sigma, condition, graph.params, TERRAIN, compiled
    return functools.partial(consistency_adm, *given)


def terrain() -> Any:
    """The backend that reads the trained ADM."""
    from refimpl.backends import terrain

    return terrain


OURS: dict[str, Callable[..., Call]] = {
    "vit_b16": _vit_b16,
    "gpt2_prompt": _gpt2_prompt,
    "gpt2_token": _gpt2_token,
    "sd_block": _sd_block,
    "vae_decode": _vae_decode,
    "terrain_adm": _terrain_adm,
}


# The same in PyTorch


@functools.cache
def tensors(op: str) -> tuple[Any, Any]:
    """The configuration and the parameters of a work, as PyTorch has them."""
    from refimpl.backends import torch_models

    config, params = parameters(op)
    return config, torch_models.as_tensors(params)


def in_torch(op: str) -> Callable[..., Any]:
    """The model of a work in PyTorch's functions, by the names of the work's inputs."""
    from refimpl.backends import torch_maps, torch_models

    config, params = tensors(op)

    def sd_block(x: Any, emb: Any, words: Any) -> Any:
        y = torch_maps.residual(x, params, RESIDUAL, config, emb)
        return torch_maps.read_words(y, words, params, READS, config.heads[0], config)

    forms: dict[str, Callable[..., Any]] = {
        "vit_b16": lambda images: torch_models.vit(images, params, config),
        "gpt2_prompt": lambda ids: torch_models.gpt2(ids, params, config),
        "gpt2_token": lambda ids, cache: torch_models.gpt2(ids, params, config, cache),
        "sd_block": sd_block,
        "vae_decode": lambda z: torch_maps.decode(z, params, config),
    }
    return forms[op]


def in_onnxruntime(op: str, inputs: Inputs, threads: int) -> Call:
    """The model of a work as ONNX, out of PyTorch."""
    if op == "terrain_adm":
        return _session(terrain().load().SerializeToString(), threads, list(inputs.values()))
    import io
    import warnings

    import torch

    form, names = in_torch(op), list(inputs)

    class Model(torch.nn.Module):
        def forward(self, *given: Any) -> Any:
            return form(**dict(zip(names, given)))

    given, file = tuple(map(torch.from_numpy, inputs.values())), io.BytesIO()
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # that this way to export is the older one
        how: Any = {"opset_version": 20, "dynamo": False, "input_names": names}
        torch.onnx.export(Model(), given, file, **how)
    return _session(file.getvalue(), threads, list(inputs.values()))


def _session(graph: bytes, threads: int, given: list[np.ndarray]) -> Call:
    """A graph on arrays, in the order of its inputs."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(graph, options, ["CPUExecutionProvider"])
    feeds = {x.name: array for x, array in zip(session.get_inputs(), given, strict=True)}
    return lambda: session.run(None, feeds)
