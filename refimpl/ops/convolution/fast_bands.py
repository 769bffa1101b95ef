"""Convolutions of stride one, in bands of lines: a product for each tap, no window laid out.

What stands before a convolution, a group norm with its SiLU or pixels that are repeated, is done
while a band is read; what stands behind it, a bias and another map, is added while sums are stored.
So neither has an array of its own, and the result may take the memory of what is read.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from refimpl.compiled.arithmetic import read_only
from refimpl.compiled.memory import empty, zeros
from refimpl.compiled.threads import PIECES, count, one_blas_thread, share
from refimpl.ops.layers.fast_activations import _logistic
from refimpl.ops.layers.fast_groups import normaliser

PLACES = 2048  # about so many places have their sums in the caches until all taps are added


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

    def whole(self):
        """The maps in an array of their own."""
        _, C, tall, wide = self.shape
        maps = zeros(self.shape, self.images.dtype)
        for b, into in enumerate(maps):
            self.read(b, 0, tall, 0, wide, 0, into.reshape(C, tall * wide))
        return maps

    def read(self, b, row, lines, column, apart, place, into):
        """Lines from a row on, which may lie outside, into zeros from a line and a column on."""
        given = self.images[b], self.norm[b], self.times
        _read(*given, row, lines, column, apart, place, into)


def plain(images):
    """Maps as they are."""
    norm = np.empty((len(images), 4, 0), images.dtype)
    return Reading(read_only(images.view()), norm)


def activated(x, gain, bias, groups, eps):
    """Maps behind a group norm and its SiLU."""
    x = read_only(x.view())
    return Reading(x, normaliser(x, gain, bias, groups, eps))


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def _read(image, norm, times, row, lines, column, apart, place, into):
    C, height, width = image.shape
    one, cols = image.dtype.type(1), max(min(width * times, apart - column), 0)
    for c in range(C):
        for k in range(lines):
            start, line = (place + k) * apart, (row + k) // times
            if not 0 <= line < height:
                into[c, start : start + apart] = 0
                continue
            start += column
            if times == 1:
                for v in range(cols):
                    into[c, start + v] = image[c, line, v]
            else:
                for first in range(times):
                    for v in range((cols - first + times - 1) // times):
                        into[c, start + v * times + first] = image[c, line, v]
            if norm.shape[1]:
                mean, share, gain, bias = norm[0, c], norm[1, c], norm[2, c], norm[3, c]
                pixels = into[c, start : start + cols]
                for v in range(pixels.size):
                    normal = gain * ((pixels[v] - mean) * share) + bias
                    pixels[v] = normal * _logistic(normal, one)


def by_taps(add, reading, weight, bias, before, dilation, tall, wide, **more):
    """The convolution, `bias` being O or B O or None: B O tall wide.

    With `past`, B C tall wide, that map is added, or what `skip`, O C 1 1, makes of it. With `into`
    the result stands there, which may be the memory that is read, as long as sides are kept.
    """
    strips = Strips(reading, weight, before, dilation, tall, wide)
    return strips.convolved(add, 0 if bias is None else bias, **more)


class Strips:
    """Lines of all images in parts that threads take one by one, each a band after the other.

    Zeros stand between the lines, so that a band moved is its memory read from another place on.
    """

    def __init__(self, reading, weight, before, dilation, tall, wide):
        B, (outputs, C, side, _) = len(reading.images), weight.shape
        self.reading, self.before, self.reach = reading, before, dilation * (side - 1)
        self.tall, self.wide, self.apart = tall, wide, wide + self.reach
        taps = np.ascontiguousarray(weight.transpose(2, 3, 0, 1)).reshape(side * side, outputs, C)
        moves = [dilation * (i * self.apart + j) for i in range(side) for j in range(side)]
        self.taps, self.moves = taps, moves
        least = max(-(-count() // max(B, 1)), 1)
        bands = tall * self.apart / PLACES
        self.high = -(-tall // (least * min(max(round(bands / least), 1), PIECES)))
        self.each = -(-tall // self.high)
        self.band = -(-self.high // max(round(self.high * self.apart / PLACES), 1))

    def convolved(self, add, bias, past=None, skip=None, into=None):
        """What `by_taps` says."""
        (B, *_), outputs = self.reading.images.shape, self.taps.shape[1]
        strips, dtype = range(B * self.each), self.taps.dtype
        ends = None if into is None else [self._ends(strip) for strip in strips]
        sums = empty((B, outputs, self.tall, self.wide), dtype) if into is None else into
        bias = np.broadcast_to(np.asarray(bias, dtype), (B, outputs))
        work = self.taps.size * self.high * self.wide // 16
        with one_blas_thread():
            share(self._some, len(strips), work, add, ends, bias, past, skip, sums)
        return sums

    def _where(self, strip):
        """The image of a strip, its first line, and the one behind its last."""
        b, top = strip // self.each, strip % self.each * self.high
        return b, top, min(top + self.high, self.tall)

    def _ends(self, strip):
        """The lines that the first of a strip reaches, and those behind the strip, as they are."""
        (b, top, bottom), apart = self._where(strip), self.apart
        C, behind = self.reading.images.shape[1], max(self.reach - self.before, 0)
        ends = zeros((C, (self.reach + behind) * apart), self.taps.dtype)
        self.reading.read(b, top - self.before, self.reach, self.before, apart, 0, ends)
        self.reading.read(b, bottom, behind, self.before, apart, self.reach, ends)
        return ends

    def _some(self, first, last, add, ends, bias, past, skip, sums):
        (_, outputs, C), apart, held = self.taps.shape, self.apart, self.reach * self.apart
        room = empty((outputs, self.band * apart), self.taps.dtype)
        framed = zeros((C, (self.band + self.reach) * apart + self.reach), room.dtype)
        for strip in range(first, last):
            b, top, bottom = self._where(strip)
            edge = None if ends is None else ends[strip]
            if edge is None:
                self.reading.read(b, top - self.before, self.reach, self.before, apart, 0, framed)
            else:
                framed[:, :held] = edge[:, :held]
            for t in range(top, bottom, self.band):
                lines = min(self.band, bottom - t)
                if t > top:
                    framed[:, :held] = framed[:, self.band * apart : self.band * apart + held]
                self._enter(b, t, lines, bottom, edge, framed)
                total = room[:, : lines * apart]
                total[:] = 0
                for tap, move in zip(self.taps, self.moves):
                    add(tap, framed[:, move : move + lines * apart], total)
                total += bias[b, :, None]
                whole = total.reshape(outputs, lines, apart)
                sums[b, :, t : t + lines] = whole[:, :, : self.wide]
                if past is not None:
                    _pass(add, past[b], skip, t, lines, sums[b])

    def _enter(self, b, t, lines, bottom, edge, framed):
        """The lines of a band that none before it has reached, behind those that one has."""
        apart, reach, row = self.apart, self.reach, t - self.before + self.reach
        own = lines if edge is None else min(max(bottom - row, 0), lines)
        self.reading.read(b, row, own, self.before, apart, reach, framed)
        if own < lines:
            known = slice(
                (reach + row + own - bottom) * apart, (reach + row + lines - bottom) * apart
            )
            framed[:, (reach + own) * apart : (reach + lines) * apart] = edge[:, known]


def _pass(add, past, skip, t, lines, sums):
    """Add some lines of a map, or of what a matrix makes of them, to those of the sums."""
    if skip is None:
        sums[:, t : t + lines] += past[:, t : t + lines]
        return
    places = slice(t * sums.shape[2], (t + lines) * sums.shape[2])
    rows = [x.reshape(len(x), x.shape[1] * x.shape[2]) for x in (past, sums)]
    add(skip.reshape(skip.shape[:2]), *(x[:, places] for x in rows))
