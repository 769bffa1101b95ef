"""Whole models of transformers that read images among words, with random weights."""

from __future__ import annotations

import torch

from refimpl.backends import hooks
from refimpl.models.blip2 import Blip2
from refimpl.models.flamingo import Flamingo
from refimpl.models.llava import Llava
from refimpl.models.qwen_vl import QwenTower, QwenVl
from refimpl.models.spec import blip2 as blip2_names
from refimpl.models.spec import flamingo as flamingo_names
from refimpl.models.spec import llava as llava_names
from refimpl.models.spec import qwen_vl as qwen_vl_names

hooks.allow_broken_torchvision()

import transformers  # noqa: E402  after the definition

VERSION = transformers.__version__


def _qwen_vl(config, seed):
    tower, text = config.tower, config.text
    if config.tick != 1 or tower.gate != "swiglu" or tower.turns != QwenTower.turns:
        raise NotImplementedError("has no other gate, base of angles or time between images")
    side = tower.merge * tower.patch
    vision = {
        "depth": tower.layers,
        "hidden_size": tower.width,
        "intermediate_size": tower.hidden,
        "num_heads": tower.heads,
        "in_channels": tower.channels,
        "patch_size": tower.patch,
        "spatial_merge_size": tower.merge,
        "temporal_patch_size": tower.together,
        "window_size": tower.window * side,
        "out_hidden_size": text.width,
        "fullatt_block_indexes": list(tower.whole),
    }
    angles = {"mrope_section": list(config.sections), "rope_theta": text.base}
    of = transformers.Qwen2_5_VLConfig(
        vision_config=vision,
        text_config={**_llama(text), "rope_parameters": {"rope_type": "default", **angles}},
        image_token_id=config.image_id,
        tie_word_embeddings=text.tied,
    )
    model = transformers.Qwen2_5_VLForConditionalGeneration(of)

    def run(ids, patches, grids):
        output = model(
            input_ids=ids,
            pixel_values=patches,
            image_grid_thw=grids * torch.tensor([1, tower.merge, tower.merge]),
            mm_token_type_ids=(ids == config.image_id).int(),
        )
        return {"logits": output.logits}

    names = (*qwen_vl_names.TRANSFORMERS, *_tied(text))
    return hooks.record(model, config, names, run, seed, VERSION)


def _blip2(config, seed):
    vision, own = config.vision, config.qformer
    if not own.words or vision.pre_norm or not vision.class_token or vision.classes:
        raise NotImplementedError("has no BLIP-2 that compares texts and images so")
    of = transformers.Blip2Config(
        vision_config={
            **_blocks(vision),
            "image_size": vision.image,
            "patch_size": vision.patch,
        },
        qformer_config={
            **_blocks(own),
            "vocab_size": own.vocabulary,
            "max_position_embeddings": own.context,
            "cross_attention_frequency": own.every,
            "use_qformer_text_input": True,
        },
        num_query_tokens=own.queries,
        image_text_hidden_size=config.embed,
    )
    model = transformers.Blip2ForImageTextRetrieval(of)

    def run(images, ids, lengths):
        given = {"pixel_values": images, "input_ids": ids}
        given["attention_mask"] = (torch.arange(ids.shape[1]) < lengths[:, None]).long()
        alike = model(**given, use_image_text_matching_head=False)
        match = model(**given, use_image_text_matching_head=True)
        return {"similarity": alike.logits_per_image, "matches": match.logits_per_image}

    turns = {"qformer": ("image_alone", "text_alone", "both")}
    names = blip2_names.TRANSFORMERS
    return hooks.record(model, config, names, run, seed, VERSION, turns=turns)


def _llava(config, seed):
    vision, text = config.vision, config.text
    if not vision.pre_norm or vision.patch_bias or not vision.class_token or config.unused < 1:
        raise NotImplementedError("has no LLaVA with such an image tower")
    of = transformers.LlavaConfig(
        vision_config=transformers.CLIPVisionConfig(
            **_blocks(vision), image_size=vision.image, patch_size=vision.patch
        ),
        text_config=transformers.LlamaConfig(**_llama(text), rope_theta=text.base),
        image_token_index=config.image_id,
        vision_feature_layer=-1 - config.unused,
        tie_word_embeddings=text.tied,
    )
    model = transformers.LlavaForConditionalGeneration(of)

    def run(images, ids):
        return {"logits": model(input_ids=ids, pixel_values=images).logits}

    names = (*llava_names.TRANSFORMERS, *_tied(text))
    return hooks.record(model, config, names, run, seed, VERSION)


def _flamingo(config, seed):
    vision, text, own = config.vision, config.text, config.resampler
    if config.resampler_activation != "relu" or text.groups != text.heads or text.base != 1e4:
        raise NotImplementedError("has no Idefics with another activation, groups or base")
    of = transformers.IdeficsConfig(
        vision_config={
            **_blocks(vision),
            "embed_dim": vision.width,
            "image_size": vision.image,
            "patch_size": vision.patch,
            "hidden_act": vision.activation,
        },
        perceiver_config={
            "resampler_n_latents": own.latents,
            "resampler_depth": own.layers,
            "resampler_n_heads": own.heads,
            "resampler_head_dim": own.head,
            "qk_layer_norms_perceiver": config.normed,
        },
        **{**_llama(text), "vocab_size": text.vocabulary - 1, "additional_vocab_size": 1},
        use_resampler=True,
        cross_layer_interval=config.every,
        qk_layer_norms=config.normed,
    )
    model = transformers.IdeficsForVisionText2Text(of)
    for name, gate in model.named_parameters():
        if ".alpha_" in name:
            torch.nn.init.normal_(gate, mean=0.5)  # or a shut gate would hide what is behind it

    def run(images, ids):
        shown = (ids == config.media_id).cumsum(dim=1)[..., None]  # B N 1
        seen = shown == torch.arange(1, images.shape[1] + 1)
        output = model(input_ids=ids, pixel_values=images, image_attention_mask=seen.long())
        return {"logits": output.logits}

    names = (*flamingo_names.TRANSFORMERS, *_tied(text))
    return hooks.record(model, config, names, run, seed, VERSION, flamingo_names.as_one)


def _blocks(tower):
    """Sizes of the blocks of an encoder."""
    return {
        "hidden_size": tower.width,
        "intermediate_size": tower.hidden,
        "num_hidden_layers": tower.layers,
        "num_attention_heads": tower.heads,
    }


def _llama(text):
    """Sizes of a Llama or Qwen2.5."""
    return {
        "hidden_size": text.width,
        "intermediate_size": text.hidden,
        "num_hidden_layers": text.layers,
        "num_attention_heads": text.heads,
        "num_key_value_heads": text.groups,
        "vocab_size": text.vocabulary,
        "max_position_embeddings": text.context,
        "rms_norm_eps": text.eps,
        "bos_token_id": 1,
        "eos_token_id": 2,
    }


def _tied(text):
    """The rule by which a head that is the table of words is left out."""
    return ((r"^head\.weight$", "|drop"),) if text.tied else ()


BUILDERS = {QwenVl: _qwen_vl, Blip2: _blip2, Llava: _llava, Flamingo: _flamingo}
