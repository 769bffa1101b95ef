"""The record of BLIP-2."""

from __future__ import annotations

import numpy as np

from refimpl.models.blip2 import Blip2, QFormer, blip2
from refimpl.models.configs import Vit
from refimpl.models.mistakes_blip2 import BLIP2
from refimpl.models.model import Choice, Model
from refimpl.models.names import PERCEPTRON, Layout
from refimpl.models.spec.vit import images

LENGTH = 6  # words of the longest text
TRANSFORMERS = (
    (r"^vision_model\.embeddings\.class_embedding$", "visual.class_embedding|1"),
    (r"^vision_model\.embeddings\.position_embedding$", "visual.positional_embedding|2"),
    (r"^vision_model\.embeddings\.patch_embedding\.", "visual.conv1."),
    (r"^vision_model\.post_layernorm\.", "visual.ln_post."),
    (r"^vision_model\.encoder\.layers\.", "visual.transformer.resblocks."),
    (r"^vision_model\.", "visual."),
    (r"\.layer_norm([12])\.", r".ln_\1."),
    (r"\.self_attn\.qkv\.(weight|bias)$", r".attn.in_proj_\1"),
    (r"\.self_attn\.projection\.", ".attn.out_proj."),
    (r"\.self_attn\.", ".attn."),
    (r"\.mlp\.activation_fn\.", ".mlp.activation."),
    *PERCEPTRON,
    (r"^query_tokens$", "queries|2"),
    (r"^embeddings\.word_embeddings\.", "words."),
    (r"^embeddings\.position_embeddings\.", "positions."),
    (r"^qformer\.layernorm\.", "qformer.ln."),
    (r"^qformer\.encoder\.layer\.", "qformer.layers."),
    (r"\.crossattention\.attention\.", ".cross."),
    (r"\.crossattention\.output\.dense\.", ".cross.out_proj."),
    (r"\.crossattention\.output\.LayerNorm\.", ".ln_cross."),
    (r"\.attention\.attention\.", ".attn."),
    (r"\.attention\.output\.dense\.", ".attn.out_proj."),
    (r"\.attention\.output\.LayerNorm\.", ".ln_1."),
    (r"\.intermediate_query\.dense\.", ".queries.mlp.c_fc."),
    (r"\.intermediate_query\.intermediate_act_fn\.", ".queries.mlp.activation."),
    (r"\.output_query\.dense\.", ".queries.mlp.c_proj."),
    (r"\.output_query\.LayerNorm\.", ".queries.ln_2."),
    (r"\.intermediate\.dense\.", ".words.mlp.c_fc."),
    (r"\.intermediate\.intermediate_act_fn\.", ".words.mlp.activation."),
    (r"\.output\.dense\.", ".words.mlp.c_proj."),
    (r"\.output\.LayerNorm\.", ".words.ln_2."),
)


def inputs(config: Blip2, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Noise and an image of zeros, two texts of random words, one shorter than the other."""
    ids = rng.integers(0, config.qformer.vocabulary, (2, LENGTH))
    return {**images(config.vision, rng), "ids": ids, "lengths": np.array([LENGTH - 2, LENGTH])}


VIT_G = Vit(14, 1408, 39, 16, 6144)
MODEL = Model(
    name="blip2",
    text=blip2,
    config=Blip2,
    inputs=inputs,
    sizes={
        "blip2-testing": Blip2(
            Vit(7, 12, 1, 3, 20, image=14), QFormer(16, 2, 2, 24, 3, 2, True, 12, 40), 5
        ),
        "blip2-itm-vit-g": Blip2(VIT_G, QFormer()),
    },
    choices=(
        Choice("activation", ("gelu", "gelu_tanh", "quick_gelu")),
        Choice("eps", (1e-6, 1e-5), "in the image tower an epsilon of "),
        Choice("qformer_eps", (1e-12, 1e-5), "in the Q-Former an epsilon of "),
    ),
    mistakes=BLIP2,
    layouts=(Layout(r"qformer\.|query_tokens$", TRANSFORMERS),),
    modules=(
        (r"^visual\.conv1$", "visual.patches|grid"),
        (r"^visual$", "memory"),
        (r"^(.*_alone|both)(\..*)\.(attn|cross)\.out_proj$", r"\1\2.\3"),
    ),
    entering=(
        (r"\.(queries|words)\.ln_2$", r".\1.added_2"),
        (r"^(.*_alone|both)(.*)\.ln_(1|cross)$", r"\1\2.added_\3"),
        (r"^visual\.transformer\.resblocks\.0\.ln_1$", "visual.tokens"),
        (r"\.ln_2$", ".middle"),
    ),
    says="BLIP-2",
)
