"""The image operations beside the libraries: their dialects are what the libraries compute."""

from __future__ import annotations

import numpy as np
import pytest

from refimpl.axes import AxesError
from refimpl.oracle.judging.judge import error_ratio, expect
from refimpl.registry import OPS

IMAGES = np.sin(np.arange(2 * 3 * 9 * 7)).reshape(2, 3, 9, 7)


def dialect(op, name):
    return OPS[op].edited(next(e for e in OPS[op].dialects if e.id == f"{op}/{name}"))


@pytest.mark.parametrize("size", [(4, 3), (5, 12), (18, 14), (9, 7), (1, 1)])
@pytest.mark.parametrize(
    ("name", "options"),
    [("no-antialias", {}), ("align-corners", {"align_corners": True})],
)
def test_the_dialects_of_resizing_are_pytorchs(name, options, size):
    torch = pytest.importorskip("torch")
    theirs = torch.nn.functional.interpolate(
        torch.from_numpy(IMAGES), size, mode="bicubic", **options
    )
    inputs = {"images": IMAGES, "tall": size[0], "wide": size[1]}
    (want,) = expect(OPS["resize_bicubic"], inputs, "float64", dialect("resize_bicubic", name))
    assert np.max(error_ratio(want, theirs.numpy())) <= 1


def test_the_dialects_of_cropping_are_those_of_the_published_offsets():
    margins = {"half-down": [0, 1, 1, 2], "half-up": [1, 1, 2, 3]}
    sizes = (225, 226, 227, 229)
    ramps = [np.arange(float(n)).reshape(1, 1, n, 1) for n in sizes]
    for name, offsets in margins.items():
        crop = dialect("center_crop", name)
        assert [int(crop(x, 224, 1)[0, 0, 0, 0]) for x in ramps] == offsets
    crop = OPS["center_crop"].checked
    assert [int(crop(x, 224, 1)[0, 0, 0, 0]) for x in ramps] == [0, 1, 2, 2]


@pytest.mark.parametrize("through", ["checked", "twin"])
def test_crops_that_do_not_fit_are_refused(through):
    import refimpl.fast

    def call(name):
        return OPS[name].checked if through == "checked" else getattr(refimpl.fast, name)

    with pytest.raises(AxesError, match="center_crop: tall has 10, but height=9"):
        call("center_crop")(IMAGES, 10, 7)
    with pytest.raises(AxesError, match="center_crop_vjp: wide has 8, but width=7"):
        call("center_crop_vjp")(IMAGES, 9, 8, np.ones((2, 3, 9, 8)))
    one = np.array([1])
    for name, more in (("cutouts", ()), ("cutouts_vjp", (np.ones((2, 3, 2, 2)),))):
        with pytest.raises(AxesError, match=f"{name}: crop 0 takes 7 pixels from 1, width has 7"):
            call(name)(IMAGES, one, one, 7 * one, 2, *more)
        with pytest.raises(AxesError, match=f"{name}: crop 0 takes 0 pixels"):
            call(name)(IMAGES, one, one, 0 * one, 2, *more)
    with pytest.raises(AxesError, match="cutouts: top has cuts=0, expected at least one"):
        call("cutouts")(IMAGES, one[:0], one[:0], one[:0], 2)
    with pytest.raises(AxesError, match="cutouts_vjp: top has cuts=0, expected at least one"):
        call("cutouts_vjp")(IMAGES, one[:0], one[:0], one[:0], 2, np.ones((0, 3, 2, 2)))
    for name, more in (("resize_bicubic", ()), ("resize_bicubic_vjp", (np.ones((1, 1, 2, 2)),))):
        with pytest.raises(AxesError, match=f"{name}: images have height=0, expected pixels"):
            call(name)(np.ones((1, 1, 0, 3)), 2, 2, *more)
    with pytest.raises(AxesError, match=r"normalize_image: std has 0\.0, expected positive"):
        call("normalize_image")(IMAGES, np.zeros(3), np.zeros(3))
