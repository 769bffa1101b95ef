"""What is known about the gates."""

from refimpl.ops.gates.spec.gated import (
    GEGLU,
    GEGLU_TANH,
    GEGLU_TANH_VJP,
    GEGLU_VJP,
    SWIGLU,
    SWIGLU_VJP,
)
from refimpl.ops.gates.spec.relu import RELU, RELU_VJP

OPS = (RELU, RELU_VJP, SWIGLU, SWIGLU_VJP, GEGLU, GEGLU_VJP, GEGLU_TANH, GEGLU_TANH_VJP)
