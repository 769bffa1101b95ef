"""What an argument may be: read as float64 or integers, its range, and limits that axes set."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from refimpl.axes.annotation import AxesError, Given, Spec


def convert(op: str, name: str, spec: Spec, value: Any, keep_dtype: bool = False) -> Any:
    """Read one argument as float64 (or integer) array or scalar and check its range."""
    if type(value) is spec.single and spec.lowest <= value <= spec.highest:
        return value
    if spec.unlimited and keep_dtype and type(value) is np.ndarray and value.dtype.kind == "f":
        return value
    if spec is Given:
        return _as_given(value, keep_dtype)
    if value is None:
        if spec.optional:
            return None
        raise AxesError(f"{op}: {name} is None, expected axes ({spec.axes})")
    try:
        array = np.asarray(value)
    except (TypeError, ValueError) as error:
        raise AxesError(f"{op}: {name} cannot be read as an array: {error}") from None
    kind = spec.kind
    if kind.integer:
        if array.dtype.kind not in ("iub" if kind.truths else "iu"):
            raise AxesError(f"{op}: {name} has dtype {array.dtype}, expected integers")
    elif array.dtype.kind not in "iufbV" or (array.dtype.kind == "V" and array.dtype.fields):
        raise AxesError(f"{op}: {name} has dtype {array.dtype}, expected real numbers")
    if not keep_dtype or array.dtype.kind not in "f":
        try:
            array = array.astype(np.int64 if kind.integer else np.float64)
        except (TypeError, ValueError):  # bytes without a meaning
            raise AxesError(
                f"{op}: {name} has dtype {array.dtype}, expected real numbers"
            ) from None
    if spec.scalar and array.ndim:
        raise AxesError(f"{op}: {name} has shape {array.shape}, expected a single number")
    if array.size and kind.low > -math.inf:  # numbers without a limit are not read through
        low = array.min()
        if not low >= kind.low or (kind.open_low and low <= kind.low):
            raise AxesError(f"{op}: {name} has {low}, expected {kind.says}")
    if array.size and kind.high < math.inf:
        high = array.max()
        if not high <= kind.high or (kind.open_high and high >= kind.high):
            raise AxesError(f"{op}: {name} has {high}, expected {kind.says}")
    if not spec.scalar:
        return array
    return int(array) if kind.integer else float(array)


def _as_given(value: Any, keep_dtype: bool) -> Any:
    """An argument without axes: arrays of numbers as float64, int64 or truth values."""
    if not isinstance(value, (np.ndarray, list)) and not hasattr(value, "__array__"):
        return value
    array = np.asarray(value)
    if array.dtype.kind not in "fiuVb" or (array.dtype.kind == "f" and keep_dtype):
        return array
    return array.astype({"b": bool, "i": np.int64, "u": np.int64}.get(array.dtype.kind, np.float64))


def check_limits(op: str, specs: dict[str, Spec], arguments: dict, sizes: dict[str, int]) -> None:
    """Check the kinds whose range depends on an axis: indices, counts, parts, kept timesteps."""
    for name, spec in specs.items():
        if spec.limit is None:
            continue
        value = arguments[name]
        if value is None or not np.size(value):
            continue
        size = sizes[spec.limit]
        high = int(np.max(value))
        if high > (size if spec.kind.up_to else size - 1):
            raise AxesError(f"{op}: {name} has {high}, but {spec.limit}={size}")
        if spec.kind.increasing and np.any(np.diff(value) <= 0):
            raise AxesError(f"{op}: {name} is not strictly increasing")
        if spec.kind.not_after:
            _check_earlier(op, name, specs, arguments)


def _check_earlier(op: str, name: str, specs: dict[str, Spec], arguments: dict) -> None:
    """Check that an earlier index is not later than the index of the same axis."""
    for other, spec in specs.items():
        if spec.kind.name == specs[name].kind.not_after and spec.limit == specs[name].limit:
            earlier, later = np.broadcast_arrays(arguments[name], arguments[other])
            if np.any(earlier > later):
                at = int(np.argmax(earlier > later))
                raise AxesError(
                    f"{op}: {name}[{at}] is {earlier.flat[at]}, later than {other}[{at}]="
                    f"{later.flat[at]}; {name} must be earlier"
                )
