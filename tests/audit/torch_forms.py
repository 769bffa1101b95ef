"""The texts of examples/kernels in torch's own functions, for the audit of their bounds.

Each is what somebody who has torch would write: the library's function where it has one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional

F = functional
EPS = 1e-5
torch.set_num_threads(1)


def _by_root_mean_square(x: Any) -> Any:
    return x * torch.rsqrt(x.square().mean(1, keepdim=True) + EPS)


def _batch_norm(x: Any) -> Any:
    if not x.numel():
        return x
    found, *_ = torch.native_batch_norm(x, None, None, None, None, True, 0.1, EPS)
    return found  # F.batch_norm refuses a single place


def _instance_norm(x: Any) -> Any:
    return F.group_norm(x, x.shape[1], eps=EPS)  # instance_norm refuses a single place


def _symmetric(a: Any, b: Any) -> Any:
    return (a + a.T) / 2 @ ((b + b.T) / 2)


def _product(a: Any, b: Any) -> Any:
    return a @ b


def _divergence(found: Any, wanted: Any) -> Any:
    return F.kl_div(found.log(), wanted, reduction="batchmean")


def _triplet(anchor: Any, near: Any, far: Any) -> Any:
    def length(x: Any) -> Any:
        return torch.linalg.vector_norm(x + 1e-6, dim=1)

    return (length(anchor - near) - length(anchor - far) + 1).relu().mean()


PRODUCTS = {
    **dict.fromkeys(
        (
            *("equal_sides", "rectangular", "batched", "by_vector", "long_inner", "short_inner"),
            *("uneven", "tall", "of_a_stack", "of_a_grid"),
        ),
        _product,
    ),
    "by_scalar": lambda a, s: a * s,
    "by_diagonal": lambda a, b: torch.diag(a) @ b,
    "symmetric": _symmetric,
    "upper": lambda a, b: torch.triu(torch.triu(a) @ torch.triu(b)),
    "lower": lambda a, b: torch.tril(torch.tril(a) @ torch.tril(b)),
    "first_transposed": lambda a, b: a.T @ b,
    "second_transposed": F.linear,
    "both_transposed": lambda a, b: a.T @ b.T,
}
FUNCTIONS = {
    "relu": F.relu,
    "leaky_relu": F.leaky_relu,
    "logistic": torch.sigmoid,
    "hyperbolic": torch.tanh,
    "shares": lambda x: x.softmax(1),
    "log_shares": lambda x: x.log_softmax(1),
    "swish": F.silu,
    "gaussian_unit": F.gelu,
    "scaled_exponential": F.selu,
    "hard_logistic": F.hardsigmoid,
    "softplus": lambda x: torch.logaddexp(x, torch.zeros_like(x)),
    "softsign": F.softsign,
    "exponential_unit": F.elu,
    "hard_tanh": F.hardtanh,
    "gaussian_by_tanh": lambda x: F.gelu(x, approximate="tanh"),
}
NORMS = {
    "over_batch": _batch_norm,
    "over_instance": _instance_norm,
    "over_groups": lambda x: F.group_norm(x, 2, eps=EPS),
    "by_root_mean_square": _by_root_mean_square,
    "by_frobenius": lambda x: x / torch.linalg.vector_norm(x),
    "by_mean_size": lambda x: x / x.abs().mean(1, keepdim=True),
    "by_length": lambda x: x / torch.linalg.vector_norm(x, dim=1, keepdim=True),
    "over_layer": lambda x: F.layer_norm(x, x.shape[1:], eps=EPS),
}
POOLING = {
    "largest_of_a_line": lambda x: F.max_pool1d(x, 4, 1, 2, 3),
    "largest_of_a_square": lambda x: F.max_pool2d(x, 4, 1, 1, 1),
    "largest_of_a_cube": lambda x: F.max_pool3d(x, 3, 2, 1, 1),
    "mean_of_a_line": lambda x: F.avg_pool1d(x, 4, 1, 2),
    "mean_of_a_square": lambda x: F.avg_pool2d(x, 3),
    "mean_of_a_cube": lambda x: F.avg_pool3d(x, 3, 2, 1),
}
REDUCTIONS = {
    "total": lambda x: x.sum(1, keepdim=True),
    "average": lambda x: x.mean(1),
    "largest": lambda x: x.amax(1),
    "least": lambda x: x.amin(1),
    "place_of_largest": lambda x: x.argmax(1),
    "place_of_least": lambda x: x.argmin(1),
    "running_total": lambda x: x.cumsum(1),
    "running_product": lambda x: x.cumprod(1),
    "running_from_the_end": lambda x: x.flip(1).cumsum(1).flip(1),
    "running_before": lambda x: x.cumsum(1) - x,
    "running_where": lambda x, mask: (x * (mask > 0)).cumsum(1),
}
LOSSES = {
    "squared": F.mse_loss,
    "cross": F.cross_entropy,
    "huber": F.smooth_l1_loss,
    "attended": F.scaled_dot_product_attention,
    "divergence": _divergence,
    "triplet": _triplet,
    "hinge": lambda found, wanted: (1 - found * wanted).clamp(min=0).mean(),
}
CONVOLUTIONS: dict[str, dict[str, Any]] = {
    "line": {},
    "line_dilated_strided": {"stride": 2, "dilation": 2},
    "line_wide": {"padding": 2},
    "line_grouped": {"padding": 1, "groups": 2},
    "square": {},
    "square_strided_padded": {"stride": 2, "padding": 1},
    "square_by_rectangle": {},
    "rectangle_by_square": {"padding": (1, 0)},
    "rectangle": {"stride": (2, 1)},
    "square_dilated_padded": {"padding": (2, 1), "dilation": (2, 1)},
    "depthwise": {"padding": 1, "groups": 6},
    "depthwise_rectangle": {"stride": 2, "groups": 6},
    "depthwise_dilated": {"dilation": 2, "groups": 6},
    "pointwise": {},
    "square_grouped": {"padding": 1, "groups": 3},
    "square_large": {"padding": 2},
    "cube": {},
    "cube_strided": {"stride": 2, "padding": 1},
    "cube_by_block": {"padding": (0, 1, 0)},
    "block_dilated": {"dilation": 2},
    "line_transposed": {},
    "line_transposed_strided": {"stride": 2, "padding": 1, "output_padding": 1},
    "line_transposed_dilated": {"dilation": 2, "padding": 1},
    "line_transposed_grouped": {"groups": 2},
    "square_transposed": {},
    "square_transposed_strided": {"stride": 2, "padding": 1},
    "rectangle_transposed": {},
    "rectangle_transposed_padded": {"padding": (1, 0)},
    "square_transposed_grouped": {"stride": (2, 1), "padding": 1, "groups": 2},
    "square_transposed_dilated": {"stride": 2, "padding": 1, "dilation": 2, "output_padding": 1},
    "cube_transposed": {},
    "cube_transposed_strided": {"stride": 2, "padding": 1, "output_padding": 1},
    "block_transposed": {},
    "cube_transposed_grouped": {"groups": 2},
    "block_transposed_strided": {"stride": (1, 2, 1), "padding": (1, 0, 0)},
}


def _convolution(settings: dict[str, Any], transposed: bool) -> Callable:
    def call(x: Any, w: Any) -> Any:
        name = f"conv{'_transpose' if transposed else ''}{x.ndim - 2}d"
        return getattr(F, name)(x, w, **settings)

    return call


FORMS: dict[str, Callable] = {
    **(PRODUCTS | FUNCTIONS | NORMS | POOLING | REDUCTIONS | LOSSES),
    **{
        name: _convolution(settings, "transposed" in name)
        for name, settings in CONVOLUTIONS.items()
    },
}


def tensors(inputs: dict[str, Any]) -> dict[str, Any]:
    """Arguments as tensors of their own."""
    return {name: torch.from_numpy(x.copy()) for name, x in inputs.items()}


def compiled(function: Callable) -> Callable:
    """The same through torch.compile, one program for all sizes."""
    torch.compiler.reset()  # what other texts compiled counts against a limit
    return torch.compile(function, dynamic=True)
