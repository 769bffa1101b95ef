"""What was found in models of images and words; see docs/found.md."""

from __future__ import annotations

from collections.abc import Iterator

Pair = tuple[str, object, object]  # what is looked at, what the library gives, what is right


def built(**chosen: object) -> str:
    """Whether a small Idefics of this configuration runs, or what it raises."""
    from refimpl.backends.transformers import torch, transformers

    sizes = {"hidden_size": 8, "intermediate_size": 8, "num_attention_heads": 2, "vocab_size": 9}
    seen = {"embed_dim": 8, "image_size": 4, "patch_size": 2, "num_hidden_layers": 1}
    vision = {**seen, "num_attention_heads": 2, "intermediate_size": 8}
    of = transformers.IdeficsConfig(**sizes, vision_config=vision, **chosen)
    ids, image = torch.tensor([[1, 2]]), torch.zeros(1, 1, 3, 4, 4)
    mask = torch.ones(1, 2, 1, dtype=torch.long)
    try:
        transformers.IdeficsModel(of)(ids, pixel_values=image, image_attention_mask=mask)
    except (TypeError, IndexError) as error:
        return type(error).__name__
    return "runs"


def idefics_gates() -> Iterator[Pair]:
    """transformers: an Idefics whose gates are drawn at random cannot be built."""
    for kind in ("ones", "normal"):
        chosen = {"num_hidden_layers": 1, "alpha_initializer": kind}
        yield f"alpha_initializer={kind!r}", built(**chosen), "runs"


def idefics_interval() -> Iterator[Pair]:
    """transformers: an Idefics lacks a gated layer where the interval leaves a rest."""
    for layers in (2, 3):
        chosen = {"num_hidden_layers": layers, "cross_layer_interval": 2}
        yield f"{layers} layers, each second one told", built(**chosen), "runs"


FOUND = {function.__name__: function for function in (idefics_gates, idefics_interval)}
