"""What is known about samplers."""

from refimpl.ops.samplers.spec.churn import CHURN
from refimpl.ops.samplers.spec.ddim_inversion import DDIM_INVERSION
from refimpl.ops.samplers.spec.dpm_solver_step import DPM_SOLVER_STEP
from refimpl.ops.samplers.spec.euler_ancestral_step import EULER_ANCESTRAL_STEP
from refimpl.ops.samplers.spec.euler_step import EULER_STEP
from refimpl.ops.samplers.spec.heun_step import HEUN_STEP
from refimpl.ops.samplers.spec.plms_eps import PLMS_EPS

OPS = (
    EULER_STEP,
    EULER_ANCESTRAL_STEP,
    HEUN_STEP,
    CHURN,
    DPM_SOLVER_STEP,
    PLMS_EPS,
    DDIM_INVERSION,
)
