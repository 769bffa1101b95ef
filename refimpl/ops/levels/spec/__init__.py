"""What is known about noise levels."""

from refimpl.ops.levels.spec.denoised_from_v import DENOISED_FROM_V
from refimpl.ops.levels.spec.edm_coefficients import EDM_COEFFICIENTS
from refimpl.ops.levels.spec.edm_weights import EDM_WEIGHTS
from refimpl.ops.levels.spec.exponential_sigmas import EXPONENTIAL_SIGMAS
from refimpl.ops.levels.spec.karras_sigmas import KARRAS_SIGMAS
from refimpl.ops.levels.spec.leading_timesteps import LEADING_TIMESTEPS
from refimpl.ops.levels.spec.level_time import LEVEL_TIME
from refimpl.ops.levels.spec.linspace_timesteps import LINSPACE_TIMESTEPS
from refimpl.ops.levels.spec.scale_input import SCALE_INPUT
from refimpl.ops.levels.spec.sigma_at import SIGMA_AT
from refimpl.ops.levels.spec.sigmas_from_alpha_bar import SIGMAS_FROM_ALPHA_BAR
from refimpl.ops.levels.spec.trailing_timesteps import TRAILING_TIMESTEPS

OPS = (
    LEADING_TIMESTEPS,
    LINSPACE_TIMESTEPS,
    TRAILING_TIMESTEPS,
    SIGMAS_FROM_ALPHA_BAR,
    LEVEL_TIME,
    SIGMA_AT,
    KARRAS_SIGMAS,
    EXPONENTIAL_SIGMAS,
    EDM_COEFFICIENTS,
    EDM_WEIGHTS,
    SCALE_INPUT,
    DENOISED_FROM_V,
)
