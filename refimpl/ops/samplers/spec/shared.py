"""What the specifications of samplers share."""

from refimpl.op import Edit, Law
from refimpl.ops.common import cosines, sines

GUESSES = ("x", "denoised", "denoised_next", "denoised_before")
SAMPLES = (*GUESSES, "noise")
LEVELS = ("sigma", "sigma_next", "sigma_before", "low", "high")


def changed(names, change, inputs):
    return {name: change(x) if name in names else x for name, x in inputs.items()}


def first(result):
    return result[0] if isinstance(result, tuple) else result


def homogeneous(f, **inputs):
    doubled = first(f(**changed(SAMPLES, lambda x: -2 * x, inputs)))
    yield doubled, -2 * first(f(**inputs))


def same_unit(f, **inputs):
    scaled = changed((*GUESSES, *LEVELS), lambda x: 4 * x, inputs)
    yield first(f(**scaled)), 4 * first(f(**inputs))


def shift(f, **inputs):
    moved = changed(GUESSES, lambda x: x + 3, inputs)
    yield first(f(**moved)), first(f(**inputs)) + 3


def each_alone(f, **inputs):
    turned = changed(SAMPLES, lambda x: x[..., ::-1], inputs)
    yield first(f(**turned)), first(f(**inputs))[..., ::-1]


HOMOGENEOUS = Law("is odd and homogeneous in the samples", homogeneous)
SAME_UNIT = Law("scaling samples and levels together scales the result", same_unit)
SHIFT = Law("adding a constant to sample and guess adds it to the result", shift)
EACH_ALONE = Law("treats each entry by itself", each_alone)


def constant_guess(f, x, denoised, sigma, sigma_next, **others):
    """What is beyond a right guess shrinks with the level."""
    guesses = changed(SAMPLES, lambda _: denoised, others)
    moved = f(x=x, denoised=denoised, sigma=sigma, sigma_next=sigma_next, **guesses)
    yield moved, denoised + sigma_next / sigma * (x - denoised)


CONSTANT_GUESS = Law("is exact for a constant guess", constant_guess)


def waves():
    """Three sines, half a cosine, and the published example's other arrays."""
    return {"x": 3 * sines(1, 4), "denoised": cosines(1, 4)}


def backwards():
    return cosines(1, 4)[:, ::-1].copy()


def slope_edits(name, line="(x - denoised) / sigma"):
    """What goes wrong with a slope."""
    return (
        Edit(
            f"{name}/slope-not-divided",
            "does not divide the slope by the noise level",
            line,
            "(x - denoised)",
            effect="steps are too long above level 1 and too short below",
            invisible_when="the level is 1",
        ),
        Edit(
            f"{name}/slope-sign",
            "changes the sign of the slope",
            line,
            "(denoised - x) / sigma",
            effect="noise grows instead of shrinking",
            invisible_when="the guess is the sample",
        ),
        Edit(
            f"{name}/guess-taken-for-noise",
            "uses the guess itself as the slope, as if it were the predicted noise",
            line,
            "denoised",
            effect="right for a network that predicts noise",
            invisible_when="the guess happens to be the noise",
        ),
    )
