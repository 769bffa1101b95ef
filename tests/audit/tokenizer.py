"""`python -m tests.audit.tokenizer`: our tokens against those of two other tokenizers.

open_clip cleans with the same libraries as we do and merges with code of its own. The Rust crate
instant-clip-tokenizer lower-cases and does no other cleaning, so it is given the cleaned text; it
shares nothing with us but the table of merges. The differences that are known are left out:

    'ſ      The published pattern ignores case, and the long s is a small s: a contraction. The Rust
            pattern minds case.
    U+0345  The iota below is a mark, but in another case it is a letter: the published pattern, and
            so open_clip's and ours, takes it for neither and drops it. The Rust pattern keeps it.
    <|…|>   The markers, which both spell <start_of_text> and <end_of_text>.

Characters are drawn from the Unicode version of Python's own tables: later ones are letters for one
library and nothing for another.
"""

from __future__ import annotations

import argparse
import html
import importlib.util
import random
import sys
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from refimpl.models.tokenizer import Tokenizer, clean

WORDS = (
    *("a", "photo", "of", "the", "cat", "Dog", "HOUSE", "street", "artwork", "tattoo", "origami"),
    *("résumé", "naïve", "façade", "Straße", "ΣΊΣΥΦΟΣ", "İstanbul", "ﬁnance", "e\u0301tude"),
    *("東京", "カメラ", "한국어", "русский", "العربية", "हिन्दी", "ไทย", "supercalifragilistic"),
)
CONTRACTIONS = ("'s", "'t", "'re", "'ve", "'m", "'ll", "'d", "'S", "'LL", "’s", "n't", "o'clock")
ENTITIES = ("&amp;", "&amp;amp;", "&lt;b&gt;", "&#39;s", "&eacute;", "&nbsp;", "&quot;", "&nosuch;")
EMOJI = ("👍", "👍🏽", "👩‍👩‍👧", "🇫🇷", "❤️", "😀😀😀", "🏳️‍🌈", "①", "½", "Ⅷ")
SPACES = (" ", "  ", "\n", "\t", "\r\n", "\u00a0", "\u3000", "\u2028", "\x1f", "\x85", "\u200b")
MOJIBAKE = ("Ã©tÃ©", "â€œquotedâ€\x9d", "schÃ¶n", "l’humanitÃ©")
PUNCTUATION = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~…–—«»¿¡€£°"
KNOWN = [chr(c) for c in range(0x20, 0x30000) if unicodedata.category(chr(c)) not in ("Cn", "Cs")]


def texts(count: int, seed: int) -> Iterator[str]:
    """Strings of every kind that the tokenizer treats in its own way."""
    rng = random.Random(seed)

    def run(alphabet: Any, longest: int) -> str:
        return "".join(rng.choices(alphabet, k=rng.randint(1, longest)))

    kinds: tuple[Callable[[], str], ...] = (
        lambda: rng.choice(WORDS),
        lambda: rng.choice(WORDS).swapcase(),
        lambda: rng.choice(WORDS) + rng.choice(CONTRACTIONS),
        lambda: rng.choice(CONTRACTIONS),
        lambda: rng.choice(ENTITIES),
        lambda: html.escape(html.escape(rng.choice(PUNCTUATION))),
        lambda: rng.choice(EMOJI),
        lambda: rng.choice(MOJIBAKE),
        lambda: str(rng.randint(0, 10**9)),
        lambda: run(PUNCTUATION, 6),
        lambda: run("abcdefghijklmnopqrstuvwxyz", 12),
        lambda: run("abcdefghijklmnopqrstuvwxyz", 200),
        lambda: run("ab", 60),
        lambda: rng.choice(PUNCTUATION + "aé東9") * rng.randint(1, 80),
        lambda: run(KNOWN, 8),
        lambda: run(KNOWN[:1500], 12),
    )
    for _ in range(count):
        parts = [rng.choice(kinds)() for _ in range(rng.randint(0, 8))]
        yield "".join(rng.choice((*SPACES, "", " ", " ")) + part for part in parts)


def open_clip() -> Callable[[str], list[int]]:
    """The tokenizer of open_clip; its file is loaded alone, without the models beside it."""
    package = importlib.util.find_spec("open_clip")
    assert package is not None
    assert package.origin is not None
    path = Path(package.origin).with_name("tokenizer.py")
    spec = importlib.util.spec_from_file_location("open_clip_tokenizer", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.SimpleTokenizer().encode


def instant_clip() -> Callable[[str], list[int]]:
    """The Rust tokenizer, given the cleaned text."""
    from instant_clip_tokenizer import Tokenizer as Rust

    rust = Rust()
    return lambda text: list(rust.encode(clean(text)))


def comparable(witness: str, text: str) -> bool:
    """Whether none of the known differences can show."""
    cleaned = clean(text)
    if any(marker in cleaned for marker in ("<|startoftext|>", "<|endoftext|>", "_of_text>")):
        return False
    return not (witness == "instant_clip" and ("'ſ" in cleaned or "\u0345" in cleaned))


WITNESSES = {"open_clip": open_clip, "instant_clip": instant_clip}


def differences(witness: str, count: int, seed: int) -> tuple[int, list[str]]:
    """How many texts were compared, and those with other tokens."""
    ours, theirs = Tokenizer(), WITNESSES[witness]()
    listed = [text for text in texts(count, seed) if comparable(witness, text)]
    return len(listed), [text for text in listed if ours.encode(text) != theirs(text)]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.audit.tokenizer", description=__doc__)
    parser.add_argument("--texts", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    failures = 0
    for witness in WITNESSES:
        compared, different = differences(witness, options.texts, options.seed)
        left_out = options.texts - compared
        print(f"{witness}: {compared} texts compared, {left_out} left out, {len(different)} differ")
        for text in different[:5]:
            print(f"    {text!r}", file=sys.stderr)
        failures += len(different)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
