"""Hugging Face transformers: CLIP, ViT, DINOv2 with their own initialisation; its operations."""

from __future__ import annotations

import torch

from refimpl.backends import hooks
from refimpl.backends.parts import transformers_media
from refimpl.backends.tensors import on_tensors as _on_tensors
from refimpl.models.bart import Bart
from refimpl.models.bert import Bert
from refimpl.models.configs import Clip, Vit
from refimpl.models.gpt1 import Gpt1
from refimpl.models.gpt2 import Gpt2
from refimpl.models.llama import Llama
from refimpl.models.spec import bart as bart_names
from refimpl.models.spec import bert as bert_names
from refimpl.models.spec import clip as clip_names
from refimpl.models.spec import gpt1 as gpt1_names
from refimpl.models.spec import gpt2 as gpt2_names
from refimpl.models.spec import llama as llama_names
from refimpl.models.spec import t5 as t5_names
from refimpl.models.spec import vit as vit_names
from refimpl.models.t5 import T5

hooks.allow_broken_torchvision()

import transformers  # noqa: E402  after the definition
from transformers.activations import ACT2FN  # noqa: E402
from transformers.generation import logits_process  # noqa: E402
from transformers.loss.loss_utils import ForCausalLMLoss  # noqa: E402
from transformers.models.bart.modeling_bart import shift_tokens_right  # noqa: E402
from transformers.models.clip import modeling_clip  # noqa: E402
from transformers.models.llama.modeling_llama import (  # noqa: E402
    LlamaRMSNorm,
    apply_rotary_pos_emb,
)
from transformers.models.qwen2_vl import image_processing_qwen2_vl  # noqa: E402
from transformers.models.t5.modeling_t5 import T5Attention  # noqa: E402
from transformers.vision_utils import get_vision_window_index  # noqa: E402

VERSION = transformers.__version__
PRECISIONS = ("float64", "float32", "bfloat16", "float16")
SUPPORTS = {"next_token_loss": ("float32",)}  # whatever comes in
LAYERS = (
    (r"\.self_attn\.$", ".attn."),
    (r"\.attention\.$", ".attn."),
    (r"\.mlp\.activation(_fn)?\.$", ".mlp.activation."),
)


def record(config, seed):
    """The model of this configuration's sizes; activation and epsilon are the library's own."""
    torch.manual_seed(seed)
    return hooks.builder(BUILDERS, config)(config, seed)


def _vit(config, seed):
    uneven = config.layer_scale and config.hidden % config.width
    if config.pre_norm or config.embed or not config.class_token or uneven:
        raise NotImplementedError("has no such Vision Transformer")
    sizes = {**_sizes(config), "image_size": config.image, "patch_size": config.patch}
    sizes["num_channels"] = config.channels
    if config.layer_scale:
        del sizes["intermediate_size"]
        sizes["mlp_ratio"] = config.hidden // config.width
        model = transformers.Dinov2Model(transformers.Dinov2Config(**sizes))
    elif config.classes:
        of = transformers.ViTConfig(**sizes, num_labels=config.classes)
        model = transformers.ViTForImageClassification(of)
    else:
        model = transformers.ViTModel(transformers.ViTConfig(**sizes), add_pooling_layer=False)

    def run(images):
        output = model(images)
        if config.classes:
            return {"logits": output.logits}
        return {"pooled": output.last_hidden_state[:, 0]}

    return hooks.record(model, config, (*vit_names.TRANSFORMERS, *LAYERS), run, seed, VERSION)


def _sizes(tower):
    return {
        "hidden_size": tower.width,
        "intermediate_size": tower.hidden,
        "num_hidden_layers": tower.layers,
        "num_attention_heads": tower.heads,
    }


def _clip(config, seed):
    vision, text = config.vision, config.text
    if not isinstance(vision, Vit):
        raise NotImplementedError("has no CLIP with a ResNet")
    embed = {"projection_dim": text.embed}
    images = {"image_size": vision.image, "patch_size": vision.patch}
    images["num_channels"] = vision.channels
    words = {
        "vocab_size": text.vocabulary,
        "max_position_embeddings": text.context,
        "bos_token_id": text.vocabulary - 2,
        "eos_token_id": text.vocabulary - 1,
        "pad_token_id": text.vocabulary - 1,
    }
    of = transformers.CLIPConfig(
        text_config={**_sizes(text), **words, **embed},
        vision_config={**_sizes(vision), **images, **embed},
        **embed,
    )
    model = transformers.CLIPModel(of)

    def run(images, ids):
        output = model(input_ids=ids, pixel_values=images)
        return {"logits": output.logits_per_image}

    names = (
        *clip_names.TRANSFORMERS,
        *LAYERS,
        (r"^visual_projection\.$", "image_features"),
        (r"^text_projection\.$", "text_features"),
    )
    return hooks.record(model, config, names, run, seed, VERSION)


def _gpt2(config, seed):
    model = transformers.GPT2LMHeadModel(
        transformers.GPT2Config(
            vocab_size=config.vocabulary,
            n_positions=config.context,
            n_embd=config.width,
            n_layer=config.layers,
            n_head=config.heads,
            bos_token_id=config.vocabulary - 1,
            eos_token_id=config.vocabulary - 1,
        )
    )

    def run(ids):
        return {"logits": model(input_ids=ids).logits}

    names = (*gpt2_names.TRANSFORMERS, (r"\.mlp\.act\.$", ".mlp.activation."))
    return hooks.record(model, config, names, run, seed, VERSION)


def _gpt1(config, seed):
    if not config.tied or config.inner != config.width or config.hidden != 4 * config.width:
        raise NotImplementedError("has no GPT-1 of such proportions")
    model = transformers.OpenAIGPTLMHeadModel(
        transformers.OpenAIGPTConfig(
            vocab_size=config.vocabulary,
            n_positions=config.context,
            n_embd=config.width,
            n_layer=config.layers,
            n_head=config.heads,
        )
    )

    def run(ids):
        return {"logits": model(input_ids=ids).logits}

    return hooks.record(model, config, gpt1_names.TRANSFORMERS, run, seed, VERSION)


def _bart(config, seed):
    sizes = {"layers": config.layers, "ffn_dim": config.hidden, "attention_heads": config.heads}
    model = transformers.BartForConditionalGeneration(
        transformers.BartConfig(
            **{f"{side}_{size}": n for side in ("encoder", "decoder") for size, n in sizes.items()},
            d_model=config.width,
            vocab_size=config.vocabulary,
            max_position_embeddings=config.context,
        )
    )

    def run(source, lengths, ids):
        seen = torch.arange(source.shape[1]) < lengths[:, None]
        output = model(input_ids=source, attention_mask=seen, decoder_input_ids=ids)
        return {"logits": output.logits}

    return hooks.record(model, config, bart_names.TRANSFORMERS, run, seed, VERSION)


def _t5(config, seed):
    kinds = {"": config.activation, "geglu_tanh": "gated-gelu", "swiglu": "gated-silu"}
    if config.gate not in kinds or config.tied == bool(config.gate):
        raise NotImplementedError("has no T5 with such a gate and head")
    model = transformers.T5ForConditionalGeneration(
        transformers.T5Config(
            vocab_size=config.vocabulary,
            d_model=config.width,
            d_kv=config.head,
            d_ff=config.hidden,
            num_layers=config.layers,
            num_heads=config.heads,
            relative_attention_num_buckets=config.buckets,
            relative_attention_max_distance=config.max_distance,
            feed_forward_proj=kinds[config.gate],
            tie_word_embeddings=config.tied,
        )
    )
    if not config.tied:  # the library ties it all the same
        head = torch.randn(config.vocabulary, config.width) / config.width**0.5
        model.lm_head.weight = torch.nn.Parameter(head)

    def run(source, lengths, ids):
        seen = torch.arange(source.shape[1]) < lengths[:, None]
        output = model(input_ids=source, attention_mask=seen, decoder_input_ids=ids)
        return {"logits": output.logits}

    names = (*t5_names.TRANSFORMERS, *_tied(config, r"^head\.weight$"))
    return hooks.record(model, config, names, run, seed, VERSION)


def _bert(config, seed):
    of = transformers.BertConfig(
        **_sizes(config),
        vocab_size=config.vocabulary,
        max_position_embeddings=config.context,
        type_vocab_size=config.segments,
    )
    if config.next_sentence and config.masked_words:
        model = transformers.BertForPreTraining(of)
    elif config.next_sentence:
        model = transformers.BertForNextSentencePrediction(of)
    elif config.masked_words and not config.pooler:
        model = transformers.BertForMaskedLM(of)
    elif config.masked_words:
        raise NotImplementedError("has no BERT that pools and guesses words alone")
    else:
        model = transformers.BertModel(of, add_pooling_layer=config.pooler)

    def run(ids, segments, lengths):
        seen = torch.arange(ids.shape[1]) < lengths[:, None]
        output = model(input_ids=ids, token_type_ids=segments, attention_mask=seen)
        names = {"prediction_logits": "logits", "logits": "logits"}
        if config.next_sentence:
            names |= {"seq_relationship_logits": "next_sentence"}
            names["logits"] = "logits" if config.masked_words else "next_sentence"
        return {ours: output[theirs] for theirs, ours in names.items() if theirs in output}

    return hooks.record(model, config, bert_names.TRANSFORMERS, run, seed, VERSION)


def _llama(config, seed):
    if config.pairs or config.gate != "swiglu":
        raise NotImplementedError("has no Llama that turns neighbours or gates by another function")
    kind = "Qwen2" if config.qkv_bias else "Llama"
    of = getattr(transformers, f"{kind}Config")(
        **_sizes(config),
        vocab_size=config.vocabulary,
        max_position_embeddings=config.context,
        num_key_value_heads=config.groups,
        rms_norm_eps=config.eps,
        rope_parameters={"rope_type": "default", "rope_theta": config.base},
        tie_word_embeddings=config.tied,
        bos_token_id=1,
        eos_token_id=2,
    )
    model = getattr(transformers, f"{kind}ForCausalLM")(of)

    def run(ids, positions):
        return {"logits": model(input_ids=ids, position_ids=positions.long()[None]).logits}

    names = (*llama_names.TRANSFORMERS, *_tied(config, r"^head\.weight$"))
    return hooks.record(model, config, names, run, seed, VERSION)


def _tied(config, head):
    """The rule by which a head that is the table of words is left out."""
    return ((head, "|drop"),) if config.tied else ()


BUILDERS: dict = {
    Vit: _vit,
    Clip: _clip,
    Gpt1: _gpt1,
    Gpt2: _gpt2,
    Bert: _bert,
    Bart: _bart,
    Llama: _llama,
    T5: _t5,
}
BUILDERS |= transformers_media.BUILDERS


# Operations


@_on_tensors
def rms_norm(x, gain, eps):
    """LlamaRMSNorm"""
    layer = LlamaRMSNorm(len(gain), eps=eps).to(x.dtype)
    layer.load_state_dict({"weight": gain})
    return layer(x)


@_on_tensors
def gelu(x):
    """ACT2FN["gelu"]"""
    return ACT2FN["gelu"](x)


@_on_tensors
def gelu_tanh(x):
    """ACT2FN["gelu_new"]"""
    return ACT2FN["gelu_new"](x)


@_on_tensors
def quick_gelu(x):
    """ACT2FN["quick_gelu"]"""
    return ACT2FN["quick_gelu"](x)


@_on_tensors
def silu(x):
    """ACT2FN["silu"]"""
    return ACT2FN["silu"](x)


@_on_tensors
def rotary_embedding(x, angles):
    """models.llama.apply_rotary_pos_emb"""
    twice = torch.cat((angles, angles), dim=-1)[None]  # 1 N 2*E
    return apply_rotary_pos_emb(x, x, twice.cos(), twice.sin())[0]


@_on_tensors
def smart_resize(height, width, factor, low, high):
    """models.qwen2_vl.image_processing_qwen2_vl.smart_resize"""
    sides = image_processing_qwen2_vl.smart_resize(height, width, factor, low, high)
    return tuple(map(torch.tensor, sides))


@_on_tensors
def window_order(frames, rows, cols, window):
    """vision_utils.get_vision_window_index"""
    order, ends = get_vision_window_index(torch.tensor([[frames, rows, cols]]), 1, window, 1)
    return order, ends.diff()


def _buckets(query_positions, key_positions, buckets, max_distance, both):
    ahead = key_positions - query_positions[:, None]  # N M
    return T5Attention._relative_position_bucket(ahead, both, buckets, max_distance)


@_on_tensors
def relative_buckets(query_positions, key_positions, buckets, max_distance):
    """T5Attention._relative_position_bucket(bidirectional=True)"""
    return _buckets(query_positions, key_positions, buckets, max_distance, True)


@_on_tensors
def relative_buckets_causal(query_positions, key_positions, buckets, max_distance):
    """T5Attention._relative_position_bucket(bidirectional=False)"""
    return _buckets(query_positions, key_positions, buckets, max_distance, False)


@_on_tensors
def attention(query, key, value, bias):
    """modeling_clip.eager_attention_forward"""
    heads = query.shape[1] // key.shape[1]  # of the queries for one of the keys
    key, value = (x.repeat_interleave(heads, dim=1) for x in (key, value))
    module = torch.nn.Identity().eval()
    scale = query.shape[-1] ** -0.5
    mixed, _ = modeling_clip.eager_attention_forward(module, query, key, value, bias, scale)
    return mixed.transpose(1, 2)  # B H N F


@_on_tensors
def clip_loss(image_features, text_features, log_scale):
    """modeling_clip.image_text_contrastive_loss"""
    images, texts = (x / x.norm(dim=-1, keepdim=True) for x in (image_features, text_features))
    scale = torch.tensor(log_scale, dtype=images.dtype).exp()
    return modeling_clip.image_text_contrastive_loss(texts @ images.T * scale)


@_on_tensors
def shift_right(labels, start, ignore, pad):
    """models.bart.shift_tokens_right"""
    if ignore != -100:
        raise NotImplementedError("ignores the label -100 alone")
    return shift_tokens_right(labels, pad, start)


@_on_tensors
def next_token_loss(logits, ids, keep):
    """loss.loss_utils.ForCausalLMLoss"""
    return ForCausalLMLoss(logits.contiguous(), torch.where(keep > 0, ids, -100), logits.shape[-1])


@_on_tensors
def penalize_repetition(logits, seen, penalty):
    """generation.RepetitionPenaltyLogitsProcessor"""
    rows = [
        logits_process.RepetitionPenaltyLogitsProcessor(penalty)(words.nonzero().mT, row[None])
        for words, row in zip(seen, logits, strict=True)
    ]
    return torch.cat(rows)


@_on_tensors
def keep_top_k(logits, k):
    """generation.TopKLogitsWarper"""
    return logits_process.TopKLogitsWarper(k)(None, logits)


@_on_tensors
def keep_top_p(logits, mass):
    """generation.TopPLogitsWarper"""
    return logits_process.TopPLogitsWarper(mass)(None, logits)


@_on_tensors
def keep_min_p(logits, share):
    """generation.MinPLogitsWarper"""
    return logits_process.MinPLogitsWarper(share)(None, logits)
