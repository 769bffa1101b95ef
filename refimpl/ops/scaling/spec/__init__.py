"""What is known about scaling laws, operations of training and numbers of parameters."""

from refimpl.ops.scaling.spec.counts import (
    BERT_PARAMETERS,
    GPT_PARAMETERS,
    LLAMA_PARAMETERS,
    T5_PARAMETERS,
    TRAINING_FLOPS,
)
from refimpl.ops.scaling.spec.laws import CHINCHILLA_LOSS, CHINCHILLA_OPTIMUM, POWER_LAW_LOSS

OPS = (
    POWER_LAW_LOSS,
    CHINCHILLA_LOSS,
    CHINCHILLA_OPTIMUM,
    TRAINING_FLOPS,
    GPT_PARAMETERS,
    LLAMA_PARAMETERS,
    BERT_PARAMETERS,
    T5_PARAMETERS,
)
