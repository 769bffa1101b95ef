"""Convolution by transforms is named after them; what is wrong on the same kernels is not."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.fft

from refimpl.oracle.cases.drawn import generate
from refimpl.oracle.diagnosis.causes import causes, digits_lost
from refimpl.oracle.diagnosis.evidence import Evidence
from refimpl.registry import OPS
from tests.harness import twin

OP = OPS["conv2d"]
POINTS = {2: (0, 1, -1), 4: (0, 1, -1, 2, -2)}  # where polynomials are evaluated, and at infinity


def evaluated(points, terms):
    """The values of a polynomial at each point, and its last coefficient."""
    rows = [[p**k for k in range(terms)] for p in points]
    return np.array([*rows, [0] * (terms - 1) + [1]], dtype=np.float64)


def transforms(m):
    """Toom and Cook: of the image, of the kernel and of the result, for m outputs at once."""
    into = np.linalg.inv(evaluated(POINTS[m], m + 2)).T
    of_kernel, back = evaluated(POINTS[m], 3), evaluated(POINTS[m], m).T
    return [t.astype(np.float32) for t in (into, of_kernel, back)]


def by_tiles(m):
    """What a library does that has such a kernel: tile after tile, others summed as ever."""
    into, of_kernel, back = transforms(m)

    def conv2d(images, weight, bias, stride, before, after, dilation, groups):
        plain = twin(OP)(images, weight, bias, stride, before, after, dilation, groups)
        if weight.shape[2:] != (3, 3) or (stride, dilation) != (1, 1) or plain.size == 0:
            return plain
        result, C, each = np.zeros_like(plain), weight.shape[1], len(weight) // groups
        edges = (before, after + m)
        padded = np.pad(images, ((0, 0), (0, 0), edges, edges))
        kernels = of_kernel @ weight @ of_kernel.T
        tall, wide = plain.shape[2:]
        for o in range(len(weight)):
            mine = padded[:, o // each * C : (o // each + 1) * C]
            for y in range(0, tall, m):
                for x in range(0, wide, m):
                    tile = mine[:, :, y : y + m + 2, x : x + m + 2]
                    tile = into @ tile @ into.T
                    found = back @ (tile * kernels[o]).sum(axis=1) @ back.T
                    part = result[:, o, y : y + m, x : x + m]
                    part[...] = found[:, : part.shape[1], : part.shape[2]]
        return result if bias is None else result + bias[:, None, None]

    return conv2d


def by_waves(images, weight, bias, stride, before, after, dilation, groups):
    """What a library does that convolves by fast Fourier transforms, with any kernel."""
    outputs, C, side, _ = weight.shape
    edges, apart = (before, after), dilation * (side - 1) + 1
    padded = np.pad(images, ((0, 0), (0, 0), edges, edges))
    spread = np.zeros((outputs, C, apart, apart), weight.dtype)
    spread[:, :, ::dilation, ::dilation] = weight
    sides = padded.shape[2:]
    image, kernel = scipy.fft.rfft2(padded), np.conj(scipy.fft.rfft2(spread, sides))
    image = image.reshape(len(images), groups, C, *image.shape[2:])
    kernel = kernel.reshape(groups, outputs // groups, C, *kernel.shape[2:])
    waves = (image[:, :, None] * kernel).sum(axis=3)
    found = scipy.fft.irfft2(waves, sides).reshape(len(images), outputs, *sides)
    found = found[:, :, : sides[0] - apart + 1 : stride, : sides[1] - apart + 1 : stride]
    return found if bias is None else found + bias[:, None, None]


def wrong_by(share):
    """Off by a share of the centre tap, on the kernels that Winograd's forms apply to."""

    def conv2d(images, weight, bias, **how):
        if weight.shape[2:] == (3, 3) and how["stride"] == how["dilation"] == 1:
            weight = weight.copy()
            weight[:, :, 1, 1] *= weight.dtype.type(1 + share)
        return twin(OP)(images, weight, bias, **how)

    return conv2d


def evidence_of(target, precision="float32"):
    def answer(case):
        return [np.asarray(target(**case.typed(OP)))]

    seen = [(case, answer(case)) for case in generate(OP, precision, 64, 0)]
    evidence = Evidence(OP, precision, seen, answer)
    assert any(observation.fails for observation in evidence), "nothing deviates"
    return evidence


def named(target):
    return [(cause.kind, cause.id) for cause in causes(evidence_of(target))]


@pytest.mark.parametrize("m", [2, 4])
def test_winograd_is_named_with_a_bound_of_its_own(m):
    assert named(by_tiles(m)) == [("precision", f"conv2d/winograd-{m}")]


def test_a_fast_fourier_transform_is_named_with_a_bound_of_its_own():
    assert named(by_waves) == [("precision", "conv2d/fourier")]


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("share", [0.25, 0.0625])
def test_what_is_wrong_on_the_same_kernels_is_not_called_a_transform(precision, share):
    assert not digits_lost(evidence_of(wrong_by(share), precision))
