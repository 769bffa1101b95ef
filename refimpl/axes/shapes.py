"""How the sizes of axes follow from the shapes of arguments, and shapes from sizes."""

from __future__ import annotations

import functools
import math
from typing import Any

from refimpl.axes.annotation import AxesError, Given, Spec


def factors(dim: str) -> tuple[int, list[str]]:
    """Split a product such as `3*H*E` into its number and its names.

    >>> factors("3*H*E")
    (3, ['H', 'E'])
    """
    number, names = 1, []
    for part in dim.partition("+")[0].split("*"):
        if part.isdigit():
            number *= int(part)
        else:
            names.append(part)
    return number, names


def size_of(dim: str, sizes: dict[str, int]) -> int:
    """The size of one dimension of a shape, such as `3*H*E`, under known axis sizes.

    >>> size_of("3*H*E", {"H": 2, "E": 4}), size_of("N+1", {"N": 5})
    (24, 6)
    """
    number, names, more = _read(dim)
    return number * math.prod([sizes[name] for name in names]) + more


@functools.cache
def _read(dim: str) -> tuple[int, tuple[str, ...], int]:
    """The number, the names and the addend of a dimension, read once."""
    number, names = factors(dim)
    return number, tuple(names), addend(dim)


def addend(dim: str) -> int:
    """The number added to a product, as in `N+1`.

    >>> addend("N+1")
    1
    """
    return int(dim.partition("+")[2] or 0)


def shape_of(spec: Spec, sizes: dict[str, int], rest: tuple[int, ...] = ()) -> tuple[int, ...]:
    """The shape an annotation stands for; `rest` is what the dots mean."""
    shape: list[int] = []
    for dim in spec.dims:
        shape.extend(rest if dim == "..." else (size_of(dim, sizes),))
    return tuple(shape)


def bind(op: str, specs: dict[str, Spec], arguments: dict[str, Any]) -> dict[str, int]:
    """Solve for the size of every axis, or raise `AxesError` naming the first contradiction.

    `arguments` holds arrays and scalars that `convert` has read. The dots' axes are stored under
    "...0", "...1" and so on, their number under "...".
    """
    sizes: dict[str, int] = {}
    origin: dict[str, str] = {}
    pending: list[tuple[str, str, int]] = []

    def settle(name: str, dim: str, found: int) -> bool:
        number, names = factors(dim)
        unknown = [n for n in names if n not in sizes]
        known = number * math.prod(sizes[n] for n in names if n in sizes)
        if not unknown:
            if known + addend(dim) != found:
                _contradiction(op, name, dim, found, known + addend(dim), origin)
            return True
        found -= addend(dim)
        if len(unknown) > 1 or len(set(unknown)) < len(unknown):
            return False
        if (known == 0 or found % known) and (number > 1 or len(names) > 1):
            raise AxesError(
                f"{op}: {name} has {dim}={found}, expected a multiple of "
                f"{dim.replace('*' + unknown[0], '').replace(unknown[0] + '*', '')}={known}"
            )
        sizes[unknown[0]] = found // known if known else 0
        origin.setdefault(unknown[0], name)
        return True

    for name, spec in specs.items():
        value = arguments[name]
        if value is None:
            continue
        if spec.scalar:
            if spec.kind.measures:
                pending.insert(0, (name, spec.axes, int(value)))
            continue
        if not spec.broadcastable and spec is not Given:
            pending.extend((name, *pair) for pair in _pair(op, name, spec, value.shape, sizes))
    while pending:
        left = [entry for entry in pending if not settle(*entry)]
        if len(left) == len(pending):
            break
        pending = left
    for name, spec in specs.items():
        if spec.broadcastable and arguments[name] is not None:
            _check_broadcast(op, name, spec, arguments[name].shape, sizes)
    return sizes


def _pair(op: str, name: str, spec: Spec, shape: tuple[int, ...], sizes: dict[str, int]) -> list:
    """Pair the dimensions of a shape with the tokens of its annotation."""
    dims = spec.dims
    if "..." in dims:
        at = dims.index("...")
        rest = len(shape) - (len(dims) - 1)
        if rest < 0 or sizes.setdefault("...", rest) != rest:
            _wrong_rank(op, name, spec, shape)
        dims = dims[:at] + [f"...{i}" for i in range(rest)] + dims[at + 1 :]
    if len(dims) != len(shape):
        _wrong_rank(op, name, spec, shape)
    return list(zip(dims, shape, strict=True))


def _wrong_rank(op: str, name: str, spec: Spec, shape: tuple[int, ...]) -> None:
    raise AxesError(f"{op}: {name} has shape {shape}, expected axes ({spec.axes})")


def _contradiction(
    op: str, name: str, dim: str, found: int, known: int, origin: dict[str, str]
) -> None:
    others = [origin[n] for n in factors(dim)[1] if origin.get(n, name) != name]
    who = f"{others[0]} has" if others else "expected"
    raise AxesError(f"{op}: {name} has {dim}={found}, {who} {dim}={known}")


def _check_broadcast(
    op: str, name: str, spec: Spec, shape: tuple[int, ...], sizes: dict[str, int]
) -> None:
    rest = tuple(sizes[f"...{i}"] for i in range(sizes.get("...", 0)))
    full = shape_of(spec, sizes, rest)
    fits = len(shape) <= len(full) and all(
        found in (1, want) for found, want in zip(shape[::-1], full[::-1], strict=False)
    )
    if not fits:
        axes = " ".join(spec.dims)
        raise AxesError(
            f"{op}: {name} has shape {shape}, expected a shape that broadcasts to ({axes})={full}"
        )
