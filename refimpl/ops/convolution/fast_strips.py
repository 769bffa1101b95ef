"""Convolutions strip by strip: all taps of a place are added in registers.

What stands behind a convolution, a bias and another map, is added while sums are stored. So it has
no array of its own, and the result may take the memory of what is read.
"""

import functools
from typing import NamedTuple

import numpy as np
from numba import njit

from refimpl.compiled.arithmetic import is_finite, power_of, read_only
from refimpl.compiled.memory import empty, zeros
from refimpl.compiled.native import ask_for
from refimpl.compiled.threads import PIECES, contiguous, count, fill, share
from refimpl.compiled.tiles import ROWS, at, pack_weights, packed_size, panels, width_of, windows
from refimpl.ops.convolution.fast_bands import (
    NEXT,
    Frame,
    Layout,
    Reading,
    framed,
    limits,
    plain,
    read_band,
)


class Pass(NamedTuple):
    """Sums of products that are made of a band, and where they stand in the result."""

    C: int  # inputs of a group
    taps: list  # kind, lines and columns from the place of a sum to each tap
    rows: tuple = (0, 1)  # the line of the first sum, and the distance of the next
    cols: tuple = (0, 1)


def convolution(reading, weight, stride, before, dilation, groups, tall, wide, *bias, **more):
    """A convolution with so many zeros before the lines and columns; the rest is for `made`."""
    what = weight.shape, stride, before, dilation, groups, tall, wide, weight.dtype
    strips = _of_convolution(len(reading.images), *what, count(), *limits())
    outputs, depth = len(weight), weight[0].size
    return strips.made(reading, [weight.reshape(outputs, depth)], (tall, wide), *bias, **more)


def transposed(reading, weight, stride, crop, dilation, groups, height, width, bias):
    """The transposed convolution, cropped to a height and a width."""
    what = weight.shape, stride, crop, dilation, groups, height, width, weight.dtype
    strips = _of_transposed(len(reading.images), *what, count(), *limits())
    outputs, C, side, _ = weight.shape
    turned = weight.reshape(groups, outputs // groups, C, side, side).swapaxes(1, 2)
    turned = contiguous(turned).reshape(groups * C, outputs // groups, side, side)
    parts = [_meeting(kind, side, stride, dilation) for kind in range(stride)]
    weights = [turned[:, :, rows, cols] for rows in parts for cols in parts]
    weights = [np.ascontiguousarray(part).reshape(groups * C, -1) for part in weights]
    return strips.made(reading, weights, (height, width), bias)


@functools.lru_cache(maxsize=64)
def _of_convolution(B, shape, stride, before, dilation, groups, tall, wide, dtype, *limits):
    outputs, C, side, _ = shape
    frame, taps = framed(groups * C, side, stride, dilation, wide, dtype)
    return Strips(B, frame, [Pass(C, taps)], outputs, before, groups, tall)


@functools.lru_cache(maxsize=64)
def _of_transposed(B, shape, stride, crop, dilation, groups, height, width, dtype, *limits):
    """A pixel meets every `stride`-th tap: which ones depends on its row and column."""
    outputs, C, side, _ = shape
    held, first = dilation * (side - 1) // stride, crop // stride
    back = [held - dilation * i // stride for i in range(side)]
    parts = [back[_meeting(kind, side, stride, dilation)] for kind in range(stride)]
    where = [(first * stride + kind - crop, stride) for kind in range(stride)]
    kinds = [(row, col) for row in range(stride) for col in range(stride)]
    passes = [
        Pass(
            outputs // groups,
            [(0, i, j) for i in parts[row] for j in parts[col]],
            where[row],
            where[col],
        )
        for row, col in kinds
    ]
    tall, wide = ((crop + side - 1) // stride - first + 1 for side in (height, width))
    frame = Frame(outputs, wide, held, np.zeros(1, np.int64), dtype)
    return Strips(B, frame, passes, groups * C, held - first, groups, tall)


def _meeting(kind, side, stride, dilation):
    """The taps that lie `kind` behind a whole number of strides."""
    found = [i for i in range(side) if dilation * i % stride == kind]
    return slice(found[0], None, found[1] - found[0] if found[1:] else side) if found else slice(0)


class Cut(NamedTuple):
    """How the lines of all images are cut into strips."""

    tall: int  # lines of an image
    high: int  # lines of a strip
    before: int  # zeros before the lines and columns
    each: int  # outputs of a group


class Given(NamedTuple):
    """The weights of all passes, and what each multiplies."""

    packed: np.ndarray
    steps: np.ndarray  # from the place of a sum to what each weight of a row meets
    table: np.ndarray  # a row for each pass, see `Packing`


class Beside(NamedTuple):
    """Another map and a matrix for its channels, added to the sums of a band; or nothing."""

    reading: Reading
    layout: Layout
    given: Given


class Packing:
    """Where the weights of passes go, for `each` outputs whose sums begin at one place.

    Rows of the table: where weights and steps begin, how many steps there are, the inputs of a
    group, and the lines and columns of the sums as in `Pass`.
    """

    def __init__(self, frame, passes, outputs, each):
        self.dtype, self.each, steps = frame.dtype, each, [np.empty(0, np.int64)]
        self.table, begin = np.empty((len(passes), 8), np.int64), 0
        for one, row in zip(passes, self.table):
            depth, step = one.C * len(one.taps), sum(map(len, steps))
            row[:] = begin, step, depth, one.C, *one.rows, *one.cols
            steps.append(frame.steps(one.C, one.taps))
            begin += packed_size(outputs, depth, each, frame.dtype)
        self.size, self.steps = begin, np.concatenate(steps)

    def given(self, weights):
        """The weights, outputs by depth, packed."""
        packed = empty((self.size,), self.dtype)
        for weight, begin in zip(weights, self.table[:, 0].tolist()):
            outputs, depth = weight.shape
            how = read_only(weight.view()), self.each, packed[begin:]
            share(pack_weights, panels(outputs, self.each), depth * ROWS, *how)
        return Given(packed, self.steps, self.table)


class Strips:
    """Lines of all images in parts that threads take one by one, each a band after the other."""

    def __init__(self, B, frame, passes, outputs, before, groups, tall):
        self.frame, self.outputs = frame, outputs
        least = max(-(-count() // max(B, 1)), 1)
        bands = tall / frame.lines
        high = -(-tall // (least * min(max(round(bands / least), 1), PIECES)))
        self.cut, self.size = Cut(tall, high, before, outputs // groups), B * -(-tall // high)
        frame.cut(-(-high // max(round(high / frame.lines), 1)))
        self.packing = Packing(frame, passes, outputs, outputs // groups)
        self.nothing = Packing(frame, [], outputs, outputs).given([])
        depth = int(self.packing.table[:, 2].sum())
        self.multiplied = outputs * depth * high * frame.wide

    def made(self, reading, weights, sides, bias, past=None, skip=None, into=None):
        """The result, B outputs and two sides; `bias`: O, or B O, or None.

        With `past`, B C and the same sides, that map is added, or what `skip`, O C 1 1, makes of
        it. With `into` the result stands there, which may be the memory that is read, as long as
        sides are kept.
        """
        B, dtype, layout = len(reading.images), self.frame.dtype, self.frame.layout
        sums = empty((B, self.outputs, *sides), dtype) if into is None else into
        bias = np.broadcast_to(dtype.type(0) if bias is None else bias, (B, self.outputs))
        none = plain(np.empty((B, 0, 1, 1), dtype))
        under, beside = 0, Beside(none, layout, self.nothing)
        if skip is not None:
            (under, beside), past = self._beside(past, skip), None
        past = none.images if past is None else plain(past).images
        ends = np.empty((0, 0), dtype) if into is None else self._ends(reading)
        what = self.cut, layout, reading, self.packing.given(weights), beside, ends
        more = np.ascontiguousarray(bias), past, sums
        fill(self._some, self.size, self.multiplied // 16, [], under, *what, *more)
        return sums

    def _beside(self, past, skip):
        """How much memory another map takes, and what is made of it."""
        ours, (outputs, C, _, _) = self.frame, skip.shape
        frame = Frame(C, ours.wide, ours.held, np.zeros(1, np.int64), ours.dtype)
        frame.cut(ours.lines)
        packing = Packing(frame, [Pass(C, [(0, 0, 0)])], outputs, outputs)
        given = packing.given([skip.reshape(outputs, C)])
        return frame.size, Beside(plain(past), frame.layout, given)

    def _ends(self, reading):
        """The lines that each strip meets above its own, and those behind it, as they are."""
        frame, before = self.frame, self.cut.before
        behind = max(frame.held - before, 0)
        layout = frame.layout._replace(channel=(frame.held + behind) * frame.apart)
        ends = zeros((self.size, frame.C * layout.channel), frame.dtype)
        for strip, into in enumerate(ends):
            b, top, bottom = _lines_of(strip, self.cut)
            read_band(reading, b, top - before, frame.held, before, layout, 0, into)
            read_band(reading, b, bottom, behind, before, layout, frame.held, into)
        return ends

    def _some(self, first, last, spare, under, *what):
        """Strips, in memory that a thread takes and gives back."""
        dtype = self.frame.dtype
        try:
            memory = spare.pop()
        except IndexError:
            room = empty((self.outputs, self.frame.pitch), dtype)
            memory = zeros((self.frame.size,), dtype), zeros((under,), dtype), room
        finite = _strips(first, last, *memory, *what)
        spare.append(memory)
        return finite


@njit(cache=True, nogil=True)
def _lines_of(strip, cut):
    """The image of a strip, its first line, and the one behind its last."""
    strips = -(-cut.tall // cut.high)
    b, top = strip // strips, strip % strips * cut.high
    return b, top, min(top + cut.high, cut.tall)


@njit(cache=True, nogil=True)
def _strips(
    first, last, band, under, room, cut, layout, reading, given, beside, ends, bias, past, sums
):
    """Make the strips `first` to `last`: are all numbers finite?"""
    finite, n = True, width_of(at(band, 0)) // 2
    zero = np.int64(0)  # the literal would have everything compiled once more
    for strip in range(first, last):
        b, top, bottom = _lines_of(strip, cut)
        for t in range(top, bottom, layout.lines):
            lines = min(layout.lines, bottom - t)
            _enter(reading, strip, t, lines, cut, layout, ends, band)
            if len(beside.given.table):
                read_band(beside.reading, b, t, lines, zero, beside.layout, zero, under)
            places = layout.places[: -(-((lines - 1) * layout.line + layout.wide) // n)]
            for begin, step, depth, C, row, down, col, right in given.table:
                packed, steps = given.packed[begin:], given.steps[step : step + depth]
                windows(packed, cut.each, band, C * layout.channel, steps, places, room, zero > 0)
                if len(beside.given.table):
                    packed, steps = beside.given.packed, beside.given.steps
                    windows(packed, len(room), under, zero, steps, places, room, zero == 0)
                how = layout.line, t, lines, row, down, col, right
                finite &= _store(room, *how, bias[b], past[b], sums[b])
    return finite


@njit(cache=True, nogil=True)
def _enter(reading, strip, t, lines, cut, layout, ends, band):
    """The lines of a band: those that the band above has met as well, and its own."""
    (b, top, bottom), held, stride = _lines_of(strip, cut), layout.held, layout.slots.size
    C, row = reading.images.shape[1], t * stride - cut.before
    begin, own, zero = held, lines, np.int64(0)
    if t > top:
        _move(C, layout, layout.lines, held, band)
    elif len(ends):
        _copy(ends[strip], C, zero, held, layout, zero, band)
    else:
        begin = zero
    if len(ends):  # the map is written over: what stands behind the strip may have gone
        own = min(max(bottom - row - held, 0), lines)
        known = 2 * held + row + own - bottom
        _copy(ends[strip], C, known, lines - own, layout, held + own, band)
    count = (held + own - begin) * stride
    read_band(reading, b, row + begin * stride, count, cut.before, layout, begin, band)


@njit(cache=True, nogil=True)
def _move(C, layout, line, lines, band):
    """To the beginning of a band lines that stand further below."""
    kinds, apart = (layout.slots.max() + 1) ** 2, layout.apart
    for c in range(C):
        for kind in range(kinds):
            into = at(band, c * layout.channel + kind * layout.part)
            for v in range(lines * apart):
                into[v] = into[line * apart + v]


@njit(cache=True, nogil=True)
def _copy(ends, C, line, lines, layout, place, band):
    """Lines of the ends of a strip to a place in a band."""
    apart, channel = layout.apart, ends.size // max(C, 1)
    for c in range(C):
        own = at(ends, c * channel + line * apart)
        into = at(band, c * layout.channel + place * apart)
        for v in range(lines * apart):
            into[v] = own[v]


@njit(cache=True, nogil=True)
def _store(room, line, t, lines, top, down, left, right, bias, past, sums):
    """Sums of some lines, with what is added, to their places in the result: are all finite?"""
    outputs, height, width = sums.shape
    v0, v1 = max(-(left // right), 0), (width - 1 - left) // right + 1
    power = power_of(sums.dtype.type(0))
    for o in range(outputs):
        ask_for(sums, ((o + NEXT) * height + max(top + t * down, 0)) * width, lines * width)
        for k in range(lines):
            y = top + (t + k) * down
            if 0 <= y < height:
                into = at(sums, (o * height + y) * width + left + v0 * right)
                own = at(room, o * room.shape[1] + k * line + v0)
                if len(past):
                    also = at(past, (o * height + y) * width)
                    power = max(power, _add_line(own, bias[o], also, width, into))
                else:
                    power = max(power, _put_line(own, bias[o], right, v1 - v0, into))
    return is_finite(power)


@njit(cache=True, nogil=True)
def _add_line(own, bias, past, count, into):
    power = power_of(bias)
    for v in range(count):
        into[v] = own[v] + bias + past[v]
        power = max(power, power_of(into[v]))
    return power


@njit(cache=True, nogil=True)
def _put_line(own, bias, right, count, into):
    power = power_of(bias)
    if right == 1:
        for v in range(count):
            into[v] = own[v] + bias
            power = max(power, power_of(into[v]))
    else:
        for v in range(count):
            into[v * right] = own[v] + bias
            power = max(power, power_of(into[v * right]))
    return power
