"""What is known about residual blocks: laws, probes and mistakes of both forms."""

import numpy as np

from refimpl.op import Law, Op, Probe
from refimpl.ops.common import cosines, draw_layer_eps, mistakes_of, sines
from refimpl.ops.convolution.reference import conv2d
from refimpl.ops.images.spec.shared import turned
from refimpl.ops.unet import reference as text
from refimpl.ops.unet.spec.shared import samples_apart, silent

KERNELS = ("conv1_weight", "conv2_weight")


def passes(known):
    """Whether a drawn block has no layer on the way past."""
    return known["C"] == known["O"] and known["height"] % 2 == 0


def drawn_skip(source, known):
    """A layer past the block, but for some blocks that keep their channels."""
    outputs, inputs = known["G"] * known["O"], known["G"] * known["C"]
    return None if passes(known) else source.normal((outputs, inputs, 1, 1))


def drawn_skip_bias(source, known):
    """Its bias."""
    return None if passes(known) else source.normal((known["G"] * known["O"],))


def past(x, skip_weight, skip_bias, **_):
    return x if skip_weight is None else conv2d(x, skip_weight, skip_bias, 1, 0, 0, 1, 1)


def transposed(f, **inputs):
    across = {name: turned(inputs[name]) for name in ("x", *KERNELS)}
    yield f(**inputs | across), turned(f(**inputs))


def last_bias(f, **inputs):
    moved = inputs | {"conv2_bias": inputs["conv2_bias"] + 2}
    yield f(**moved), f(**inputs) + 2


def no_time_is_zero(f, **inputs):
    silent_time = f(**inputs | {"emb": 0 * inputs["emb"]})
    yield silent_time, f(**inputs | {"emb_weight": 0 * inputs["emb_weight"]})


def first_groups_bias(f, **inputs):
    """What is added to all channels of a group alike is normalised away."""
    shifted = inputs | {"conv1_bias": inputs["conv1_bias"] + 3}
    yield f(**shifted), f(**inputs)


COMMON = (
    silent(
        "with zero weights in the second convolution the result is the residual plus its bias",
        lambda conv2_bias, **block: past(**block) + conv2_bias[:, None, None],
        "conv2_weight",
    ),
    Law("maps and kernels transposed give the result transposed", transposed),
    Law("the last bias is added to the result", last_bias),
    Law("a time embedding of zero acts like zero weights for the time", no_time_is_zero),
    Law("a constant added between the convolutions to every channel is lost", first_groups_bias),
    samples_apart("x", "emb"),
)


def biases_meet(f, **inputs):
    one = inputs | {"conv1_bias": inputs["conv1_bias"] + inputs["emb_bias"]}
    yield f(**one | {"emb_bias": 0 * inputs["emb_bias"]}), f(**inputs)


def block(groups, into, out, told, **more):
    """A block between channels of other means and sizes; `told` numbers are made of the time."""
    size = 1 + np.arange(groups * into)[:, None, None]
    return {
        "x": sines(2, groups * into, 2, 3) * size + size,
        "emb": 2 * sines(2, 3),
        "norm1_gain": 1 + cosines(groups * into),
        "norm1_bias": sines(groups * into),
        "conv1_weight": cosines(groups * out, groups * into, 3, 3),
        "conv1_bias": sines(groups * out),
        "emb_weight": 2 * cosines(told, 3),
        "emb_bias": sines(told) / 2,
        "norm2_gain": 1 - cosines(groups * out),
        "norm2_bias": cosines(groups * out),
        "conv2_weight": sines(groups * out, groups * out, 3, 3),
        "conv2_bias": sines(groups * out),
        "skip_weight": sines(groups * out, groups * into, 1, 1),
        "skip_bias": cosines(groups * out),
        "groups": groups,
        "eps": 1e-5,
    } | more


def small_waves(told):
    """Two channels of two by two pixels, one group, an identity past the block."""
    return {
        "x": sines(1, 2, 2, 2),
        "emb": cosines(1, 3),
        "norm1_gain": np.ones(2),
        "norm1_bias": np.zeros(2),
        "conv1_weight": cosines(2, 2, 3, 3),
        "conv1_bias": np.zeros(2),
        "emb_weight": told,
        "emb_bias": np.zeros(len(told)),
        "norm2_gain": np.ones(2),
        "norm2_bias": np.zeros(2),
        "conv2_weight": 0.1 * sines(2, 2, 3, 3),
        "conv2_bias": np.zeros(2),
        "skip_weight": None,
        "skip_bias": None,
        "groups": 1,
        "eps": 1e-5,
    }


def quiet_maps(told):
    """Activations so small that eps counts, in two groups that keep their channels."""
    quiet = block(2, 2, 2, told, skip_weight=None, skip_bias=None, eps=1e-6)
    return quiet | {name: 1e-3 * quiet[name] for name in ("x", "conv1_weight", "conv1_bias")}


FIRST = "activated_conv(x, norm1_gain, norm1_bias, conv1_weight, conv1_bias, groups, eps)"
TOLD = "linear(silu(emb), emb_weight, emb_bias)"
NOT_SILENT = "https://github.com/labmlai/annotated_deep_learning_paper_implementations/issues/165"


def mistakes_of_both(name, past_and_block):
    """Mistakes that are written alike in both forms."""
    wrong = mistakes_of(name)
    return (
        wrong(
            "time-not-activated",
            "projects the time without the activation before it",
            TOLD,
            "linear(emb, emb_weight, emb_bias)",
            "the time has only a linear effect on each block",
            "the time is 0 or far above it",
            source=NOT_SILENT,
        ),
        wrong(
            "first-not-activated",
            "leaves out the activation before the first convolution",
            "conv2d(silu(group_norm(x, gain, shift, groups, eps))",
            "conv2d(group_norm(x, gain, shift, groups, eps)",
            "half of the block is linear",
            "what is normalised is far above 0",
            where="activated_conv",
        ),
        wrong(
            "convolution-first",
            "normalises after the first convolution instead of before it",
            FIRST,
            "conv2d(x, conv1_weight, conv1_bias, 1, 1, 1, 1, 1)",
            "activations grow from block to block",
            "maps are normalised and far above 0",
        ),
        wrong(
            "half-the-sum",
            "divides the sum by √2",
            past_and_block,
            past_and_block.replace(" + h", " / np.sqrt(0 * h + 2) + h / np.sqrt(0 * h + 2)"),
            "maps shrink from block to block; some other models do so",
            "the result is 0",
        ),
        wrong(
            "nothing-past",
            "forgets the residual connection",
            past_and_block,
            past_and_block.replace(" + h", " * 0 + h"),
            "gradients vanish in a deep network",
            "x is 0",
        ),
        wrong(
            "normalised-past",
            "adds the normalised map as residual instead of x",
            "    h = activated_conv(x,",
            "    x = group_norm(x, norm1_gain, norm1_bias, groups, eps)\n    h = activated_conv(x,",
            "the scale of the input is lost",
            "the map is normalised already",
        ),
        wrong(
            "edge-repeated",
            "pads with copies of the edge instead of zeros",
            "np.pad(images, ((0, 0), (0, 0), edges, edges))",
            'np.pad(images, ((0, 0), (0, 0), edges, edges), "edge")',
            "other values along the borders",
            "maps are 0 along the edge",
            where="convolution.windows",
        ),
        wrong(
            "ten-times-eps",
            "uses ten times the eps, the default of another library",
            "np.sqrt(variance + eps)",
            "np.sqrt(variance + 10 * eps)",
            "small activations come out too small",
            "eps is 0, or the variance is large",
            where="layers.group_norm",
            source="https://github.com/ml-explore/mlx-examples/issues/1434",
        ),
    )


wrong = mistakes_of("residual_block")
SECOND = "    h = activated_conv(h,"
DRAWN = {"skip_weight": drawn_skip, "skip_bias": drawn_skip_bias, "eps": draw_layer_eps}

RESIDUAL_BLOCK = Op(
    text.residual_block,
    values=DRAWN,
    costly=("B", "G", "C", "O", "height", "width"),
    laws=(*COMMON, Law("the biases of the time and of the first convolution add up", biases_meet)),
    probes=(
        Probe("two by two pixels", lambda: small_waves(cosines(2, 3))),
        Probe("other channels, two groups", lambda: block(2, 2, 3, 6)),
        Probe("activations of a thousandth", lambda: quiet_maps(4)),
    ),
    mistakes=(
        *mistakes_of_both("residual_block", "skip_bias) + h"),
        wrong(
            "time-behind",
            "adds the time after the second convolution",
            "    h = h + told[:, :, None, None]  # B G*O height width\n" + SECOND,
            SECOND,
            "the time shifts whole maps and passes no nonlinearity of the block",
            "the weights of the time are zero",
            also=(("", "skip_bias) + h", "skip_bias) + h + told[:, :, None, None]"),),
        ),
        wrong(
            "time-before",
            "adds the time before the first convolution",
            "told[:, :, None, None]  # B G*O height width",
            "conv2d(np.broadcast_to(told[:, :, None, None], h.shape), "
            "conv2_weight, None, 1, 1, 1, 1, 1)",
            "the time passes through the first convolution",
            "the weights of the time are zero",
        ),
        wrong(
            "time-of-first",
            "uses the first sample's time for the whole batch",
            "told[:, :, None, None]",
            "told[:1, :, None, None]",
            "a batch with different times gets only one of them",
            "all samples have one time",
        ),
    ),
)


def only_scale(f, **inputs):
    """Where nothing listens to the time, scale and shift are part of the normalisation."""
    scale, shift = np.split(inputs["emb_bias"], 2)
    deaf = inputs | {"emb_weight": 0 * inputs["emb_weight"]}
    moved = {
        "norm2_gain": inputs["norm2_gain"] * (1 + scale),
        "norm2_bias": inputs["norm2_bias"] * (1 + scale) + shift,
        "emb_bias": 0 * inputs["emb_bias"],
    }
    yield f(**deaf | moved), f(**deaf)


def plain_without_time(f, **inputs):
    nothing = {name: 0 * inputs[name] for name in ("emb_weight", "emb_bias")}
    half = {name: zeros[: len(zeros) // 2] for name, zeros in nothing.items()}
    yield f(**inputs | nothing), text.residual_block(**inputs | half)


wrong = mistakes_of("residual_block_scale_shift")
CUT = "scale, shift = np.split(told, 2, axis=1)"
MOVED = "normal * (1 + scale) + shift"

RESIDUAL_BLOCK_SCALE_SHIFT = Op(
    text.residual_block_scale_shift,
    values=DRAWN,
    costly=("B", "G", "C", "O", "height", "width"),
    laws=(
        *COMMON,
        Law(
            "without weights for the time, its biases act like gain and bias of the normalisation",
            only_scale,
        ),
        Law("without scale and shift it is the plain block", plain_without_time),
    ),
    probes=(
        Probe(
            "two by two pixels",
            lambda: small_waves(np.concatenate((cosines(2, 3), cosines(2, 3)[::-1]))),
        ),
        Probe("other channels, two groups", lambda: block(2, 2, 3, 12)),
        Probe("activations of a thousandth", lambda: quiet_maps(8)),
    ),
    mistakes=(
        *mistakes_of_both("residual_block_scale_shift", "passed + h"),
        wrong(
            "without-one",
            "multiplies by scale instead of 1 + scale",
            MOVED,
            "normal * scale + shift",
            "maps vanish where the scale is near 0, as after initialisation",
            "never",
            source="https://github.com/lucidrains/denoising-diffusion-pytorch/issues/120",
        ),
        wrong(
            "halves-exchanged",
            "exchanges scale and shift",
            CUT,
            "shift, scale = np.split(told, 2, axis=1)",
            "wrong with given weights; a model trained this way hides it",
            "both halves are equal",
        ),
        wrong(
            "dealt-out",
            "reads scales and shifts as alternating entries instead of halves",
            CUT,
            "scale, shift = told[:, 0::2], told[:, 1::2]",
            "wrong with given weights",
            "there is one channel",
        ),
        wrong(
            "added",
            "adds the scale before the normalisation, as the plain block does",
            MOVED,
            "group_norm(h + scale, norm2_gain, norm2_bias, groups, eps) + shift",
            "the normalisation removes part of the time",
            "the scale is 0",
        ),
        wrong(
            "shifted-before-scaled",
            "adds the shift before multiplying by the scale",
            MOVED,
            "(normal + shift) * (1 + scale)",
            "shifts are scaled as well",
            "scale or shift is 0",
        ),
    ),
)
