"""Train what shows the reader several pictures: `python golden/weights/train_few_shots.py NAME…`.

NAME is few-shots or few-shots-again, after the reader, whose decoder is frozen, as is the image
tower. Needs PyTorch, mlxtend, safetensors, and the files of the CLIP and the reader.
"""

from __future__ import annotations

import random
from functools import partial
from pathlib import Path

import torch
from reader_texts import tasks
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional
from torch_few_shots import Flamingo
from torch_reader import Decoder
from train import HERE, Training, augment, new_clip, split, train_asked, write
from train_reader import BATCH, CONTEXT, DECODER_LAYERS, IGNORED, WIDTH, frozen, image_tokens, part

from refimpl.models.reader_words import COLON, DOT, IMAGE, WORDS, words_of

LATENTS, SHOTS = 4, 4


def examples(labels: list[list[int]]) -> tuple[Tensor, Tensor]:
    """Pictures, each with a word for it, the task unsaid.

    labels: B rows of SHOTS + 1 digits.

    Words, and what follows them where a word is due: B N each.
    """
    words = [
        {kind: words_of(word)[0] for kind, word in tasks(label).items()} for label in range(10)
    ]
    ids = torch.tensor([IMAGE, COLON, DOT, DOT]).repeat(len(labels), SHOTS + 1)
    wanted = torch.full(ids.shape, IGNORED)
    for row, digits in enumerate(labels):
        kind = random.choice([*words[0]])
        said = torch.tensor([words[digit][kind] for digit in digits])
        ids[row, 2::4] = wanted[row, 1::4] = said
    return ids, wanted


def by_examples(logits: Tensor, wanted: Tensor) -> list[float]:
    """The share of likeliest words that are right after 0, 1, … examples."""
    right = logits.argmax(-1).eq(wanted)[:, 1::4].float().mean(0)
    return [round(share, 3) for share in right.tolist()]


def train_gates(place: Path, steps: int, again: bool = False) -> None:
    """The resampler and the gated layers, between the frozen tower and the frozen decoder."""
    weights = load_file(HERE / "clip.safetensors")
    clip = frozen("clip", HERE, new_clip(len(weights["token_ids"]), layers=4))
    decoder = Decoder(len(WORDS), CONTEXT, WIDTH, DECODER_LAYERS).requires_grad_(False)
    decoder.load_state_dict(part(place, "decoder"))
    data = split()
    images, labels = data["models"]
    turned = torch.cat([augment(images) for _ in range(4)]).split(500)
    known = torch.cat([image_tokens(clip, part) for part in turned])
    held, labels = image_tokens(clip, data["held out"][0]), labels.repeat(4)
    model = Flamingo(LATENTS, WIDTH, DECODER_LAYERS)
    if again:
        kept = load_file(place / "few_shots.safetensors")
        model.load_state_dict({k: v.float() for k, v in kept.items()})
    training = Training(model, steps, rate=1e-3, decay=0.05)
    while training.step < steps:
        chosen = torch.randint(len(known), (BATCH, SHOTS + 1))
        ids, wanted = examples(labels[chosen].tolist())
        logits = model(decoder, ids, known[chosen], IMAGE)
        training.update(functional.cross_entropy(logits.flatten(0, 1), wanted.flatten()))
        if training.step % 250 == 0 or training.step == steps:
            best = training.average.eval()
            with torch.no_grad():
                chosen = torch.randint(len(held), (1000, SHOTS + 1))
                ids, wanted = examples(data["held out"][1][chosen].tolist())
                logits = best(decoder, ids, held[chosen], IMAGE)
            print("held out, by examples:", by_examples(logits, wanted), flush=True)
            write(place, "few_shots", best.state_dict())


TRAINING = {  # name: what trains it, steps, seed
    "few-shots": (train_gates, 800, 30),
    "few-shots-again": (partial(train_gates, again=True), 1200, 31),
}


if __name__ == "__main__":
    train_asked(TRAINING, __doc__)
