"""What is known about guidance_two: laws, probes and mistakes."""

import numpy as np

from refimpl.op import Law, Op, Probe
from refimpl.ops.common import mistakes_of
from refimpl.ops.editing import reference as text

NAMES = ("eps_none", "eps_image", "eps_both")


def corners(f, eps_none, eps_image, eps_both, image_scale, text_scale):
    zero, one = 0 * image_scale, 0 * image_scale + 1
    yield f(eps_none, eps_image, eps_both, one, one), eps_both
    yield f(eps_none, eps_image, eps_both, one, zero), eps_image
    yield f(eps_none, eps_image, eps_both, zero, zero), eps_none


def one_guidance(f, eps_none, eps_image, eps_both, image_scale, text_scale):
    found = f(eps_none, eps_none, eps_both, image_scale, text_scale)
    yield found, eps_none + text_scale * (eps_both - eps_none)


def shifted(f, eps_none, eps_image, eps_both, image_scale, text_scale):
    moved = f(eps_none + 3, eps_image + 3, eps_both + 3, image_scale, text_scale)
    yield moved, f(eps_none, eps_image, eps_both, image_scale, text_scale) + 3


def scaled(f, eps_none, eps_image, eps_both, image_scale, text_scale):
    doubled = f(-2 * eps_none, -2 * eps_image, -2 * eps_both, image_scale, text_scale)
    yield doubled, -2 * f(eps_none, eps_image, eps_both, image_scale, text_scale)


wrong = mistakes_of("guidance_two")


OF_IMAGE = "image_scale * (eps_image - eps_none)"
OF_TEXT = "text_scale * (eps_both - eps_image)"

GUIDANCE_TWO = Op(
    text.guidance_two,
    laws=(
        Law("scales of 0 and 1 select one of the predictions", corners),
        Law("without a picture it is classifier_free_guidance", one_guidance),
        Law("a constant added to all predictions is added to the result", shifted),
        Law("is odd and homogeneous in the predictions", scaled),
    ),
    probes=(
        Probe(
            "the paper's scales",
            lambda: {
                "eps_none": np.array([0.5, -1.0, 0.2, 0.1]),
                "eps_image": np.array([0.7, -1.2, 0.3, 0.2]),
                "eps_both": np.array([1.0, -2.0, 0.5, 0.3]),
                "image_scale": 1.5,
                "text_scale": 7.5,
            },
        ),
    ),
    mistakes=(
        wrong(
            "text-from-none",
            "subtracts eps_none instead of eps_image for the text",
            OF_TEXT,
            "text_scale * (eps_both - eps_none)",
            "the picture is counted twice",
            "the picture changes nothing",
        ),
        wrong(
            "scales-exchanged",
            "exchanges the scales",
            OF_IMAGE + "\n",
            "text_scale * (eps_image - eps_none)\n    text_scale = image_scale\n",
            "the picture hardly changes",
            "both scales are equal",
        ),
        wrong(
            "from-the-picture",
            "starts from eps_image instead of eps_none",
            "return eps_none + of_image",
            "return eps_image + of_image",
            "the picture is counted once too often",
            "the picture changes nothing",
        ),
        wrong(
            "picture-and-none-exchanged",
            "exchanges eps_none and eps_image",
            OF_IMAGE,
            "image_scale * (eps_none - eps_image)",
            "guidance moves away from the picture",
            "the picture changes nothing",
        ),
        wrong(
            "one-scale",
            "uses the text's scale for both",
            OF_IMAGE,
            "text_scale * (eps_image - eps_none)",
            "the result stays too close to the picture",
            "both scales are equal",
        ),
        wrong(
            "weight-for-scale",
            "adds one to the scale of the text",
            OF_TEXT,
            "(1 + text_scale) * (eps_both - eps_image)",
            "too much guidance",
            "the text changes nothing",
        ),
    ),
)
