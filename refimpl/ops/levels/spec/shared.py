"""Laws of lists of noise levels, whatever says how they are spaced."""

from refimpl.op import Law
from refimpl.ops.diffusion import reference as diffusion
from refimpl.ops.diffusion.spec.shared import STABLE_DIFFUSION, draw_shares
from refimpl.ops.levels import reference as text

SPACINGS = "https://github.com/huggingface/diffusers/issues/7401"  # of times, compared


def latent_table():
    """The levels of Stable Diffusion's thousand times."""
    betas = diffusion.scaled_linear_schedule(1000, *STABLE_DIFFUSION)
    return text.sigmas_from_alpha_bar(diffusion.alpha_bar(betas))


def draw_table(source, sizes):
    """The levels of a schedule."""
    return text.sigmas_from_alpha_bar(draw_shares(source, sizes))


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


ENDS = Law("starts at high and ends at low", ends)
TURNED = Law("exchanging the ends reverses the list", turned)
ANY_UNIT = Law("the unit of the levels does not matter", unit)
REFINED = Law("a list with twice the steps contains these", refined)
