"""A diffusion Transformer: it predicts the clean image, given a label, a text, or nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from refimpl.models import TEXT, Params, Tap, untouched
from refimpl.models.configs import Shapes, Vit
from refimpl.models.feature_maps import affine
from refimpl.models.vit import dense, norm, transformer


@dataclass(frozen=True)
class Denoiser:
    """A trunk without class token, the width of text features, and how many labels there are."""

    trunk: Vit
    text: int
    labels: int

    def shapes(self) -> Shapes:
        """Name and shape of every parameter."""
        D = self.trunk.width
        return common_shapes(self.trunk) | {
            "label_embedding.weight": (self.labels + 1, D),
            "text_condition.weight": (D, self.text),
            "text_condition.bias": (D,),
        }


@dataclass(frozen=True)
class UnclipDecoder:
    """The same, told the vector of an image, `embed` wide, and how much noise is in it."""

    trunk: Vit
    embed: int

    def shapes(self) -> Shapes:
        """Name and shape of every parameter, of the mean and the deviation of vectors too."""
        D, E = self.trunk.width, self.embed
        told = affine("image_condition", D, 2 * E) | {"null_image": (D,)}
        return common_shapes(self.trunk) | told | {"mean": (E,), "std": (E,)}


def common_shapes(trunk: Vit) -> Shapes:
    """The parameters of the trunk, of the time and of the head."""
    D, pixels = trunk.width, trunk.channels * trunk.patch**2
    shapes = trunk.shapes() | affine("time_mlp.c_fc", D, D) | affine("time_mlp.c_proj", D, D)
    return shapes | affine("head", pixels, D)


def infer_trunk(params: Params) -> Vit:
    """The trunk that the shapes tell: heads are 64 wide, as in CLIP."""
    width, channels, patch, _ = np.shape(params["conv1.weight"])
    tokens, _ = np.shape(params["positional_embedding"])
    layers = sum(name.endswith(".ln_1.weight") for name in params)
    return Vit(
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


def infer(params: Params) -> Denoiser:
    """The configuration that the shapes tell."""
    labels, _ = np.shape(params["label_embedding.weight"])
    _, text = np.shape(params["text_condition.weight"])
    return Denoiser(infer_trunk(params), text, labels - 1)


def label_condition(labels: Any, params: Params) -> Any:
    """The condition of a label, B -> B D; the label after the last one means no condition."""
    return params["label_embedding.weight"][labels]


def text_condition(text_features: Any, params: Params, ops: Any = TEXT) -> Any:
    """The condition of a text: the direction of its features, B embed -> B D."""
    return dense(ops.l2_normalize(text_features), params, "text_condition", ops)


def image_condition(
    vector: Any, level: Any, noise: Any, params: Params, alpha_bar: Any, ops: Any = TEXT
) -> Any:
    """The condition of an image: its vector, noised up to a level, and the level: -> B D.

    `null_image` is what stands for none. Paper: Ramesh et al. 2022, section 2.1.
    """
    mean, std = params["mean"], params["std"]
    both = ops.augment_embedding(vector, mean, std, level, noise, alpha_bar)  # B 2*embed
    return dense(both, params, "image_condition", ops)


def denoise(
    x_t: Any,
    t: Any,
    condition: Any,
    params: Params,
    config: Denoiser | UnclipDecoder,
    ops: Any = TEXT,
    tap: Tap = untouched,
) -> Any:
    r"""Predict the clean image; time and condition are one token, also added to every patch.

    $$c = W_2\,\mathrm{SiLU}(W_1\,\mathrm{TE}_t + b_1) + b_2 + \mathrm{condition}, \qquad
    z_0 = [c;\; E x^1 + p_1 + c;\; \dots;\; E x^N + p_N + c], \qquad
    \hat x_0^n = W\,\mathrm{LN}(z_L)_n + b$$

    x_t: B channels image image, noisy images, the clean ones in [-1, 1].
    t: B, diffusion times, zero-based.
    condition: B D, from `label_condition`, `text_condition` or `image_condition`.
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
