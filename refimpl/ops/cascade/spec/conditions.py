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
            "inverts the mask",
            f"{where} == 1",
            f"{where} == 0",
            "conditional and unconditional predictions are exchanged",
            "never",
        ),
        wrong(
            "zeros",
            "uses zeros instead of the learned vector",
            condition,
            f"np.where({where} == 1, {x}, 0)",
            "the learned vector is never used",
            "the learned vector is 0",
        ),
        wrong(
            "added",
            "adds the learned vector instead of replacing the condition",
            condition,
            f"np.where({where} == 1, {x}, {x} + {rest})",
            "the condition is still visible",
            "nothing is dropped",
            source="https://github.com/lucidrains/DALLE2-pytorch/issues/144",
        ),
        wrong(
            "one-for-all",
            "uses the first sample's mask for all",
            where,
            where.replace("keep[:", "keep[:1", 1),
            "all samples are dropped together",
            "there is one sample",
        ),
        wrong(
            "never-dropped",
            "drops nothing",
            f"{where} == 1",
            f"{where} >= 0",
            "no unconditional model is learned",
            "nothing is dropped",
        ),
    )


def choice(function, where, x, rest):
    name = function.__name__
    return Op(
        function,
        laws=(
            Law("kept conditions stay", plain(all_kept)),
            Law("dropped conditions become the learned vector", plain(all_dropped)),
            Law("the value of a dropped condition does not matter", plain(dropped_unseen)),
            Law("masks m and 1 - m sum to condition plus learned vector", plain(either)),
            Law("each sample is treated by itself", plain(samples_apart)),
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
            Law("the gradients of condition and learned vector sum to grad", one_or_the_other),
            Law("kept conditions get grad", of_all_kept),
            Law("the learned vector gets the sum over dropped samples", of_all_dropped),
            Law("masks m and 1 - m have gradients that sum to grad", of_the_others),
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
                "inverts the mask",
                "== 1",
                "== 0",
                "conditions and learned vector get each other's gradients",
                "never",
            ),
            wrong(
                "averaged",
                "averages over the samples",
                "np.sum(",
                "np.mean(",
                "too small by the batch size",
                "there is one sample",
            ),
            wrong(
                "goes-through",
                "gives dropped conditions a gradient",
                "np.where(kept, grad, 0), np",
                "grad, np",
                "conditions learn from samples that did not use them",
                "nothing is dropped",
            ),
            wrong(
                "of-all-samples",
                "sums grad over all samples, kept ones included",
                "np.where(kept, 0, grad)",
                "grad",
                "the learned vector gets the gradients of kept conditions",
                "everything is dropped",
            ),
            wrong(
                "nothing-learned",
                "gives the learned vector no gradient",
                "np.where(kept, 0, grad)",
                "0 * grad",
                "it never changes",
                "nothing is dropped",
            ),
        ),
    )


NULL_CONDITION = choice(text.null_condition, "keep[:, None, None]", "x", "null")
NULL_CONDITION_VJP = slope(text.null_condition_vjp, "x", "null")
PAD_TEXT = choice(text.pad_text, "keep[:, :, None]", "embedding", "padding")
PAD_TEXT_VJP = slope(text.pad_text_vjp, "embedding", "padding")
