"""Registers, as instructions for LLVM: what `tiles` is made of."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from typing import Any

import numpy as np
from llvmlite import ir
from numba import config, types
from numba.core import cgutils
from numba.core.codegen import get_host_cpu_features
from numba.extending import intrinsic

FEATURES = get_host_cpu_features() if config.CPU_FEATURES is None else config.CPU_FEATURES
if "+avx512f" in FEATURES:
    BYTES, ROWS = 64, 14  # of a register, and rows of which two registers each are held at once
    PAIRS = 4, 6  # rows, and others, of which a register for each pair is held at once
elif platform.machine() in ("aarch64", "arm64"):
    BYTES, ROWS, PAIRS = 16, 12, (4, 6)
else:
    BYTES, ROWS, PAIRS = 32, 6, (2, 5)

_SIZE, _INDEX = ir.IntType(64), ir.IntType(32)


def lanes(dtype: Any) -> int:
    """How many numbers a register holds."""
    return BYTES // np.dtype(dtype).itemsize


def _number(value: int) -> ir.Constant:
    return ir.Constant(_SIZE, value)


def fetch(builder: Any, place: Any) -> None:
    """Have a line of memory fetched, and go on."""
    byte = ir.IntType(8).as_pointer()
    kind = ir.FunctionType(ir.VoidType(), [byte, _INDEX, _INDEX, _INDEX])
    how = [ir.Constant(_INDEX, value) for value in (0, 3, 1)]  # read, all caches, data
    function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0i8")
    builder.call(function, [builder.bitcast(place, byte), *how])


class _Lanes:
    """Instructions on registers of one kind of number."""

    def __init__(self, builder: Any, pointer: types.CPointer) -> None:
        single = pointer.dtype == types.float32
        self.count = lanes(pointer.dtype.name)
        self.kind = ir.VectorType(ir.FloatType() if single else ir.DoubleType(), self.count)
        self.name, self.builder = f"v{self.count}f{pointer.dtype.bitwidth}", builder
        self.align = pointer.dtype.bitwidth // 8

    def place(self, start: Any, offset: Any) -> Any:
        """The register's worth of memory so many numbers behind a place."""
        return self.builder.bitcast(self.builder.gep(start, [offset]), self.kind.as_pointer())

    def load(self, place: Any) -> Any:
        return self.builder.load(place, align=self.align)

    def store(self, value: Any, place: Any) -> None:
        self.builder.store(value, place, align=self.align)

    def zeros(self) -> ir.Constant:
        return ir.Constant(self.kind, [0.0] * self.count)

    def everywhere(self, number: Any) -> Any:
        """A number in all lanes."""
        undefined = ir.Constant(self.kind, ir.Undefined)
        one = self.builder.insert_element(undefined, number, ir.Constant(_INDEX, 0))
        return self.shuffle(one, undefined, [0] * self.count)

    def shuffle(self, a: Any, b: Any, lanes: Sequence[int]) -> Any:
        chosen = ir.Constant(ir.VectorType(_INDEX, len(lanes)), list(lanes))
        return self.builder.shuffle_vector(a, b, chosen)

    def sum(self, values: Any) -> Any:
        """The lanes of a register together, in any order."""
        single = self.kind.element
        kind = ir.FunctionType(single, [single, self.kind])
        name = f"llvm.vector.reduce.fadd.{self.name}"
        function = cgutils.get_or_insert_function(self.builder.module, kind, name)
        start = ir.Constant(single, -0.0)
        return self.builder.call(function, [start, values], fastmath=("reassoc",))

    def add_product(self, a: Any, b: Any, total: Any) -> Any:
        kind = ir.FunctionType(self.kind, [self.kind] * 3)
        name = f"llvm.fmuladd.{self.name}"
        function = cgutils.get_or_insert_function(self.builder.module, kind, name)
        return self.builder.call(function, [a, b, total])


@intrinsic
def at(typing_context: Any, array: Any, place: Any) -> Any:
    """Where a number of an array stands, counted in numbers from its first.

    A place does not keep the memory: the array must be used later, or be an argument.
    """

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        return builder.gep(data, [arguments[1]])

    return types.CPointer(array.dtype)(array, types.intp), code


@intrinsic
def ahead(typing_context: Any, pointer: Any, numbers: Any) -> Any:
    """The place so many numbers behind a place."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.gep(arguments[0], [arguments[1]])

    return pointer(pointer, types.intp), code


@intrinsic
def tile_of(
    typing_context: Any,
    rows: Any,
    registers: Any,
    panel: Any,
    pitch: Any,
    first: Any,
    second: Any,
    steps: Any,
    depth: Any,
    begin: Any,
    begin_apart: Any,
    one: Any,
    two: Any,
    apart: Any,
    has_begin: Any,
) -> Any:
    """The instructions of `tiles.tile`."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        builder.function.attributes.add("noinline")
        rows, registers, *rest = arguments
        end = builder.append_basic_block("end")
        switch = builder.switch(builder.add(builder.shl(rows, _number(1)), registers), end)
        for height in range(1, ROWS + 1):
            for count in (1, 2):
                block = builder.append_basic_block(f"tile_{height}_{count}")
                switch.add_case(_number(2 * height + count), block)
                builder.position_at_end(block)
                _sums(builder, _Lanes(builder, signature.args[2]), (height, count), rest, end)
        builder.position_at_end(end)
        return context.get_dummy_value()

    given = rows, registers, panel, pitch, first, second, steps, depth, begin, begin_apart
    return types.void(*given, one, two, apart, has_begin), code


def _sums(b: Any, registers: _Lanes, size: tuple[int, int], arguments: Any, end: Any) -> None:
    """The instructions of a tile of so many rows and registers."""
    panel, pitch, first, second, steps, depth, begin, begin_apart, *rest = arguments
    (one, two, apart, has_begin), (rows, count) = rest, size
    before, start, loop, done = (b.block, *(b.append_basic_block() for _ in range(3)))
    b.cbranch(has_begin, start, loop)
    b.position_at_end(start)
    given = []
    for row in range(rows):
        line = b.gep(begin, [b.mul(begin_apart, _number(row))])
        for k in range(count):
            given.append(registers.load(registers.place(line, _number(k * registers.count))))
    b.branch(loop)

    b.position_at_end(loop)
    k = b.phi(_SIZE)
    totals = [b.phi(registers.kind) for _ in given]
    for block, values in ((before, [registers.zeros()] * len(given)), (start, given)):
        k.add_incoming(_number(0), block)
        for total, value in zip(totals, values):
            total.add_incoming(value, block)
    step = b.load(b.gep(steps, [k]))
    others = [registers.load(registers.place(place, step)) for place in (first, second)[:count]]
    numbers = b.gep(panel, [b.mul(k, pitch)])
    sums = []
    for row in range(rows):
        number = registers.everywhere(b.load(b.gep(numbers, [_number(row)])))
        for other, total in zip(others, totals[count * row :]):
            sums.append(registers.add_product(number, other, total))
    following = b.add(k, _number(1))
    for phi, value in zip([k, *totals], [following, *sums]):
        phi.add_incoming(value, loop)
    b.cbranch(b.icmp_signed("<", following, depth), loop, done)

    b.position_at_end(done)
    for row in range(rows):
        line = b.mul(apart, _number(row))
        for value, place in zip(sums[count * row :], (one, two)[:count]):
            registers.store(value, registers.place(place, line))
    b.branch(end)


@intrinsic
def dots_of(
    typing_context: Any,
    rows: Any,
    others: Any,
    first: Any,
    apart: Any,
    second: Any,
    second_apart: Any,
    depth: Any,
    sums: Any,
    sums_apart: Any,
    asked: Any,
) -> Any:
    """Inner products of up to PAIRS rows and others, over whole registers, at least one.

    Rows begin at `first` and lie `apart`, others at `second`; the sums of a row stand side by side,
    those of the next `sums_apart` behind. Meanwhile as much as a row is fetched from `asked` on.
    """

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        builder.function.attributes.add("noinline")
        rows, others, *rest = arguments
        end = builder.append_basic_block("end")
        switch = builder.switch(others, end)
        for count in range(1, PAIRS[1] + 1):
            block = builder.append_basic_block(f"pairs_{count}")
            switch.add_case(_number(count), block)
            builder.position_at_end(block)
            _pairs(builder, _Lanes(builder, signature.args[2]), rows, count, rest, end)
        builder.position_at_end(end)
        return context.get_dummy_value()

    given = rows, others, first, apart, second, second_apart, depth, sums, sums_apart, asked
    return types.void(*given), code


def _pairs(b: Any, registers: _Lanes, rows: Any, count: int, arguments: Any, end: Any) -> None:
    """The instructions for so many others; rows that are missing repeat the last."""
    first, apart, second, second_apart, depth, sums, sums_apart, asked = arguments
    last, before = b.sub(rows, _number(1)), b.block
    known = []
    for row in map(_number, range(PAIRS[0])):
        known.append(b.select(b.icmp_signed("<", row, last), row, last))
    lines = [b.gep(first, [b.mul(apart, row)]) for row in known]
    others = [b.gep(second, [b.mul(second_apart, _number(k))]) for k in range(count)]
    loop, done = b.append_basic_block(), b.append_basic_block()
    b.branch(loop)

    b.position_at_end(loop)
    k = b.phi(_SIZE)
    totals = [b.phi(registers.kind) for _ in lines for _ in others]
    fetch(b, b.gep(asked, [k]))
    own, added = [registers.load(registers.place(line, k)) for line in lines], []
    for j, other in enumerate(others):
        numbers = registers.load(registers.place(other, k))
        for row, total in zip(own, totals[j * len(own) :]):
            added.append(registers.add_product(row, numbers, total))
    following = b.add(k, _number(registers.count))
    for phi, start, value in zip(
        [k, *totals], [_number(0), *[registers.zeros()] * len(totals)], [following, *added]
    ):
        phi.add_incoming(start, before)
        phi.add_incoming(value, loop)
    b.cbranch(b.icmp_signed("<", following, depth), loop, done)

    b.position_at_end(done)
    for j in range(count):
        for row, total in zip(known, added[j * len(known) :]):
            place = b.gep(sums, [b.add(b.mul(sums_apart, row), _number(j))])
            b.store(registers.sum(total), place)
    b.branch(end)


@intrinsic
def turn(typing_context: Any, source: Any, apart: Any, rows: Any, target: Any, pitch: Any) -> Any:
    """Transpose a square: as many numbers of each row as a register has lanes.

    Rows lie `apart` at the source and `pitch` at the target, where each is written after those
    before it, so that they may overlap. From `rows` on, at least one, the last one is repeated.
    """

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        source, apart, given, target, pitch = arguments
        registers, last = _Lanes(builder, signature.args[0]), builder.sub(given, _number(1))
        count, rows = registers.count, []
        for row in map(_number, range(registers.count)):
            known = builder.select(builder.icmp_signed("<", row, last), row, last)
            rows.append(registers.load(registers.place(source, builder.mul(apart, known))))
        half = count // 2
        while half:  # exchange the squares of this side that do not lie on the diagonal
            low = [k if not k & half else k - half + count for k in range(count)]
            high = [k + half if not k & half else k + count for k in range(count)]
            for row in range(count):
                if not row & half:
                    a, b = rows[row], rows[row + half]
                    rows[row] = registers.shuffle(a, b, low)
                    rows[row + half] = registers.shuffle(a, b, high)
            half //= 2
        for row, values in enumerate(rows):
            registers.store(values, registers.place(target, builder.mul(pitch, _number(row))))
        return context.get_dummy_value()

    return types.void(source, apart, rows, target, pitch), code


@intrinsic
def width_of(typing_context: Any, pointer: Any) -> Any:
    """How many numbers the two registers of a tile hold."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _number(2 * lanes(signature.args[0].dtype.name))

    return types.int64(pointer), code


@intrinsic
def run_wide(typing_context: Any) -> Any:
    """Have the loops of the function that calls this run in the widest registers there are."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        told = f'"prefer-vector-width"="{8 * BYTES}"'
        set.add(builder.function.attributes, told)  # llvmlite knows only attributes without a value
        builder.function.attributes.add("noinline")
        return context.get_dummy_value()

    return types.void(), code
