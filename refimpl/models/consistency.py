"""ADM as a consistency model: clean images in one step, from any level of noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from refimpl.models import TEXT, Params, Tap, untouched
from refimpl.models.adm import Adm, through, told_time
from refimpl.models.configs import Shapes
from refimpl.models.feature_maps import affine
from refimpl.models.vit import dense


@dataclass(frozen=True)
class ConsistencyAdm(Adm):
    """Sizes of an ADM that predicts clean images from a noise level and one more condition.

    `sigma_data` is the deviation of the data, `sigma_min` the level at which an image is left as
    it is, `noise_scale` by what the logarithm of a level becomes a time; images end at -1 and 1 and
    have `side` pixels a side.
    """

    sigma_data: float = 0.5
    sigma_min: float = 0.002
    noise_scale: float = 250.0
    side: int = 128

    def shapes(self) -> Shapes:
        """Name and shape of every parameter."""
        shapes = super().shapes() | affine("label_emb.0", self.emb, 1)
        return shapes | affine("label_emb.2", self.emb, self.emb)


def consistency_adm(
    noisy: Any,
    sigma: Any,
    condition: Any,
    params: Params,
    config: ConsistencyAdm,
    ops: Any = TEXT,
    tap: Tap = untouched,
) -> Any:
    r"""The clean image that a noisy one comes from, in one step.

    $$f(x, \sigma) = c_{\mathrm{skip}}\, x + c_{\mathrm{out}}\, \mathrm{U}(c_{\mathrm{in}}\, x,
    250 \ln \sigma), \qquad c_{\mathrm{skip}} = \frac{s^2}{(\sigma - \sigma_0)^2 + s^2}, \quad
    c_{\mathrm{out}} = \frac{s\,(\sigma - \sigma_0)}{\sqrt{\sigma^2 + s^2}}, \quad
    c_{\mathrm{in}} = \frac{1}{\sqrt{\sigma^2 + s^2}}$$

    noisy: B channels rows cols, images with noise of deviation sigma.
    sigma: B, σ, levels of noise, not below σ₀.
    condition: B, a number that all blocks are told.
    params: the arrays, under the names of guided diffusion.
    config: sizes, the deviation s of the data and the smallest level σ₀.

    Returns B channels rows cols, between -1 and 1.

    Raises AxesError for images of other channels, or with sides that cannot be halved so often.

    Elsewhere: without σ₀ these are the factors of EDM, whose time is a quarter of the logarithm.

    Paper: Song, Dhariwal, Chen, Sutskever 2023, "Consistency models", appendix C.
    """
    s = config.sigma_data
    root = np.sqrt(sigma * sigma + s * s)  # B
    above = sigma - config.sigma_min
    skip = s * s / (above * above + s * s)  # B
    out = s * above / root  # B

    emb = told_time(config.noise_scale * np.log(sigma), params, config, ops, tap)  # B D
    more = tap("label_emb.0", dense(condition[:, None], params, "label_emb.0", ops))
    more = tap("label_emb.2", dense(ops.silu(more), params, "label_emb.2", ops))  # B D
    x = tap("scaled", noisy / root[:, None, None, None])
    x = through(x, emb + more, params, config, ops, tap)  # B channels rows cols
    clean = skip[:, None, None, None] * noisy + out[:, None, None, None] * x
    return tap("denoised", np.minimum(np.maximum(clean, -1), 1))
