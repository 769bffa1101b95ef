"""What is known about generation."""

from refimpl.ops.generation.spec.filters import KEEP_MIN_P, KEEP_TOP_K, KEEP_TOP_P
from refimpl.ops.generation.spec.greedy import GREEDY_INDEX
from refimpl.ops.generation.spec.penalize_repetition import PENALIZE_REPETITION
from refimpl.ops.generation.spec.sampling import SAMPLE_INDEX, TEMPERATURE_SOFTMAX

OPS = (
    TEMPERATURE_SOFTMAX,
    PENALIZE_REPETITION,
    KEEP_TOP_K,
    KEEP_TOP_P,
    KEEP_MIN_P,
    SAMPLE_INDEX,
    GREEDY_INDEX,
)
