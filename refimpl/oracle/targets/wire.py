"""How the oracle and a target's process talk: frames of a JSON header and raw array bytes.

Nothing is unpickled, and every size is checked before memory is allocated, because the other side
may be hostile or broken.
"""

from __future__ import annotations

import contextlib
import functools
import json
import math
import os
import re
import select
import time
from typing import Any

import numpy as np

from refimpl.exceptions import RefimplError
from refimpl.oracle.numbers.precisions import PRECISIONS

HEADER_LIMIT = 1 << 20
AT_ONCE = 1 << 16  # bytes that a pipe holds, which one call of the system reads or writes
MOST_AXES = 64  # that NumPy has
KEPT = 1 << 10  # bytes of a header that is read once, however often it comes
NUMBERED = re.compile(rb'\{"id": (\d{1,18}), ')
READABLE = {"b", "i", "u", "f"}


class Closed(RefimplError, ConnectionError):
    """The other side has gone."""


class Late(RefimplError, TimeoutError):
    """The other side did not answer within its time."""


class Garbled(RefimplError, ValueError):
    """The other side sent something that is not a frame."""


@functools.lru_cache(64)
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


class Content:
    """What a frame holds beside its number, written once however often it is sent."""

    def __init__(self, header: dict[str, Any], arrays: list[np.ndarray]) -> None:
        described = tuple([(_name(a.dtype), a.shape) for a in arrays])
        plain = all(type(x) is str for x in header.values())
        self.text = _told(tuple(header.items()), described) if plain else _text(header, described)
        self.arrays = [native(array).tobytes() for array in arrays]

    def frame(self, number: int) -> list[bytes]:
        """A frame of this number in as few pieces as fit into a pipe."""
        text = b'{"id": %d, %b' % (number, self.text)
        pieces = [len(text).to_bytes(8, "little") + text]
        for data in self.arrays:
            if len(pieces[-1]) + len(data) <= AT_ONCE:
                pieces[-1] += data
            else:
                pieces.append(data)
        return pieces


def _text(header: dict[str, Any], described: tuple) -> bytes:
    """A header as it is written, behind the number that comes first."""
    arrays = [{"dtype": dtype, "shape": shape} for dtype, shape in described]
    return json.dumps({**header, "arrays": arrays})[1:].encode()


@functools.lru_cache(256)
def _told(words: tuple[tuple[str, str], ...], described: tuple) -> bytes:
    return _text(dict(words), described)


def send(fd: int, header: dict[str, Any], arrays: list[np.ndarray], number: int = 0) -> None:
    """Write one frame, its numbers in this machine's byte order."""
    write(fd, Content(header, arrays).frame(number))


def write(fd: int, pieces: list[bytes], deadline: float | None = None) -> None:
    """Write the pieces of a frame; a deadline needs a pipe that does not block."""
    for piece in pieces:
        _write(fd, piece, deadline)


@functools.cache
def _name(dtype: np.dtype) -> str:
    return dtype.name


def native(array: np.ndarray) -> np.ndarray:
    """The same numbers in this machine's byte order: a dtype's name does not tell the order."""
    if array.dtype.isnative:
        return array
    return array.astype(array.dtype.newbyteorder("="))


class Reader:
    """The end of a pipe that frames come out of; what was read beyond one belongs to the next.

    A deadline needs a pipe that does not block.
    """

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._read, self._at = b"", 0  # and up to where it was taken

    def ready(self) -> bool:
        """Whether there is something to read, or the other side has gone."""
        ahead = self._at < len(self._read)
        return ahead or bool(select.select([self.fd], [], [], 0)[0])

    def receive(
        self, deadline: float | None, limit: int
    ) -> tuple[dict[str, Any], list[np.ndarray]]:
        """Read one frame whose arrays hold at most `limit` bytes together."""
        length = int.from_bytes(self._take(8, deadline), "little")
        if length > HEADER_LIMIT:
            raise Garbled("the header is too long")
        header, described = _read_header(self._take(length, deadline), limit)
        arrays = [
            np.frombuffer(self._take(size, deadline), dtype=dtype).reshape(shape)
            for size, dtype, shape in described
        ]
        return header, arrays

    def _take(self, count: int, deadline: float | None) -> bytes:
        end = self._at + count
        if end > len(self._read):
            self._read, self._at, end = self._more(count, deadline), 0, count
        data, self._at = self._read[self._at : end], end
        return data

    def _more(self, count: int, deadline: float | None) -> bytes:
        """What is left of what was read, and as much more as makes it `count` bytes or more."""
        chunks = [self._read[self._at :]]
        missing = count - len(chunks[0])
        while missing > 0:
            try:
                chunk = os.read(self.fd, min(max(missing, AT_ONCE), 1 << 20))
            except BlockingIOError:
                _until(deadline, [self.fd], [])
                continue
            if not chunk:
                raise Closed("end of file")
            chunks.append(chunk)
            missing -= len(chunk)
        return b"".join(chunks)


def _read_header(
    text: bytes, limit: int
) -> tuple[dict[str, Any], list[tuple[int, np.dtype, tuple[int, ...]]]]:
    """A header, and bytes, dtype and shape of each array, all of them checked."""
    numbered = NUMBERED.match(text)
    if numbered and len(text) <= KEPT:
        header, described = _seen_before(b"{" + text[numbered.end() :])
        header = {"id": int(numbered[1]), **header}
    else:
        header, described = _parsed(text)
    if sum(size for size, _, _ in described) > limit:
        shapes = ", ".join(str(shape) for _, _, shape in described)[:200]
        raise Garbled(f"arrays of shape {shapes} are larger than anything expected here")
    return header, described


def _parsed(
    text: bytes,
) -> tuple[dict[str, Any], list[tuple[int, np.dtype, tuple[int, ...]]]]:
    try:
        header = json.loads(text)
        described = [
            (named_dtype(a["dtype"]), tuple(int(n) for n in a["shape"])) for a in header["arrays"]
        ]
    except (ValueError, KeyError, TypeError, OverflowError, ImportError, RecursionError) as error:
        raise Garbled(f"not a header: {str(error)[:200]}") from None
    if not isinstance(header, dict):
        raise Garbled("the header is no object")
    if any(n < 0 for _, shape in described for n in shape):
        raise Garbled("a negative size")
    if any(len(shape) > MOST_AXES for _, shape in described):
        raise Garbled(f"an array of more than {MOST_AXES} axes")
    return header, [(dtype.itemsize * math.prod(shape), dtype, shape) for dtype, shape in described]


_seen_before = functools.lru_cache(256)(_parsed)  # calls differ in their numbers alone


def detached(tensor: Any) -> Any:
    """What NumPy can read of a tensor, one that carries gradients or holds bfloat16 included."""
    if hasattr(tensor, "detach"):
        tensor = tensor.detach().cpu()
        if str(tensor.dtype) == "torch.bfloat16":
            tensor = tensor.float()
    return tensor


def capacity(fd: int, wanted: int) -> int:
    """The bytes that a pipe holds, as many as are wanted if it can; none where nobody tells."""
    try:
        import fcntl

        with contextlib.suppress(OSError):  # more than this system lets its users have
            fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, wanted)
        return fcntl.fcntl(fd, fcntl.F_GETPIPE_SZ)
    except (ImportError, AttributeError, OSError):
        return 0


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
