"""What is known about flows."""

from refimpl.ops.flow.spec.densities import COSMAP_DENSITY, LOGIT_NORMAL_DENSITY, MODE_TIME
from refimpl.ops.flow.spec.lines import FLOW_PARTS, FLOW_SAMPLE
from refimpl.ops.flow.spec.steps import FLOW_ANCESTRAL_STEP, FLOW_EULER_STEP
from refimpl.ops.flow.spec.times import FLOW_SHIFT, FLOW_SHIFT_EXPONENTIAL

OPS = (
    FLOW_SAMPLE,
    FLOW_PARTS,
    FLOW_EULER_STEP,
    FLOW_ANCESTRAL_STEP,
    FLOW_SHIFT,
    FLOW_SHIFT_EXPONENTIAL,
    LOGIT_NORMAL_DENSITY,
    COSMAP_DENSITY,
    MODE_TIME,
)
