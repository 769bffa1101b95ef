"""A diffusion Transformer: it predicts the clean image, given a label, a text, or nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from refimpl.models import TEXT, Params, Tap, untouched
from refimpl.models.configs import Shapes, Vit
from refimpl.models.vit import dense, norm, transformer


@dataclass(frozen=True)
class Denoiser:
    """A trunk without class token, the width of text features, and how many labels there are."""

    trunk: Vit
    text: int
    labels: int

    def shapes(self) -> Shapes:
        """Name and shape of every parameter."""
        D, pixels = self.trunk.width, self.trunk.channels * self.trunk.patch**2
        return self.trunk.shapes() | {
            "time_mlp.c_fc.weight": (D, D),
            "time_mlp.c_fc.bias": (D,),
            "time_mlp.c_proj.weight": (D, D),
            "time_mlp.c_proj.bias": (D,),
            "label_embedding.weight": (self.labels + 1, D),
            "text_condition.weight": (D, self.text),
            "text_condition.bias": (D,),
            "head.weight": (pixels, D),
            "head.bias": (pixels,),
        }


def infer(params: Params) -> Denoiser:
    """The configuration that the shapes tell: heads are 64 wide, as in CLIP."""
    width, channels, patch, _ = np.shape(params["conv1.weight"])
    tokens, _ = np.shape(params["positional_embedding"])
    layers = sum(name.endswith(".ln_1.weight") for name in params)
    labels, _ = np.shape(params["label_embedding.weight"])
    _, text = np.shape(params["text_condition.weight"])
    trunk = Vit(
        patch,
        width,
        layers,
        max(width // 64, 1),
        4 * width,
        image=patch * round(tokens**0.5),
        channels=channels,
        activation="quick_gelu",
        eps=1e-5,
        class_token=False,
    )
    return Denoiser(trunk, text, labels - 1)


def label_condition(labels: Any, params: Params) -> Any:
    """The condition of a label, B -> B D; the label after the last one means no condition."""
    return params["label_embedding.weight"][labels]


def text_condition(text_features: Any, params: Params, ops: Any = TEXT) -> Any:
    """The condition of a text: the direction of its features, B embed -> B D."""
    return dense(ops.l2_normalize(text_features), params, "text_condition", ops)


def denoise(
    x_t: Any,
    t: Any,
    condition: Any,
    params: Params,
    config: Denoiser,
    ops: Any = TEXT,
    tap: Tap = untouched,
) -> Any:
    r"""Predict the clean image; time and condition are one token, also added to every patch.

    $$c = W_2\,\mathrm{SiLU}(W_1\,\mathrm{TE}_t + b_1) + b_2 + \mathrm{condition}, \qquad
    z_0 = [c;\; E x^1 + p_1 + c;\; \dots;\; E x^N + p_N + c], \qquad
    \hat x_0^n = W\,\mathrm{LN}(z_L)_n + b$$

    x_t: B channels image image, noisy images, the clean ones in [-1, 1].
    t: B, diffusion times, zero-based.
    condition: B D, from `label_condition` or `text_condition`.
    params: the arrays, under the names of `Denoiser.shapes`.

    Returns B channels image image, the clean images; `eps_from_x0` turns them into noise.

    Raises AxesError for images of another size than the configuration's.

    Elsewhere: DiT predicts the noise, and lets the condition scale and shift every layer norm; its
    section 3.2 has this form as "in-context conditioning". U-ViT has skips between distant blocks.

    Paper: Peebles, Xie 2023, "Scalable Diffusion Models with Transformers", section 3.2.
    """
    trunk = config.trunk
    trunk.accept(x_t)
    time = ops.silu(
        dense(ops.timestep_embedding(t, trunk.width // 2), params, "time_mlp.c_fc", ops)
    )
    c = tap("condition", dense(time, params, "time_mlp.c_proj", ops) + condition)  # B D

    x = ops.patch_embed(x_t, params["conv1.weight"], params["conv1.bias"])  # B N D
    x = tap("patches", x) + params["positional_embedding"] + c[:, None, :]
    x = tap("tokens", np.concatenate((c[:, None, :], x), axis=1))  # B 1+N D
    x = transformer(x, params, "", trunk, None, ops, tap)
    x = tap("ln_post", norm(x[:, 1:], params, "ln_post", trunk.eps, ops))  # B N D
    x = tap("head", dense(x, params, "head", ops))  # B N channels*P*P
    rows = trunk.image // trunk.patch
    return tap("x_start", ops.unpatchify(x, trunk.patch, rows, trunk.channels))
