"""The record of the classifier of noisy images that guides ADM."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from refimpl.models.adm import AdmClassifier, adm_classifier
from refimpl.models.mistakes_adm import CLASSIFIER_MISTAKES
from refimpl.models.model import Choice, Model
from refimpl.models.spec.adm import ENTERING, MODULES


def inputs(config: AdmClassifier, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Two noisy images and their times."""
    x_t = rng.normal(size=(2, config.channels, config.side, config.side))
    return {"x_t": x_t.astype(np.float32), "t": np.array([421.0, 7.0], np.float32)}


ADM_64 = AdmClassifier(128, (1, 2, 3, 4), 4, (1, 2, 3), side=64)
ADM_256 = replace(
    ADM_64, multiples=(1, 1, 2, 2, 4, 4), layers=2, attention=(3, 4, 5), by_heads=True, side=256
)
TESTING = AdmClassifier(8, (1, 2), 1, (1,), outputs=5, head=8, groups=4, side=8)
MODEL = Model(
    name="adm-classifier",
    text=adm_classifier,
    config=AdmClassifier,
    inputs=inputs,
    sizes={
        "adm-classifier-testing": TESTING,
        "adm-classifier-64": ADM_64,
        "adm-classifier-128": replace(
            ADM_64, multiples=(1, 1, 2, 3, 4), layers=2, attention=(2, 3, 4), side=128
        ),
        "adm-classifier-256": ADM_256,
    },
    choices=(Choice("eps", (1e-5, 1e-6), "an epsilon of "),),
    mistakes=CLASSIFIER_MISTAKES,
    modules=MODULES,
    entering=ENTERING,
    sign="out.2.positional_embedding",
    says="ADM's classifier",
)
