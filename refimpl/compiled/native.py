"""What Numba has no word for: a store past the caches, and one thread waiting awake for another.

Written out as instructions for LLVM. With NUMBA_DISABLE_JIT a store is an ordinary one, and
`threads` does without helpers.
"""

from __future__ import annotations

import platform
from typing import Any

from llvmlite import ir
from numba import config, njit, types
from numba.core import cgutils
from numba.extending import intrinsic

REGISTER = 64  # bytes of the widest register, and of a line in the cache
PAUSE = {"x86_64": "llvm.x86.sse2.pause", "AMD64": "llvm.x86.sse2.pause"}.get(platform.machine())


def _start(context: Any, builder: Any, kind: Any, array: Any) -> Any:
    return context.make_array(kind)(context, builder, array)


@intrinsic
def _stream(typing_context: Any, source: Any, target: Any) -> Any:
    """Copy one contiguous axis into another: whole lines of the cache go around it."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = signature.args[0].dtype
        number, bytes_each = context.get_value_type(kind), kind.bitwidth // 8
        index, lanes = ir.IntType(64), REGISTER // bytes_each
        given = _start(context, builder, signature.args[0], arguments[0])
        into = _start(context, builder, signature.args[1], arguments[1])
        (size,) = cgutils.unpack_tuple(builder, given.shape)
        around = builder.module.add_metadata([ir.Constant(ir.IntType(32), 1)])

        def copy(first: Any, last: Any, wide: bool) -> None:
            unit = ir.VectorType(number, lanes) if wide else number
            step = ir.Constant(index, lanes if wide else 1)
            with cgutils.for_range_slice(builder, first, last, step, index) as (i, _):
                here, there = (
                    builder.bitcast(builder.gep(x.data, [i]), unit.as_pointer())
                    for x in (given, into)
                )
                store = builder.store(builder.load(here, align=bytes_each), there)
                store.align = REGISTER if wide else bytes_each
                if wide:
                    store.set_metadata("nontemporal", around)

        address = builder.ptrtoint(into.data, index)
        until_line = builder.and_(builder.neg(address), ir.Constant(index, REGISTER - 1))
        until_line = builder.udiv(until_line, ir.Constant(index, bytes_each))
        fits = builder.icmp_signed("<", until_line, size)
        first = builder.select(fits, until_line, size)
        whole = builder.and_(builder.sub(size, first), ir.Constant(index, -lanes))
        last = builder.add(first, whole)
        copy(ir.Constant(index, 0), first, wide=False)
        copy(first, last, wide=True)
        copy(last, size, wide=False)
        return context.get_dummy_value()

    return types.void(source, target), code


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
        builder.fence("seq_cst")  # stores past the caches keep to no other order
        builder.store_atomic(arguments[2], builder.gep(data, [arguments[1]]), "release", 8)
        return context.get_dummy_value()

    return types.void(cells, types.intp, types.int64), code


@intrinsic
def _pause(typing_context: Any) -> Any:
    """Tell the processor that this is a loop that waits."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        if PAUSE:
            kind = ir.FunctionType(ir.VoidType(), [])
            builder.call(cgutils.get_or_insert_function(builder.module, kind, PAUSE), [])
        return context.get_dummy_value()

    return types.void(), code


if config.DISABLE_JIT:

    def stream(source: Any, target: Any) -> None:
        """An ordinary copy."""
        target[:] = source

else:

    @njit(cache=True)
    def stream(source: Any, target: Any) -> None:
        """Copy an array of one axis past the caches, where nobody reads it soon."""
        _stream(source, target)


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
