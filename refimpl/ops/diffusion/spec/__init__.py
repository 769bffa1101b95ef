"""What is known about diffusion: laws, probes, mistakes and dialects.

Three tables of numbers recur: the linear schedule of 1000 steps, the cosine schedule, and the
scaled linear one of Stable Diffusion; published entries are compared as far as they are printed.
"""

from refimpl.ops.diffusion.spec.alpha_bar import ALPHA_BAR, ZERO_TERMINAL_SNR
from refimpl.ops.diffusion.spec.ddim_step import DDIM_STEP
from refimpl.ops.diffusion.spec.log_variances import (
    FIXED_LARGE_LOG_VARIANCE,
    FIXED_SMALL_LOG_VARIANCE,
    LEARNED_RANGE_LOG_VARIANCE,
)
from refimpl.ops.diffusion.spec.noise_and_start import EPS_FROM_X0, X0_FROM_EPS, X0_FROM_EPS_VJP
from refimpl.ops.diffusion.spec.p_sample import P_SAMPLE
from refimpl.ops.diffusion.spec.q_posterior import Q_POSTERIOR
from refimpl.ops.diffusion.spec.q_sample import Q_SAMPLE, Q_SAMPLE_VJP
from refimpl.ops.diffusion.spec.q_step import Q_STEP
from refimpl.ops.diffusion.spec.respacing import RESPACED_BETAS, RESPACED_TIMESTEPS
from refimpl.ops.diffusion.spec.schedules import (
    COSINE_SCHEDULE,
    LINEAR_SCHEDULE,
    SCALED_LINEAR_SCHEDULE,
)
from refimpl.ops.diffusion.spec.score import EPS_FROM_SCORE, SCORE_FROM_EPS
from refimpl.ops.diffusion.spec.velocity import EPS_FROM_V, VELOCITY, X0_FROM_V

OPS = (
    LINEAR_SCHEDULE,
    SCALED_LINEAR_SCHEDULE,
    COSINE_SCHEDULE,
    ALPHA_BAR,
    ZERO_TERMINAL_SNR,
    Q_SAMPLE,
    Q_SAMPLE_VJP,
    Q_STEP,
    Q_POSTERIOR,
    FIXED_SMALL_LOG_VARIANCE,
    FIXED_LARGE_LOG_VARIANCE,
    LEARNED_RANGE_LOG_VARIANCE,
    X0_FROM_EPS,
    X0_FROM_EPS_VJP,
    EPS_FROM_X0,
    VELOCITY,
    X0_FROM_V,
    EPS_FROM_V,
    SCORE_FROM_EPS,
    EPS_FROM_SCORE,
    P_SAMPLE,
    DDIM_STEP,
    RESPACED_TIMESTEPS,
    RESPACED_BETAS,
)
