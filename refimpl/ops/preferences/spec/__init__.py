"""What is known about preferences."""

from refimpl.ops.preferences.spec.advantages import GROUP_ADVANTAGE, WHITEN
from refimpl.ops.preferences.spec.direct import DPO_LOSS, DPO_LOSS_VJP, IPO_LOSS
from refimpl.ops.preferences.spec.gae import GAE, GAE_VJP
from refimpl.ops.preferences.spec.kl_positive import KL_POSITIVE, KL_POSITIVE_VJP
from refimpl.ops.preferences.spec.preference_loss import PREFERENCE_LOSS, PREFERENCE_LOSS_VJP
from refimpl.ops.preferences.spec.proximal import PPO_LOSS, PPO_LOSS_VJP, VALUE_LOSS

OPS = (
    PREFERENCE_LOSS,
    PREFERENCE_LOSS_VJP,
    KL_POSITIVE,
    KL_POSITIVE_VJP,
    GAE,
    GAE_VJP,
    WHITEN,
    GROUP_ADVANTAGE,
    PPO_LOSS,
    PPO_LOSS_VJP,
    VALUE_LOSS,
    DPO_LOSS,
    DPO_LOSS_VJP,
    IPO_LOSS,
)
