"""What the specifications of loops share: networks, and lists of times."""

import numpy as np


def small_slopes(axis):
    """Slopes that keep samples in bounds, a different one at each time."""

    def draw(source, known):
        return source.uniform((known[axis],), -0.5, 0.5)

    return draw


def offsets(axis):
    """What the network says of nothing, at each time."""

    def draw(source, known):
        return source.normal((known[axis],))

    return draw


def network(axis):
    """How the tables of a network are drawn."""
    return {"slope": small_slopes(axis), "offset": offsets(axis)}


def falling(count, first, last):
    """Numbers that fall by equal steps."""
    return np.linspace(first, last, count) if count > 1 else np.array([first])
