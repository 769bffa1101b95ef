"""The compiled twins, and whole Transformers: a namespace of operations for the models.

`vit(images, params, config, compiled)` gives what the same call with `refimpl.fast` gives, sooner:
some images go through all blocks on one thread, others on another, and the threads meet at the end.
What blocks have inside is not told to the tap, and a group norm is told before it is computed; with
`refimpl.fast` both are there. Of a residual block on maps the inside is computed where somebody
looks at it, else while a convolution reads.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from refimpl import fast
from refimpl.axes import AxesError
from refimpl.compiled import loading
from refimpl.compiled.memory import empty
from refimpl.compiled.threads import count, one_blas_thread, parts, share
from refimpl.models import Params, Tap
from refimpl.models import vit as text
from refimpl.models.cache import grown
from refimpl.models.configs import Text, Vit, block_shapes
from refimpl.registry import OPS

BALANCED = 0.8  # of the threads' time that is used where each takes whole images


def __getattr__(name: str) -> Any:
    return getattr(fast, name)


@dataclass
class Waiting:
    """A map computed when somebody looks, or while a convolution reads it.

    It is x, or its group norm, or the SiLU of that, every pixel repeated along both sides.
    """

    x: Any
    norm: tuple[Any, ...] = ()  # gain, bias, groups and epsilon
    gated: bool = False
    times: int = 1

    @property
    def shape(self) -> tuple[int, ...]:
        """B C rows cols."""
        B, C, rows, cols = np.shape(self.x)
        return B, C, rows * self.times, cols * self.times

    @property
    def readable(self) -> bool:
        """Whether a convolution can make it while it reads."""
        return self.gated or not self.norm

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        made = self.x
        if self.norm:
            made = (fast.group_norm_silu if self.gated else fast.group_norm)(made, *self.norm)
        if self.times > 1:
            made = fast.resize_nearest(made, *self.shape[2:])
        return made if dtype is None else made.astype(dtype, copy=False)


def group_norm(x: Any, gain: Any, bias: Any, groups: int, eps: float) -> Any:
    """The operation, not before its numbers are needed."""
    return Waiting(x, (gain, bias, groups, eps))


def silu(x: Any) -> Any:
    """The operation; behind a group norm that waits, it waits as well."""
    waits = isinstance(x, Waiting) and not x.gated and x.times == 1
    return replace(x, gated=True) if waits else fast.silu(x)


def resize_nearest(images: Any, tall: int, wide: int) -> Any:
    """The operation; where every pixel is repeated as often, not before its numbers are needed."""
    given = images if isinstance(images, Waiting) else Waiting(images)
    (_, _, rows, cols), times = given.shape, tall // max(given.shape[2], 1)
    alike = times and (tall, wide) == (rows * times, cols * times)
    if alike and given.readable:
        return replace(given, times=given.times * times)
    return fast.resize_nearest(images, tall, wide)


def conv2d(
    images: Any,
    weight: Any,
    bias: Any,
    stride: int,
    before: int,
    after: int,
    dilation: int,
    groups: int,
) -> Any:
    """The operation; a map that waits for it is made a band at a time, while it is read."""
    waits = isinstance(images, Waiting) and images.readable and 0 not in images.shape
    if not waits or stride * groups > 1 or np.shape(weight)[2:] == (1, 1):
        return fast.conv2d(images, weight, bias, stride, before, after, dilation, groups)
    conv, norm = OPS["conv2d"], OPS["group_norm"]
    inputs = conv.read(images.x, weight, bias, 1, before, after, dilation, 1, keep_dtype=True)
    behind = norm.read(images.x, *images.norm, keep_dtype=True) if images.norm else {}
    inputs |= {f"norm_{name}": behind[name] for name in behind}
    specs = conv.specs | {f"norm_{name}": norm.specs[name] for name in behind}
    given, kernels = fast.prepare(specs, inputs), fast.kernels("convolution")
    normed = [given[f"norm_{name}"] for name in behind]
    reading = kernels.activated(*normed) if normed else kernels.plain(given["images"])
    sums = given["weight"], given["bias"], before, after, dilation
    return kernels.conv2d_of(reading._replace(times=images.times), *sums)


def residual(x: Any, params: Params, name: str, config: Any, emb: Any) -> Any:
    """A residual block; the arguments are those of the text, `feature_maps.residual`.

    No map is held but what goes in and what comes out.

    Raises AxesError for parameters that do not fit.
    """

    def of(part: str) -> tuple[Any, Any]:
        return params[f"{name}.{part}.weight"], params[f"{name}.{part}.bias"]

    if emb is None:  # it is told a number that changes nothing
        outputs = len(params[f"{name}.conv2.bias"])
        emb = np.zeros((np.shape(x)[0], 1), np.float32)
        told: tuple[Any, Any] = np.zeros((outputs, 1), np.float32), np.zeros(outputs, np.float32)
    else:
        told = of("time_emb_proj")
    shortcut = f"{name}.conv_shortcut.weight" in params
    skip = of("conv_shortcut") if shortcut else (None, None)
    first, last = (*of("norm1"), *of("conv1")), (*of("norm2"), *of("conv2"))
    return fast.residual_block(x, emb, *first, *told, *last, *skip, config.groups, config.eps)


def transformer(
    x: Any, params: Params, at: str, config: Vit | Text, bias: Any, wanted: int | None
) -> Any:
    """All blocks of a Transformer; the arguments are those of the text, `vit.transformer`.

    Threads share the images, or every layer where there are few images.

    Returns B wanted D, the first tokens, or all.

    Raises AxesError for tokens, a bias or parameters that do not fit the configuration.
    """
    return _Blocks(x, params, at, config, bias, wanted).forward(keep=False)


def step(
    x: Any, params: Params, at: str, config: Any, bias: Any, tap: Tap, past: dict[str, Any]
) -> Any:
    """One new token of each text through all blocks: B 1 D.

    The tap is told the keys and values, which grow in their own memory (`cache.grown`), and what
    each block gives. Where a bias hides some, it goes layer by layer, as `refimpl.fast` does it.

    Raises AxesError for tokens or parameters that do not fit the configuration.
    """
    if bias is not None and np.any(bias):
        return text.transformer(x, params, at, config, bias, fast, tap, None, past)
    walk = _Blocks(x, params, at, config, None, None)
    kernels, token = loading.compiled("refimpl.models.kernels_step"), walk.x[:, 0]
    for i, layer in enumerate(walk.layers):
        name = f"{at}transformer.resblocks.{i}"
        joint = kernels.query_key_value(token, layer, walk.how[0])  # B 3*D
        new = zip(("key", "value"), text.thirds(joint)[1:])
        seen = [(f"{name}.attn.{part}", y[:, None]) for part, y in new]
        key, value = (tap(part, grown(past[part], y)) for part, y in seen)
        filled = key.memory, value.memory, key.shape[1]
        rest = token, joint, filled, config.heads, layer, *walk.how
        token = tap(name, kernels.rest_of_block(*rest))
    return token[:, None]


class Remembering:
    """The same namespace for one walk forward and one back: it keeps what the way back needs."""

    def __getattr__(self, name: str) -> Any:
        return getattr(fast, name)

    def transformer(self, *args: Any) -> Any:
        """All blocks of a Transformer."""
        self._blocks = _Blocks(*args)
        return self._blocks.forward(keep=True)

    def transformer_vjp(self, grad: Any) -> Any:
        """The gradient with respect to what came out, led back to the tokens that went in."""
        return self._blocks.back(grad)


class _Blocks:
    """The blocks of one Transformer, and some tokens on their way through them."""

    def __init__(
        self,
        x: Any,
        params: Params,
        at: str,
        config: Vit | Text,
        bias: Any,
        wanted: int | None,
    ) -> None:
        self.kernels, self.config = loading.compiled("refimpl.models.kernels"), config
        x = np.asarray(x)
        if x.ndim != 3 or x.shape[2] != config.width:
            raise AxesError(f"transformer: x has shape {x.shape}, expected (B, N, {config.width})")
        if config.activation not in self.kernels.ACTIVATIONS or config.width % config.heads:
            known = ", ".join(self.kernels.ACTIVATIONS)
            raise AxesError(
                f"transformer: {config.heads} heads in a width of {config.width} and the "
                f"activation {config.activation}; expected a divisor, and one of {known}"
            )
        shapes = block_shapes("", config.width, config.hidden, layer_scale=True)
        expected = {part: shapes[f".{part}"] for part in self.kernels.PARTS}
        names = [f"{at}transformer.resblocks.{i}" for i in range(config.layers)]
        layers = [list(_parameters(params, name, expected)) for name in names]
        mask = _mask(bias, x.shape, config.heads)
        wide = any(p.dtype.itemsize > 4 for p in (x, *(p for layer in layers for p in layer)))
        self.dtype = np.dtype(np.float64 if wide or not _is_narrow(mask) else np.float32)
        self.x, self.mask = self._given(x), self._given(mask)
        self.layers = [tuple(map(self._given, layer)) for layer in layers]
        self.how = self.dtype.type(config.eps), config.activation
        self.wanted = x.shape[1] if wanted is None else min(wanted, x.shape[1])
        self.kept: dict[int, list] = {}

    def _given(self, x: np.ndarray) -> np.ndarray:
        """In the one form in which a kernel meets what it only reads."""
        if x.dtype == self.dtype and x.flags.c_contiguous:
            if not x.flags.writeable:
                return x
            x = x.view()
        else:
            x = x.astype(self.dtype, order="C")
        x.flags.writeable = False
        return x

    def forward(self, keep: bool) -> np.ndarray:
        """The tokens behind the last block that are wanted."""
        if not self.layers:
            return self.x[:, : self.wanted]
        B, _, D = self.x.shape
        y, turns = empty((B, self.wanted, D), self.dtype), -(-B // count())
        if not keep and BALANCED * turns * count() > B:
            self._forward(0, 1, B, y, keep, share)
        else:
            self._share(self._forward, y, keep, self.kernels.alone)
        return y

    def back(self, grad: Any) -> np.ndarray:
        """The gradient before the first block, after a way forward that was kept."""
        grad, (B, N, D) = np.asarray(grad), self.x.shape
        if grad.shape != (B, self.wanted, D):
            raise AxesError(
                f"transformer_vjp: grad has shape {grad.shape}, expected {(B, self.wanted, D)}"
            )
        if not self.layers:
            return np.concatenate((grad, np.zeros((B, N - self.wanted, D), grad.dtype)), axis=1)
        x_grad = empty(self.x.shape, self.dtype)
        self._share(self._back, self._given(grad), x_grad)
        return x_grad

    def _share(self, walk: Any, *args: Any) -> None:
        B, N, D = self.x.shape
        each = max(-(-B // max(parts(B * N), 1)), 1)  # images that go together
        numbers = each * N * D * (4 * D + 2 * self.config.hidden) * len(self.layers) // 16
        with one_blas_thread():
            share(walk, -(-B // each), numbers, each, *args)

    def _forward(
        self, first: int, last: int, each: int, y: np.ndarray, keep: bool, spread: Any
    ) -> None:
        for group, images in _groups(first, last, each):
            x, into, made = self.x[images], y[images], None
            self.kept[group] = []
            for layer in self.layers:
                sizes, after = self._sizes(x, layer), into
                if keep or sizes != made:
                    values = self.kernels.values(sizes, self.dtype)
                if sizes != made:
                    workspace, made = self.kernels.workspace(sizes, self.dtype), sizes
                if layer is not self.layers[-1]:
                    after = empty(x.shape, self.dtype)
                given = x, self._seen(images), layer, *self.how, values
                self.kernels.block(*given, workspace, spread, after)
                if keep:
                    self.kept[group].append(given)
                x = self._given(after)

    def _back(self, first: int, last: int, each: int, grad: np.ndarray, x_grad: np.ndarray) -> None:
        for group, images in _groups(first, last, each):
            above, into, made = grad[images], x_grad[images], None
            for given in reversed(self.kept[group]):
                (x, _, layer, *_), below = given, into
                sizes = self._sizes(x, layer)
                if sizes != made:
                    grads, workspace = (
                        make(sizes, self.dtype)
                        for make in (self.kernels.values, self.kernels.workspace)
                    )
                    made = sizes
                if layer is not self.layers[0]:
                    below = empty(x.shape, self.dtype)
                self.kernels.block_vjp(*given, workspace, above, grads, below)
                above = self._given(below)

    def _sizes(self, x: np.ndarray, layer: tuple) -> tuple[int, ...]:
        """What memory depends on; the last block gives what is wanted alone."""
        B, N, D = x.shape
        heads, wanted = self.config.heads, self.wanted if layer is self.layers[-1] else N
        return B, N, wanted, heads, D // heads, self.config.hidden

    def _seen(self, images: slice) -> np.ndarray:
        """The mask of some images."""
        return self.mask if len(self.mask) == 1 else self.mask[images]


def _groups(first: int, last: int, each: int) -> Iterator[tuple[int, slice]]:
    for group in range(first, last):
        yield group, slice(group * each, (group + 1) * each)


def _parameters(params: Params, name: str, expected: dict[str, tuple]) -> Iterator[np.ndarray]:
    """The parameters of a block in the order of the kernels; a scale that is missing is 1."""
    for part, shape in expected.items():
        parameter = params.get(f"{name}.{part}")
        if parameter is None and part.endswith("gamma"):
            parameter = np.ones(shape, np.float32)
        parameter = np.asarray(parameter)
        if parameter.shape != shape or parameter.dtype.kind != "f":
            raise AxesError(
                f"transformer: {name}.{part} has shape {parameter.shape} and dtype "
                f"{parameter.dtype}, expected {shape} and real numbers"
            )
        yield parameter


def _mask(bias: Any, shape: tuple[int, ...], heads: int) -> np.ndarray:
    """What is added to the scores, on four axes: an axis of 1 serves all, and 0 hides nothing."""
    B, N, _ = shape
    mask = np.zeros(1) if bias is None else np.asarray(bias)
    full = (B, heads, N, N)
    fits = all(has in (1, most) for has, most in zip(mask.shape[::-1], full[::-1], strict=False))
    if mask.ndim > 4 or not fits:
        raise AxesError(f"transformer: bias has shape {mask.shape}, expected it to fit {full}")
    return mask.reshape((1,) * (4 - mask.ndim) + mask.shape)


def _is_narrow(mask: np.ndarray) -> bool:
    """Whether float32 has all its numbers, as it has 0 and -inf."""
    with np.errstate(over="ignore"):
        return bool((mask.astype(np.float32) == mask).all())
