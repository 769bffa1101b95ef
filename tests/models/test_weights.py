"""Weights: what a file holds arrives unchanged; a damaged or foreign file is refused by name."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import re
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refimpl.models.weights import WeightsError, check, infer, load, read, translate
from tests.small import SMALL, random_params

safetensors = pytest.importorskip("safetensors.numpy")


def told_by_shapes(config):
    """The configuration with what shapes do not tell, as `infer` assumes it."""
    if hasattr(config, "text"):
        vision = config.vision
        if hasattr(vision, "heads") and hasattr(vision, "patch"):
            vision = dataclasses.replace(vision, heads=1)
        return dataclasses.replace(
            config, vision=vision, text=dataclasses.replace(config.text, heads=1)
        )
    return dataclasses.replace(config, heads=1)


@pytest.mark.parametrize("name", SMALL)
def test_a_file_gives_back_what_was_written_and_the_shapes_tell_the_sizes(name, tmp_path):
    params = random_params(SMALL[name])
    safetensors.save_file(params, tmp_path / "w.safetensors", {"by": "a test"})
    config, found = read(tmp_path / "w.safetensors")
    assert config == told_by_shapes(SMALL[name])
    assert found.keys() == params.keys()
    assert all(np.array_equal(found[n], params[n]) for n in params)


def test_half_precision_is_widened_without_a_change():
    ml_dtypes = pytest.importorskip("ml_dtypes")
    x = np.array([[1.5, -0.0, np.inf], [2.0**-20, 3e4, -7.0]])
    for dtype in (np.float16, ml_dtypes.bfloat16):
        half = x.astype(dtype)
        raw = half.view(np.uint16).tobytes()
        found = load(written(raw, {"x": entry("F16" if dtype is np.float16 else "BF16", [2, 3])}))
        assert found["x"].dtype == np.float32
        assert found["x"].tobytes() == half.astype(np.float32).tobytes()


PLACE = []


@pytest.fixture(autouse=True)
def _folder(tmp_path):
    PLACE[:] = [tmp_path / "file.safetensors"]


def written(data, header, length=None):
    """A file with this header and data, its header's length as given or as it is."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    PLACE[0].write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + data)
    return PLACE[0]


def entry(dtype, shape, first=0, last=None):
    size = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}.get(dtype, 1)
    last = first + int(np.prod(shape, dtype=object)) * size if last is None else last
    return {"dtype": dtype, "shape": shape, "data_offsets": [first, last]}


DAMAGED = {
    "an empty file": (b"", None, None),
    "a header longer than the file": (b"", {}, 10**6),
    "a header longer than memory": (b"", {}, 2**63),
    "no JSON": (b"", b"{", None),
    "no text": (b"", b"\xff\xfe{}", None),
    "a list": (b"", b"[]", None),
    "a number a thousand braces deep": (b"", b'{"x":' + b"[" * 100_000, None),
    "an entry that is a number": (b"", {"x": 3}, None),
    "an unknown dtype": (b"\0" * 4, {"x": entry("Q7", [4])}, None),
    "more numbers than bytes": (b"\0" * 4, {"x": entry("F32", [2])}, None),
    "a shape whose product overflows": (b"", {"x": entry("F32", [2**40, 2**40])}, None),
    "a shape that does not fill its place": (b"\0" * 8, {"x": entry("F32", [1], 0, 8)}, None),
    "a negative size": (b"\0" * 4, {"x": entry("F32", [-1], 0, 4)}, None),
    "a size that is no whole number": (b"\0" * 4, {"x": entry("F32", [1.0], 0, 4)}, None),
    "a size that is true": (b"\0" * 4, {"x": entry("F32", [True], 0, 4)}, None),
    "offsets that run backwards": (b"\0" * 4, {"x": entry("F32", [1], 4, 0)}, None),
    "three offsets": (b"", {"x": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0, 0]}}, None),
    "arrays that overlap": (b"\0" * 4, {"x": entry("F32", [1]), "y": entry("F32", [1])}, None),
    "a gap between arrays": (b"\0" * 8, {"x": entry("F32", [1], 4)}, None),
    "data that no array owns": (b"\0" * 8, {"x": entry("F32", [1])}, None),
    "a name twice": (b"", b'{"x": {}, "x": {}}', None),
    "a hundred axes": (b"\0" * 4, {"x": entry("F32", [1] * 100)}, None),
}


@pytest.mark.parametrize("what", DAMAGED)
def test_a_damaged_file_is_refused(what):
    data, header, length = DAMAGED[what]
    path = written(data, header, length) if header is not None else PLACE[0]
    if header is None:
        path.write_bytes(data)
    with pytest.raises(WeightsError, match=re.escape(str(path))):
        load(path)


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(WeightsError, match="No such file"):
        load(tmp_path / "nowhere.safetensors")


@given(st.data())
def test_a_file_with_one_byte_changed_is_read_or_refused_and_nothing_else(data):
    whole = safetensors.save({"a": np.arange(3.0), "b": np.ones((2, 1), np.float16)})
    at = data.draw(st.integers(0, len(whole) - 1))
    byte = data.draw(st.integers(0, 255))
    PLACE[0].write_bytes(whole[:at] + bytes([byte]) + whole[at + 1 :])
    with contextlib.suppress(WeightsError):
        load(PLACE[0])


def test_a_file_cut_short_anywhere_is_refused():
    whole = safetensors.save({"a": np.arange(3.0), "b": np.ones((2, 1), np.float16)})
    for length in range(len(whole)):
        PLACE[0].write_bytes(whole[:length])
        with pytest.raises(WeightsError):
            load(PLACE[0])


def test_missing_surplus_and_misshapen_arrays_are_named():
    config = SMALL["clip"]
    params = random_params(config)
    params["visual.extra"] = params.pop("visual.proj")
    params["ln_final.bias"] = np.zeros(3, np.float32)
    params["logit_scale"] = np.array(3)
    with pytest.raises(WeightsError) as error:
        check(params, config)
    for says in (
        "visual.proj is missing",
        "visual.extra is surplus",
        "ln_final.bias has shape (3,), expected (24,)",
        "logit_scale has dtype int64",
    ):
        assert says in str(error.value)


@pytest.mark.parametrize("name", SMALL)
def test_no_single_array_can_be_left_out_unnoticed(name):
    params = random_params(SMALL[name])
    for left_out in params:
        rest = {n: x for n, x in params.items() if n != left_out}
        with pytest.raises(WeightsError, match=re.escape(left_out)):
            check(rest, SMALL[name])


@pytest.mark.parametrize("name", SMALL)
def test_whatever_array_is_left_out_inference_and_check_end_in_a_model_or_a_named_error(name):
    params = random_params(SMALL[name])
    for left_out in params:
        rest = {n: x for n, x in params.items() if n != left_out}
        try:
            check(rest, infer(rest))
        except WeightsError:
            continue
        assert left_out == "conv1.bias"  # there are Vision Transformers without one


def as_timm(params):
    """Our names of a Vision Transformer as timm has them, written out by hand."""
    theirs = {}
    for name, x in params.items():
        name = name.replace("transformer.resblocks.", "blocks.").replace("ln_post", "norm")
        name = (
            name.replace(".ln_", ".norm")
            .replace(".ls_", ".ls")
            .replace("conv1", "patch_embed.proj")
        )
        name = name.replace("in_proj_", "qkv.").replace("out_proj", "proj")
        name = name.replace("c_fc", "fc1").replace("c_proj", "fc2")
        if name == "class_embedding":
            name, x = "cls_token", x[None, None]
        if name == "positional_embedding":
            name, x = "pos_embed", x[None]
        theirs[name] = x
    return theirs


def as_transformers(params):
    """Our names of a CLIP as transformers has them, written out by hand."""
    theirs = {}
    for name, x in params.items():
        tower = "vision_model" if name.startswith("visual.") else "text_model"
        part = name.removeprefix("visual.")
        if part in ("proj", "text_projection"):
            theirs["visual_projection.weight" if part == "proj" else "text_projection.weight"] = x.T
        elif ".in_proj_" in part:
            stem, kind = part.split("in_proj_")
            stem = stem.replace("transformer.resblocks", "encoder.layers").replace(
                "attn", "self_attn"
            )
            for letter, third in zip("qkv", np.split(x, 3), strict=True):
                theirs[f"{tower}.{stem}{letter}_proj.{kind}"] = third
        else:
            for ours, other in (
                ("transformer.resblocks", "encoder.layers"),
                (".attn.", ".self_attn."),
                (".ln_1", ".layer_norm1"),
                (".ln_2", ".layer_norm2"),
                ("c_fc", "fc1"),
                ("c_proj", "fc2"),
                ("conv1", "embeddings.patch_embedding"),
                ("ln_pre", "pre_layrnorm"),
                ("ln_post", "post_layernorm"),
                ("ln_final", "final_layer_norm"),
                ("class_embedding", "embeddings.class_embedding"),
                ("positional_embedding", "embeddings.position_embedding.weight"),
                ("token_embedding", "embeddings.token_embedding"),
            ):
                part = part.replace(ours, other)
            theirs[part if part == "logit_scale" else f"{tower}.{part}"] = x
    theirs["text_model.embeddings.position_ids"] = np.arange(7)[None]
    return theirs


def as_old_vit(params):
    """Our names of a Vision Transformer as files of transformers have them, written out by hand."""
    theirs = {}
    for name, x in params.items():
        block = re.match(r"transformer\.resblocks\.(\d+)\.(.*)", name)
        if not block:
            known = {
                "class_embedding": ("embeddings.cls_token", x[None, None] if x.ndim == 1 else x),
                "positional_embedding": ("embeddings.position_embeddings", x[None]),
                "conv1.weight": ("embeddings.patch_embeddings.projection.weight", x),
                "conv1.bias": ("embeddings.patch_embeddings.projection.bias", x),
                "ln_post.weight": ("layernorm.weight", x),
                "ln_post.bias": ("layernorm.bias", x),
            }
            other, x = known.get(name, (name, x))
            theirs[name.replace("head", "classifier") if other == name else f"vit.{other}"] = x
            continue
        at, part = f"vit.encoder.layer.{block[1]}.", block[2]
        if "in_proj" in part:
            kind = part.rpartition("_")[2]
            for word, third in zip(("query", "key", "value"), np.split(x, 3), strict=True):
                theirs[f"{at}attention.attention.{word}.{kind}"] = third
            continue
        for ours, other in (
            ("ln_1", "layernorm_before"),
            ("ln_2", "layernorm_after"),
            ("attn.out_proj", "attention.output.dense"),
            ("mlp.c_fc", "intermediate.dense"),
            ("mlp.c_proj", "output.dense"),
        ):
            part = part.replace(ours, other)
        theirs[at + part] = x
    return theirs


def as_custom_open_clip(params):
    """Our names of a CLIP as open_clip has them where the text tower is a module of its own."""
    text = ("transformer.", "token_", "positional_", "ln_final", "text_projection")
    return {f"text.{n}" if n.startswith(text) else n: x for n, x in params.items()}


FOREIGN = [
    ("vit", as_timm),
    ("vit-mean", as_timm),
    ("vit-scaled", as_timm),
    ("clip", as_transformers),
    ("vit", as_old_vit),
    ("clip", as_custom_open_clip),
    ("clip-resnet", as_custom_open_clip),
]


@pytest.mark.parametrize(("name", "as_theirs"), FOREIGN)
def test_foreign_names_become_ours(name, as_theirs):
    params = random_params(SMALL[name])
    theirs = as_theirs(params)
    assert theirs.keys() != params.keys()
    found = translate(theirs)
    assert found.keys() == params.keys()
    assert all(np.array_equal(found[n], params[n]) for n in params)


def vision_tower(projected):
    """The image tower of a CLIP on its own, under our names."""
    of_clip = random_params(SMALL["clip"])
    alone = {n.removeprefix("visual."): x for n, x in of_clip.items() if n.startswith("visual.")}
    if not projected:
        del alone["proj"]
    return alone


@pytest.mark.parametrize("prefix", ["vision_model.", ""])
@pytest.mark.parametrize("projected", [True, False])
def test_the_vision_tower_of_a_clip_is_read_alone(prefix, projected, tmp_path):
    params = vision_tower(projected)
    theirs = as_transformers({f"visual.{n}": x for n, x in params.items()})
    del theirs["text_model.embeddings.position_ids"]
    theirs = {
        n.replace("vision_model.", prefix): np.ascontiguousarray(x) for n, x in theirs.items()
    }
    safetensors.save_file(theirs, tmp_path / "w.safetensors")
    config, found = read(tmp_path / "w.safetensors")
    tower = dataclasses.replace(SMALL["clip"].vision, heads=1)
    assert config == (tower if projected else dataclasses.replace(tower, embed=0))
    assert found.keys() == params.keys()
    assert all(np.array_equal(found[n], params[n]) for n in params)


STRANGERS = {
    "vision_model.head.probe": "belongs to a SigLIP, whose pooling by attention is not among",
    "head.probe": "belongs to a SigLIP",
    "visual.trunk.attn_pool.latent": "belongs to a SigLIP",
    "text_model.embeddings.token_embedding.weight": "belongs to a text tower alone",
    "embeddings.token_embedding.weight": "belongs to a text tower alone",
    "down_blocks.0.attentions.0.norm.weight": "belongs to a U-Net",
    "h.0.attn.c_attn.weight": "names such as h.0.attn.c_attn.weight belong to no known layout",
}


@pytest.mark.parametrize(("name", "says"), STRANGERS.items())
def test_what_is_none_of_our_models_is_refused_in_words(name, says, tmp_path):
    safetensors.save_file({name: np.zeros(3)}, tmp_path / "w.safetensors")
    with pytest.raises(WeightsError, match=re.escape(says)):
        read(tmp_path / "w.safetensors")


def test_counters_of_batches_are_left_out():
    params = random_params(SMALL["clip-resnet"])
    assert (
        translate({**params, "visual.bn1.num_batches_tracked": np.array(7)}).keys() == params.keys()
    )


def test_a_third_of_an_attention_that_is_missing_is_named():
    theirs = as_transformers(random_params(SMALL["clip"]))
    del theirs["text_model.encoder.layers.1.self_attn.k_proj.bias"]
    with pytest.raises(WeightsError, match=r"transformer.resblocks.1.attn.in_proj_bias needs q, k"):
        translate(theirs)


def test_two_names_for_one_array_are_an_error():
    params = random_params(SMALL["clip"])
    with pytest.raises(WeightsError, match="is there already"):
        translate({**params, "text.ln_final.bias": params["ln_final.bias"]})


def test_nothing_is_no_model():
    with pytest.raises(WeightsError, match=r"conv1.weight is missing"):
        infer(translate({}))
