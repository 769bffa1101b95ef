"""Matrix products in registers: a tile of sums stays there while one number after the other comes.

OpenBLAS reaches two thirds of what a processor with registers of 512 bits can do, and wants its
factors as matrices. A tile here takes the numbers of one factor, `ROWS` at a time, from a panel in
which they stand in the order they are needed, and two registers of the other from wherever `steps`
says: rows of a matrix, or the lines that the taps of a convolution meet.
"""

from __future__ import annotations

from numba import njit

from refimpl.compiled.native import JIT
from refimpl.compiled.registers import PAIRS, ROWS, lanes

if JIT:
    from refimpl.compiled.registers import ahead, at, dots_of, run_wide, tile_of, turn, width_of
else:
    from refimpl.compiled.plain import ahead, at, dots_of, run_wide, tile_of, turn, width_of

DEEP = 256  # steps that `windows` takes at once: what they meet stays in the first cache

__all__ = [
    "ROWS",
    "ahead",
    "at",
    "dots",
    "height",
    "lanes",
    "pack",
    "pack_panels",
    "pack_weights",
    "packed_size",
    "panel_of",
    "panels",
    "product",
    "run_wide",
    "tile",
    "width_of",
    "windows",
]


@njit(cache=True, nogil=True)
def tile(
    rows,
    registers,
    panel,
    pitch,
    first,
    second,
    steps,
    depth,
    begin,
    begin_apart,
    one,
    two,
    apart,
    has_begin,
):
    """Sums of `rows` rows by one register or two, over `depth` numbers, at least one.

    All are places in memory but sizes. panel: depth times the numbers of the rows, each lot `pitch`
    behind the one before. first, second: where the lanes of the registers are read, `steps[k]`
    numbers further for the k-th. begin: what the sums begin with if `has_begin`, the registers of a
    row side by side, rows `begin_apart` apart. one, two: where the sums go, rows `apart`.
    """
    given = rows, registers, panel, pitch, first, second, steps, depth, begin, begin_apart
    tile_of(*given, one, two, apart, has_begin)


@njit(cache=True, nogil=True)
def product(rows, tall, panels, pitch, others, steps, sums, apart, wide, adds):
    """A tile after the other: sums of `rows` rows by `wide` numbers, in whole registers.

    panels: of `tall` rows each; with a pitch all rows stand side by side, and each lot of them
    `pitch` behind the one before, without one a panel stands behind the other. others: where the
    first register is read. sums: rows `apart`; what stands there is kept if it `adds`.
    """
    n, depth = width_of(others) // 2, steps.size
    for r in range(0, rows, tall):
        count, panel = min(tall, rows - r), ahead(panels, r if pitch else r * depth)
        for c in range(0, wide, 2 * n):
            first, into = ahead(others, c), ahead(sums, r * apart + c)
            how = count, min((wide - c) // n, 2), panel, pitch if pitch else count
            seen = first, ahead(first, n), at(steps, 0), depth
            tile(*how, *seen, into, apart, into, ahead(into, n), apart, adds)


@njit(cache=True, nogil=True)
def pack(source, row, rows, depth, panel, pitch):
    """Write a panel: panel[k * pitch + r] = source[r * row + k] for r below `rows`.

    What stands behind a row of the panel, up to a register, may be overwritten.
    """
    n = width_of(source) // 2
    if depth < n:
        for k in range(depth):
            for r in range(rows):
                panel[k * pitch + r] = source[r * row + k]
        return
    for r in range((rows - 1) // n * n, -1, -n):
        for k in range(0, depth, n):
            k = min(k, depth - n)
            turn(
                ahead(source, r * row + k),
                row,
                min(n, rows - r),
                ahead(panel, k * pitch + r),
                pitch,
            )


@njit(cache=True, nogil=True)
def pack_panels(source, row, rows, tall, depth, packed):
    """Panels of `tall` rows each, one behind the other, as `product` reads them without a pitch."""
    for r in range(0, rows, tall):
        count = min(tall, rows - r)
        pack(ahead(source, r * row), row, count, depth, ahead(packed, r * depth), count)


@njit(cache=True, nogil=True)
def height(rows):
    """How many of these rows are in a panel, all panels about alike."""
    return -(-rows // max(-(-rows // ROWS), 1))


@njit(cache=True, nogil=True)
def panels(rows, each):
    """How many panels so many rows have."""
    return rows // each * -(-each // height(each))


@njit(cache=True, nogil=True)
def panel_of(k, each):
    """The set of the k-th panel, its first row among all, and how many rows it has.

    Every `each` rows are a set with panels of its own.
    """
    group, place = k // panels(each, each), k % panels(each, each)
    start = place * height(each)
    return group, group * each + start, min(height(each), each - start)


@njit(cache=True, nogil=True)
def pack_weights(first, last, weight, each, packed):
    """The panels `first` to `last` of a weight, rows by depth, as `windows` reads them.

    packed: `packed_size` numbers. Behind each panel a register is to spare: threads do not meet.
    """
    depth, spare = weight.shape[1], width_of(at(packed, 0)) // 2
    for k in range(first, last):
        _, row, count = panel_of(k, each)
        panel = at(packed, row * depth + k * spare)
        pack(at(weight, row * depth), depth, count, depth, panel, count)


def packed_size(rows, depth, each, dtype):
    """How many numbers `pack_weights` writes or may write over."""
    return rows * depth + panels(rows, each) * lanes(dtype)


@njit(cache=True, nogil=True)
def windows(packed, each, frame, apart, steps, places, room, adds):
    """Sums of products of weights and numbers that lie anywhere, registers of them side by side.

    packed: by `pack_weights`. frame: the numbers; `each` rows of sums begin at one place of it, the
    next so many `apart`. steps: from a place to what each weight meets. places: from there to what
    the first weight meets for a register of sums. room: the sums, rows by all registers; what
    stands there is kept if it `adds`.
    """
    depth, half = steps.size, width_of(at(frame, 0)) // 2
    pitch = room.shape[1]
    if not depth and not adds:
        room[:] = 0
    for start in range(0, depth, DEEP):
        deep, begun = min(DEEP, depth - start), adds or start > 0
        for p in range(0, places.size, 2):
            two_more = min(p + 1, places.size - 1)
            for k in range(panels(len(room), each)):
                group, row, count = panel_of(k, each)
                begin, place = group * apart, row * depth + k * half + start * count
                panel = at(packed, place)
                one, two = at(room, row * pitch + p * half), at(room, row * pitch + two_more * half)
                left, right = at(frame, begin + places[p]), at(frame, begin + places[two_more])
                how = count, two_more - p + 1, panel, count, left, right, at(steps, start), deep
                tile(*how, one, pitch, one, two, pitch, begun)


@njit(cache=True, nogil=True)
def dots(first, last, rows, others, sums):
    """Inner products of the rows `first` to `last` and all others: sums, a row for each.

    Few rows at a time, that stay in the first cache: others are read once for all of them. As many
    rows behind them are fetched meanwhile.
    """
    depth, count = rows.shape[1], len(others)
    whole = depth - depth % (width_of(at(sums, 0)) // 2)
    each, begin = -(-count // max(-(-count // PAIRS[1]), 1)), last * depth
    end = min(2 * last - first, len(rows)) * depth - whole
    if not whole:
        sums[: last - first] = 0
    for o in range(0, count if whole else 0, each):
        for r in range(first, last, PAIRS[0]):
            lines, into = at(rows, r * depth), at(sums, (r - first) * count + o)
            asked = at(rows, min(begin, end))
            begin += whole
            how = min(PAIRS[0], last - r), min(each, count - o), lines, depth
            dots_of(*how, at(others, o * depth), depth, whole, into, count, asked)
    if whole < depth:
        for r in range(first, last):
            for o in range(count):
                for k in range(whole, depth):
                    sums[r - first, o] += rows[r, k] * others[o, k]
