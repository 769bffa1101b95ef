"""The record of ADM, the U-Net of guided diffusion."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from refimpl.models.adm import Adm, adm
from refimpl.models.mistakes_adm import ADM_MISTAKES
from refimpl.models.model import Choice, Model

MODULES = ((r"\.norm$", ".norm|grid"), (r"\.proj_out$", ".proj_out|tokens"))
ENTERING = (
    (r"\.in_layers\.2$", ".entering"),
    (r"\.out_layers\.3$", ".told"),
    (r"^out\.2$", "out.1"),
    (r"^time_embed\.0$", "waves"),
)


def inputs(config: Adm, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Two small noisy images, wider than tall, their times, and labels."""
    step = 2 ** (len(config.multiples) - 1)
    x_t = rng.normal(size=(2, config.channels, 2 * step, 3 * step)).astype(np.float32)
    given = {"x_t": x_t, "t": np.array([421.0, 7.0], np.float32)}
    return given | ({"labels": np.array([config.classes - 1, 0])} if config.classes else {})


ADM_64 = Adm(192, (1, 2, 3, 4), 3, (1, 2, 3), classes=1000)
ADM_128 = Adm(256, (1, 1, 2, 3, 4), 2, (2, 3, 4), classes=1000, head=0, heads=4)
ADM_256 = Adm(256, (1, 1, 2, 2, 4, 4), 2, (3, 4, 5), classes=1000, by_heads=True)
TESTING = Adm(8, (1, 2), 1, (1,), outputs=6, classes=5, head=8, groups=4)
MODEL = Model(
    name="adm",
    text=adm,
    config=Adm,
    inputs=inputs,
    sizes={
        "adm-testing": TESTING,
        "adm-64": ADM_64,
        "adm-128": ADM_128,
        "adm-256": ADM_256,
        "adm-256-unconditional": replace(ADM_256, classes=0),
        "adm-512": replace(ADM_256, multiples=(0.5, 1, 1, 2, 2, 4, 4), attention=(4, 5, 6)),
    },
    choices=(
        Choice("eps", (1e-5, 1e-6), "an epsilon of "),
        Choice("by_heads", (False, True), "queries, keys and values packed by heads: "),
    ),
    mistakes=ADM_MISTAKES,
    modules=MODULES,
    entering=ENTERING,
    sign="input_blocks.0.0.weight",
    says="ADM",
)
