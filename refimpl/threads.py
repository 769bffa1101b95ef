"""Several threads for one kernel, and one thread for each matrix product inside it.

A kernel takes `(first, last, …)` and works on that range alone, without the interpreter's lock.
`share` cuts a large range into pieces that a few threads take one after the other, so that a
thread which the system holds up delays nobody; small ranges stay on the calling thread. The
threads are Python's: they may be used from several threads at once, and a forked child makes its
own. Numba's layers are not used: its `omp` dies in forked children, its `workqueue` when two
threads call it.
"""

from __future__ import annotations

import contextlib
import contextvars
import ctypes
import functools
import importlib.util
import itertools
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

PIECES = 4  # of a range, for each thread
ROWS = 384  # of a matrix in its product, or copying the other factor costs more
WORTHWHILE = 1 << 15  # numbers that a thread should find in its piece, or waking it costs more

_lock = threading.Lock()
_pool: ThreadPoolExecutor | None = None
_count = 0


def count() -> int:
    """How many threads share a kernel: what `use` said, NUMBA_NUM_THREADS, or all processors."""
    if _count:
        return _count
    told = os.environ.get("NUMBA_NUM_THREADS", "")
    if told.isdigit() and int(told):
        return int(told)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def use(threads: int) -> None:
    """Let this many threads share a kernel, and as many a matrix product, from now on."""
    global _count
    _count = threads
    _forget()
    for library in openblas():
        library.set(threads)


def share(kernel: Callable[..., Any], size: int, each: int, *args: Any) -> None:
    """Call `kernel(first, last, *args)` on ranges that cover `size` items of `each` numbers."""
    if not size:
        return
    threads = min(count(), size * max(each, 1) // WORTHWHILE)
    if threads < 2:
        kernel(0, size, *args)
        return
    step = max(-(-size // (threads * PIECES)), -(-WORTHWHILE // max(each, 1)))
    pieces = itertools.count(0, step)

    def work() -> None:
        for first in pieces:
            if first >= size:
                return
            kernel(first, min(first + step, size), *args)

    helpers = _start(work, threads - 1)
    try:
        work()
    finally:
        for helper in helpers:
            if not helper.cancel():  # one that has not begun is not needed any more
                helper.result()


def parts(rows: int) -> int:
    """Into how many parts a matrix product is cut: as many for each thread, long ones."""
    return count() * max(rows // (count() * ROWS), 1)


def _start(work: Callable[[], None], helpers: int) -> list[Future[None]]:
    """Begin the work on threads of the pool, in the caller's context."""
    global _pool
    with _lock:
        if _pool is None:
            _pool = ThreadPoolExecutor(max(count() - 1, 1), thread_name_prefix="refimpl")
        return [_pool.submit(contextvars.copy_context().run, work) for _ in range(helpers)]


def _forget() -> None:
    """Threads do not survive a fork: a child starts its own."""
    global _pool, _lock, _blas
    _pool, _lock, _blas = None, threading.Lock(), _Alone()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


class OpenBlas:
    """An OpenBLAS that came with a package, asked through its C interface."""

    def __init__(self, package: str, path: Path) -> None:
        library, suffix = ctypes.CDLL(str(path)), "64_" if "64_" in path.name else ""
        self.package, self.file = package, path.name
        self.get: Callable[[], int] = getattr(library, f"scipy_openblas_get_num_threads{suffix}")
        self.set: Callable[[int], None] = getattr(
            library, f"scipy_openblas_set_num_threads{suffix}"
        )
        self.get.restype, self.set.restype = ctypes.c_int, None


@functools.cache
def openblas() -> tuple[OpenBlas, ...]:
    """NumPy's and SciPy's OpenBLAS, as far as they came in wheels."""
    found = []
    for package in ("numpy", "scipy"):
        spec = importlib.util.find_spec(package)
        home = Path(spec.origin).parent if spec and spec.origin else Path()
        for path in sorted(home.with_name(f"{package}.libs").glob("libscipy_openblas*.so")):
            with contextlib.suppress(OSError, AttributeError):
                found.append(OpenBlas(package, path))
    return tuple(found)


class _Alone:
    """Matrix products on the calling thread alone, as long as anybody is inside."""

    def __init__(self) -> None:
        self.lock, self.inside = threading.Lock(), 0
        self.before: tuple[int, ...] = ()

    def enter(self) -> None:
        with self.lock:
            self.inside += 1
            if self.inside == 1:
                self.before = tuple(library.get() for library in openblas())
                for library in openblas():
                    library.set(1)

    def leave(self) -> None:
        with self.lock:
            self.inside -= 1
            if not self.inside:
                for library, threads in zip(openblas(), self.before):
                    library.set(threads)


_blas = _Alone()


@contextlib.contextmanager
def one_blas_thread() -> Iterator[None]:
    """Inside, a matrix product keeps to its thread: the kernel's own threads are enough."""
    blas = _blas
    blas.enter()
    try:
        yield
    finally:
        blas.leave()


def multiply(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> np.ndarray:
    """The matrix product a @ b, its longer side cut into pieces of at least 128 rows or columns.

    A library's own threads wait for each other in every product, and so for whatever else the
    system runs; pieces wait for nobody but the last.
    """
    rows, columns = out.shape
    each = WORTHWHILE // 128
    with one_blas_thread():
        if columns > rows:
            share(_some_columns, columns, each, a, b, out)
        else:
            share(_some_rows, rows, each, a, b, out)
    return out


def _some_rows(first: int, last: int, a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    np.matmul(a[first:last], b, out=out[first:last])


def _some_columns(first: int, last: int, a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    np.matmul(a, b[:, first:last], out=out[:, first:last])
