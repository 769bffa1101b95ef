"""Which kind of picture an operation has, where its signature alone would choose a poorer one."""

from __future__ import annotations

from typing import Any

import numpy as np

import refimpl
from docs.book.drawing import photograph
from docs.book.kinds import (
    Drawing,
    as_tables,
    drawn_case,
    over,
    results,
    slices,
)
from docs.book.plots import BECOMES, Line, Mark, Picture, chart, heat, photo, plane
from docs.book.scenes import BEFORE, NOW, in_the_plane
from refimpl.op import Op

SCORES = np.array([[3.1, 2.6, 1.9, 1.2, 0.4, -0.3, -1.1, -2.0]])  # of eight words, in order
TOKENS = np.array([[1.2, 0.8, 1.6, 1.0], [-3.0, 2.0, 4.0, 1.0], [0.1, 0.3, 0.2, 0.2]])


def before_and_after(name: str, says: str, **given: Any) -> Drawing:
    """The numbers of each row of an array on a line, and those of the result below."""

    def draw(op: Op) -> Picture:
        inputs = drawn_case(op, **given)
        panels = []
        for title, value in ((name, inputs[name]), (op.name, results(op, inputs)[0])):
            rows = value[0].reshape(value.shape[1], -1) if np.ndim(value) == 4 else value
            lines = [Line(f"row {i}", x, np.full(len(x), -i), "dots") for i, x in enumerate(rows)]
            around = (None, (-len(lines) + 0.4, 0.6))
            panels.append(chart(title, lines, "value", around=around, rows=True))
        return Picture((panels[0], BECOMES, panels[1]), says)

    return draw


def kept(name: str, value: float, says: str) -> Drawing:
    """The shares of eight words, and what is left of them after a filter of scores."""

    def draw(op: Op) -> Picture:
        (left,) = results(op, op.read(SCORES, value))
        places, panels = np.arange(8), []
        for title, scores in (("before", SCORES), (f"{op.name}, {name} = {value:g}", left)):
            shares = refimpl.softmax(scores)[0]
            panels.append(
                chart(
                    title,
                    [Line("", places, shares, "bars")],
                    "word",
                    "share",
                    around=((-0.6, 7.6), (0.0, 1.0)),
                )
            )
        return Picture((panels[0], BECOMES, panels[1]), says)

    return draw


def cut(op: Op) -> Picture:
    """Squares of a portrait, pooled to one size."""
    image = photograph()[::2, ::2].transpose(2, 0, 1)[None]  # 1 channels 112 112
    (found,) = results(
        op,
        op.read(image, np.array([4, 30, 10]), np.array([20, 44, 5]), np.array([60, 40, 100]), 28),
    )
    panels = [photo("images", image[0].transpose(1, 2, 0))]
    panels += [BECOMES]
    panels += [photo(f"cutout {i}", x.transpose(1, 2, 0), 84) for i, x in enumerate(found)]
    says = "Three squares of a portrait, of 60, 40 and 100 pixels, each pooled to 28 by 28."
    return Picture(tuple(panels), says)


def portrait() -> np.ndarray:
    """A portrait in grey as a batch: 1 1 112 112."""
    return photograph().mean(axis=2)[::2, ::2][None, None]


def repainted(says: str, *others: Any, **named: Any) -> Drawing:
    """A portrait, and what an operation on images makes of it."""

    def draw(op: Op) -> Picture:
        image = portrait()
        (found,) = results(op, op.read(image, *others, **named))
        shown = found[0, 0] if found.min() >= 0 else found[0, 0] / 2 + 0.5
        before, after = photo(next(iter(op.specs)), image[0, 0]), photo(op.name, shown)
        return Picture((before, BECOMES, after), says)

    return draw


def filled(op: Op) -> Picture:
    """A portrait with a hole that a sample fills."""
    known, mask = portrait(), np.zeros((1, 1, 112, 112))
    mask[..., 30:80, 40:90] = 1
    sample = known[..., ::-1]
    (found,) = results(op, op.read(sample, known, mask))
    shown = {"sample": sample, "known": known, "mask": mask}
    panels = [photo(name, image[0, 0], 110) for name, image in shown.items()]
    says = "Inside the mask the sample, here the mirrored portrait; outside it the known picture."
    return Picture((*panels, BECOMES, photo(op.name, found[0, 0], 110)), says)


def joined(op: Op) -> Picture:
    """Patches, and the image that they make."""
    image = photograph()[::2, ::2].transpose(2, 0, 1)[None]
    patches = refimpl.patchify(image, 28)  # 1 16 channels*P*P
    (found,) = results(op, op.read(patches, 28, 4, 3))
    squares = patches[0].reshape(16, 3, 28, 28).transpose(0, 2, 3, 1)
    gap = np.full((16, 32, 32, 3), 1.0)
    gap[:, 2:30, 2:30] = squares
    sheet = gap.reshape(4, 4, 32, 32, 3).transpose(0, 2, 1, 3, 4).reshape(128, 128, 3)
    panels = (photo("patches", sheet), BECOMES, photo("image", found[0].transpose(1, 2, 0)))
    return Picture(panels, "Sixteen patches of 28 by 28 pixels, and the image that they make.")


def turned(op: Op) -> Picture:
    """One pair of numbers, turned on by each position."""
    angles = refimpl.rotary_angles(np.arange(6.0), 1, 10_000.0) * 0.5
    x = np.tile([1.0, 0.4], (1, 1, 6, 1))  # B H N 2*E
    (found,) = results(op, op.read(x, angles))
    marks = [Mark(f"position {k}", tuple(p), (0.0, 0.0), k > 0) for k, p in enumerate(found[0, 0])]
    return Picture(
        (plane(op.name, marks, side=320),),
        "The same pair of numbers at six positions: each rotates it by half a radian more. The "
        "product of two of these arrows depends only on the distance of their positions.",
    )


def distances(op: Op) -> Picture:
    """Curves of the operation over the angle between two features."""
    angle = np.linspace(0, np.pi, 60)
    image, texts = np.array([[1.0, 0.0]]), np.stack([np.cos(angle), np.sin(angle)], axis=1)
    (found,) = results(op, op.read(image, 3.0 * texts))
    line = Line("", angle, found[0])
    says = "The distance over the angle between two features; their lengths do not matter."
    return Picture((chart(op.name, [line], "angle, radians", "distance"),), says)


def answered(op: Op) -> Picture:
    """Logits of five positions, and the numbers they get for their labels."""
    logits = np.round(np.random.default_rng(3).normal(0, 1.5, (1, 4, 5)), 1)
    labels = np.array([[2, 0, 4, 1]])
    (found,) = results(op, op.read(logits, labels))
    panels = (
        heat("logits[0]", logits[0], "word"),
        heat("labels", labels.T),
        BECOMES,
        heat("result", found.T),
    )
    return Picture(panels, "Four positions and five words: the log share of each labelled word.")


def walked(says: str, **given: Any) -> Drawing:
    """A line through the places of a grid, in the order that an operation puts them."""

    def draw(op: Op) -> Picture:
        order = results(op, drawn_case(op, **given))[0]
        x, y = order % given["cols"], -(order // given["cols"])
        lines = [Line("", x, y), Line("", x, y, "dots")]
        return Picture((chart(op.name, lines, "column", rows=True),), says)

    return draw


SIZE_AXIS = np.geomspace(1e7, 1e11, 60)
SHARES = np.array([[0.5, 0.25, 0.15, 0.1]])
FAR = np.arange(-12, 13)
NEAR = np.arange(8.0)
UP = np.ones(4)
TIMES = np.array([[0, 1, 1, 1, 2, 2, 3, 3]])
EDGES = np.array([[[[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]]]]) / 4
RECORDS: dict[str, Drawing] = {
    "conv2d": repainted(
        "An edge filter of 3 × 3 numbers, negative on the left and positive on the right: left "
        "edges of light areas become bright, right edges dark.",
        *(EDGES, None, 1, 1, 1, 1, 1),
    ),
    "conv_transpose2d": repainted(
        "Each pixel adds a square of 3 × 3, two pixels from its neighbour's. Where squares overlap "
        "the sum is two or four times as bright: the known checkerboard pattern.",
        *(np.full((1, 1, 3, 3), 0.25), None, 2, 1, 1, 1, 1),
    ),
    "resize_nearest": repainted(
        "A portrait at a quarter of its size: one of every four rows and columns is kept.", 28, 28
    ),
    "avg_pool2d": repainted("The mean of each square of eight by eight pixels.", 8),
    "adaptive_avg_pool2d": repainted(
        "A portrait of 112 rows and columns in ten of each: bins of eleven or twelve pixels.",
        *(10, 10),
    ),
    "inpaint_blend": filled,
    **dict.fromkeys(
        ("img2img_start", "img2img_start_flow"),
        slices(
            "strength",
            at=np.arange(12, 101) / 100,
            levels=10,
            says="The first of ten steps over the strength: a whole step more at each tenth.",
        ),
    ),
    "min_snr_weights": slices(
        "t",
        at=np.arange(20),
        gamma=5.0,
        says="The weights over time: the same loss has different weights for errors of the noise, "
        "the velocity and the clean sample.",
    ),
    "layer_norm": before_and_after(
        "x",
        "Three tokens of four numbers: each is centred and scaled by its own spread.",
        x=TOKENS,
        gain=UP,
        bias=0 * UP,
        eps=1e-5,
    ),
    "rms_norm": before_and_after(
        "x",
        "Three tokens of four numbers: each is scaled by its own size, and keeps its sign.",
        x=TOKENS,
        gain=UP,
        eps=1e-6,
    ),
    "l2_normalize": before_and_after(
        "x", "Three vectors of four numbers, and the same at length one.", x=TOKENS
    ),
    "group_norm": before_and_after(
        "x",
        "Four channels of one feature map in two groups of two: the groups, not the channels,"
        " get mean 0 and spread 1.",
        x=np.random.default_rng(1).normal(size=(1, 4, 1, 6))
        * np.array([1, 3, 0.5, 0.5])[:, None, None]
        + np.array([0, 6, 2, 2])[:, None, None],
        gain=UP,
        bias=0 * UP,
        groups=2,
        eps=1e-5,
    ),
    "whiten": before_and_after(
        "x",
        "Numbers of two texts, centred and scaled together.",
        x=TOKENS[:2],
        keep=np.ones((2, 4), int),
        eps=1e-8,
    ),
    "group_advantage": before_and_after(
        "rewards",
        "Rewards of three prompts, four answers each: what counts is how an answer "
        "compares with the others to the same prompt.",
        rewards=TOKENS,
        eps=1e-8,
    ),
    "dynamic_threshold": before_and_after(
        "x_start",
        "Two samples: the one that leaves [−1, 1] is cut at its own quantile and scaled back.",
        x_start=np.array([[-0.8, -0.2, 0.3, 0.7], [-2.5, -0.5, 1.0, 1.8]]),
        quantile=0.8,
    ),
    "log_softmax": slices(
        "z",
        z=np.array([0.0, 1.0, -1.0]),
        says="Three log shares over the first score: one rises, the others sink.",
    ),
    "softmax": slices("z", z=np.array([0.0, 1.0, -1.0]), says="Three shares over the first score."),
    "temperature_softmax": slices(
        "temperature",
        at=np.linspace(0.1, 4, 60),
        logits=np.array([[2.0, 1.0, 0.0, -1.0]]),
        says="Shares of four words over the temperature.",
    ),
    "penalize_repetition": slices(
        "penalty",
        at=np.linspace(1, 3, 30),
        logits=np.array([[2.0, 1.0, -1.0, 0.5]]),
        seen=np.array([[1, 0, 1, 0]]),
        says="Scores of four words over the penalty; the first and third occurred before.",
    ),
    "keep_top_k": kept("k", 3, "Eight words: the three with the highest scores are kept."),
    "keep_top_p": kept("mass", 0.8, "Eight words: the fewest that make up 80 % are kept."),
    "keep_min_p": kept("share", 0.2, "Eight words: those with a fifth of the best share are kept."),
    "sample_index": slices(
        "uniforms",
        at=np.linspace(0, 0.999, 200),
        probabilities=SHARES,
        uniforms=np.array([0.3]),
        ylabel="index",
        says="The index that is drawn over the uniform number: a staircase whose steps are as wide "
        "as the shares 0.5, 0.25, 0.15 and 0.1.",
    ),
    "gae": slices(
        "trace",
        at=np.linspace(0, 1, 40),
        rewards=np.array([[0.0, 0.0, 0.0, 1.0]]),
        values=np.array([[0.2, 0.4, 0.3, 0.6]]),
        bootstrap=np.array([0.0]),
        discount=1.0,
        done=np.array([[0, 0, 0, 1]]),
        says="Advantages of four steps, the last of which is rewarded, over λ: at 0 only the next "
        "value counts, at 1 all later rewards.",
    ),
    "recall_at_k": slices(
        "k",
        at=np.arange(1, 9),
        relevance=np.array([[1, 0, 0, 1, 0, 1, 0, 0.0]]),
        relevant=np.array([3]),
        says="The share of three relevant documents that are among the first k.",
    ),
    "ndcg": slices(
        "k",
        at=np.arange(1, 5),
        gains=np.array([[1.0, 3.0, 0.0, 2.0]]),
        judged=np.array([[3.0, 2.0, 1.0]]),
        says="The discounted gain over the length of the list that counts.",
    ),
    "vqa_score": over(np.arange(11.0), answers=10),
    "power_law_loss": over(
        SIZE_AXIS,
        "xy",
        "Loss over size: a straight line where both axes are logarithmic.",
        scale=8.8e13,
        exponent=0.076,
    ),
    "learned_range_log_variance": slices(
        "v",
        at=np.linspace(-1, 1, 41),
        says="From the smaller to the larger log variance as "
        "the network's number goes from −1 to 1.",
    ),
    "edm_coefficients": over(
        np.geomspace(0.01, 100, 60), "x", "Four factors over the noise level.", sigma_data=0.5
    ),
    "smart_resize": slices(
        "width",
        at=np.arange(28, 1600, 9),
        height=480,
        factor=28,
        low=56 * 56,
        high=1280 * 28 * 28 // 4,
        says="Both sides of the result over the width of an image of 480 rows: whole units of 28 "
        "pixels, smaller once the area would be too large.",
    ),
    "merge_order": walked(
        "The order of four by six patches: the four of a square come one after another.",
        rows=4,
        cols=6,
        merge=2,
    ),
    "window_order": walked(
        "The order of five by seven tokens in windows of three by three; those at the right and "
        "at the bottom are cut off.",
        frames=1,
        rows=5,
        cols=7,
        window=3,
    ),
    "media_bias": as_tables(
        says="A text of eight tokens with three images of two tokens each: each token sees the "
        "last image so far, the first one none.",
        times=TIMES,
        media=3,
        latents=2,
    ),
    "media_bias_all": as_tables(
        says="A text of eight tokens with three images of two tokens each: each token sees all "
        "images so far, the first one none.",
        times=TIMES,
        media=3,
        latents=2,
    ),
    "cutouts": cut,
    "unpatchify": joined,
    "rotary_embedding": turned,
    "cosine_distance": distances,
    "spherical_distance": distances,
    "token_log_probs": answered,
    "timestep_embedding": as_tables({"E": 8}, t=np.arange(0.0, 1000, 40)),
    "rotary_angles": as_tables({"E": 8}, positions=np.arange(12.0), base=100.0),
    "alibi_bias": as_tables({"H": 2}, query_positions=NEAR, key_positions=NEAR),
    "relative_buckets": as_tables(
        query_positions=FAR, key_positions=FAR, buckets=8, max_distance=12
    ),
    "relative_buckets_causal": as_tables(
        query_positions=FAR, key_positions=FAR, buckets=8, max_distance=12
    ),
    "ddim_inversion": in_the_plane(t=np.array([BEFORE]), t_next=np.array([NOW])),
}
