"""Models that write: the one that ships, and any decoder in a folder."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from refimpl import fast
from refimpl.models import Params
from refimpl.models.folders import described, read_folder, read_json
from refimpl.models.names import WeightsError
from refimpl.models.pieces import pieces
from refimpl.models.registry import find_model
from refimpl.models.shipped import small_writer
from refimpl.models.tokenizer import TextError
from refimpl.models.tokenizer_files import read_tokenizer

SHIPPED = "glassllm"


class Words(Protocol):
    """How a text becomes numbers, and what each number adds to a text."""

    def encode(self, text: str) -> list[int]:
        """The numbers of a text."""

    def bytes_of(self, number: int) -> bytes:
        """What a number adds to a text."""

    def label(self, number: int) -> str:
        """A number as it is shown."""


class Numbers:
    """Words of a model without a tokenizer: the text is their numbers.

    >>> Numbers("folder").encode("3 141")
    [3, 141]
    """

    def __init__(self, where: str) -> None:
        self.where = where

    def encode(self, text: str) -> list[int]:
        """The numbers as they are written."""
        try:
            return [int(word) for word in text.split()]
        except ValueError:
            raise TextError(
                f"{self.where}: has no tokenizer.json, nor vocab.json and merges.txt; expected the "
                "numbers of words such as '12 7 255'"
            ) from None

    def bytes_of(self, number: int) -> bytes:
        """A blank and the number."""
        return f" {number}".encode()

    def label(self, number: int) -> str:
        """The number."""
        return str(number)


@dataclass(frozen=True)
class Writer:
    """A decoder, its words, and the numbers that end a text."""

    config: Any
    params: Params
    words: Words
    ends: frozenset[int] = frozenset()
    ops: Any = None  # the text's own operations

    def encode(self, prompt: str) -> list[int]:
        """The numbers of a prompt.

        Raises TextError for none, and for a number beyond the vocabulary.
        """
        ids = self.words.encode(prompt)
        if not ids:
            raise TextError("generate: the prompt is empty, expected such as 'Alice was'")
        beyond = [number for number in ids if not 0 <= number < self.config.vocabulary]
        if beyond:
            raise TextError(
                f"generate: the prompt has the number {beyond[0]}, expected 0 to "
                f"{self.config.vocabulary - 1}"
            )
        return ids

    def decode(self, numbers: Iterable[int]) -> str:
        """The text of numbers."""
        return b"".join(map(self.words.bytes_of, numbers)).decode("utf-8", "replace")


def writer(name: str | Path = SHIPPED) -> Writer:
    """The writer of a name, or of a folder as transformers writes it.

    Raises WeightsError for a model that does not ship, a folder that cannot be used, and a model
    that writes no text by itself; TextError for a tokenizer of another kind.
    """
    if str(name) == SHIPPED:
        return Writer(*small_writer(), pieces())
    folder = Path(name)
    if not folder.exists():
        raise WeightsError(f"{name}: {_known(str(name))}, and there is no such folder; {EXPECTED}")
    config, params = read_folder(folder)
    return Writer(
        config,
        {key: np.asarray(array, np.float32) for key, array in params.items()},
        read_tokenizer(folder) or Numbers(str(name)),
        _ends(folder),
        fast,
    )


EXPECTED = f"expected {SHIPPED}, or a folder with config.json and model.safetensors"


def _known(name: str) -> str:
    try:
        find_model(name)
    except KeyError:
        return "is no model's name"
    return "does not ship"


def _ends(folder: Path) -> frozenset[int]:
    """The numbers that end a text, of one file or the other."""
    told = dict(described(folder))
    more = folder / "generation_config.json"
    told |= read_json(more) if more.exists() else {}
    found = told.get("eos_token_id")
    return frozenset(found if isinstance(found, list) else [] if found is None else [found])
