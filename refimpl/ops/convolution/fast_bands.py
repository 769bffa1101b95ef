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
from refimpl.compiled.tiles import ROWS, ahead, at, lanes, pack_weights, panels, run_wide, windows
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

    def read(self, b, row, lines, before, frame, place, into):
        """Lines from a row on into a frame from a line on; what lies outside is zero."""
        given = self.images[b], self.norm[b], self.times, row, lines, before
        _read(*given, frame.slots, frame.part, frame.apart, place, into)


def plain(images):
    """Maps as they are."""
    norm = np.empty((len(images), 4, 0), images.dtype)
    return Reading(read_only(images.view()), norm)


def activated(x, gain, bias, groups, eps):
    """Maps behind a group norm and its SiLU."""
    x = read_only(x.view())
    return Reading(x, normaliser(x, gain, bias, groups, eps))


@njit(cache=True, nogil=True)
def _read(image, norm, times, row, lines, before, slots, part, apart, place, into):
    C, height, width = image.shape
    spans = _spans((row, lines, before), height, width, times, slots, (part, apart, place))
    for c in range(C):
        ask_for(image, ((c + NEXT) * height + max(row // times, 0)) * width, lines // times * width)
        for start, end, line, column in spans:
            pixels = at(into, c * into.shape[1] + start)
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
def _spans(lines, height, width, times, slots, frame):
    """Where numbers go in a frame, from and to, and whence: a line, -1 for zeros, and a column."""
    (row, count, before), (part, apart, place) = lines, frame
    stride, kinds, found = slots.size, slots.max() + 1, 0
    spans = np.empty((count * stride, 4), np.int64)
    for k in range(count):
        line, slot = (row + k) // times, slots[k % stride]
        for q in range(stride):
            if slot >= 0 and slots[q] >= 0:
                start = (slot * kinds + slots[q]) * part + (place + k // stride) * apart
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
        self.C, self.wide, self.held, self.slots = C, wide, held, slots
        self.kinds, self.stride, self.dtype = max(slots) + 1, len(slots), dtype
        self.apart = wide + held
        least, most = PLACES
        places = min(max(BAND // max(C * self.kinds**2, 1), least), most)
        self.lines = max(round(places / self.apart), 1)

    def cut(self, lines):
        """Set how many lines a band has."""
        n, self.lines = lanes(self.dtype), lines
        self.part = (lines + self.held) * self.apart
        registers = -(-(self.kinds**2) * self.part // n)
        self.channel = (registers // 2 * 2 + 1) * n  # odd, or all meet in few sets of a cache
        each, whole = -(-self.wide // n), (lines - 1) * self.apart + self.wide
        if lines * each <= -(-whole // n):
            self.line = each * n  # from the sums of a line to those of the next
            starts = [t * self.apart + v for t in range(lines) for v in range(0, self.wide, n)]
        else:
            self.line, starts = self.apart, [*range(0, whole, n)]
        self.places = np.array(starts)  # where a register of sums begins
        self.pitch = n * self.places.size  # from the sums of a channel to those of the next

    def empty(self):
        """Memory for a band, with a register to spare behind it."""
        return zeros((self.C * self.channel + lanes(self.dtype),), self.dtype)

    def channels(self, memory):
        """The same memory, a row for each channel."""
        return memory[: self.C * self.channel].reshape(self.C, self.channel)

    def registers(self, lines):
        """How many registers hold the sums of so many lines."""
        return -(-((lines - 1) * self.line + self.wide) // lanes(self.dtype))

    def moves(self, taps):
        """How far taps lie from a place."""
        places = [kind * self.part + down * self.apart + right for kind, down, right in taps]
        return np.array(places, np.int64)

    def steps(self, C, taps):
        """From the place of a sum to what it takes: each tap of each of C channels."""
        return (np.arange(C)[:, None] * self.channel + self.moves(taps)).reshape(-1)


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


class Strips:
    """Lines of all images in parts that threads take one by one, each a band after the other."""

    def __init__(self, reading, frame, passes, before, groups, tall):
        self.reading, self.frame, self.before = reading, frame, before
        self.groups, self.tall = groups, tall
        least = max(-(-count() // max(len(reading.images), 1)), 1)
        bands = tall / frame.lines
        self.high = -(-tall // (least * min(max(round(bands / least), 1), PIECES)))
        self.each = -(-tall // self.high)
        frame.cut(-(-self.high // max(round(self.high / frame.lines), 1)))
        self.passes, self.outputs = passes, len(passes[0].weight)
        self.packed = [_packed(one.weight, self.outputs // groups) for one in passes]
        self.steps = [frame.steps(one.weight.shape[1], one.taps) for one in passes]

    def made(self, sides, bias, past=None, skip=None, into=None):
        """The result, B outputs and two sides; `bias`: O, or B O, or None.

        With `past`, B C and the same sides, that map is added, or what `skip`, O C 1 1, makes of
        it. With `into` the result stands there, which may be the memory that is read, as long as
        sides are kept.
        """
        B, dtype = len(self.reading.images), self.frame.dtype
        ends = None if into is None else [self._ends(strip) for strip in range(B * self.each)]
        sums = empty((B, self.outputs, *sides), dtype) if into is None else into
        bias = np.broadcast_to(dtype.type(0) if bias is None else bias, (B, self.outputs))
        beside = None if skip is None else Beside(past, skip, self.frame)
        multiplied = sum(one.weight.size for one in self.passes) * self.high * self.frame.wide
        fill(self._some, B * self.each, multiplied // 16, ends, bias, past, beside, sums)
        return sums

    def _where(self, strip):
        """The image of a strip, its first line, and the one behind its last."""
        b, top = strip // self.each, strip % self.each * self.high
        return b, top, min(top + self.high, self.tall)

    def _ends(self, strip):
        """The lines that the first of a strip reaches, and those behind the strip, as they are."""
        (b, top, bottom), frame = self._where(strip), self.frame
        behind = max(frame.held - self.before, 0)
        ends = zeros((frame.C, (frame.held + behind) * frame.apart), frame.dtype)
        self.reading.read(b, top - self.before, frame.held, self.before, frame, 0, ends)
        self.reading.read(b, bottom, behind, self.before, frame, frame.held, ends)
        return ends

    def _some(self, first, last, ends, bias, past, beside, sums):
        frame, finite = self.frame, True
        memory, room = frame.empty(), empty((self.outputs, frame.pitch), frame.dtype)
        band = frame.channels(memory)
        parts = band[:, : frame.kinds**2 * frame.part]
        parts = parts.reshape(frame.C, frame.kinds**2, frame.lines + frame.held, frame.apart)
        for strip in range(first, last):
            b, top, bottom = self._where(strip)
            edge = None if ends is None else ends[strip]
            if edge is None:
                row, lines = top * frame.stride - self.before, frame.held * frame.stride
                self.reading.read(b, row, lines, self.before, frame, 0, band)
            else:
                held = frame.held * frame.apart
                band[:, :held] = edge[:, :held]
            for t in range(top, bottom, frame.lines):
                lines = min(frame.lines, bottom - t)
                if t > top:
                    parts[:, :, : frame.held] = parts[:, :, frame.lines :]
                self._enter(b, t, lines, bottom, edge, band)
                places = frame.places[: frame.registers(lines)]
                for one, packed, steps in zip(self.passes, self.packed, self.steps):
                    each = self.outputs // self.groups
                    apart = one.weight.shape[1] * frame.channel
                    windows(packed, each, memory, apart, steps, places, room, False)
                    if beside is not None:
                        beside.add(b, t, lines, places, room)
                    also = past[b] if past is not None and beside is None else sums[b, :0]
                    how = frame.line, t, lines, *one.rows, *one.cols
                    finite &= _store(room, *how, bias[b], also, sums[b])
        return finite

    def _enter(self, b, t, lines, bottom, edge, band):
        """The lines of a band that none before it has reached, behind those that one has."""
        frame, apart, held = self.frame, self.frame.apart, self.frame.held
        row = t * frame.stride - self.before + held * frame.stride
        own = lines * frame.stride
        if edge is not None:
            own = min(max(bottom - row, 0), lines)
        self.reading.read(b, row, own, self.before, frame, held, band)
        if own < lines:
            known = slice(
                (held + row + own - bottom) * apart, (held + row + lines - bottom) * apart
            )
            band[:, (held + own) * apart : (held + lines) * apart] = edge[:, known]


class Beside:
    """Another map and a matrix for its channels, added to the sums of a band."""

    def __init__(self, past, skip, frame):
        self.reading, C = plain(past), skip.shape[1]
        self.frame = Frame(C, frame.wide, frame.held, np.zeros(1, np.int64), frame.dtype)
        self.frame.cut(frame.lines)
        weight = skip.reshape(*skip.shape[:2], 1)
        self.packed, self.steps = _packed(weight, len(skip)), self.frame.steps(C, [(0, 0, 0)])

    def add(self, b, t, lines, places, room):
        """Add its part of some lines."""
        memory = self.frame.empty()
        self.reading.read(b, t, lines, 0, self.frame, 0, self.frame.channels(memory))
        windows(self.packed, len(room), memory, 0, self.steps, places, room, True)


def _packed(weight, each):
    """A weight as `windows` reads it, for `each` rows of sums that begin at one place."""
    packed, rows = empty((weight.size,), weight.dtype), max(len(weight), 1)
    share(pack_weights, panels(len(weight), each), weight.size // rows * ROWS, weight, each, packed)
    return packed


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
