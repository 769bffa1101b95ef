"""CLIP's tokenizer: published tokens, two other tokenizers, and what is refused."""

from __future__ import annotations

import hashlib
import html
import importlib.util
import itertools
import lzma
import string
import sys
import unicodedata
from importlib import resources

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from refimpl.models.tokenizer import (
    PIECES,
    TextError,
    Tokenizer,
    clean,
    repair,
    split,
    tokenize,
    tokenizer,
)
from tests.audit.tokenizer import differences, texts

needs_the_extra = pytest.mark.skipif(
    not all(map(importlib.util.find_spec, ("ftfy", "regex"))), reason="needs ftfy and regex"
)

PUBLISHED = {
    "Hello World!": [3306, 1002, 256],
    "a photo of a cat": [320, 1125, 539, 320, 2368],
    "a photo of a dog": [320, 1125, 539, 320, 1929],
    "a diagram": [320, 22697],
    "lion": [5567],
    "wild animal": [3220, 4668],
    "domestic animal": [9043, 4668],
    "pet": [3703],
    "car": [1615],
    "public transportation": [2122, 10911],
    "road scene": [1759, 3562],
    "a photo of a fox": [320, 1125, 539, 320, 3240],
    "should've": [1535, 1200],
    "résumé": [29106, 7054, 4166],
    "Hi there": [1883, 997],
    "How are you?": [829, 631, 592, 286],
    "A person riding a motorcycle": [320, 2533, 6765, 320, 10297],
}


@pytest.mark.parametrize(("text", "tokens"), PUBLISHED.items())
def test_published_tokens_come_out(text, tokens):
    assert tokenizer().encode(text) == tokens


@pytest.mark.parametrize(
    ("witness", "package"),
    [("open_clip", "open_clip"), ("instant_clip", "instant_clip_tokenizer")],
)
def test_another_tokenizer_gives_the_same_tokens(witness, package):
    if not importlib.util.find_spec(package):
        pytest.skip(f"{package} is not installed")
    compared, different = differences(witness, count=1000, seed=1)
    assert compared > 990
    assert different == []


def test_the_comparison_can_fail():
    pytest.importorskip("instant_clip_tokenizer")
    from instant_clip_tokenizer import Tokenizer as Rust

    rust = Rust()
    assert tokenizer().encode("x'ſ") != list(rust.encode("x'ſ"))  # one of the known differences
    assert tokenizer().encode("\u02fd\u0345") != list(rust.encode("\u02fd\u0345"))  # another
    assert tokenizer().encode("&amp;") != list(rust.encode("&amp;"))  # it does no cleaning


def test_the_vocabulary_has_its_size_and_every_piece_once():
    book = tokenizer()
    assert len(book) == len(book.ids) == 49408
    assert (book.start, book.end) == (49406, 49407)
    assert book.pieces[0] == "!"
    assert book.pieces[256] == "!</w>"
    assert book.pieces[512] == "in"


def test_the_table_is_the_one_its_readme_names():
    data = resources.files("refimpl.models").joinpath("data")
    text = lzma.decompress(data.joinpath("clip_merges.txt.xz").read_bytes())
    assert hashlib.sha256(text).hexdigest() in data.joinpath("README.md").read_text()
    assert text.count(b"\n") == 49408 - 512 - 2


def test_bytes_are_merged_in_the_order_of_the_table_and_not_greedily():
    book = tokenizer()
    for word in ("lowest", "transportation", "aaaaaaa"):
        symbols = [*word[:-1], word[-1] + "</w>"]
        while True:
            ranked = [
                (book.ranks[pair], i)
                for i, pair in enumerate(itertools.pairwise(symbols))
                if pair in book.ranks
            ]
            if not ranked:
                break
            _, i = min(ranked)  # one place at a time, the leftmost first
            symbols[i : i + 2] = [symbols[i] + symbols[i + 1]]
        assert book.encode(word) == [book.ids[symbol] for symbol in symbols]


def test_every_digit_is_a_token():
    assert tokenizer().encode("1233") == [*tokenizer().encode("1"), 273, 274, 274]


def test_white_space_of_any_kind_separates_words():
    words = tokenizer().encode("cat dog")
    for space in ("\n", "\t", "\u3000", "\u00a0", " \r\n "):
        assert tokenizer().encode(f" cat{space}dog ") == words


def test_entities_are_undone_twice_and_no_more():
    assert clean("< &amp;lt;") == "< <"
    assert clean("< &amp;amp;lt;") == "< &lt;"
    assert clean("&amp;amp;lt;") == "<"  # the repair undoes one more where there is no tag


def test_markers_written_out_become_their_tokens():
    assert tokenizer().encode("a<|endoftext|>b")[1] == 49407
    assert tokenizer().encode("?<|EndOfText|>") != [286, 49407]  # punctuation swallows it


def test_a_row_is_padded_with_zeros_and_its_end_is_its_largest_number():
    rows = tokenize(["a cat", "", "a photo of a cat"])
    assert rows.shape == (3, 77)
    assert rows.dtype == np.int64
    assert list(rows[1, :3]) == [49406, 49407, 0]
    assert list(np.argmax(rows, axis=1)) == [3, 1, 6]
    assert tokenize([]).shape == (0, 77)


def test_a_text_that_is_too_long_is_refused_and_counted():
    text = "cat " * 80
    with pytest.raises(TextError, match=r"text 1 has 82 tokens.*expected at most context=77"):
        tokenize(["a", text])
    row = tokenize(text, truncate=True)[0]
    assert row[-1] == 49407
    assert np.all(row[1:-1] == 2368)


def test_a_text_that_just_fits_is_kept_whole():
    assert tokenize("cat " * 75)[0, -1] == 49407
    assert np.array_equal(tokenize("cat " * 75), tokenize("cat " * 75, truncate=True))


def test_what_is_no_text_or_no_token_is_refused():
    with pytest.raises(TextError, match="encode: text has type bytes"):
        tokenizer().encode(b"cat")
    with pytest.raises(TextError, match="decode: token 1 is 49408, expected 0 to 49407"):
        tokenizer().decode([320, 49408])
    with pytest.raises(TextError, match="context is 1, expected at least 2"):
        tokenize("a", context=1)


def test_lone_surrogates_do_no_harm():
    assert tokenizer().encode("\ud800 cat")[-1] == 2368


@pytest.fixture
def bare(monkeypatch):
    """The tokenizer where neither ftfy nor regex is installed."""
    for module in ("ftfy", "regex"):
        monkeypatch.setitem(sys.modules, module, None)
    return Tokenizer()


@pytest.mark.parametrize(("text", "tokens"), PUBLISHED.items())
def test_published_tokens_come_out_without_the_extra(text, tokens, bare):
    if text.isascii():
        assert bare.encode(text) == tokens
    else:
        with pytest.warns(UserWarning, match=r"ftfy is not installed.*refimpl\[text\]"):
            assert bare.encode(text) == tokens


@needs_the_extra
@settings(max_examples=300, deadline=None)
@given(st.text(st.characters(max_codepoint=127), max_size=60))
@example("\x1b[31mred\x1b[0m &amp;amp;lt; a\r\nb\x07c")
@example("< &amp;lt;")
def test_texts_in_ascii_need_no_repair_beyond_ours(text):
    import ftfy

    found, expected = (
        " ".join(html.unescape(html.unescape(fixed)).split())
        for fixed in (repair(text), ftfy.fix_text(text))
    )
    assert found.isascii() <= (found == expected)  # an entity may name another character


@needs_the_extra
def test_the_standard_library_splits_every_character_as_the_pattern_does():
    import regex

    pattern = regex.compile(PIECES, regex.IGNORECASE)
    for number in range(sys.maxunicode + 1):
        if unicodedata.category(chr(number)) in ("Cn", "Cs"):
            continue  # assigned in a later Unicode, perhaps, or no character
        text = f"a{chr(number)}'{chr(number)}1".lower()
        if not chr(number).isspace():
            assert split(text) == pattern.findall(text), hex(number)


@needs_the_extra
@pytest.mark.parametrize("seed", range(3))
def test_the_standard_library_splits_texts_of_every_kind_as_the_pattern_does(seed):
    import regex

    pattern = regex.compile(PIECES, regex.IGNORECASE)
    for text in map(clean, texts(400, seed)):
        assert split(text) == pattern.findall(text)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=40))
@example("iota \u0345 below")
def test_decoding_gives_the_cleaned_text_up_to_spaces(text):
    cleaned = clean(text)
    decoded = tokenizer().decode(tokenizer().encode(text))
    for unread in (" ", "\u0345", "<|startoftext|>", "<|endoftext|>"):
        cleaned = cleaned.replace(unread, "")
    assert decoded.replace(" ", "") == cleaned


@settings(max_examples=100, deadline=None)
@given(st.lists(st.text(string.ascii_letters, min_size=1, max_size=9), max_size=6))
def test_words_are_encoded_one_by_one(words):
    apart = [token for word in words for token in tokenizer().encode(word)]
    assert tokenizer().encode(" ".join(words)) == apart


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=30))
def test_case_and_surrounding_space_do_not_matter(text):
    plain = clean(text)
    assert tokenizer().encode(f"\t{plain}\n") == tokenizer().encode(plain)


def test_tokenizers_made_twice_agree():
    assert Tokenizer().ids == tokenizer().ids
