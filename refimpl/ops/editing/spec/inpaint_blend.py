"""What is known about inpaint_blend: laws, probes, mistakes and a dialect."""

import numpy as np

from refimpl.op import Law, Op, Probe
from refimpl.ops.common import cosines, mistakes_of, sines
from refimpl.ops.editing import reference as text

LINE = "mask * sample + (1 - mask) * known"
EDGE = np.array([[[[0.0, 0.0, 0.25, 1.0]]]])


def all_new(f, sample, known, mask):
    yield f(sample, known, 0 * mask + 1), sample
    yield f(sample, known, 0 * mask), known


def exchanged(f, sample, known, mask):
    yield f(sample, known, mask), f(known, sample, 1 - mask)


def same(f, sample, known, mask):
    yield f(known, known, mask), known


def whole_masks_twice(f, sample, known, mask):
    whole = np.where(np.asarray(getattr(mask, "value", mask)) > 0.5, 1.0, 0.0)
    yield f(f(sample, known, whole), known, whole), f(sample, known, whole)


wrong = mistakes_of("inpaint_blend")


INPAINT_BLEND = Op(
    text.inpaint_blend,
    laws=(
        Law("1 is painted, 0 is kept", all_new),
        Law("the opposite mask exchanges the pictures", exchanged),
        Law("of two equal pictures nothing changes", same),
        Law("twice is once where the mask is whole", whole_masks_twice),
    ),
    probes=(
        Probe(
            "an edge",
            lambda: {"sample": sines(1, 2, 3, 4), "known": 2 + cosines(1, 2, 3, 4), "mask": EDGE},
        ),
        Probe(
            "a mask for each picture",
            lambda: {
                "sample": sines(2, 1, 2, 2),
                "known": 2 + cosines(2, 1, 2, 2),
                "mask": np.array([1.0, 0.125]).reshape(2, 1, 1, 1),
            },
        ),
    ),
    mistakes=(
        wrong(
            "added-on-top",
            "adds the known part to the whole sample",
            LINE,
            "sample + (1 - mask) * known",
            "the kept part is too bright",
            "everything is painted",
        ),
        wrong(
            "rounded-mask",
            "takes a mask between 0 and 1 for 1",
            LINE,
            "np.where(mask > 0, sample, known)",
            "hard edges, and known pixels lost beside them",
            "the mask is 0 or 1 everywhere",
        ),
        wrong(
            "averaged",
            "averages inside the mask",
            LINE,
            "(mask * sample + (2 - mask) * known) / 2",
            "the old picture shines through",
            "nothing is painted",
        ),
        wrong(
            "squared-mask",
            "masks the sample twice",
            LINE,
            "mask * mask * sample + (1 - mask) * known",
            "dark edges",
            "the mask is 0 or 1 everywhere",
        ),
        wrong(
            "first-mask-for-all",
            "takes the first picture's mask for all",
            LINE,
            "mask[:1] * sample + (1 - mask[:1]) * known",
            "other pictures are painted in the wrong place",
            "all have one mask",
        ),
        wrong(
            "left-and-right",
            "mirrors the mask",
            LINE,
            "mask[..., ::-1] * sample + (1 - mask[..., ::-1]) * known",
            "the wrong side is painted",
            "the mask is symmetric",
        ),
    ),
    dialects=(
        wrong(
            "one-is-kept",
            "keeps the picture where the mask is 1",
            LINE,
            "(1 - mask) * sample + mask * known",
            "the opposite mask, as RePaint has it",
            "the mask is one half everywhere",
        ),
    ),
)
