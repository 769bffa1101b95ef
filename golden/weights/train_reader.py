"""Train the reader: `python golden/weights/train_reader.py NAME…`: decoder, qformer, qformer-again.

The decoder learns from texts alone: what is said of a digit in words, then another caption or a
question and its answer. It is frozen then, and a Q-Former learns to put a picture in the place of
the first words: from captions alone, and in a second round from questions as well. Needs PyTorch,
mlxtend, safetensors, and clip.safetensors beside this file.
"""

from __future__ import annotations

import random
from functools import partial
from pathlib import Path

import torch
from reader_texts import caption, questions, said
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional
from torch_models import CLIP
from torch_reader import Decoder, QFormer
from train import HERE, Training, augment, new_clip, split, train_asked, write

from refimpl.models.reader_words import COLON, DOT, END, WORDS, words_of

QUERIES, WIDTH, CONTEXT, IGNORED = 8, 128, 24, -100
DECODER_LAYERS, QUERY_LAYERS, BATCH = 3, 3, 64
SHARES = {  # how often each kind of text is drawn
    "caption": 6,
    "which digit": 2,
    "even, odd": 2,
    "even or odd": 1,
    "larger": 4,
    "smaller": 4,
    "is it a": 2,
    "next": 1,
    "before": 1,
}


class Texts:
    """Beginnings, in words, and what follows, as places in the table of words."""

    def __init__(self) -> None:
        self.said = [[words_of(text) for text in said(label)] for label in range(10)]
        self.usual = [words_of(caption(label)) for label in range(10)]
        self.asked = [
            {
                kind: [(words_of(question), words_of(answer)) for question, answer in forms]
                for kind, forms in questions(label)
            }
            for label in range(10)
        ]

    def following(
        self, label: int, shares: dict[str, int], evenly: bool
    ) -> tuple[list[int], list[int]]:
        """A question, which may be empty, and what is to be written; yes as often as no, if so."""
        kind = random.choices([*shares], [*shares.values()])[0]
        if kind != "caption":
            forms = self.asked[label][kind]
            if evenly:
                answer = random.choice(sorted({tuple(answer) for _, answer in forms}))
                forms = [form for form in forms if tuple(form[1]) == answer]
            return random.choice(forms)
        other = random.choice(self.said[label])
        return [], random.choice((self.usual[label], other))

    def batch(
        self, labels: list[int], shares: dict[str, int], evenly: bool = False
    ) -> tuple[Tensor, Tensor]:
        """Words, and labels a place earlier: B N each; beginnings fill the room of a picture."""
        ids = torch.full((len(labels), CONTEXT), END)
        wanted = torch.full((len(labels), CONTEXT), IGNORED)
        for row, label in enumerate(labels):
            question, answer = self.following(label, shares, evenly)
            begun = random.choice(self.said[label])
            begun = [DOT] * (QUERIES - len(begun)) + begun + [COLON] + question
            whole = [*begun, *answer, END]
            ids[row, : len(whole)] = torch.tensor(whole)
            wanted[row, len(begun) - 1 : len(whole) - 1] = torch.tensor([*answer, END])
        return ids, wanted


def text_loss(decoder: Decoder, vectors: Tensor, wanted: Tensor) -> Tensor:
    """Cross-entropy of the words that are to be written."""
    return functional.cross_entropy(decoder(vectors).flatten(0, 1), wanted.flatten())


def train_decoder(place: Path, steps: int) -> None:
    """The decoder, from texts alone."""
    texts, decoder = Texts(), Decoder(len(WORDS), CONTEXT, WIDTH, DECODER_LAYERS)
    training = Training(decoder, steps, rate=2e-3, decay=0.05)
    while training.step < steps:
        ids, wanted = texts.batch([random.randrange(10) for _ in range(BATCH)], SHARES)
        last = int(torch.nonzero((wanted != IGNORED).any(0)).max()) + 1
        training.update(text_loss(decoder, decoder.wte(ids[:, :last]), wanted[:, :last]))
        if training.step % 500 == 0 or training.step == steps:
            best = training.average.eval()
            print("answers in words:", shares_right(texts, best, None), flush=True)
            write(place, "reader_decoder", best.state_dict())


@torch.no_grad()
def image_tokens(clip: CLIP, images: Tensor) -> Tensor:
    """What the tower's last block but one gives: B 17 D."""
    tower = clip.visual
    patches = tower.conv1(images).flatten(2).transpose(1, 2)
    first = tower.class_embedding.expand(len(images), 1, -1)
    x = tower.ln_pre(torch.cat((first, patches), dim=1) + tower.positional_embedding)
    for block in tower.transformer.resblocks[:-1]:
        x = block(x, causal=False)
    return x


def frozen(name: str, place: Path, model: nn.Module) -> nn.Module:
    """A model with its weights, which learn nothing any more."""
    weights = load_file(place / f"{name}.safetensors")
    weights.pop("token_ids", None)
    model.load_state_dict({k: v.float() for k, v in weights.items()})
    return model.eval().requires_grad_(False)


def part(place: Path, name: str) -> dict[str, Tensor]:
    """The weights of one part of the reader."""
    weights = load_file(place / "reader.safetensors")
    return {k[len(name) + 1 :]: v.float() for k, v in weights.items() if k.startswith(f"{name}.")}


def train_qformer(place: Path, steps: int, again: bool = False) -> None:
    """Queries and projector, between the frozen tower and the frozen decoder."""
    weights = load_file(HERE / "clip.safetensors")
    clip = frozen("clip", HERE, new_clip(len(weights["token_ids"]), layers=4))
    decoder = frozen("reader_decoder", place, Decoder(len(WORDS), CONTEXT, WIDTH, DECODER_LAYERS))
    data, texts = split(), Texts()
    seen = image_tokens(clip, data["held out"][0])
    model = QFormer(QUERIES, WIDTH, QUERY_LAYERS)
    if again:
        model.load_state_dict(part(place, "qformer"))
    shares = SHARES if again else {"caption": 1}
    training = Training(model, steps, rate=5e-4 if again else 1e-3, decay=0.05)
    images, labels = data["models"]
    while training.step < steps:
        chosen = torch.randint(len(images), (BATCH,))
        ids, wanted = texts.batch(labels[chosen].tolist(), shares, evenly=again)
        last = int(torch.nonzero((wanted != IGNORED).any(0)).max()) + 1
        image = model(image_tokens(clip, augment(images[chosen])))
        vectors = torch.cat((image, decoder.wte(ids[:, QUERIES:last])), dim=1)
        training.update(text_loss(decoder, vectors, wanted[:, :last]))
        if training.step % 250 == 0 or training.step == steps:
            best = training.average.eval()
            with torch.no_grad():
                pictures = best(seen), data["held out"][1]
            print("held out:", shares_right(texts, decoder, pictures), flush=True)
            parts = {f"qformer.{k}": v for k, v in best.state_dict().items()}
            parts |= {f"decoder.{k}": v for k, v in decoder.state_dict().items()}
            write(place, "reader", parts)


@torch.no_grad()
def shares_right(
    texts: Texts, decoder: Decoder, pictures: tuple[Tensor, Tensor] | None
) -> dict[str, float]:
    """By kind, the share of answers that are right, word for word: of the first form of each."""
    found = {}
    for kind in SHARES:
        right = []
        for label in range(10):
            forms = [([], texts.usual[label])] if kind == "caption" else texts.asked[label][kind]
            beginning = beginnings(texts, decoder, pictures, label)
            for question, answer in forms[:10]:
                right.append(says(decoder, beginning, question, answer).float())
        found[kind] = round(torch.cat(right).mean().item(), 3)
    return found


def beginnings(
    texts: Texts, decoder: Decoder, pictures: tuple[Tensor, Tensor] | None, label: int
) -> Tensor:
    """What stands in the room of a picture: pictures of a digit, or words."""
    if pictures is not None:
        return pictures[0][pictures[1] == label]
    rows = [[DOT] * (QUERIES - len(said)) + said for said in texts.said[label]]
    return decoder.wte(torch.tensor(rows))


def says(decoder: Decoder, beginning: Tensor, question: list[int], answer: list[int]) -> Tensor:
    """Whether the likeliest words are the answer, for each beginning."""
    given = decoder.wte(torch.tensor([COLON, *question, *answer]))
    logits = decoder(torch.cat((beginning, given.expand(len(beginning), -1, -1)), dim=1))
    likeliest = logits[:, -len(answer) - 1 :].argmax(-1)
    return likeliest.eq(torch.tensor([*answer, END])).all(-1)


TRAINING = {  # name: what trains it, steps, seed
    "decoder": (train_decoder, 2500, 30),
    "qformer": (train_qformer, 500, 30),
    "qformer-again": (partial(train_qformer, again=True), 600, 30),
}


if __name__ == "__main__":
    train_asked(TRAINING, __doc__)
