"""The words of the small reader, and texts cut into them: captions, questions, answers."""

from __future__ import annotations

import re
from collections.abc import Sequence

from refimpl.models.tokenizer import TextError

IMAGE, END, COLON, DOT = 0, 1, 2, 3  # what is no word: room for a picture, the end, signs
TABLE = """<image> <end> : . ? a an the is it this that which what digit number even odd or larger
greater smaller less than comes next before after follows yes no none zero one two three four five
six seven eight nine ten 0 1 2 3 4 5 6 7 8 9 handwritten written by hand photo of picture image
drawing scan white on black background somebody wrote"""
WORDS = tuple(TABLE.split())
PLACES = {word: place for place, word in enumerate(WORDS)}


def words_of(text: str) -> list[int]:
    """A text as places of its words in the table; a question mark is a word of its own.

    Raises TextError for a word that the reader never saw.

    >>> [WORDS[i] for i in words_of("Which digit?")]
    ['which', 'digit', '?']
    """
    found = re.findall(r"[\w'-]+|[^\w\s]", text.lower())
    for word in found:
        if word not in PLACES or PLACES[word] in (IMAGE, END):
            known = sorted(word for word in WORDS if word.isalnum())
            raise TextError(
                f"the reader does not know the word {word!r}; it knows {', '.join(known)}"
            )
    return [PLACES[word] for word in found]


def text_of(ids: Sequence[int]) -> str:
    """Words as a text, no space before a sign.

    >>> text_of(words_of("is it even?"))
    'is it even?'
    """
    return re.sub(r" ([:.?])", r"\1", " ".join(WORDS[i] for i in ids))
