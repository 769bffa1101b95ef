"""How the oracle and a target's process talk: frames of a JSON header and raw array bytes.

Nothing is unpickled, and every size is checked before memory is allocated, because the other side
may be hostile or broken.
"""

from __future__ import annotations

import json
import math
import os
import select
import time
from typing import Any

import numpy as np

from refimpl.exceptions import RefimplError
from refimpl.oracle.numbers.precisions import PRECISIONS

HEADER_LIMIT = 1 << 20
MOST_AXES = 64  # that NumPy has
READABLE = {"b", "i", "u", "f"}


class Closed(RefimplError, ConnectionError):
    """The other side has gone."""


class Late(RefimplError, TimeoutError):
    """The other side did not answer within its time."""


class Garbled(RefimplError, ValueError):
    """The other side sent something that is not a frame."""


def named_dtype(name: str) -> np.dtype:
    """A dtype by name, bfloat16 included; anything but plain numbers is refused.

    >>> named_dtype("float32")
    dtype('float32')
    """
    if name == "bfloat16":
        return PRECISIONS["bfloat16"].dtype()
    try:
        dtype = np.dtype(name)
    except TypeError:
        raise Garbled(f"{name!r} is no dtype") from None
    if dtype.kind not in READABLE:
        raise Garbled(f"dtype {name} is not a plain number")
    return dtype


def send(
    fd: int, header: dict[str, Any], arrays: list[np.ndarray], deadline: float | None = None
) -> None:
    """Write one frame, its numbers in this machine's byte order; a deadline needs a pipe that
    does not block."""
    described = [{"dtype": a.dtype.name, "shape": list(a.shape)} for a in arrays]
    text = json.dumps({**header, "arrays": described}).encode()
    _write(fd, len(text).to_bytes(8, "little") + text, deadline)
    for array in arrays:
        _write(fd, native(array).tobytes(), deadline)


def native(array: np.ndarray) -> np.ndarray:
    """The same numbers in this machine's byte order: a dtype's name does not tell the order."""
    if array.dtype.isnative:
        return array
    return array.astype(array.dtype.newbyteorder("="))


def receive(fd: int, deadline: float | None, limit: int) -> tuple[dict[str, Any], list[np.ndarray]]:
    """Read one frame whose arrays hold at most `limit` bytes together."""
    length = int.from_bytes(_read(fd, 8, deadline), "little")
    if length > HEADER_LIMIT:
        raise Garbled("the header is too long")
    try:
        header = json.loads(_read(fd, length, deadline))
        described = [
            (named_dtype(a["dtype"]), tuple(int(n) for n in a["shape"])) for a in header["arrays"]
        ]
    except (ValueError, KeyError, TypeError, OverflowError, ImportError, RecursionError) as error:
        raise Garbled(f"not a header: {str(error)[:200]}") from None
    sizes = [dtype.itemsize * math.prod(shape) for dtype, shape in described]
    if not isinstance(header, dict):
        raise Garbled("the header is no object")
    if any(n < 0 for _, shape in described for n in shape):
        raise Garbled("a negative size")
    if any(len(shape) > MOST_AXES for _, shape in described):
        raise Garbled(f"an array of more than {MOST_AXES} axes")
    if sum(sizes) > limit:
        shapes = ", ".join(str(shape) for _, shape in described)[:200]
        raise Garbled(f"arrays of shape {shapes} are larger than anything expected here")
    arrays = [
        np.frombuffer(_read(fd, size, deadline), dtype=dtype).reshape(shape)
        for size, (dtype, shape) in zip(sizes, described, strict=True)
    ]
    return header, arrays


def detached(tensor: Any) -> Any:
    """What NumPy can read of a tensor, one that carries gradients or holds bfloat16 included."""
    if hasattr(tensor, "detach"):
        tensor = tensor.detach().cpu()
        if str(tensor.dtype) == "torch.bfloat16":
            tensor = tensor.float()
    return tensor


def ready(fd: int) -> bool:
    """Whether there is something to read, or the other side has gone."""
    return bool(select.select([fd], [], [], 0)[0])


def _write(fd: int, data: bytes, deadline: float | None) -> None:
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(fd, view) :]
        except BlockingIOError:
            _until(deadline, [], [fd])
        except OSError as error:
            raise Closed(str(error)) from None


def _until(deadline: float | None, reading: list[int], writing: list[int]) -> None:
    """Wait for a pipe, no longer than the deadline allows."""
    left = None if deadline is None else deadline - time.monotonic()
    if left is not None and (left <= 0 or not any(select.select(reading, writing, [], left))):
        raise Late
    if left is None:
        select.select(reading, writing, [])


def _read(fd: int, count: int, deadline: float | None) -> bytes:
    chunks, missing = [], count
    while missing:
        if deadline is not None:
            _until(deadline, [fd], [])
        chunk = os.read(fd, min(missing, 1 << 20))
        if not chunk:
            raise Closed("end of file")
        chunks.append(chunk)
        missing -= len(chunk)
    return b"".join(chunks)
