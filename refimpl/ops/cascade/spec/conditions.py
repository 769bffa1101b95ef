"""What is known about what stands for a condition that was dropped: laws, probes, mistakes."""

import numpy as np

from refimpl.gradients import LINEAR_IN_GRAD
from refimpl.op import Law, Op, Probe
from refimpl.ops.cascade import reference as text
from refimpl.ops.common import cosines, mistakes_of, sines

KEEP = {"null_condition": np.array([1, 0, 1]), "pad_text": np.array([[1, 1], [1, 0], [0, 0]])}


def all_kept(f, x, rest, keep):
    yield f(x, rest, 0 * keep + 1), x


def all_dropped(f, x, rest, keep):
    yield f(x, rest, 0 * keep), 0 * x + rest


def dropped_unseen(f, x, rest, keep):
    """What was dropped leaves no trace."""
    there = np.reshape(keep, keep.shape + (1,) * (x.ndim - keep.ndim))
    yield f(x * there, rest, keep), f(x, rest, keep)


def either(f, x, rest, keep):
    yield f(x, rest, keep) + f(x, rest, 1 - keep), x + rest


def samples_apart(f, x, rest, keep):
    yield f(x[1:], rest, keep[1:]), f(x, rest, keep)[1:]


def plain(law):
    """A law of three arguments, whatever they are called."""
    return lambda f, *given, **named: law(f, *given, *named.values())


def mistakes(op, where, x, rest):
    """How a choice between two goes wrong, and its form in the text."""
    wrong = mistakes_of(op)
    condition = f"np.where({where} == 1, {x}, {rest})"
    return (
        wrong(
            "mask-inverted",
            "drops what was to be kept",
            f"{where} == 1",
            f"{where} == 0",
            "guidance turns around",
            "never",
        ),
        wrong(
            "zeros",
            "puts zeros in the place",
            condition,
            f"np.where({where} == 1, {x}, 0)",
            "the learned vector is never met",
            "it is 0",
        ),
        wrong(
            "added",
            "adds the learned vector instead of putting it in the place",
            condition,
            f"np.where({where} == 1, {x}, {x} + {rest})",
            "the condition is still seen",
            "nothing is dropped",
            source="https://github.com/lucidrains/DALLE2-pytorch/issues/144",
        ),
        wrong(
            "one-for-all",
            "asks the first sample for all",
            where,
            where.replace("keep[:", "keep[:1", 1),
            "samples are dropped together",
            "there is one sample",
        ),
        wrong(
            "never-dropped",
            "keeps everything",
            f"{where} == 1",
            f"{where} >= 0",
            "there is nothing to guide away from",
            "nothing is dropped",
        ),
    )


def choice(function, where, x, rest):
    name = function.__name__
    return Op(
        function,
        laws=(
            Law("what is kept stays", plain(all_kept)),
            Law("what is dropped is the learned vector", plain(all_dropped)),
            Law("what is dropped leaves no trace", plain(dropped_unseen)),
            Law("it is one or the other", plain(either)),
            Law("samples are apart", plain(samples_apart)),
        ),
        probes=(
            Probe(
                "three samples",
                lambda: {x: sines(3, 2, 4), rest: 3 * cosines(2, 4), "keep": KEEP[name]},
            ),
        ),
        mistakes=mistakes(name, where, x, rest),
    )


def one_or_the_other(f, keep, grad):
    x_grad, rest_grad = f(keep, grad)
    yield np.sum(x_grad, axis=0) + rest_grad, np.sum(grad, axis=0)


def of_all_kept(f, keep, grad):
    x_grad, rest_grad = f(0 * keep + 1, grad)
    yield x_grad, grad
    yield rest_grad, 0 * rest_grad


def of_all_dropped(f, keep, grad):
    x_grad, rest_grad = f(0 * keep, grad)
    yield x_grad, 0 * grad
    yield rest_grad, np.sum(grad, axis=0)


def of_the_others(f, keep, grad):
    yield f(keep, grad)[0] + f(1 - keep, grad)[0], grad


def slope(function, x, rest):
    name = function.__name__
    wrong = mistakes_of(name)
    return Op(
        function,
        outputs=(f"{x}_grad", f"{rest}_grad"),
        laws=(
            Law("goes one way or the other", one_or_the_other),
            Law("goes to what is kept", of_all_kept),
            Law("or to the learned vector", of_all_dropped),
            Law("what one leaves the other takes", of_the_others),
            LINEAR_IN_GRAD,
        ),
        probes=(
            Probe(
                "three samples",
                lambda: {"keep": KEEP[name.removesuffix("_vjp")], "grad": sines(3, 2, 4)},
            ),
        ),
        mistakes=(
            wrong(
                "mask-inverted",
                "gives to the dropped what belongs to the kept",
                "== 1",
                "== 0",
                "nothing is learned",
                "never",
            ),
            wrong(
                "averaged",
                "averages over the samples",
                "np.sum(",
                "np.mean(",
                "too small by the batch",
                "there is one sample",
            ),
            wrong(
                "goes-through",
                "lets the gradient through to what was dropped",
                "np.where(kept, grad, 0), np",
                "grad, np",
                "conditions learn from samples that never saw them",
                "nothing is dropped",
            ),
            wrong(
                "of-all-samples",
                "adds up what arrives at all samples",
                "np.where(kept, 0, grad)",
                "grad",
                "the learned vector follows the conditions",
                "everything is dropped",
            ),
            wrong(
                "nothing-learned",
                "gives the learned vector nothing",
                "np.where(kept, 0, grad)",
                "0 * grad",
                "it stays as it began",
                "nothing is dropped",
            ),
        ),
    )


NULL_CONDITION = choice(text.null_condition, "keep[:, None, None]", "x", "null")
NULL_CONDITION_VJP = slope(text.null_condition_vjp, "x", "null")
PAD_TEXT = choice(text.pad_text, "keep[:, :, None]", "embedding", "padding")
PAD_TEXT_VJP = slope(text.pad_text_vjp, "embedding", "padding")
