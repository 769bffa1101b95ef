"""What is known about patch embedding: laws, probes, mistakes and dialects."""

from refimpl.ops.patch_embedding.spec.patch_embed import PATCH_EMBED, PATCH_EMBED_VJP
from refimpl.ops.patch_embedding.spec.patchify import PATCHIFY
from refimpl.ops.patch_embedding.spec.sinusoidal_positions import SINUSOIDAL_POSITIONS
from refimpl.ops.patch_embedding.spec.timestep_embedding import TIMESTEP_EMBEDDING
from refimpl.ops.patch_embedding.spec.unpatchify import UNPATCHIFY
from refimpl.ops.patch_embedding.spec.vit_tokens import VIT_TOKENS, VIT_TOKENS_VJP

OPS = (
    PATCHIFY,
    UNPATCHIFY,
    PATCH_EMBED,
    PATCH_EMBED_VJP,
    VIT_TOKENS,
    VIT_TOKENS_VJP,
    SINUSOIDAL_POSITIONS,
    TIMESTEP_EMBEDDING,
)
