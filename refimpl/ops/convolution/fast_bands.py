"""Bands of lines between zeros, as the taps of a convolution meet them: no window is laid out.

What stands before a convolution, a group norm with its SiLU or pixels that are repeated, is done
while a band is read, and has no array of its own.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from refimpl.compiled.arithmetic import read_only
from refimpl.compiled.native import ask_for
from refimpl.compiled.tiles import ahead, at, lanes, run_wide
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
        self.size = self.C * channel + n  # of a band, with a register to spare behind it

    def moves(self, taps):
        """How far taps lie from a place."""
        part = self.layout.part
        places = [kind * part + down * self.apart + right for kind, down, right in taps]
        return np.array(places, np.int64)

    def steps(self, C, taps):
        """From the place of a sum to what it takes: each tap of each of C channels."""
        channels = np.arange(C)[:, None] * self.layout.channel
        return (channels + self.moves(taps)).reshape(-1)


def limits():
    """What a frame depends on besides sizes."""
    return BAND, PLACES


def framed(C, side, stride, dilation, wide, dtype):
    """The frame of a convolution, and where its taps lie from a place: kind, lines and columns."""
    met = sorted({dilation * i % stride for i in range(side)})
    slots = np.array([met.index(k) if k in met else -1 for k in range(stride)])
    places = [(slots[dilation * i % stride], dilation * i // stride) for i in range(side)]
    taps = [(p * len(met) + q, down, right) for p, down in places for q, right in places]
    return Frame(C, wide, dilation * (side - 1) // stride, slots, dtype), taps
