"""What the specifications of several chapters share: inputs, laws, and how arguments are drawn."""

import numpy as np

from refimpl.op import Edit, Probe, values

FLOATS = ("float64", "float32")  # where half formats mean nothing: tables, masks, positions


def sines(*shape):
    """Numbers that anyone can write down again: the sines of 1, 2, 3, …"""
    return np.sin(np.arange(1, np.prod(shape) + 1)).reshape(shape)


def cosines(*shape):
    """Half the cosines of 1, 2, 3, …"""
    return np.cos(np.arange(1, np.prod(shape) + 1)).reshape(shape) / 2


def samples(seed, shape=(4, 3)):
    """Independent normal numbers, the same ones whenever they are asked for."""
    return np.random.default_rng(seed).standard_normal(shape)


def draw_loss_gradient(source, sizes):
    """The gradient with respect to a loss: one, or any other number."""
    return source.choice([np.array(1.0), source.normal(())])


def draw_layer_eps(source, sizes):
    """The ε of a layer inside a block: with 1e-12 a constant row leaves what follows no digits."""
    return source.choice([1e-5, 1e-3])


def with_more(probe, add):
    """The probe of an operation as one of its gradient."""
    return Probe(probe.says, lambda: add(probe.inputs()))


def diagonal(x):
    """What each vector has to do with itself, in a table of all pairs."""
    return x[np.arange(len(x)), np.arange(len(x))]


def twice_is_once(f, x):
    """A law: applied to its result, the operation changes nothing."""
    yield f(f(x)), f(x)


def whole(x):
    """The whole numbers of an array of any arithmetic: places, for a law that looks there."""
    return np.asarray(values(x), dtype=int)


def one_per_sample(x, like):
    """A number for each sample, shaped to meet a batch like `like`."""
    return np.reshape(x, (-1,) + (1,) * (like.ndim - 1))


def mistakes_of(op, **usual):
    """What writes down the mistakes of an operation: `usual` holds for all of them."""

    def wrong(name, says, old, new, effect, unseen, **more):
        given = {"effect": effect, "invisible_when": unseen, **usual, **more}
        return Edit(f"{op}/{name}", says, old, new, **given)

    return wrong


def by_name(sides):
    """A law that is given its arguments in their order."""

    def law(f, **inputs):
        yield from sides(f, *inputs.values())

    return law
