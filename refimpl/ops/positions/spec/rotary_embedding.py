"""What is known about rotary_embedding and its gradient: laws, probes, mistakes, dialects."""

import numpy as np

from refimpl.constants import pi
from refimpl.gradients import LINEAR_IN_GRAD
from refimpl.op import Edit, Law, Op, Probe
from refimpl.ops.common import cosines, sines
from refimpl.ops.positions import reference as text

HALVES = "x[..., :half], x[..., half:]"
PAIRS = "x[..., 0::2], x[..., 1::2]"
WAVES = "np.cos(angles), np.sin(angles)"
LEFT, RIGHT = "first * cosine - second * sine", "first * sine + second * cosine"
JOINED = "np.concatenate((left, right), axis=-1)"
BESIDE = "np.reshape(np.stack((left, right), axis=-1), x.shape)"
BACK = "(up * cosine + down * sine, down * cosine - up * sine)"
X_GRAD = f"np.concatenate({BACK}, axis=-1)"


def halves(x):
    half = x.shape[-1] // 2
    return x[..., :half], x[..., half:]


def no_angle(f, x, angles):
    yield f(x, 0 * angles), x


def lengths_of_pairs(f, x, angles):
    (a, b), (left, right) = halves(x), halves(f(x, angles))
    yield left * left + right * right, a * a + b * b


def angles_add(f, x, angles):
    other = angles[::-1]
    yield f(f(x, angles), other), f(x, angles + other)


def turned_back(f, x, angles):
    yield f(f(x, angles), -angles), x


def linear_in_x(f, x, angles):
    other = x * x
    yield f(x - 3 * other, angles), f(x, angles) - 3 * f(other, angles)


def only_differences_count(f, x, angles):
    key, other, shift = x * x, angles[::-1], angles[:1]
    apart = np.sum(f(x, angles) * f(key, other), axis=-1)
    yield np.sum(f(x, angles + shift) * f(key, other + shift), axis=-1), apart


def quarter_turn(f, x, angles):
    a, b = halves(x)
    quarter = np.ones(np.shape(angles)) * (pi(x) / 2)
    yield f(x, quarter), np.concatenate((-b, a), axis=-1)


def eight():
    """The sines of 1 to 8 at position 3."""
    angles = 3 * 10.0 ** -np.arange(4.0)
    return {"x": sines(1, 1, 1, 8), "angles": angles[None]}


def far_apart():
    angles = np.array([0.0, 1.0, 2.5, 40.0])[:, None] * np.array([1.0, 0.25])
    return {"x": 1 + sines(2, 2, 4, 4), "angles": angles}


ROTARY_EMBEDDING = Op(
    text.rotary_embedding,
    laws=(
        Law("angles of zero change nothing", no_angle),
        Law("keeps the length of each pair", lengths_of_pairs),
        Law("rotating twice adds the angles", angles_add),
        Law("the opposite angles undo it", turned_back),
        Law("is linear in x", linear_in_x),
        Law("inner products depend on differences of angles alone", only_differences_count),
        Law("a rotation by 90° exchanges the halves and negates one", quarter_turn),
    ),
    probes=(
        Probe("the sines of 1 to 8 at position 3", eight),
        Probe("four tokens far apart", far_apart),
    ),
    mistakes=(
        Edit(
            "rotary_embedding/other-way",
            "turns by the opposite angle",
            WAVES,
            "np.cos(angles), -np.sin(angles)",
            effect="none if queries and keys both do it; wrong with a cache that does not",
            invisible_when="the angle is 0",
        ),
        Edit(
            "rotary_embedding/sign-forgotten",
            "forgets the minus sign in front of the second half",
            LEFT,
            "first * cosine + second * sine",
            effect="lengths change with the position",
            invisible_when="the angle is 0",
        ),
        Edit(
            "rotary_embedding/waves-exchanged",
            "exchanges cosine and sine",
            WAVES,
            "np.sin(angles), np.cos(angles)",
            effect="position 0 is turned by 90°",
        ),
        Edit(
            "rotary_embedding/position-zero",
            "rotates nothing, as if every token stood at position 0",
            WAVES,
            "np.cos(0 * angles), np.sin(0 * angles)",
            effect="decoding word by word differs from the whole text from the second word on",
            source="https://github.com/RobertCsordas/moeut/pull/6",
            invisible_when="the angle is 0",
        ),
        Edit(
            "rotary_embedding/first-position",
            "turns every token by the angles of the first",
            WAVES,
            "np.cos(angles[:1]), np.sin(angles[:1])",
            effect="attention does not see the order of words",
            invisible_when="there is one token",
        ),
        Edit(
            "rotary_embedding/one-position-behind",
            "turns every token by the angles of the one before",
            WAVES,
            "np.cos(np.roll(angles, 1, axis=0)), np.sin(np.roll(angles, 1, axis=0))",
            effect="the first token gets the position of the last",
            source="https://github.com/rajveer43/VeloxQuant-MLX/issues/389",
            invisible_when="there is one token",
        ),
        Edit(
            "rotary_embedding/second-half-untouched",
            "turns the first half and leaves the second as it was",
            RIGHT,
            "second + 0 * sine",
            effect="half of the position is lost",
            invisible_when="the angle is 0",
        ),
        Edit(
            "rotary_embedding/pairs-in-halves-out",
            "pairs neighbours, but returns the results as two halves",
            HALVES,
            PAIRS,
            effect="scores are right for weights that pair neighbours; other caches do not fit",
            invisible_when="there is one pair",
        ),
    ),
    dialects=(
        Edit(
            "rotary_embedding/pairs",
            "pairs neighbours instead of halves: the paper, Meta's Llama, GPT-J, timm",
            HALVES,
            PAIRS,
            also=(("", JOINED, BESIDE),),
            effect="another order of the numbers of a head",
            invisible_when="there is one pair",
        ),
    ),
)


def gradient_turned_back(f, x, angles, grad):
    yield f(x, angles, grad)[0], text.rotary_embedding(grad, -angles)


def gradient_has_no_x(f, x, angles, grad):
    yield f(x, angles, grad)[0], f(1 - x, angles, grad)[0]


def perpendicular(f, x, angles, grad):
    a, b = halves(x)
    moved = np.concatenate((-b, a), axis=-1)
    along, across = halves(f(x, angles, grad)[0] * moved)
    yield f(x, angles, grad)[1], np.sum(along + across, axis=(0, 1))


def along_itself(f, x, angles, grad):
    yield f(x, angles, text.rotary_embedding(x, angles))[1], 0 * angles


def at_angle_zero(f, x, angles, grad):
    (a, b), (up, down) = halves(x), halves(grad)
    x_grad, angles_grad = f(x, 0 * angles, grad)
    yield x_grad, grad
    yield angles_grad, np.sum(down * a, axis=(0, 1)) - np.sum(up * b, axis=(0, 1))


ROTARY_EMBEDDING_VJP = Op(
    text.rotary_embedding_vjp,
    laws=(
        LINEAR_IN_GRAD,
        Law("the gradient of x is grad rotated by the opposite angle", gradient_turned_back),
        Law("the gradient of x does not depend on x", gradient_has_no_x),
        Law("the gradient of the angle is x's gradient times x turned by 90°", perpendicular),
        Law("for grad along the result the gradient of the angle is zero", along_itself),
        Law("at angle zero the gradient of x is grad", at_angle_zero),
    ),
    probes=(
        Probe("the sines of 1 to 8 at position 3", lambda: eight() | {"grad": cosines(1, 1, 1, 8)}),
        Probe("four tokens far apart", lambda: far_apart() | {"grad": sines(2, 2, 4, 4) - 0.5}),
    ),
    outputs=("x_grad", "angles_grad"),
    mistakes=(
        Edit(
            "rotary_embedding_vjp/turned-on",
            "rotates grad forward instead of back",
            BACK,
            "(up * cosine - down * sine, down * cosine + up * sine)",
            effect="each gradient is off by twice its angle",
            invisible_when="the angle is 0",
        ),
        Edit(
            "rotary_embedding_vjp/not-turned",
            "returns grad without rotating it",
            BACK,
            "(up + 0 * cosine, down + 0 * cosine)",
            effect="right at position 0 alone",
            invisible_when="the angle is 0",
        ),
        Edit(
            "rotary_embedding_vjp/halves-exchanged",
            "returns the halves in the other order",
            BACK,
            "(down * cosine - up * sine, up * cosine + down * sine)",
            effect="the two entries of a pair get each other's gradient",
        ),
        Edit(
            "rotary_embedding_vjp/one-product",
            "drops the sine term, though each entry of a pair is in both results",
            BACK,
            "(up * cosine, down * cosine)",
            effect="gradients are too small, and zero at 90°",
            invisible_when="the angle is 0",
        ),
        Edit(
            "rotary_embedding_vjp/angle-sign",
            "changes the sign of the angles' gradient",
            "cosine * sine_grad - sine * cosine_grad",
            "sine * cosine_grad - cosine * sine_grad",
            effect="learned positions move away",
        ),
        Edit(
            "rotary_embedding_vjp/one-sample",
            "averages the gradient of the angles over samples and heads",
            "cosine * sine_grad - sine * cosine_grad",
            "(cosine * sine_grad - sine * cosine_grad) / (x.shape[0] * x.shape[1])",
            effect="learned positions move too little",
            invisible_when="there is one sample and one head",
        ),
    ),
    dialects=(
        Edit(
            "rotary_embedding_vjp/pairs",
            "belongs to the form that pairs neighbours",
            HALVES,
            PAIRS,
            also=(
                ("", "grad[..., :half], grad[..., half:]", "grad[..., 0::2], grad[..., 1::2]"),
                ("", X_GRAD, f"np.reshape(np.stack({BACK}, axis=-1), x.shape)"),
            ),
            effect="another order of the numbers of a head",
            invisible_when="there is one pair",
        ),
    ),
)
