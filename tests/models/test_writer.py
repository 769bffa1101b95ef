"""Text from a prompt with the small writer, as functions and as a command."""

from __future__ import annotations

import html.parser
import re
from decimal import Decimal, localcontext

import numpy as np
import pytest

import refimpl
from refimpl.commands.main import main
from refimpl.models import TEXT
from refimpl.models.configs import count
from refimpl.models.explained import page
from refimpl.models.llama import GLASSLLM, llama
from refimpl.models.philox import uniforms
from refimpl.models.pieces import pieces
from refimpl.models.shipped import small_writer
from refimpl.models.tokenizer import TextError
from refimpl.models.writer import Manner, next_shares, write
from refimpl.op import DomainError

DECK = np.array([4.1, 3.9, 2.7])  # the worked table of the lecture
EIGHT = np.array([1.2, -0.8, -0.3, 0.5, 1.1, 0.2, -0.7, 2.4])
GREEDY = Manner(0)


def run(*words):
    with pytest.raises(SystemExit) as end:
        main(["generate", *words])
    return end.value.code


def written(steps):
    return pieces().decode([step.word for step in steps])


def test_the_writer_has_as_many_numbers_as_were_published():
    config, params = small_writer()
    assert count(config) == sum(array.size for array in params.values()) == 852_608
    assert {name: array.shape for name, array in params.items()} == config.shapes()


def test_greedy_words_are_those_of_the_library_that_the_weights_are_from():
    """Written down from glassllm 0.1.0: its `generate` with `greedy=True`."""
    steps = list(write("Alice was beginning to get very tired of", 40, 0, GREEDY))
    assert written(steps) == (
        " the\ntime or two, and she found it was saying to herself, and\n"
        "she was so much a little fellow.\n\n“I don’t know what you see it was"
    )


def test_a_step_with_its_cache_has_the_logits_of_the_whole_text():
    config, params = small_writer()
    steps = list(write("Alice was", 12, 3))
    for step in steps[::4]:
        ids = np.array([step.seen])
        whole = llama(ids, np.arange(float(ids.size)), params, config, TEXT)[0, -1]
        scale = np.max(np.abs(whole))
        assert np.max(np.abs(whole - step.logits)) < scale * 2**-40


def test_the_last_words_attention_is_that_which_mixed_the_values():
    config, params = small_writer()
    told = {}

    def tap(name, value):
        told[name] = value
        return value

    (step,) = write("Alice was so", 1)
    ids = np.array([step.seen])
    llama(ids, np.arange(float(ids.size)), params, config, TEXT, tap)
    N, E = ids.size, config.head
    for i in range(config.layers):
        values = told[f"layers.{i}.attn.value"].reshape(N, config.groups, E)
        values = np.repeat(values, config.heads // config.groups, axis=1)  # N H E
        mixed = np.einsum("hn,nhe->he", step.attention[i], values).ravel()
        expected = told[f"layers.{i}.attn.mixed"][0, -1]
        assert np.max(np.abs(mixed - expected)) < np.max(np.abs(values)) * 2**-45


def test_beyond_its_context_the_writer_looks_at_the_last_pieces_from_place_0():
    config, params = small_writer()
    steps = list(write("Alice was", config.context + 2, 1))
    assert len(steps[-1].seen) == config.context
    whole = llama(
        np.array([steps[-1].seen]), np.arange(float(config.context)), params, config, TEXT
    )
    assert np.argmax(whole[0, -1]) == np.argmax(steps[-1].logits)
    assert steps[-1].seen[:-1] == steps[-2].seen[1:]


def test_words_are_drawn_by_the_uniform_numbers_of_the_seed():
    steps = list(write("Alice was", 8, 5, Manner(0.8, top_p=0.9)))
    for step, uniform in zip(steps, uniforms(5, 0, 8), strict=True):
        reached = np.cumsum(step.shares.left)
        before = reached[step.word] - step.shares.left[step.word]
        assert step.uniform == uniform
        assert before <= uniform * reached[-1] < reached[step.word]
    assert written(steps) == written(write("Alice was", 8, 5, Manner(0.8, top_p=0.9)))
    assert written(steps) != written(write("Alice was", 8, 6, Manner(0.8, top_p=0.9)))


def worked(logits, temperature):
    """Shares in forty digits."""
    with localcontext(prec=40):
        powers = [(Decimal(str(z)) / Decimal(str(temperature))).exp() for z in logits]
        return [power / sum(powers) for power in powers]


def test_the_table_of_the_lecture():
    for T in (1, 0.5, 1.5):
        shares = next_shares(DECK, (), Manner(T)).before
        exact = np.array([float(x) for x in worked(DECK, T)])
        assert np.max(np.abs(shares - exact)) < 2**-50
    assert np.round(next_shares(DECK).left, 3).tolist() == [0.484, 0.396, 0.119]


def test_a_manner_does_what_its_operations_do_in_the_order_of_the_libraries():
    manner = Manner(0.7, top_k=5, top_p=0.9, min_p=0.02, penalty=1.3)
    z = np.where(np.arange(8) == 7, EIGHT / 1.3, EIGHT)
    z = np.where(np.arange(8) == 1, EIGHT * 1.3, z) / 0.7
    z = refimpl.keep_min_p(refimpl.keep_top_p(refimpl.keep_top_k(z[None], 5), 0.9), 0.02)
    assert np.array_equal(next_shares(EIGHT, [7, 1, 7], manner).left, refimpl.softmax(z)[0])


def test_at_a_temperature_of_0_the_first_of_the_likeliest_words_is_taken():
    assert next_shares([1.0, 2.0, 2.0], (), GREEDY).left.tolist() == [0, 1, 0]


@pytest.mark.parametrize(
    "wrong",
    [
        {"temperature": -1},
        {"temperature": np.nan},
        {"top_k": -1},
        {"top_p": 0},
        {"top_p": 1.1},
        {"min_p": -0.1},
        {"penalty": 0},
    ],
)
def test_a_manner_out_of_range_is_refused(wrong):
    with pytest.raises(DomainError, match=f"generate: {next(iter(wrong))} is"):
        Manner(**wrong)


def test_pieces_grow_together_in_the_order_of_their_table():
    for text in ("said Alice", "  “Oh dear!” \n\n she thought  ", " ", "a\n b"):
        numbers = pieces().encode(text)
        assert pieces().decode(numbers) == text
    assert len(pieces().pieces) == GLASSLLM.vocabulary
    assert pieces().encode(" the") != pieces().encode("the")


def test_a_sign_that_the_writer_does_not_know_is_named():
    with pytest.raises(TextError, match="does not know the sign 'é'"):
        pieces().encode("café")


def test_the_command_prints_the_table_of_the_lecture(capsys):
    words = ("--words", "rioja", "mosel", "jerez", "--sweep", "1", "0.5", "1.5")
    assert run("--logits", "4.1", "3.9", "2.7", *words) == 0
    shown = capsys.readouterr().out
    rows = {line.split()[0]: re.findall(r"0\.\d{4}", line) for line in shown.splitlines()[1:]}
    columns = zip(*([f"{x:.4f}" for x in worked(DECK, T)] for T in (1, 0.5, 1.5)))
    assert list(rows.values()) == [list(column) for column in columns]


def test_the_command_prints_the_eight_logits_and_what_filters_leave_of_them(capsys):
    logits = [str(z) for z in EIGHT]
    assert run("--logits", *logits) == 0
    rows = capsys.readouterr().out.splitlines()[1:]
    assert [row.split()[2] for row in rows] == [f"{x:.4f}" for x in worked(EIGHT, 1)]
    assert run("--logits", *logits, "--top-k", "3") == 0
    shown = capsys.readouterr().out.splitlines()[1:]
    assert ["–" in line for line in shown] == [False, True, True, True, False, True, True, False]


def test_the_command_prints_a_text_and_its_steps(capsys, tmp_path):
    place = tmp_path / "page.html"
    how = ("--temperature", "0", "--count", "7", "--show", "3", "--explain", str(place))
    assert run("Alice was beginning to get very tired of", *how) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("Alice was beginning to get very tired of the\ntime or")
    assert shown.count("\nstep ") == 7
    assert shown.count("looks at") == 7
    assert "7 steps" in shown.splitlines()[-1]
    assert place.read_text("utf-8").count("<details") == 7


def test_the_command_writes_a_text_for_each_temperature(capsys):
    assert run("Alice was", "--sweep", "0", "1", "--count", "3") == 0
    shown = capsys.readouterr().out
    assert shown.count("Alice was") == 2
    assert "temperature 0:" in shown
    assert "temperature 1:" in shown


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("Alice", "--logits", "1", "2"),
        ("Alice", "--words", "a"),
        ("--logits", "1", "2", "--words", "a"),
        ("--logits", "1", "2", "--explain", "page.html"),
        ("Alice", "--sweep", "1", "--temperature", "1"),
        ("Alice", "--temperature", "-1"),
        ("",),
        ("café",),
        ("Alice", "--explain", "no/such/folder/page.html"),
    ],
)
def test_what_does_not_go_together_is_said_in_a_line(words, capsys):
    assert run(*words) == 4
    assert len(capsys.readouterr().err.splitlines()) == 1


class Reader(html.parser.HTMLParser):
    """What a page says, and where its links lead."""

    def __init__(self):
        super().__init__()
        self.said, self.links, self.places = "", [], []

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.links += [found["href"][1:]] if tag == "a" else []
        self.places += [found["id"]] if "id" in found else []

    def handle_data(self, data):
        self.said += data


def test_the_page_shows_each_word_its_share_and_what_was_likely_instead():
    steps = list(write("Alice was", 6, 2, Manner(0.8, top_k=20)))
    reader = Reader()
    reader.feed(page('Alice <was> "so"', steps, "seed 2", pieces()))
    assert reader.links == reader.places == [f"step-{n}" for n in range(1, 7)]
    assert 'Alice <was> "so"' in reader.said
    for step in steps:
        assert f"a share of {step.shares.left[step.word]:.4f}" in reader.said
        assert f"{np.max(step.shares.before):.4f}" in reader.said
