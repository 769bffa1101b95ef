"""Several threads for one kernel, and one thread for each matrix product inside it.

A kernel takes `(first, last, …)` and works on that range alone, without the interpreter's lock.
`share` cuts a large range into pieces that the caller and its helpers take one after the other, so
that a thread which the system holds up delays few; small ranges stay with the caller. Helpers are
Python's threads: a forked child makes its own, and a helper serves one caller at a time. After a
job they stay awake for a moment, since to wake a thread takes as long as a small layer. Numba's
layers are not used: its `omp` dies in forked children, its `workqueue` when two threads call it.
"""

from __future__ import annotations

import atexit
import contextlib
import contextvars
import ctypes
import functools
import importlib.util
import itertools
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from refimpl.compiled.loading import compiled
from refimpl.compiled.memory import empty, tell_finite

PIECES = 4  # of a range for each thread, unless they are long
PIECE = 1 << 19  # numbers in each of several pieces, or the lock to take the next one costs more
WORTHWHILE = 1 << 15  # numbers that a thread should find to do, or to ask it costs more
LONG = 1 << 24  # numbers in a piece at most, or all wait for the thread that has the last one
ROWS = 768  # of a matrix in its product, or copying the other factor costs more
AWAKE = 1000  # microseconds that a helper waits before it sleeps, or a caller that waits for it
COURTESY = 6  # microseconds until somebody who posted a job has let go of the interpreter's lock

_lock = threading.Lock()
_helpers: list[_Helper] = []
_count = 0  # until somebody asks


def count() -> int:
    """How many threads share a kernel: what `use` said, NUMBA_NUM_THREADS, or all processors."""
    global _count
    if not _count:
        told = os.environ.get("NUMBA_NUM_THREADS", "")
        _count = int(told) if told.isdigit() and int(told) else _processors()
    return _count


def _processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def use(threads: int) -> None:
    """Let this many threads share a kernel, and as many a matrix product, from now on."""
    global _count
    _count = threads
    _stop()
    for library in openblas():
        library.set(threads)


def fill(kernel: Callable[..., bool], size: int, each: int, *args: Any) -> None:
    """`share` a kernel that says whether all numbers it wrote into its last argument are finite.

    The memory of that argument keeps it, so that nobody reads the numbers again to know.
    """
    if share(kernel, size, each, *args):
        tell_finite(args[-1])


def share(kernel: Callable[..., Any], size: int, each: int, *args: Any) -> bool:
    """Call `kernel(first, last, *args)` on ranges that cover `size` items of `each` numbers.

    Returns whether all calls returned what is true.
    """
    if not size:
        return True
    threads = min(count(), size * max(each, 1) // WORTHWHILE)
    if threads < 2:
        return bool(kernel(0, size, *args))
    numbers = size * each // threads
    pieces_each = max(min(max(numbers // PIECE, 1), PIECES), numbers // LONG)
    step = -(-size // (threads * pieces_each))
    pieces, said = itertools.count(0, step), []

    def work() -> None:
        for first in pieces:
            if first >= size:
                return
            said.append(kernel(first, min(first + step, size), *args))

    helpers = _free(threads - 1)
    try:
        for helper in helpers:
            helper.post(functools.partial(contextvars.copy_context().run, work))
        work()
    finally:
        errors = [helper.finish() for helper in helpers]
    for error in errors:
        if error is not None:
            raise error
    return all(said)


def contiguous(x: np.ndarray, dtype: Any = None) -> np.ndarray:
    """The array row by row in one piece of memory; threads share the copy."""
    kind = x.dtype if dtype is None else np.dtype(dtype)
    if x.dtype == kind and x.flags.c_contiguous:
        return x
    copied, axis = empty(x.shape, kind), int(np.argmax(x.shape[:-1] or (1,)))
    size = x.shape[axis] if x.ndim else 1
    share(_copy, size, x.size // max(size, 1), axis, x, copied)
    return copied


def _copy(first: int, last: int, axis: int, x: np.ndarray, copied: np.ndarray) -> None:
    part: tuple[Any, ...] = (*(slice(None),) * axis, *(slice(first, last),) * min(x.ndim, 1), ...)
    np.copyto(copied[part], x[part], casting="unsafe")


def parts(rows: int) -> int:
    """Into how many parts a matrix product is cut: as many for each thread, long ones."""
    return count() * max(rows // (count() * ROWS), 1)


class _Helper(threading.Thread):
    """A thread that does one job after another, for one caller at a time."""

    def __init__(self) -> None:
        super().__init__(name="refimpl", daemon=True)
        self.native = _native()
        self.turns = int(AWAKE * _turns_per_microsecond())
        self.courtesy = int(COURTESY * _turns_per_microsecond())
        self.taken = threading.Lock()
        self.changed = threading.Condition()
        self.cells = np.zeros(16, np.int64)  # posted and done, for eyes without the lock
        self.posted, self.asleep, self.stopped = 0, False, False
        self.job: Callable[[], None] | None = None
        self.error: BaseException | None = None
        self.start()

    def run(self) -> None:
        done = 0
        while not self.stopped:
            if not self.native.rest(self.cells, done, self.turns, self.courtesy):
                with self.changed:
                    self.asleep = True
                    while self.posted == done:
                        self.changed.wait()
                    self.asleep = False
            with self.changed:
                done, job, self.job = self.posted, self.job, None
            try:
                if job:
                    job()
            except BaseException as error:  # whoever asked shall see it
                self.error = error
            job = None  # or what it works on would stay

    def post(self, job: Callable[[], None] | None) -> None:
        with self.changed:
            self.job, self.posted = job, self.posted + 1
            self.cells[self.native.POSTED] = self.posted
            if self.asleep:
                self.changed.notify()

    def finish(self) -> BaseException | None:
        """Wait until the job is done; one that has not begun is not needed any more.

        Returns what the job raised. Somebody else may post from now on.
        """
        try:
            with self.changed:
                begun, self.job = self.job is None, None
            while begun and not self.native.wait(self.cells, self.posted, self.turns):
                time.sleep(AWAKE / 1e6)
        finally:
            error, self.error = self.error, None
            self.taken.release()
        return error

    def stop(self) -> None:
        if self.taken.acquire(timeout=1):  # else some daemon is not done with it
            self.stopped = True
            self.post(None)
            self.join()


def _free(wanted: int) -> list[_Helper]:
    """Helpers that nobody has taken, new ones up to the number of threads."""
    from numba import config

    if config.DISABLE_JIT:
        return []
    found: list[_Helper] = []
    with _lock:
        while len(_helpers) < min(wanted, count() - 1):
            _helpers.append(_Helper())
        for helper in _helpers:
            if len(found) < wanted and helper.taken.acquire(blocking=False):
                found.append(helper)
    return found


def _native() -> Any:
    return compiled("refimpl.compiled.native")


@functools.cache
def _turns_per_microsecond() -> float:
    """How often a waiting loop goes round."""
    native, cells, turns = _native(), np.zeros(16, np.int64), 10_000
    native.rest(cells, 0, 1, 0)  # compiled
    native.wait(cells, 1, 1)
    spent = []
    for _ in range(3):
        started = time.perf_counter()
        native.wait(cells, 1, turns)
        spent.append(time.perf_counter() - started)
    return turns / min(spent) / 1e6


def _forget() -> None:
    """Threads do not survive a fork: a child starts its own."""
    global _helpers, _lock, _blas
    _helpers, _lock, _blas = [], threading.Lock(), _Alone()


def _stop() -> None:
    """Let no thread run while the interpreter ends."""
    with _lock:
        while _helpers:
            _helpers.pop().stop()


atexit.register(_stop)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


class OpenBlas:
    """An OpenBLAS that came with a package, asked through its C interface."""

    def __init__(self, package: str, path: Path) -> None:
        library, self.wide = ctypes.CDLL(str(path)), "64_" in path.name
        self.library, suffix = library, "64_" if self.wide else ""
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


def multiply(a: np.ndarray, b: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """The matrix product a @ b, its longer side cut into pieces of at least 128 rows or columns.

    A library's own threads would stay awake after the product, and keep our own from working.
    """
    if out is None:
        out = empty((a.shape[0], b.shape[1]), a.dtype)
    side = max(out.shape)
    work = _some_columns if out.shape[1] > out.shape[0] else _some_rows
    each = 128 * min(out.shape) * a.shape[1] // 16
    with one_blas_thread():
        share(work, -(-side // 128), each, a, b, out)
    return out


def _some_rows(first: int, last: int, a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    rows = slice(128 * first, 128 * last)
    np.matmul(a[rows], b, out=out[rows])


def _some_columns(first: int, last: int, a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    columns = slice(128 * first, 128 * last)
    np.matmul(a, b[:, columns], out=out[:, columns])
