"""The record of CLIP: an image tower and a text tower."""

from __future__ import annotations

import math

import numpy as np

from refimpl.models.clip import clip
from refimpl.models.configs import MODELS, Clip, ResNet, Text, Vit
from refimpl.models.mistakes import CLIP
from refimpl.models.model import Model
from refimpl.models.names import PERCEPTRON, Layout, Params, numbers, shape_of
from refimpl.models.spec.vit import CHOICES, ENTERING, heads, images, infer_blocks, infer_tower

OPENAI = (
    (r"^text\.", ""),  # open_clip's models with a text tower of its own
    (r"^(input_resolution|context_length|vocab_size)$", "|drop"),
    (r".*\.num_batches_tracked$", "|drop"),
)
TRANSFORMERS = (
    (r"^(embeddings|encoder|pre_layrnorm|post_layernorm)\.", r"vision_model.\1."),  # alone
    (r".*\.position_ids$", "|drop"),
    (r"^vision_model\.encoder\.layers\.", "visual.transformer.resblocks."),
    (r"^vision_model\.embeddings\.patch_embedding\.", "visual.conv1."),
    (r"^vision_model\.embeddings\.position_embedding\.weight$", "visual.positional_embedding"),
    (r"^vision_model\.embeddings\.class_embedding$", "visual.class_embedding"),
    (r"^vision_model\.pre_layrnorm\.", "visual.ln_pre."),
    (r"^vision_model\.post_layernorm\.", "visual.ln_post."),
    (r"^visual_projection\.weight$", "visual.proj|T"),
    (r"^text_model\.encoder\.layers\.", "transformer.resblocks."),
    (r"^text_model\.embeddings\.token_embedding\.", "token_embedding."),
    (r"^text_model\.embeddings\.position_embedding\.weight$", "positional_embedding"),
    (r"^text_model\.final_layer_norm\.", "ln_final."),
    (r"^text_projection\.weight$", "text_projection|T"),
    (r"\.layer_norm([12])\.", r".ln_\1."),
    (r"\.self_attn\.out_proj\.", ".attn.out_proj."),
    (r"\.self_attn\.([qkv])_proj\.(weight|bias)$", r".attn.in_proj_\2|\1"),
    *PERCEPTRON,
)
MODULES = (
    (r"^visual\.conv1$", "visual.patches|grid"),  # of a Vision Transformer
    (r"^visual\.(ln_post|attnpool)$", "visual.pooled|first"),
    (r"^(visual\.attnpool\.(query|mixed))$", r"\1|one"),  # of all tokens, the first is used
)
OURS = r"(visual\.|text\.)?(conv1|transformer\.resblocks|class_embedding|token_embedding)\b"


def inputs(config: Clip, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Noise and an image of zeros; texts of several lengths, each ended by the last word."""
    given = images(config.vision, rng)
    last, context = config.text.vocabulary - 1, config.text.context
    ids = np.zeros((3, context), dtype=np.int64)
    for row, length in zip(ids, (2, context // 2, context), strict=True):
        row[: length - 1] = rng.integers(1, last, length - 1)
        row[length - 1] = last
    return {**given, "ids": ids}


def tower_alone(params: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The image tower without a text tower is a Vision Transformer, by that one's names."""
    if "token_embedding.weight" in params:
        return params
    return {name.removeprefix("visual."): array for name, array in params.items()}


def infer(params: Params) -> Clip:
    """The configuration that the shapes tell; activation and epsilon are OpenAI's.

    Raises WeightsError where what is needed to tell is missing or misshapen.
    """
    _, embed = shape_of(params, "text_projection", 2)  # without visual.proj it is no model
    if "visual.attnpool.positional_embedding" in params:
        vision: Vit | ResNet = infer_resnet(params, "visual.")
    else:
        vision = infer_tower(params, "visual.", True, True, embed)
    context, width = shape_of(params, "positional_embedding", 2)
    layers, hidden = infer_blocks(params, "")
    vocabulary, _ = shape_of(params, "token_embedding.weight", 2)
    return Clip(vision, Text(width, layers, heads(width), hidden, embed, context, vocabulary))


def infer_resnet(params: Params, at: str) -> ResNet:
    """A ResNet whose names begin with `at`."""
    width, _, _, _ = shape_of(params, f"{at}conv3.weight", 4)
    _, channels, _, _ = shape_of(params, f"{at}conv1.weight", 4)
    tokens, _ = shape_of(params, f"{at}attnpool.positional_embedding", 2)
    embed, _ = shape_of(params, f"{at}attnpool.c_proj.weight", 2)
    one, two, three, four = (numbers(params, f"{at}layer{stage}.") for stage in (1, 2, 3, 4))
    return ResNet(
        (one, two, three, four), width, embed, image=32 * math.isqrt(tokens - 1), channels=channels
    )


MODEL = Model(
    name="clip",
    text=clip,
    config=Clip,
    inputs=inputs,
    sizes={name: config for name, config in MODELS.items() if type(config) is Clip},
    choices=CHOICES,
    mistakes=CLIP,
    compiled="refimpl.models.compiled",
    layouts=(
        Layout(
            r"vision_model\.|text_model\.|embeddings\.patch_embedding\.", TRANSFORMERS, tower_alone
        ),
        Layout(OURS, OPENAI),
    ),
    modules=MODULES,
    entering=((r"^visual\.ln_pre$", "visual.tokens"), *ENTERING),
    sign="token_embedding.weight",
    infer=infer,
    says="CLIP, its vision tower",
)
