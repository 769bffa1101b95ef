"""Products of matrices, as a kernel is asked for them: eighteen shapes and structures."""

import numpy as np

from refimpl.axes import Array, Float


def equal_sides(a: Float[Array, "N N"], b: Float[Array, "N N"]):
    return a @ b


def rectangular(a: Float[Array, "M K"], b: Float[Array, "K N"]):
    return a @ b


def batched(a: Float[Array, "B M K"], b: Float[Array, "B K N"]):
    return a @ b


def by_vector(a: Float[Array, "M K"], b: Float[Array, "K 1"]):
    return a @ b


def by_scalar(a: Float[Array, "M N"], s: Float[Array, "1"]):
    return a * s


def long_inner(a: Float[Array, "M K"], b: Float[Array, "K N"]):
    return np.einsum("mk,kn->mn", a, b)


def short_inner(a: Float[Array, "M 2"], b: Float[Array, "2 N"]):
    return a @ b


def uneven(a: Float[Array, "M+1 K+3"], b: Float[Array, "K+3 N+2"]):
    return a @ b


def tall(a: Float[Array, "M 4"], b: Float[Array, "4 M"]):
    return a @ b


def of_a_stack(a: Float[Array, "B M K"], b: Float[Array, "K N"]):
    return a @ b


def of_a_grid(a: Float[Array, "B N M K"], b: Float[Array, "K D"]):
    return np.einsum("bnmk,kd->bnmd", a, b)


def by_diagonal(a: Float[Array, "N"], b: Float[Array, "N M"]):
    return a[:, None] * b


def symmetric(a: Float[Array, "N N"], b: Float[Array, "N N"]):
    return ((a + a.T) / 2) @ ((b + b.T) / 2)


def upper(a: Float[Array, "N N"], b: Float[Array, "N N"]):
    return np.triu(np.triu(a) @ np.triu(b))


def lower(a: Float[Array, "N N"], b: Float[Array, "N N"]):
    return np.tril(np.tril(a) @ np.tril(b))


def first_transposed(a: Float[Array, "K M"], b: Float[Array, "K N"]):
    return a.T @ b


def second_transposed(a: Float[Array, "M K"], b: Float[Array, "N K"]):
    return a @ b.T


def both_transposed(a: Float[Array, "K M"], b: Float[Array, "N K"]):
    return a.T @ b.T
