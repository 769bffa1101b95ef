"""The files of a byte-pair encoding: `tokenizer.json`, or `vocab.json` beside `merges.txt`."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from refimpl.models.byte_pairs import BLANK, GPT2, BytePairs, Cut, isolated, pairs, pattern
from refimpl.models.folders import read_json
from refimpl.models.tokenizer import TextError

Change = Callable[[str], str]
Table = Mapping[str, Any]


def read_tokenizer(folder: Path) -> BytePairs | None:
    """The encoding of a folder; None where it has no file of one.

    Raises TextError for a kind that is not read, and what that is.
    """
    whole, vocabulary, merges = (
        folder / name for name in ("tokenizer.json", "vocab.json", "merges.txt")
    )
    if whole.exists():
        return from_json(read_json(whole))
    if vocabulary.exists() and merges.exists():
        lines = merges.read_text("utf-8").splitlines()
        kept = [line for line in lines if line and not line.startswith("#version")]
        cut = isolated(pattern(GPT2))
        ids = read_json(vocabulary)
        marks = {piece: ids[piece] for piece in ids if re.fullmatch(r"<\|\w+\|>", piece)}
        return BytePairs(ids, pairs(kept), of_bytes=True, cuts=(cut,), marks=marks)
    return None


def from_json(told: Table) -> BytePairs:
    """The encoding that a tokenizer.json describes."""
    model = told.get("model") or {}
    kind = model.get("type", "BPE" if "merges" in model else None)
    if kind != "BPE":
        raise TextError(f"tokenizer.json: the model is {kind}, expected BPE")
    for name in ("continuing_subword_prefix", "end_of_word_suffix", "dropout"):
        if model.get(name):
            raise TextError(f"tokenizer.json: {name} is {model[name]!r}, expected none")
    before = list(_steps(told.get("pre_tokenizer"), "pretokenizers"))
    of_bytes = any(step["type"] == "ByteLevel" for step in before)
    ids, added = model["vocab"], told.get("added_tokens") or []
    changes = [_change(step) for step in _steps(told.get("normalizer"), "normalizers")]
    return BytePairs(
        ids,
        pairs(model["merges"]),
        of_bytes,
        tuple(cut for step in before for cut in _cuts(step)),
        tuple(changes),
        {token["content"]: token["id"] for token in added},
        tuple(_first(told.get("post_processor"), {t["content"]: t["id"] for t in added} | ids)),
        bool(model.get("ignore_merges")),
    )


def _steps(told: Any, inner: str) -> list[Table]:
    """The steps of a sequence, or the one that there is."""
    if not told:
        return []
    if told["type"] == "Sequence":
        return [step for part in told[inner] for step in _steps(part, inner)]
    return [told]


def _change(step: Table) -> Change:
    kind = step["type"]
    if kind in ("NFC", "NFD", "NFKC", "NFKD"):
        return lambda text: unicodedata.normalize(kind, text)
    if kind == "Prepend":
        return lambda text: step["prepend"] + text
    if kind == "Replace" and "String" in step["pattern"]:
        return lambda text: text.replace(step["pattern"]["String"], step["content"])
    raise TextError(f"tokenizer.json: the normalizer is {kind}, expected NFC, Prepend or Replace")


def _cuts(step: Table) -> list[Cut]:
    kind = step["type"]
    if kind == "ByteLevel":
        begins = [_begun] if step.get("add_prefix_space") else []
        return [*begins, *([isolated(pattern(GPT2))] if step.get("use_regex", True) else [])]
    if kind == "Split" and step["behavior"] == "Isolated" and not step.get("invert"):
        told = step["pattern"]
        return [isolated(pattern(told["Regex"] if "Regex" in told else re.escape(told["String"])))]
    if kind == "Digits":
        return [isolated(pattern(r"\p{N}" if step["individual_digits"] else r"\p{N}+"))]
    if kind == "Metaspace":
        return [_marked(step)]
    raise TextError(
        f"tokenizer.json: the pre_tokenizer is {kind}, expected ByteLevel, an isolated Split, "
        "Digits or Metaspace"
    )


def _begun(text: str) -> list[str]:
    """A text that begins with a blank."""
    return [text if text.startswith(" ") else f" {text}"]


def _marked(step: Table) -> Cut:
    """Blanks as marks, one before the text; cut before each of them, where that is asked for."""
    mark, scheme = step.get("replacement", BLANK), step.get("prepend_scheme", "always")
    before = re.compile(f"(?={re.escape(mark)})") if step.get("split", True) else None

    def cut(text: str) -> list[str]:
        text = text.replace(" ", mark)
        if scheme != "never" and not text.startswith(mark):
            text = mark + text
        return [piece for piece in before.split(text) if piece] if before else [text]

    return cut


def _first(told: Any, ids: Mapping[str, int]) -> list[int]:
    """The numbers that stand before every text."""
    found: list[int] = []
    for step in _steps(told, "processors"):
        for part in step.get("single") or []:
            if "Sequence" in part:
                break
            mark, known = part["SpecialToken"]["id"], step.get("special_tokens") or {}
            found += known[mark]["ids"] if mark in known else [ids[mark]]
    return found
