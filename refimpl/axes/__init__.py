"""The annotations of a signature: kinds of numbers, and the axes they lie along.

A signature such as `query: Float[Array, "B G*R N E"]` is read three times: by the reader, by the
run-time check of every public function, and by the strategies that draw inputs. The notation:

    B N D        one axis a name; equal names have equal sizes
    3*H*E        a product: its size is the product, one unknown factor is solved for
    N+1          a number more
    ...          any number of axes, the same ones wherever the dots appear
    1 2          a fixed size
    broadcastable B H N M    any shape that NumPy broadcasts to these axes

A kind is one record here, an axis one in `names`: its range and storage, how long it is, how it is
drawn. A type checker takes every kind for `Annotated`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from refimpl.axes.annotation import Array as Array
from refimpl.axes.annotation import AxesError as AxesError
from refimpl.axes.annotation import Given as Given
from refimpl.axes.annotation import Kind as Kind
from refimpl.axes.annotation import Spec as Spec
from refimpl.axes.drawing import Wanted as Wanted
from refimpl.axes.drawing import (
    draw_below,
    draw_betas,
    draw_bias,
    draw_earlier,
    draw_kept,
    draw_labels,
    draw_log_variances,
    draw_mask,
    draw_pixels,
    draw_shares,
    draw_times,
    draw_up_to,
    draw_weights,
)
from refimpl.axes.names import AXES as AXES
from refimpl.axes.names import Axis as Axis

if TYPE_CHECKING:
    from typing import Annotated as AlphaBar
    from typing import Annotated as Base
    from typing import Annotated as Betas
    from typing import Annotated as Bias
    from typing import Annotated as Count
    from typing import Annotated as Deviation
    from typing import Annotated as Epsilon
    from typing import Annotated as Fixed
    from typing import Annotated as Float
    from typing import Annotated as Fraction
    from typing import Annotated as Gain
    from typing import Annotated as Index
    from typing import Annotated as Kept
    from typing import Annotated as Label
    from typing import Annotated as Level
    from typing import Annotated as Limit
    from typing import Annotated as LogScale
    from typing import Annotated as LogVariance
    from typing import Annotated as Mask
    from typing import Annotated as Pixel
    from typing import Annotated as Positive
    from typing import Annotated as Previous
    from typing import Annotated as Scale
    from typing import Annotated as Size
    from typing import Annotated as Stride
    from typing import Annotated as Time
    from typing import Annotated as Total
    from typing import Annotated as Uniform
    from typing import Annotated as Variance
    from typing import Annotated as Weight
else:
    Float = Kind(
        "Float",
        "real numbers",
        free=True,
        usual=lambda share, _: [0.0, 1.0, -10.0, 10 * share - 5],
    )
    Weight = Kind(
        "Weight", "parameters of a layer, an output of it a row", free=True, draw=draw_weights
    )
    Fixed = Kind(
        "Fixed",
        "real numbers that a gradient takes as given",
        usual=lambda share, _: [0.0, 1.0, -10.0, 10 * share - 5],
    )
    Bias = Kind(
        "Bias",
        "an additive mask: finite, or -inf where nothing may be seen",
        hides=True,
        draw=draw_bias,
    )
    Epsilon = Kind(
        "Epsilon", "a small guard", low=0, table=True, usual=lambda *_: [1e-5, 1e-6, 1e-12, 1e-3]
    )
    Fraction = Kind(
        "Fraction",
        "a number in [0, 1]",
        low=0,
        high=1,
        usual=lambda share, _: [0.0, 1.0, 0.5, share, share],
    )
    LogScale = Kind(
        "LogScale",
        "a natural logarithm of a scale",
        usual=lambda share, _: [0.0, 2.659260036932778, 4.605170185988092, 4.6 * share],
    )
    LogVariance = Kind("LogVariance", "natural logarithms of variances", draw=draw_log_variances)
    Scale = Kind(
        "Scale", "a guidance scale", usual=lambda share, _: [0.0, 1.0, 2.0, 7.5, 10 * share]
    )
    Variance = Kind("Variance", "variances", low=0)
    Deviation = Kind("Deviation", "positive standard deviations", low=0, open_low=True)
    Betas = Kind(
        "Betas",
        "noise variances in (0, 1]",
        low=0,
        high=1,
        open_low=True,
        table=True,
        draw=draw_betas,
    )
    AlphaBar = Kind(
        "AlphaBar", "signal shares in [0, 1]", low=0, high=1, table=True, draw=draw_shares
    )
    Base = Kind(
        "Base",
        "a base above one",
        low=1,
        open_low=True,
        usual=lambda share, _: [1e4, 5e5, 1e6, 2 + 8 * share],
    )
    Limit = Kind(
        "Limit",
        "a positive limit, inf for none",
        low=0,
        open_low=True,
        usual=lambda *_: [1.0, math.inf, 0.5, 2.0],
    )
    Level = Kind(
        "Level",
        "a noise level, zero or more",
        low=0,
        usual=lambda share, _: [0.0, 0.03125, 0.875, 0.9 * share],
    )
    Positive = Kind(
        "Positive",
        "numbers above zero",
        low=0,
        open_low=True,
        usual=lambda share, _: [1.0, 2.0, 14.5, 1 + 9 * share],
    )
    Pixel = Kind(
        "Pixel", "brightnesses in [-1, 1], of 256 equal steps", low=-1, high=1, draw=draw_pixels
    )
    Time = Kind("Time", "diffusion times, zero-based", low=0, table=True, draw=draw_times)
    Index = Kind(
        "Index", "zero-based indices below the named axis", low=0, integer=True, draw=draw_below
    )
    Previous = Kind(
        "Previous",
        "an earlier index, -1 before the first",
        low=-1,
        integer=True,
        not_after="Index",
        draw=draw_earlier,
    )
    Count = Kind(
        "Count",
        "a number from 0 to the size of the named axis",
        low=0,
        integer=True,
        up_to=True,
        draw=draw_up_to,
        usual=lambda _, limit: range(limit + 1),
    )
    Size = Kind(
        "Size", "the size of the named axis", low=0, integer=True, measures=True, up_to=True
    )
    Stride = Kind("Stride", "a whole number of at least one", low=1, integer=True)
    Gain = Kind("Gain", "numbers that are not negative", low=0)
    Total = Kind("Total", "whole numbers that are not negative", low=0, integer=True)
    Uniform = Kind("Uniform", "numbers in [0, 1)", low=0, high=1, open_high=True)
    Mask = Kind(
        "Mask",
        "1 where it counts, 0 where not",
        low=0,
        high=1,
        integer=True,
        truths=True,
        draw=draw_mask,
    )
    Label = Kind("Label", "integer labels", integer=True, draw=draw_labels)
    Kept = Kind(
        "Kept",
        "strictly increasing indices below the named axis",
        low=0,
        integer=True,
        increasing=True,
        draw=draw_kept,
    )
