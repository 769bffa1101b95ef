"""The compiled twin of attention, in blocks of queries and keys.

Attention never holds all its scores: a block of queries meets one block of keys after another, and
what was summed below a smaller top is scaled down when a larger one comes (online softmax).
Products keep their sums in registers. Threads share the blocks; `contract` lets a product and a sum
round once.
"""

import numpy as np
from numba import njit

from refimpl.compiled.arithmetic import exponential, is_finite, power_of, read_only
from refimpl.compiled.memory import empty
from refimpl.compiled.threads import share
from refimpl.compiled.tiles import ROWS as TALL
from refimpl.compiled.tiles import (
    ahead,
    at,
    height,
    lanes,
    pack,
    pack_panels,
    product,
    run_wide,
    width_of,
)

SHORT = 64  # queries whose scores stand side by side
KEYS = 128  # keys in a block of scores, about: it stays in the first cache
ROWS = 1024  # queries that a thread takes at a time


def attention(query, key, value, bias):
    return _attention(query, key, value, bias)[0]


def _attention(query, key, value, bias):
    """What attention returns, with the top and the total that each row of weights came from."""
    B, heads, N, E = query.shape
    M, F = value.shape[2:]
    mixed = empty((B, heads, N, F), query.dtype)  # B H N F
    tops, totals = np.empty((2, B, heads, N), query.dtype)  # B H N
    given = query, key, value, _four_axes(bias, query), mixed, tops, totals
    tasks, each = B * heads * -(-N // ROWS), min(ROWS, N) * M * (E + F) // 16
    share(attend, tasks, each, *given)
    return mixed, tops, totals


def _four_axes(bias, query):
    """An axis of 1 serves all; no bias is a single 0."""
    if bias is None:
        bias = read_only(np.zeros(1, query.dtype))
    return bias.reshape((1,) * (4 - bias.ndim) + bias.shape)


def attend(first, last, *given):
    """Some tasks of attention, in room of their own."""
    query, _, value = given[:3]
    sizes = query.shape[2], value.shape[2], query.shape[3], value.shape[3]
    _attend_blocks(first, last, *given, empty((room_for(*sizes, query.dtype),), query.dtype))


def room_for(N, M, E, F, dtype):
    """How many numbers a thread needs room for: N queries, M keys of E numbers, values of F."""
    n, block = lanes(dtype), max(KEYS, TALL)
    wide = -(-F // n) * n
    keys, values = M if N > SHORT else min(M, block), M if wide != F else 0
    return keys * E + values * wide + SHORT * (E + 2 * block + wide + 4) + 4 * n


@njit(cache=True, nogil=True)
def _attend_blocks(first, last, query, key, value, bias, mixed, tops, totals, room):
    """Attention for some tasks, each of up to ROWS queries of a head.

    Scores stand key by key, those of SHORT queries side by side: what is done to a row of weights
    is done in all lanes, and a block of weights is the panel of the product with the values.
    """
    heads, N, E = query.shape[1:]
    M, F = value.shape[2:]
    n, tasks, tall = width_of(at(room, 0)) // 2, -(-N // ROWS), height(M)
    wide, block = -(-F // n) * n, max(KEYS // tall, 1) * tall
    shared = heads // key.shape[1]  # query heads 0 .. R-1 look at key head 0, and so on
    at_once = M if N > SHORT else min(M, block)  # keys that are packed for several queries, or few
    keys, values = at(room, 0), at(room, at_once * E + n)
    asked = ahead(values, M * wide if wide != F else 0)
    scores = ahead(asked, E * SHORT + n)
    seen = ahead(scores, block * SHORT)
    own = ahead(seen, block * SHORT + n)
    state = ahead(own, SHORT * wide)
    factor = query.dtype.type(1) / np.sqrt(query.dtype.type(E))
    by_key, by_value = np.arange(E) * SHORT, np.arange(block) * wide
    hides = bias.size > 1 or bias[0, 0, 0, 0] != 0
    for task in range(first, last):
        b, h, begin = task // tasks // heads, task // tasks % heads, task % tasks * ROWS
        g, end = h // shared, min(begin + ROWS, N)
        if at_once == M:
            pack_panels(_row(key, b, g, 0), E, M, tall, E, keys)
        source = _row(value, b, g, 0)
        if wide != F:
            _widen(source, M, F, values, wide)
            source = values
        skips = hides and _all_finite(query[b, h, begin:end], key[b, g], value[b, g])
        for start in range(begin, end, SHORT):
            rows = min(SHORT, end - start)
            across = -(-rows // n) * n
            pack(_row(query, b, h, start), E, rows, E, asked, SHORT)
            _begin(own, SHORT * wide, state)
            for left in range(0, M, block):
                size = min(block, M - left)
                if hides:
                    of_keys = bias[b % bias.shape[0], h % bias.shape[1]]
                    if _lay_out(of_keys, start, rows, left, size, seen) and skips:
                        continue
                if at_once < M:
                    pack_panels(_row(key, b, g, left), E, size, tall, E, keys)
                some = ahead(keys, left * E if at_once == M else 0)
                product(size, tall, some, 0, asked, by_key, scores, SHORT, across, False)
                _scale(scores, size, across, factor, hides, seen)
                _raise_tops(scores, size, across, state)
                _weigh(scores, size, across, state)
                _mix(scores, rows, ahead(source, left * wide), by_value[:size], own, wide, state)
            for r in range(rows):
                top, total = state[r], state[SHORT + r]
                tops[b, h, start + r] = top if top > -np.inf else 0
                total = total if total >= 1 else 1  # -inf alone has weights 0
                totals[b, h, start + r] = total
                share, line = query.dtype.type(1) / query.dtype.type(total), ahead(own, r * wide)
                into = _row(mixed, b, h, start + r)
                for f in range(F):
                    into[f] = line[f] * share


@njit(cache=True, nogil=True)
def _row(x, b, h, n):
    """Where a row of a head stands."""
    return at(x, ((b * x.shape[1] + h) * x.shape[2] + n) * x.shape[3])


@njit(cache=True, nogil=True)
def _widen(rows, count, width, into, apart):
    """Copy rows, so that whole registers may be read of each."""
    for n in range(count):
        for f in range(apart):
            into[n * apart + f] = rows[n * width + f] if f < width else 0


@njit(cache=True, nogil=True)
def _all_finite(query, key, value):
    """Whether nothing but its bias can hide a key."""
    power = power_of(query.dtype.type(0))
    for x in (query, key, value):
        for n in range(len(x)):
            for e in range(x.shape[1]):
                power = max(power, power_of(x[n, e]))
    return is_finite(power)


@njit(cache=True, nogil=True)
def _begin(own, numbers, state):
    """Nothing is summed yet: no top, no total."""
    for k in range(numbers):
        own[k] = 0
    for r in range(SHORT):
        state[r] = -np.inf
        state[SHORT + r] = 0


@njit(cache=True, nogil=True)
def _lay_out(bias, start, rows, left, size, seen):
    """The bias of a block, as its scores stand; are all -inf?"""
    every, M = bias.shape
    if M == 1 or every == 1:
        for m in range(size):
            for r in range(rows):
                seen[m * SHORT + r] = bias[(start + r) % every, (left + m) % M]
    else:
        pack(at(bias, start * M + left), M, rows, size, seen, SHORT)
    for m in range(size):
        for r in range(rows):
            if seen[m * SHORT + r] != -np.inf:
                return False
    return True


@njit(cache=True, nogil=True, fastmath={"contract"})
def _scale(scores, size, across, factor, hides, seen):
    """Divide products by √E and add the bias: forward and back alike, to the last bit."""
    run_wide()
    for m in range(size):
        row, more = ahead(scores, m * SHORT), ahead(seen, m * SHORT)
        if hides:
            for r in range(across):
                row[r] = row[r] * factor + more[r]
        else:
            for r in range(across):
                row[r] = row[r] * factor


@njit(cache=True, nogil=True)
def _raise_tops(scores, size, across, state):
    """Note the largest score of each row, and what it was before."""
    run_wide()
    for r in range(across):
        state[2 * SHORT + r] = state[r]
    for m in range(size):
        row = ahead(scores, m * SHORT)
        for r in range(across):
            state[r] = row[r] if row[r] > state[r] else state[r]


@njit(cache=True, nogil=True)
def _weigh(scores, size, across, state):
    """Turn scores into weights below the top, and lower what was summed below another."""
    run_wide()
    total, scale, level = ahead(state, SHORT), ahead(state, 2 * SHORT), ahead(state, 3 * SHORT)
    for r in range(across):
        level[r] = state[r] if state[r] > -np.inf else 0  # so far the row saw no key
        scale[r] = exponential(scale[r] - level[r])
        total[r] *= scale[r]
    for m in range(size):
        row = ahead(scores, m * SHORT)
        for r in range(across):
            row[r] = exponential(row[r] - level[r])
            total[r] += row[r]


@njit(cache=True, nogil=True)
def _mix(scores, rows, values, steps, own, wide, state):
    """Lower the sums of values, and add those of the values of a block."""
    scale = ahead(state, 2 * SHORT)
    for r in range(rows):
        if scale[r] != 1:
            for f in range(wide):
                own[r * wide + f] *= scale[r]
    product(rows, height(rows), scores, SHORT, values, steps, own, wide, wide, True)
