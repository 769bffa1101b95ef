"""The commands that say what they see: `refimpl describe`, `refimpl ask`, `refimpl few-shot`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np

from refimpl.commands.models import picture_to_write, said_in_a_line


def add(commands: Any) -> None:
    """The commands and their options."""
    caption = commands.add_parser("describe", help="a picture of a digit in words")
    caption.add_argument("image", type=Path, metavar="IMAGE")
    caption.set_defaults(run=run_describe)

    ask = commands.add_parser("ask", help="a question about a picture of a digit")
    ask.add_argument("image", type=Path, metavar="IMAGE")
    ask.add_argument("question", help='such as "which digit?" or "is it larger than four?"')
    ask.add_argument(
        "--people",
        nargs="+",
        metavar="ANSWER",
        help="what people answered, ten as a rule: the answer is scored by the rule of VQA",
    )
    ask.set_defaults(run=run_ask)
    for command in (caption, ask):
        command.add_argument(
            "--explain", type=Path, metavar="PNG", help="what each query looks at in the picture"
        )

    shots = commands.add_parser("few-shot", help="a word for a picture, by examples")
    shots.add_argument(
        "given",
        nargs="+",
        metavar="IMAGE WORD",
        help="pictures, each but the last with a word: 3.png odd 4.png even 7.png",
    )
    shots.set_defaults(run=run_few_shot)


@said_in_a_line
def run_describe(options: argparse.Namespace) -> int:
    """Print a caption."""
    from refimpl.models import described

    seen = _see("describe", options)
    print(described.say(seen.prompt)[0])
    _explain(options, seen)
    return 0


@said_in_a_line
def run_ask(options: argparse.Namespace) -> int:
    """Print an answer, and its score."""
    from refimpl.models import described

    described.asked(options.question)
    seen = _see("ask", options)
    (answer,) = described.say(seen.prompt, options.question)
    print(answer)
    if options.people:
        score = described.score(answer, options.people)
        same = sum(described.alike(answer) == described.alike(other) for other in options.people)
        print(f"score {score:.4g}: {same} of {len(options.people)} people gave this answer")
    _explain(options, seen)
    return 0


@said_in_a_line
def run_few_shot(options: argparse.Namespace) -> int:
    """Print the word for the last picture, and its share."""
    from refimpl.models import described

    word, share = described.by_examples(options.given[::2], options.given[1::2])
    print(f"{share:.4f}  {word}")
    return 0


def _see(command: str, options: argparse.Namespace) -> Any:
    """The picture, looked at; a sheet of many is told on the error stream."""
    from refimpl.models import described, picture

    if options.explain:
        picture_to_write(f"{command}: --explain", options.explain)
    seen = described.see(options.image)
    if many := picture.sheet(options.image):
        print(
            f"refimpl: {options.image} is a sheet of {many}, read as one picture; "
            "refimpl sample --tiles DIR writes each by itself",
            file=sys.stderr,
        )
    return seen


def _explain(options: argparse.Namespace, seen: Any) -> None:
    """The picture, and for each layer that asks a row of the patches that each query looks at."""
    from refimpl.models import picture

    if not options.explain:
        return
    panels = [("the picture as the image tower has it", seen.image[None, None])]
    for number, looked in enumerate(seen.looked):
        kept = f"{np.mean(looked[:, 0]):.0%} of it at the class token, not drawn"
        panels.append(
            (f"round {number + 1}: where each query looks, {kept}", shaded(seen.image, looked))
        )
    picture.write(options.explain, panels)
    print(f"{options.explain}: what {seen.looked.shape[1]} queries look at")


def shaded(image: np.ndarray, looked: np.ndarray) -> np.ndarray:
    """An image as each query sees it: 28 28 and latents M -> 1 latents 28 28.

    Patches are as bright as the query's share of them, the largest share being full brightness.
    """
    patches = looked[:, 1:]  # latents M-1, without the class token
    side = round(patches.shape[1] ** 0.5)
    shares = patches / np.max(patches, axis=1, keepdims=True)
    wide = image.shape[0] // side
    masks = shares.reshape(-1, side, side).repeat(wide, axis=1).repeat(wide, axis=2)
    return (masks * (0.35 + 0.65 * (image + 1) / 2) * 2 - 1)[None]
