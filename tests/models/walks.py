"""Models run by their texts: small ones, right or edited, and those beside what a library gave."""

from __future__ import annotations

import numpy as np

from refimpl.models import recorder
from refimpl.models.registry import family, find_model
from refimpl.op import Op
from refimpl.oracle.judging.judge import Expected, compare
from refimpl.oracle.judging.layers import exact
from refimpl.oracle.numbers.errors import SLACK
from refimpl.oracle.numbers.precisions import PRECISIONS
from refimpl.oracle.targets.models import Recording, inputs_for
from tests.small import random_params

FLOAT32 = PRECISIONS["float32"]


def walk(name, edit=None):
    """All values of a small model in float64, by the text or by an edited one."""
    config, kept = find_model(name), {}
    op = Op(family(config).text)
    text = op.edited(edit) if edit else op.text
    params = random_params(config, dtype=np.float64)
    text(**inputs_for(config, 0), params=params, config=config, tap=recorder(kept))
    return kept


def moved(right, wrong):
    """How far the values of two walks are apart at most, against the largest of each."""
    same = [k for k in right if k in wrong and np.shape(right[k]) == np.shape(wrong[k])]
    return max(np.abs(right[k] - wrong[k]).max() / np.abs(right[k]).max() for k in same)


def recorded(name, edit):
    """What a small model that is wrong in this way computes in float32, layer by layer."""
    config, layers = find_model(name), {}
    params, given = random_params(config), inputs_for(config, 0)

    def tap(name, x):
        layers[name] = np.asarray(x, np.float32)
        return layers[name]

    text = Op(family(config).text).edited(edit)
    text(**given, params=params, config=config, tap=tap)
    return Recording(config, params, given, layers)


def deviations(layers, text, run):
    """Names of the layers outside the float32 bound, each judged on the input that it had.

    run(tap) walks through the text on numbers that carry errors.
    """
    op, wrong, seen = Op(text), [], []

    def tap(name, x):
        if name not in layers:
            return x
        seen.append(name)
        want = Expected(name, x.value, x.error * SLACK)
        if not compare(op, want, layers[name], np.dtype(np.float32)).conforms:
            wrong.append(name)
        return exact(layers[name], FLOAT32)

    with np.errstate(all="ignore"):  # the rules know what to make of infinities
        run(tap)
    assert set(seen) == set(layers)
    return wrong
