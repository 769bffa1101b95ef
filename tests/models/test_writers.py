"""Decoders of one's own that write: a folder's configuration, its weights, its words."""

from __future__ import annotations

import json

import numpy as np
import pytest

from refimpl.commands.main import main
from refimpl.models.folders import read_folder
from refimpl.models.gpt2 import Gpt2
from refimpl.models.llama import Llama
from refimpl.models.names import WeightsError
from refimpl.models.registry import find_model
from refimpl.models.tokenizer import TextError
from refimpl.models.tokenizer_files import from_json, read_tokenizer
from refimpl.models.writer import Manner, write
from refimpl.models.writers import writer
from tests.small import random_params

LLAMA = Llama(24, 2, 3, 3, 40, 20, 30)
TOLD = {
    "model_type": "llama",
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 40,
    "max_position_embeddings": 20,
    "vocab_size": 30,
    "rms_norm_eps": 1e-5,
}
SAID = "the cat's mat, they'll see; 2024 was café ½ — naïve.  Two\n\n new\tlines 日本語 DON'T 😀"
QWEN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|"
    r"\s*[\r\n]+|\s+(?!\S)|\s+"
)
GREEDY = Manner(0)


def run(*words):
    with pytest.raises(SystemExit) as end:
        main(["generate", *map(str, words)])
    return end.value.code


def stored(path, params):
    """A safetensors file: the size of its header, the header, the numbers one after the other."""
    header, at = {}, 0
    for name, array in params.items():
        places = [at, at := at + array.nbytes]
        header[name] = {"dtype": "F32", "shape": list(array.shape), "data_offsets": places}
    told = json.dumps(header).encode()
    numbers = b"".join(np.float32(array).tobytes() for array in params.values())
    path.write_bytes(len(told).to_bytes(8, "little") + told + numbers)


@pytest.fixture
def folder(tmp_path):
    """A Llama of random numbers under the names of transformers, without words."""
    params = random_params(LLAMA)
    theirs = {"words.": "embed_tokens.", "ln_1": "input_layernorm", "attn.out_proj": "attn.o_proj"}
    theirs |= {"ln_2": "post_attention_layernorm", ".attn.": ".self_attn."}
    theirs |= {f".mlp.{part}.": f".mlp.{part}_proj." for part in ("gate", "up", "down")}
    state = {}
    for name, array in params.items():
        for ours, other in theirs.items():
            name = name.replace(ours, other)
        state["lm_head.weight" if name == "head.weight" else f"model.{name}"] = array
    stored(tmp_path / "model.safetensors", state)
    (tmp_path / "config.json").write_text(json.dumps(TOLD))
    return tmp_path


def test_a_folder_is_read_as_its_configuration_says(folder):
    config, params = read_folder(folder)
    assert config == LLAMA
    expected = random_params(LLAMA)
    assert all(np.array_equal(params[name], expected[name]) for name in expected)


def test_weights_may_stand_in_several_files(folder):
    whole = writer(folder).params
    state = {name: array for name, array in whole.items() if name != "head.weight"}
    stored(folder / "a.safetensors", state)
    stored(folder / "b.safetensors", {"head.weight": whole["head.weight"]})
    (folder / "model.safetensors").unlink()
    places = dict.fromkeys(state, "a.safetensors") | {"head.weight": "b.safetensors"}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))
    config, params = read_folder(folder)
    assert config == LLAMA
    assert all(np.array_equal(params[name], whole[name]) for name in whole)
    places = {"weight_map": {"head.weight": "../b.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(places))
    with pytest.raises(WeightsError, match="no file of this folder"):
        read_folder(folder)


def test_without_a_tokenizer_a_text_is_the_numbers_of_its_words(folder, capsys):
    assert run("3 1 4", "--model", folder, "--temperature", 0, "--count", 5) == 0
    numbers = [int(word) for word in capsys.readouterr().out.split()]
    steps = list(write("3 1 4", 5, 0, GREEDY, writer(folder)))
    assert numbers == [3, 1, 4, *(step.word for step in steps)]


def test_a_text_ends_where_the_model_ends_it(folder, capsys):
    first, *_ = write("3 1 4", 1, 0, GREEDY, writer(folder))
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [first.word, 99]}))
    assert len(list(write("3 1 4", 5, 0, GREEDY, writer(folder)))) == 1
    assert run("3 1 4", "--model", folder, "--temperature", 0, "--count", 5) == 0
    assert capsys.readouterr().out == "3 1 4\n"


def test_beyond_its_context_a_model_of_ones_own_goes_on_too(folder):
    steps = list(write("3 1 4", LLAMA.context + 2, 0, GREEDY, writer(folder)))
    assert len(steps[-1].seen) == LLAMA.context
    assert steps[-1].attention.shape == (2, 3, LLAMA.context)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"model_type": "bert"}, "model_type 'bert', expected one of"),
        ({"hidden_size": None}, "hidden_size is missing"),
        ({"head_dim": 16}, "head_dim is 16, expected 8"),
        ({"rope_scaling": {"type": "linear", "factor": 2}}, "rope_type is 'linear'"),
        ({"attention_bias": True}, "attention_bias is True"),
        ({"hidden_act": "relu"}, "hidden_act is 'relu', expected silu"),
        ({"tie_word_embeddings": True}, "head.weight is surplus"),
        ({"num_hidden_layers": 3}, "layers.2.ln_1.weight is missing"),
    ],
)
def test_a_setting_that_no_text_has_is_named(folder, change, says):
    told = {name: value for name, value in (TOLD | change).items() if value is not None}
    (folder / "config.json").write_text(json.dumps(told))
    with pytest.raises(WeightsError, match=says):
        read_folder(folder)


@pytest.mark.parametrize(
    ("name", "prompt", "says"),
    [
        ("gpt2", "1 2", "does not ship"),
        ("no-such-place", "1 2", "no such folder"),
        ("FOLDER", "Alice", "has no tokenizer.json"),
        ("FOLDER", "1 99", "number 99, expected 0 to 29"),
        ("FOLDER", "", "the prompt is empty"),
    ],
)
def test_what_a_writer_cannot_do_is_said_in_a_line(folder, name, prompt, says, capsys):
    assert run(prompt, "--model", folder if name == "FOLDER" else name) == 4
    written = capsys.readouterr()
    assert says in written.err
    assert len(written.err.splitlines()) == 1
    assert not written.out


def test_a_folder_without_one_of_its_files_is_named(folder):
    (folder / "model.safetensors").unlink()
    with pytest.raises(WeightsError, match=r"model\.safetensors: No such file"):
        read_folder(folder)
    (folder / "config.json").unlink()
    with pytest.raises(WeightsError, match=r"config\.json: No such file"):
        read_folder(folder)


BYTES = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True}


def test_bytes_grow_together_in_the_order_of_the_table():
    table = {"a": 0, "b": 1, "Ġ": 2, "ab": 3, "Ġab": 4, "Ã": 5, "©": 6, "<|end|>": 7}
    model = {"type": "BPE", "vocab": table, "merges": ["a b", ["Ġ", "ab"]]}
    added = [{"content": "<|end|>", "id": 7}]
    words = from_json({"model": model, "pre_tokenizer": BYTES, "added_tokens": added})
    assert words.encode("ab abé<|end|>b") == [3, 4, 5, 6, 7, 1]
    assert b"".join(map(words.bytes_of, [3, 4, 5, 6, 7, 1])).decode() == "ab abéb"
    assert [words.label(number) for number in (4, 7, 99)] == [" ab", "<|end|>", "<99>"]
    with pytest.raises(TextError, match="no piece for 'z'"):
        words.encode("z")


def test_a_table_beside_a_list_of_merges_is_read_too(tmp_path):
    (tmp_path / "vocab.json").write_text('{"a": 0, "b": 1, "ab": 2}')
    (tmp_path / "merges.txt").write_text("#version: 0.2\na b\n")
    words = read_tokenizer(tmp_path)
    assert words.encode("abb") == [2, 1]
    (tmp_path / "merges.txt").unlink()
    assert read_tokenizer(tmp_path) is None


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"model": {"type": "Unigram"}}, "the model is Unigram, expected BPE"),
        ({"pre_tokenizer": {"type": "BertPreTokenizer"}}, "pre_tokenizer is BertPreTokenizer"),
        ({"normalizer": {"type": "Lowercase"}}, "normalizer is Lowercase"),
        (
            {"model": {"type": "BPE", "vocab": {}, "merges": [], "end_of_word_suffix": "</w>"}},
            "end_of_word_suffix is '</w>'",
        ),
    ],
)
def test_a_tokenizer_of_another_kind_is_named(change, says):
    usual = {"model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}, "pre_tokenizer": BYTES}
    with pytest.raises(TextError, match=says):
        from_json(usual | change)


def trained(kind):
    """A small tokenizer of the library's own, trained on a few words."""
    of = pytest.importorskip("tokenizers")
    cut, trainer = of.pre_tokenizers, of.trainers.BpeTrainer
    if kind in ("mark", "marks"):
        words = of.Tokenizer(of.models.BPE(byte_fallback=True, unk_token="<unk>"))
        if kind == "mark":
            words.pre_tokenizer = cut.Metaspace(prepend_scheme="first", split=False)
        else:
            parts = [of.normalizers.Prepend("▁"), of.normalizers.Replace(" ", "▁")]
            words.normalizer = of.normalizers.Sequence(parts)
        marks = ["<unk>", "<s>", *(f"<0x{byte:02X}>" for byte in range(256))]
        how = trainer(vocab_size=320, special_tokens=marks, show_progress=False)
        words.train_from_iterator(["the cat sat on the mat, she said"], how)
        words.post_processor = of.processors.TemplateProcessing("<s> $A", None, [("<s>", 1)])
        return words
    words = of.Tokenizer(of.models.BPE())
    words.pre_tokenizer = cut.ByteLevel(add_prefix_space=kind == "prefix")
    if kind == "qwen":
        split = cut.Split(of.Regex(QWEN), "isolated")
        words.pre_tokenizer = cut.Sequence([split, cut.ByteLevel(False, use_regex=False)])
        words.normalizer = of.normalizers.NFC()
    how = trainer(
        vocab_size=380,
        special_tokens=["<|end|>"],
        initial_alphabet=cut.ByteLevel.alphabet(),
        show_progress=False,
    )
    words.train_from_iterator([SAID], how)
    return words


@pytest.mark.parametrize("kind", ["gpt2", "prefix", "qwen", "mark", "marks"])
def test_words_have_the_numbers_that_the_library_gives_them(kind):
    theirs = trained(kind)
    ours = from_json(json.loads(theirs.to_str()))
    signs, rng = [*SAID, "\u0301", "\x1c", "\u3000", "<|end|>"], np.random.default_rng(0)
    drawn = ["".join(rng.choice(signs, 30)) for _ in range(40)]
    for text in (SAID, "", " ", "  a", "ab" * 40, *drawn):
        assert ours.encode(text) == theirs.encode(text).ids, text


GREEDY_SIZES = {
    "gpt2": ("GPT2LMHeadModel", {"n_embd": 24, "n_layer": 2, "n_head": 3, "n_positions": 32}),
    "llama": ("LlamaForCausalLM", {"num_key_value_heads": 3, "num_attention_heads": 3}),
    "qwen2": ("Qwen2ForCausalLM", {"num_key_value_heads": 2, "num_attention_heads": 6}),
}
ROTARY = {"hidden_size": 24, "num_hidden_layers": 2, "intermediate_size": 40}


@pytest.mark.parametrize("kind", GREEDY_SIZES)
def test_greedy_words_are_those_of_the_library_that_wrote_the_folder(kind, tmp_path):
    torch = pytest.importorskip("torch")
    pytest.importorskip("transformers")
    hooks = pytest.importorskip("refimpl.backends.hooks")
    hooks.allow_broken_torchvision()
    import transformers

    name, sizes = GREEDY_SIZES[kind]
    sizes = sizes | ({} if kind == "gpt2" else ROTARY | {"max_position_embeddings": 32})
    marks = {"bos_token_id": None, "eos_token_id": 0}
    config = transformers.AutoConfig.for_model(kind, vocab_size=50, **sizes, **marks)
    torch.manual_seed(1)
    model = getattr(transformers, name)(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(8 if parameter.ndim > 1 else 1)  # so that words differ
    model.save_pretrained(tmp_path)
    ids = torch.tensor([[3, 1, 4, 1, 5]])
    greedy = model.generate(ids, max_new_tokens=16, do_sample=False)[0, 5:].tolist()
    steps = list(write("3 1 4 1 5", 16, 0, GREEDY, writer(tmp_path)))
    assert [step.word for step in steps] == greedy
    assert len(set(greedy)) > 3


def test_sizes_that_have_a_name_are_those_that_their_configuration_files_say():
    """Written down from the published config.json of GPT-2 and Qwen2.5-0.5B."""
    from refimpl.models.spec import gpt2, llama

    told = {"n_embd": 768, "n_layer": 12, "n_head": 12, "n_positions": 1024}
    told |= {"vocab_size": 50257, "layer_norm_epsilon": 1e-5, "activation_function": "gelu_new"}
    assert gpt2.described(told) == find_model("gpt2") == Gpt2(768, 12, 12)
    told = {"hidden_size": 896, "num_hidden_layers": 24, "num_attention_heads": 14}
    told |= {"num_key_value_heads": 2, "intermediate_size": 4864, "vocab_size": 151936}
    told |= {"max_position_embeddings": 32768, "rms_norm_eps": 1e-6, "rope_theta": 1e6}
    told |= {"tie_word_embeddings": True, "hidden_act": "silu", "use_sliding_window": False}
    assert llama.described(told, bias=True) == find_model("qwen2.5-0.5b")
