"""What the libraries of PyTorch modules have in common: random weights, and hooks that record."""

from __future__ import annotations

import contextlib
import re
from unittest import mock

import numpy as np
import torch

from refimpl.models.configs import Clip, Vit
from refimpl.models.weights import rename, translate
from refimpl.oracle.targets.models import Recording, inputs_for

F = torch.nn.functional
PARTS = ("query", "key", "value", "mixed")
LAYER = re.compile(
    r"(visual\.)?(transformer\.resblocks\.\d+(\.(ln_1|attn|ln_2|mlp\.(c_fc|activation|c_proj)))?"
    r"|conv\d|bn\d|avgpool|ln_pre|ln_post|attnpool|layer\d\.\d+(\.(conv\d|bn\d|avgpool|downsample\.-?\d))?)"
    r"|ln_final|image_features|text_features"
)


def allow_broken_torchvision():
    """Define the two operations without which a torchvision made for another torch fails."""
    schema = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
    for name in ("nms", "qnms"):
        if not hasattr(torch.ops.torchvision, name):
            torch.library.define(f"torchvision::{name}", schema)


@contextlib.contextmanager
def steps():
    """Let nn.MultiheadAttention go step by step: its fused form names no queries and keys."""
    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)


def roughen(model, seed):
    """Where an initialisation is constant, as of biases and gains, add a little noise."""
    rng = np.random.default_rng(seed)
    with torch.no_grad():
        for name, value in model.state_dict().items():
            if value.is_floating_point() and value.numel() > 1 and value.std() < 1e-3:
                noise = rng.normal(scale=0.05, size=tuple(value.shape)).astype(np.float32)
                value += torch.from_numpy(np.abs(noise) if name.endswith("_var") else noise)


def record(model, run, config, seed, rules, version):
    """Run a module on inputs of the configuration and record every layer that we know.

    Queries, keys, values and what attention makes of them are seen where they enter and leave
    PyTorch's `scaled_dot_product_attention`.

    `rules` turn the names of its modules into ours; `run` returns the final outputs by our names.
    """
    roughen(model.eval(), seed)
    layers, running, attention = {}, [], F.scaled_dot_product_attention

    def keep(name, value):
        value = value[0] if isinstance(value, tuple) else value
        layers[name] = value.detach().numpy().copy()

    def hook(name):
        def call(module, inputs, output):
            keep(name, output)
            if name.endswith(".ln_2"):
                keep(name.replace(".ln_2", ".middle"), inputs[0])
            if name.endswith("resblocks.0.ln_1") and not name.startswith("visual."):
                keep("tokens", inputs[0])
            if name == "visual.ln_pre":
                keep("visual.tokens", inputs[0])

        return call

    def enter(name):
        def call(module, inputs):
            running.append(name)

        return call

    def attend(query, key, value, *rest, **named):
        mixed = attention(query, key, value, *rest, **named)
        for part, x in zip(PARTS, (query, key, value, mixed), strict=True):
            keep(f"{running[-1]}.{part}", x.transpose(1, 2).flatten(2))  # B N D
        return mixed

    for path, module in model.named_modules():
        name = rename(f"{path}.", rules).rstrip(".")
        if LAYER.fullmatch(name) and not isinstance(module, torch.nn.Identity):
            module.register_forward_hook(hook(name))
            if name.endswith((".attn", ".attnpool")):
                module.register_forward_pre_hook(enter(name))
    inputs = inputs_for(config, seed)
    with torch.no_grad(), mock.patch.object(F, attention.__name__, attend), steps():
        outputs = run(**{name: torch.from_numpy(x) for name, x in inputs.items()})
    for name, value in outputs.items():
        keep(name, value)
    params = translate({k: v.numpy() for k, v in model.state_dict().items()})
    return Recording(config, params, inputs, adapt(layers, config), version)


def adapt(layers, config):
    """Convolved patches as tokens; what CLIP normalises, or pools, is one vector alone."""
    at = "visual." if isinstance(config, Clip) else ""
    vision = config.vision if isinstance(config, Clip) else config
    if isinstance(vision, Vit):
        grid = layers.pop(f"{at}conv1")  # B D rows cols
        layers[f"{at}patches"] = grid.reshape(*grid.shape[:2], -1).swapaxes(1, 2)
        post = layers[f"{at}ln_post"]
        if at:
            del layers[f"{at}ln_post"]
            layers[f"{at}pooled"] = post[:, 0] if post.ndim == 3 else post
    else:
        layers[f"{at}pooled"] = layers.pop(f"{at}attnpool")
        for part in ("query", "mixed"):  # of all tokens, and only the first is used
            layers[f"{at}attnpool.{part}"] = layers[f"{at}attnpool.{part}"][:, :1]
    return layers
