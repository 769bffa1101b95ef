"""The record of ADM as a consistency model, of which a trained one stands in a package."""

from __future__ import annotations

import numpy as np

from refimpl.models.consistency import ConsistencyAdm, consistency_adm
from refimpl.models.mistakes_adm import CONSISTENCY_MISTAKES
from refimpl.models.model import Choice, Model
from refimpl.models.spec.adm import ENTERING, MODULES


def inputs(config: ConsistencyAdm, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """A noisy image, half of whose variance is noise, and what is known of it."""
    level = np.float32(config.sigma_data)
    noisy = np.hypot(level, config.sigma_data) * rng.normal(
        size=(1, config.channels, config.side, config.side)
    )
    return {
        "noisy": noisy.astype(np.float32),
        "sigma": np.array([level]),
        "condition": np.array([0.5], np.float32),
    }


TERRAIN = ConsistencyAdm(32, (1, 1, 2, 3, 4), 4, (2, 3, 4), channels=1, outputs=1, head=32)
TESTING = ConsistencyAdm(8, (1, 2), 1, (1,), 1, 1, head=8, groups=4, side=8)
MODEL = Model(
    name="consistency-adm",
    text=consistency_adm,
    config=ConsistencyAdm,
    inputs=inputs,
    sizes={"consistency-adm-testing": TESTING, "terrain-adm": TERRAIN},
    choices=(
        Choice("eps", (1e-5, 1e-6), "an epsilon of "),
        Choice("by_heads", (False, True), "queries, keys and values packed by heads: "),
    ),
    mistakes=CONSISTENCY_MISTAKES,
    modules=MODULES,
    entering=ENTERING,
    sign="label_emb.0.weight",
    says="ADM as a consistency model",
)
