"""Laws of lists of noise levels, whatever says how they are spaced."""

from refimpl.op import Law


def ends(f, levels, low, high, **spacing):
    sigmas = f(levels, low, high, **spacing)
    yield sigmas[0], high
    if levels > 1:
        yield sigmas[-1], low


def turned(f, levels, low, high, **spacing):
    if levels > 1:
        yield f(levels, high, low, **spacing)[::-1], f(levels, low, high, **spacing)


def unit(f, levels, low, high, **spacing):
    yield f(levels, 4 * low, 4 * high, **spacing), 4 * f(levels, low, high, **spacing)


def refined(f, levels, low, high, **spacing):
    yield f(2 * levels - 1, low, high, **spacing)[::2], f(levels, low, high, **spacing)


ENDS = Law("begins high and ends low", ends)
TURNED = Law("exchanging the ends turns the list round", turned)
ANY_UNIT = Law("levels may have any unit", unit)
REFINED = Law("twice as many steps contain these", refined)
