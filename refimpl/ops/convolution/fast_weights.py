"""The gradient of a convolution's weights: for each tap a product over all places of a band."""

import numpy as np
from numba import njit

from refimpl.compiled.memory import empty, zeros
from refimpl.compiled.threads import WORTHWHILE, count, share
from refimpl.compiled.tiles import at, height, lanes, pack, pack_panels, product, width_of
from refimpl.ops.convolution.fast_bands import framed, plain, read_band


def weight_gradient(images, grad, shape, stride, before, dilation, groups):
    """O C side side: the bands of one part after another, then the parts, in this order."""
    outputs, C, side, _ = shape
    work = len(grad) * outputs * C * side * side * grad[0, 0].size // 16
    parts = max(min(count(), work // WORTHWHILE), 1)
    bands = Bands(images, grad, shape, stride, before, dilation, groups)
    totals = zeros((parts, side * side, outputs, bands.C), grad.dtype)
    share(bands.some, parts, work // parts, totals)
    weight_grad = empty((outputs, C, side * side), grad.dtype)
    share(_collect, outputs, parts * C * side * side, totals, weight_grad)
    return weight_grad.reshape(shape)


class Bands:
    """Bands of all images, and what stands above their places."""

    def __init__(self, images, grad, shape, stride, before, dilation, groups):
        (outputs, C, side, _), wide, self.reading = shape, grad.shape[3], plain(images)
        self.frame, taps = framed(groups * C, side, stride, dilation, wide, grad.dtype)
        self.frame.cut(min(self.frame.lines, grad.shape[2]))
        n = 2 * lanes(grad.dtype)
        self.grad, self.before, self.each = grad, before, (outputs // groups, C)
        self.C = -(-C // n) * n  # channels of a group, to whole registers
        self.apart = -(-groups * C // n) * n + n  # from a pixel to the next: all its channels
        places = np.arange(self.frame.lines)[:, None] * self.frame.apart + np.arange(wide)
        self.steps = places.reshape(-1) * self.apart
        self.moves = self.frame.moves(taps) * self.apart

    def some(self, first, last, totals):
        """The sums of some parts."""
        frame, (_, outputs, _, wide) = self.frame, self.grad.shape
        pixels, spare = frame.kinds * frame.layout.part, lanes(frame.dtype)
        turned = empty((pixels * self.apart + spare,), frame.dtype)
        above = empty((outputs * frame.lines * wide + spare,), frame.dtype)
        given = frame.layout, self.reading, self.before, self.grad, self.each, self.apart
        memory = zeros((frame.size,), frame.dtype), turned, above
        _bands(first, last, *memory, *given, self.steps, self.moves, totals)


@njit(cache=True, nogil=True)
def _bands(
    first,
    last,
    band,
    turned,
    above,
    layout,
    reading,
    before,
    grad,
    each,
    apart,
    steps,
    moves,
    totals,
):
    (B, _, tall, wide), (C, stride) = grad.shape, (reading.images.shape[1], layout.slots.size)
    pixels, bands = (layout.slots.max() + 1) ** 2 * layout.part, -(-tall // layout.lines)
    for part in range(first, last):
        begin, end = B * bands * part // len(totals), B * bands * (part + 1) // len(totals)
        for k in range(begin, end):
            b, t = k // bands, k % bands * layout.lines
            lines, row = min(layout.lines, tall - t), t * stride - before
            count = (lines + layout.held) * stride
            read_band(reading, b, row, count, before, layout, np.int64(0), band)
            pack(at(band, 0), layout.channel, C, pixels, at(turned, 0), apart)
            _add(grad[b], t, each, turned, steps[: lines * wide], moves, above, totals[part])


@njit(cache=True, nogil=True)
def _add(grad, t, each, turned, steps, moves, above, total):
    """Add to the sums, taps O C, what the places of some lines give."""
    (outputs, tall, wide), C, depth = grad.shape, total.shape[2], steps.size
    (rows, channels), registers = each, width_of(at(turned, 0))
    for row in range(0, outputs, rows):
        lines, panels = at(grad, (row * tall + t) * wide), at(above, row * depth)
        pack_panels(lines, tall * wide, rows, height(rows), depth, panels)
        for c in range(0, channels, registers):
            for tap in range(moves.size):
                seen = at(turned, moves[tap] + row // rows * channels + c)
                sums = at(total, (tap * outputs + row) * C + c)
                product(rows, height(rows), panels, 0, seen, steps, sums, C, registers, True)


@njit(cache=True, nogil=True)
def _collect(first, last, totals, weight_grad):
    parts, taps, _, _ = totals.shape
    for o in range(first, last):
        for tap in range(taps):
            for c in range(weight_grad.shape[1]):
                total = totals[0, tap, o, c]
                for part in range(1, parts):
                    total += totals[part, tap, o, c]
                weight_grad[o, c, tap] = total
