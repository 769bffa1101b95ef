"""What is known about scaling laws."""

from refimpl.ops.scaling.spec.laws import CHINCHILLA_LOSS, CHINCHILLA_OPTIMUM, POWER_LAW_LOSS

OPS = (POWER_LAW_LOSS, CHINCHILLA_LOSS, CHINCHILLA_OPTIMUM)
