"""What Numba has no word for: one thread waiting awake for another, memory asked for ahead.

Written out as instructions for LLVM. With NUMBA_DISABLE_JIT `threads` does without helpers, and
nothing is asked for ahead.
"""

from __future__ import annotations

import platform
from typing import Any

from llvmlite import ir
from numba import config, njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from refimpl.compiled.registers import fetch

PAUSE = {"x86_64": "llvm.x86.sse2.pause", "AMD64": "llvm.x86.sse2.pause"}.get(platform.machine())

LINE = 64  # bytes that memory gives at once
AHEAD = 1024  # numbers between what a loop works on and what it asks for
JIT = not config.DISABLE_JIT


def _start(context: Any, builder: Any, kind: Any, array: Any) -> Any:
    return context.make_array(kind)(context, builder, array)


@intrinsic
def _load(typing_context: Any, cells: Any, place: Any) -> Any:
    """A number that another thread may be writing."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = _start(context, builder, signature.args[0], arguments[0]).data
        return builder.load_atomic(builder.gep(data, [arguments[1]]), "acquire", 8)

    return types.int64(cells, types.intp), code


@intrinsic
def _store(typing_context: Any, cells: Any, place: Any, value: Any) -> Any:
    """A number that another thread may be reading, who then sees all that was written before."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = _start(context, builder, signature.args[0], arguments[0]).data
        builder.store_atomic(arguments[2], builder.gep(data, [arguments[1]]), "release", 8)
        return context.get_dummy_value()

    return types.void(cells, types.intp, types.int64), code


@intrinsic
def _add(typing_context: Any, cells: Any, place: Any, value: Any) -> Any:
    """Add to a number that other threads add to as well: what was it before?"""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = _start(context, builder, signature.args[0], arguments[0]).data
        cell = builder.gep(data, [arguments[1]])
        return builder.atomic_rmw("add", cell, arguments[2], "acq_rel")

    return types.int64(cells, types.intp, types.int64), code


@intrinsic
def _pause(typing_context: Any) -> Any:
    """Tell the processor that this is a loop that waits."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        if PAUSE:
            kind = ir.FunctionType(ir.VoidType(), [])
            builder.call(cgutils.get_or_insert_function(builder.module, kind, PAUSE), [])
        return context.get_dummy_value()

    return types.void(), code


@intrinsic
def _ask(typing_context: Any, array: Any, place: Any) -> Any:
    """Have the line of memory fetched that holds a number, and go on."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = _start(context, builder, signature.args[0], arguments[0]).data
        fetch(builder, builder.gep(data, [arguments[1]]))
        return context.get_dummy_value()

    return types.void(array, types.intp), code


@intrinsic
def _per_line(typing_context: Any, array: Any) -> Any:
    """How many numbers a line holds, known when a loop is compiled: short ones are simple then."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return ir.Constant(ir.IntType(64), 8 * LINE // signature.args[0].dtype.bitwidth)

    return types.int64(array), code


@njit(cache=True)
def ask_ahead(x: Any, row: int) -> None:
    """Have as much of a matrix fetched as a row holds, from AHEAD numbers behind its beginning.

    A loop that goes over a short row several times keeps memory idle meanwhile.
    """
    if JIT:
        K, first = x.shape[1], row * x.shape[1] + AHEAD
        for place in range(first, min(first + K, x.size), _per_line(x)):
            _ask(x, place)


@njit(cache=True)
def ask_for(x: Any, first: int, numbers: int) -> None:
    """Have so many numbers of an array fetched, from one on, as far as it goes."""
    if JIT:
        for place in range(first, min(first + numbers, x.size), _per_line(x)):
            _ask(x, place)


PATIENCE = 1 << 14  # turns of a waiting loop, less than a millisecond
APART = 16  # cells of a phase, those that are taken and those that are done in lines of their own


@njit(cache=True)
def take(cells: Any, phase: int) -> int:
    """The next piece of a phase that no thread has taken, counted from 0."""
    if JIT:
        return _add(cells, APART * phase, 1)
    cells[APART * phase] += 1
    return cells[APART * phase] - 1


@njit(cache=True)
def give(cells: Any, phase: int) -> None:
    """Say that a piece of a phase is done."""
    if JIT:
        _add(cells, APART * phase + APART // 2, 1)


@njit(cache=True)
def meet(cells: Any, phase: int, pieces: int) -> bool:
    """Stay awake until all pieces of a phase are done, for PATIENCE turns: are they?

    What they wrote is seen from here on. Whoever takes a piece is running, so that nobody waits for
    a thread that never came.
    """
    if JIT:
        for _ in range(PATIENCE):
            if _load(cells, APART * phase + APART // 2) >= pieces:
                return True
            _pause()
        return False
    return True


POSTED, DONE = 0, 1  # the cells of a helper: the number of its newest job, and of its last


@njit(cache=True, nogil=True)
def rest(cells: Any, done: int, turns: int, courtesy: int) -> bool:
    """Say that a job is done, and stay awake for the next one: has it come?

    Whoever posts a job is about to let go of the interpreter's lock: courtesy gives it the time.
    """
    _store(cells, DONE, done)
    for _ in range(turns):
        if _load(cells, POSTED) != done:
            for _ in range(courtesy):
                _pause()
            return True
        _pause()
    return False


@njit(cache=True, nogil=True)
def wait(cells: Any, job: int, turns: int) -> bool:
    """Stay awake until a job is done: is it?"""
    for _ in range(turns):
        if _load(cells, DONE) == job:
            return True
        _pause()
    return False
