"""The command that writes: `refimpl generate`, a text from a prompt or shares from logits."""

from __future__ import annotations

import argparse
import codecs
from pathlib import Path
from typing import Any

import numpy as np

from refimpl.commands.arguments import natural, seed
from refimpl.commands.models import said_in_a_line, writable

BAR = 16  # characters of a share of one
FORBIDDEN = "–"


def add(commands: Any) -> None:
    """The command and its options."""
    words = commands.add_parser("generate", help="a text from a prompt, every choice explained")
    words.add_argument("text", nargs="?", help='such as "Alice was beginning"')
    words.add_argument(
        "--model",
        metavar="FOLDER|NAME",
        help="who writes: a folder with config.json, model.safetensors and, where the text is more "
        "than numbers, tokenizer.json; default: glassllm, which ships",
    )
    words.add_argument(
        "--logits", type=float, nargs="+", metavar="Z", help="shares of these, in place of a text"
    )
    words.add_argument("--words", nargs="+", metavar="WORD", help="what the logits are those of")
    words.add_argument("--temperature", type=float, metavar="T", help="default 1; 0: the likeliest")
    words.add_argument(
        "--sweep", type=float, nargs="+", metavar="T", help="a text or column for each temperature"
    )
    words.add_argument("--top-k", type=int, default=0, metavar="K", help="leave the K likeliest")
    words.add_argument("--top-p", type=float, default=1.0, metavar="P", help="leave a share of P")
    words.add_argument(
        "--min-p", type=float, default=0.0, metavar="P", help="leave what is P times the likeliest"
    )
    words.add_argument("--penalty", type=float, default=1.0, help="on words that were written")
    words.add_argument("--count", type=natural, default=40, help="pieces of words, default 40")
    words.add_argument("--seed", type=seed, default=0)
    words.add_argument("--show", type=natural, metavar="N", help="the N likeliest of each step")
    words.add_argument("--explain", type=Path, metavar="HTML", help="a page on every step")
    words.set_defaults(run=run)


@said_in_a_line
def run(options: argparse.Namespace) -> int:
    """Print shares of logits, or one text for each temperature."""
    from refimpl.models.writer import Manner
    from refimpl.models.writers import SHIPPED, writer
    from refimpl.op import DomainError

    if (options.text is None) == (options.logits is None):
        raise DomainError("generate: expected a text or --logits")
    if options.sweep and (options.temperature is not None or options.explain):
        raise DomainError("generate: --sweep stands without --temperature and --explain")
    if options.logits is None and options.words:
        raise DomainError("generate: --words are those of --logits")
    if options.logits is not None and (options.explain or options.model):
        raise DomainError("generate: --explain and --model need a text")
    if options.explain:
        writable(options.explain)
    usual = 1.0 if options.temperature is None else options.temperature
    manners = [
        Manner(T, options.top_k, options.top_p, options.min_p, options.penalty)
        for T in options.sweep or [usual]
    ]
    if options.logits is not None:
        return _shares(options, manners)
    by = writer(options.model or SHIPPED)
    for manner in manners:
        if options.sweep:
            print(f"temperature {manner.temperature:g}:")
        _text(options, manner, by)
    return 0


def _shares(options: argparse.Namespace, manners: list[Any]) -> int:
    """A table: words, their logits, a column of shares for each temperature."""
    from refimpl.models.writer import next_shares
    from refimpl.op import DomainError

    names = options.words or [str(number) for number in range(len(options.logits))]
    if len(names) != len(options.logits):
        raise DomainError(
            f"generate: --words has {len(names)} words for {len(options.logits)} logits"
        )
    columns = [next_shares(options.logits, (), manner).left for manner in manners]
    print(f"{'':{_wide(names)}}  {'logit':>8}", *(_head(m) for m in manners), sep="  ")
    for word, logit, *shares in zip(names, options.logits, *columns):
        print(f"{word:{_wide(names)}}  {logit:>8g}", *map(_cell, shares), sep="  ")
    return 0


def _wide(names: list[str]) -> int:
    return max(map(len, names))


def _head(manner: Any) -> str:
    return f"{f'T = {manner.temperature:g}':<{BAR + 7}}"


def _cell(share: float) -> str:
    """A share and its bar; a dash for a word that is forbidden.

    >>> _cell(0.5)
    '0.5000 ████████        '
    """
    shown = f"{share:.4f}" if share else f"{FORBIDDEN:>6}"
    return f"{shown} {'█' * round(BAR * share):<{BAR}}"


def _text(options: argparse.Namespace, manner: Any, by: Any) -> None:
    """Print the prompt and what follows, piece by piece, and write the page."""
    from refimpl.models.writer import write

    written = write(options.text, options.count, options.seed, manner, by)
    steps, whole = [], codecs.getincrementaldecoder("utf-8")("replace")
    print(options.text, end="", flush=True)
    for step in written:
        steps.append(step)
        if step.word not in by.ends:
            print(whole.decode(by.words.bytes_of(step.word)), end="", flush=True)
    print(whole.decode(b"", final=True))
    if options.show:
        for number, step in enumerate(steps, start=1):
            _likeliest(number, step, options.show, by.words)
    if options.explain:
        from refimpl.models.explained import page

        how = f"seed {options.seed}, {said(manner)}"
        options.explain.write_text(page(options.text, steps, how, by.words), encoding="utf-8")
        print(f"{options.explain}: {len(steps)} steps")


def said(manner: Any) -> str:
    """A manner in words.

    >>> from refimpl.models.writer import Manner
    >>> said(Manner(0.7, top_k=40))
    'temperature 0.7, top k 40'
    """
    unset = type(manner)(temperature=-0.0)
    chosen = vars(manner).items()
    return ", ".join(f"{k.replace('_', ' ')} {x:g}" for k, x in chosen if x != vars(unset)[k]) or (
        "the likeliest word"
    )


def _likeliest(number: int, step: Any, count: int, words: Any) -> None:
    """One step: the likeliest words, the one that was drawn, and what the last word looked at."""
    order = np.argsort(-step.shares.before, kind="stable")[:count]
    print(f"\nstep {number}: {step.uniform:.4f} draws {words.label(step.word)!r}")
    for word in order:
        before, left = (_cell(shares[word]) for shares in step.shares)
        print(f"  {words.label(word)!r:<14} {before} {left}".rstrip())
    looked = np.mean(step.attention, axis=(0, 1))  # N
    most = np.argsort(-looked, kind="stable")[:count]
    print("  looks at", ", ".join(f"{words.label(step.seen[i])!r} {looked[i]:.2f}" for i in most))
