"""What the reader is trained on in words: what is said of a digit, asked about it, answered."""

from __future__ import annotations

from collections.abc import Iterator

from train import NAMES, captions

EVEN, ODD = (
    ("is it even?", "is this even?", "is it an even number?"),
    ("is it odd?", "is this odd?"),
)
WHICH = (
    "which digit?",
    "which digit is it?",
    "which digit is this?",
    "what digit is it?",
    "what digit is this?",
    "which number?",
    "which number is it?",
    "what number is this?",
)
LARGER = ("is it larger than {}?", "is it greater than {}?", "is this larger than {}?")
SMALLER = ("is it smaller than {}?", "is it less than {}?", "is this smaller than {}?")
SAME = ("is it a {}?", "is this a {}?", "is it the number {}?")
NEXT = ("which number comes next?", "which number follows?", "what comes after it?")
BEFORE = ("which number comes before?", "what comes before it?")
PARITY = ("even or odd?", "is it even or odd?")
YES = ("no", "yes")


def spoken(question: str, name: str) -> str:
    """A question about a number: "an eight", not "a eight"."""
    return question.format(name).replace(" a eight", " an eight")


def questions(label: int) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Kinds of questions; of each, all its forms with their answers for one digit."""
    others = list(enumerate(NAMES))
    yield "which digit", [(question, NAMES[label]) for question in WHICH]
    asked = [(q, label % 2 == 0) for q in EVEN] + [(q, label % 2 == 1) for q in ODD]
    yield "even, odd", [(question, YES[right]) for question, right in asked]
    yield "even or odd", [(question, ("even", "odd")[label % 2]) for question in PARITY]
    yield "larger", [(spoken(q, name), YES[label > n]) for q in LARGER for n, name in others]
    yield "smaller", [(spoken(q, name), YES[label < n]) for q in SMALLER for n, name in others]
    yield "is it a", [(spoken(q, name), YES[label == n]) for q in SAME for n, name in others]
    yield "next", [(question, [*NAMES, "ten"][label + 1]) for question in NEXT]
    yield "before", [(question, ["none", *NAMES][label]) for question in BEFORE]


def said(label: int) -> list[str]:
    """What is said of a digit: all captions that the CLIP was trained on."""
    return captions(label)


def caption(label: int) -> str:
    """The caption that is drawn as often as all others together."""
    return f"a handwritten {NAMES[label]}".replace("a eight", "an eight")


def tasks(label: int) -> dict[str, str]:
    """What examples may show: a word for each digit, from whose kind the task can be guessed."""
    return {
        "name": NAMES[label],
        "sign": str(label),
        "odd or even": ("even", "odd")[label % 2],
        "larger than four": YES[label > 4],
    }
