"""Convolutions in bands of lines: all taps of a place are added in registers, no window laid out.

What stands before a convolution, a group norm with its SiLU or pixels that are repeated, is done
while a band is read; what stands behind it, a bias and another map, is added while sums are stored.
So neither has an array of its own, and the result may take the memory of what is read.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from refimpl.compiled.arithmetic import is_finite, power_of, read_only
from refimpl.compiled.memory import empty, zeros
from refimpl.compiled.native import ask_for
from refimpl.compiled.threads import PIECES, count, fill, share
from refimpl.compiled.tiles import (
    ROWS,
    ahead,
    at,
    lanes,
    pack_weights,
    packed_size,
    panels,
    run_wide,
    width_of,
    windows,
)
from refimpl.ops.layers.fast_activations import _logistic
from refimpl.ops.layers.fast_groups import normaliser

BAND = 1 << 16  # numbers of the lines that a thread works on at once: they stay in its cache
PLACES = 128, 2048  # where sums are made meanwhile, at least and at most
NEXT = 2  # channels ahead whose lines are asked for


class Reading(NamedTuple):
    """Maps as a convolution meets them: normalised, gated, each pixel repeated along both sides."""

    images: np.ndarray  # B C height width, read-only
    norm: np.ndarray  # B 4 C, what `normaliser` says; B 4 0 for neither norm nor SiLU
    times: int = 1

    @property
    def shape(self):
        """B C tall wide."""
        B, C, height, width = self.images.shape
        return B, C, height * self.times, width * self.times


def plain(images):
    """Maps as they are."""
    norm = np.empty((len(images), 4, 0), images.dtype)
    return Reading(read_only(images.view()), norm)


def activated(x, gain, bias, groups, eps):
    """Maps behind a group norm and its SiLU."""
    x = read_only(x.view())
    return Reading(x, normaliser(x, gain, bias, groups, eps))


class Layout(NamedTuple):
    """Where the numbers of a band lie, and the sums that are made of them."""

    lines: int  # of sums
    held: int  # lines of pixels that the band below meets as well
    apart: int  # from a line of pixels to the next
    part: int  # from the pixels of a kind to those of the next
    channel: int  # from the pixels of a channel to those of the next
    line: int  # from the sums of a line to those of the next
    wide: int  # sums of a line
    slots: np.ndarray  # which kind a row or column is, modulo the stride; -1 for those no tap meets
    places: np.ndarray  # where the taps of a register of sums begin


@njit(cache=True, nogil=True)
def read_band(reading, b, row, lines, before, layout, place, into):
    """Lines of an image from a row on, into a band from a line on; what lies outside is zero."""
    image, norm, times, slots = reading.images[b], reading.norm[b], reading.times, layout.slots
    C, height, width = image.shape
    spans = _spans((row, lines, before), height, width, times, layout, place)
    for c in range(C):
        ask_for(image, ((c + NEXT) * height + max(row // times, 0)) * width, lines // times * width)
        for start, end, line, column in spans:
            pixels = at(into, c * layout.channel + start)
            if line < 0:
                for v in range(end - start):
                    pixels[v] = 0
            else:
                source = at(image, (c * height + line) * width)
                _take(source, column, slots.size, times, pixels, end - start)
                if norm.shape[1]:
                    how = norm[0, c], norm[1, c], norm[2, c], norm[3, c], norm.dtype.type(1)
                    _activate(how, pixels, end - start)


@njit(cache=True, nogil=True)
def _spans(lines, height, width, times, layout, place):
    """Where numbers go in a band, from and to, and whence: a line, -1 for zeros, and a column."""
    (row, count, before), slots, apart = lines, layout.slots, layout.apart
    stride, kinds, found = slots.size, slots.max() + 1, 0
    spans = np.empty((count * stride, 4), np.int64)
    for k in range(count):
        line, slot = (row + k) // times, slots[k % stride]
        for q in range(stride):
            if slot >= 0 and slots[q] >= 0:
                kind = slot * kinds + slots[q]
                start = kind * layout.part + (place + k // stride) * apart
                spans[found] = start, start + apart, -1, 0
                if 0 <= line < height:
                    first = max(-((q - before) // stride), 0)  # zeros stand before it
                    last = min((width * times + before - q - 1) // stride + 1, apart)
                    at = first * stride + q - before
                    spans[found] = start + first, start + max(first, last), line, at
                found += 1
    return spans[:found]


@njit(cache=True, nogil=True)
def _take(line, column, stride, times, into, count):
    """From a column on every `stride`-th pixel of a line, each repeated `times` times."""
    if stride == times == 1:
        pixels = ahead(line, column)
        for v in range(count):
            into[v] = pixels[v]
    elif times == 1:
        pixels = ahead(line, column)
        for v in range(count):
            into[v] = pixels[v * stride]
    elif times == 2:
        for v in range(count):
            into[v] = line[(column + v * stride) >> 1]
    else:
        for v in range(count):
            into[v] = line[(column + v * stride) // times]


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def _activate(how, pixels, count):
    """The norm of a channel and its SiLU."""
    run_wide()
    mean, share, gain, bias, one = how
    for v in range(count):
        normal = gain * ((pixels[v] - mean) * share) + bias
        pixels[v] = normal * _logistic(normal, one)


class Frame:
    """A band of lines between zeros, in which a tap lies as far from a place as from any other.

    For a convolution with a stride, pixels are kept apart by their row and column modulo the
    stride, as far as a tap meets them.
    """

    def __init__(self, C, wide, held, slots, dtype):
        self.C, self.wide, self.held, self.slots, self.dtype = C, wide, held, slots, dtype
        self.kinds, self.apart = (max(slots) + 1) ** 2, wide + held
        least, most = PLACES
        places = min(max(BAND // max(C * self.kinds, 1), least), most)
        self.lines = max(round(places / self.apart), 1)

    def cut(self, lines):
        """Set how many lines a band has."""
        n, self.lines = lanes(self.dtype), lines
        part = (lines + self.held) * self.apart
        channel = (-(-self.kinds * part // n) // 2 * 2 + 1) * n  # odd, or all meet in few sets
        each, whole = -(-self.wide // n), (lines - 1) * self.apart + self.wide
        if lines * each <= -(-whole // n):
            line = each * n
            starts = [t * self.apart + v for t in range(lines) for v in range(0, self.wide, n)]
        else:
            line, starts = self.apart, [*range(0, whole, n)]
        sizes = lines, self.held, self.apart, part, channel, line, self.wide
        self.layout = Layout(*sizes, self.slots, np.array(starts, np.int64))
        self.pitch = n * len(starts)  # from the sums of a channel to those of the next

    def empty(self):
        """Memory for a band, with a register to spare behind it."""
        return zeros((self.C * self.layout.channel + lanes(self.dtype),), self.dtype)

    def moves(self, taps):
        """How far taps lie from a place."""
        part = self.layout.part
        places = [kind * part + down * self.apart + right for kind, down, right in taps]
        return np.array(places, np.int64)

    def steps(self, C, taps):
        """From the place of a sum to what it takes: each tap of each of C channels."""
        channels = np.arange(C)[:, None] * self.layout.channel
        return (channels + self.moves(taps)).reshape(-1)


class Pass(NamedTuple):
    """Sums of products that are made of a band, and where they stand in the result."""

    weight: np.ndarray  # outputs C taps
    taps: list  # kind, lines and columns from the place of a sum to each tap
    rows: tuple = (0, 1)  # the line of the first sum, and the distance of the next
    cols: tuple = (0, 1)


def framed(C, side, stride, dilation, wide, dtype):
    """The frame of a convolution, and where its taps lie from a place: kind, lines and columns."""
    met = sorted({dilation * i % stride for i in range(side)})
    slots = np.array([met.index(k) if k in met else -1 for k in range(stride)])
    places = [(slots[dilation * i % stride], dilation * i // stride) for i in range(side)]
    taps = [(p * len(met) + q, down, right) for p, down in places for q, right in places]
    return Frame(C, wide, dilation * (side - 1) // stride, slots, dtype), taps


def convolution(reading, weight, stride, before, dilation, groups, tall, wide):
    """The strips of a convolution with so many zeros before the lines and columns."""
    outputs, C, side, _ = weight.shape
    frame, taps = framed(groups * C, side, stride, dilation, wide, weight.dtype)
    passes = [Pass(weight.reshape(outputs, C, side * side), taps)]
    return Strips(reading, frame, passes, before, groups, tall)


def transposed(reading, weight, stride, crop, dilation, groups, height, width):
    """The strips of a transposed convolution, cropped to a height and a width.

    A pixel of the result meets every `stride`-th tap: which ones depends on its row and column.
    """
    outputs, C, side, _ = weight.shape
    each, reach = outputs // groups, dilation * (side - 1)
    held, first = reach // stride, crop // stride
    turned = weight.reshape(groups, each, C, side, side).swapaxes(1, 2)  # G C O side side
    turned = turned.reshape(groups * C, each, side, side)
    of = [_meeting(kind, side, stride, dilation) for kind in range(stride)]
    back = [held - dilation * i // stride for i in range(side)]
    passes = []
    for row in range(stride):
        for col in range(stride):
            rows, cols = of[row], of[col]
            taps = [(0, i, j) for i in back[rows] for j in back[cols]]
            part = turned[:, :, rows, cols].reshape(groups * C, each, len(taps))
            where = [(first * stride + kind - crop, stride) for kind in (row, col)]
            passes.append(Pass(part, taps, *where))
    tall, wide = ((crop + side - 1) // stride - first + 1 for side in (height, width))
    frame = Frame(outputs, wide, held, np.zeros(1, np.int64), weight.dtype)
    return Strips(reading, frame, passes, held - first, groups, tall)


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
    table: np.ndarray  # a row for each pass, see `_given`


class Beside(NamedTuple):
    """Another map and a matrix for its channels, added to the sums of a band; or nothing."""

    reading: Reading
    layout: Layout
    given: Given


class Strips:
    """Lines of all images in parts that threads take one by one, each a band after the other."""

    def __init__(self, reading, frame, passes, before, groups, tall):
        self.reading, self.frame, self.passes = reading, frame, passes
        self.outputs, B = len(passes[0].weight), len(reading.images)
        least = max(-(-count() // max(B, 1)), 1)
        bands = tall / frame.lines
        high = -(-tall // (least * min(max(round(bands / least), 1), PIECES)))
        self.cut, self.size = Cut(tall, high, before, self.outputs // groups), B * -(-tall // high)
        frame.cut(-(-high // max(round(high / frame.lines), 1)))

    def made(self, sides, bias, past=None, skip=None, into=None):
        """The result, B outputs and two sides; `bias`: O, or B O, or None.

        With `past`, B C and the same sides, that map is added, or what `skip`, O C 1 1, makes of
        it. With `into` the result stands there, which may be the memory that is read, as long as
        sides are kept.
        """
        B, dtype, layout = len(self.reading.images), self.frame.dtype, self.frame.layout
        sums = empty((B, self.outputs, *sides), dtype) if into is None else into
        bias = np.broadcast_to(dtype.type(0) if bias is None else bias, (B, self.outputs))
        none = np.empty((B, 0, 1, 1), dtype)
        under, beside = self._beside(none if skip is None else past, skip)
        past = plain(none if past is None or skip is not None else past).images
        ends = np.empty((0, 0), dtype) if into is None else self._ends()
        given = _given(self.passes, self.frame, self.cut.each)
        multiplied = sum(one.weight.size for one in self.passes) * self.cut.high * layout.wide
        what = self.cut, layout, self.reading, given, beside, ends
        more = np.ascontiguousarray(bias), past, sums
        fill(self._some, self.size, multiplied // 16, under, *what, *more)
        return sums

    def _beside(self, past, skip):
        """The frame of another map, and what is made of it."""
        ours = self.frame
        frame = Frame(past.shape[1], ours.wide, ours.held, np.zeros(1, np.int64), ours.dtype)
        frame.cut(ours.lines)
        passes = [] if skip is None else [Pass(skip[:, :, :, 0], [(0, 0, 0)])]
        return frame, Beside(plain(past), frame.layout, _given(passes, frame, self.outputs))

    def _ends(self):
        """The lines that each strip meets above its own, and those behind it, as they are."""
        frame, before = self.frame, self.cut.before
        behind = max(frame.held - before, 0)
        layout = frame.layout._replace(channel=(frame.held + behind) * frame.apart)
        ends = zeros((self.size, frame.C * layout.channel), frame.dtype)
        for strip, into in enumerate(ends):
            b, top, bottom = _lines_of(strip, self.cut)
            read_band(self.reading, b, top - before, frame.held, before, layout, 0, into)
            read_band(self.reading, b, bottom, behind, before, layout, frame.held, into)
        return ends

    def _some(self, first, last, under, *what):
        room = empty((self.outputs, self.frame.pitch), self.frame.dtype)
        return _strips(first, last, self.frame.empty(), under.empty(), room, *what)


def _given(passes, frame, each):
    """What passes need, for `each` rows of sums that begin at one place.

    Rows of the table: where weights and steps begin, how many steps there are, the inputs of a
    group, and the lines and columns of the sums as in `Pass`.
    """
    weights = [np.ascontiguousarray(one.weight).reshape(len(one.weight), -1) for one in passes]
    sizes = [packed_size(*weight.shape, each, frame.dtype) for weight in weights]
    packed, ends = empty((sum(sizes),), frame.dtype), np.cumsum(sizes)
    steps, table = [np.empty(0, np.int64)], np.empty((len(passes), 8), np.int64)
    for one, weight, size, end, row in zip(passes, weights, sizes, ends, table):
        (outputs, depth), C, into = weight.shape, one.weight.shape[1], packed[end - size : end]
        share(pack_weights, panels(outputs, each), depth * ROWS, weight, each, into)
        row[:] = end - size, sum(map(len, steps)), depth, C, *one.rows, *one.cols
        steps.append(frame.steps(C, one.taps))
    return Given(packed, np.concatenate(steps), table)


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
    for strip in range(first, last):
        b, top, bottom = _lines_of(strip, cut)
        for t in range(top, bottom, layout.lines):
            lines = min(layout.lines, bottom - t)
            _enter(reading, strip, t, lines, cut, layout, ends, band)
            if len(beside.given.table):
                read_band(beside.reading, b, t, lines, 0, beside.layout, 0, under)
            places = layout.places[: -(-((lines - 1) * layout.line + layout.wide) // n)]
            for begin, step, depth, C, row, down, col, right in given.table:
                packed, steps = given.packed[begin:], given.steps[step : step + depth]
                windows(packed, cut.each, band, C * layout.channel, steps, places, room, False)
                if len(beside.given.table):
                    packed, steps = beside.given.packed, beside.given.steps
                    windows(packed, len(room), under, 0, steps, places, room, True)
                how = layout.line, t, lines, row, down, col, right
                finite &= _store(room, *how, bias[b], past[b], sums[b])
    return finite


@njit(cache=True, nogil=True)
def _enter(reading, strip, t, lines, cut, layout, ends, band):
    """The lines of a band: those that the band above has met as well, and its own."""
    (b, top, bottom), held, stride = _lines_of(strip, cut), layout.held, layout.slots.size
    C, row = reading.images.shape[1], t * stride - cut.before
    if t > top:
        _move(C, layout, layout.lines, held, band)
    elif len(ends):
        _copy(ends[strip], C, 0, held, layout, 0, band)
    else:
        read_band(reading, b, row, held * stride, cut.before, layout, 0, band)
    row, own = row + held * stride, lines
    if len(ends):  # the map is written over: what stands behind the strip may have gone
        own = min(max(bottom - row, 0), lines)
        known = held + row + own - bottom
        _copy(ends[strip], C, known, lines - own, layout, held + own, band)
    read_band(reading, b, row, own * stride, cut.before, layout, held, band)


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
