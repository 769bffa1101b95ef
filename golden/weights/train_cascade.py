"""Train the stages of DALL·E 2 and Imagen: `python golden/weights/train_cascade.py NAME…`.

NAME is prior, vectors, decoder, base or upscaler. Needs PyTorch, diffusers, mlxtend, safetensors,
and the CLIP and the denoiser that `train.py` made. Every seed is fixed; the weights are written in
float16 beside this file, or to `--to`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional
from torch_models import CLIP, ImageDenoiser, Prior
from train import (
    CONTEXT,
    STEPS,
    Training,
    alpha_bar,
    augment,
    captions,
    new_clip,
    split,
    tokens,
    train_asked,
    write,
)

from refimpl.backends import hooks

hooks.allow_broken_torchvision()
from diffusers import UNet2DConditionModel  # noqa: E402

MOST_NOISE = 300  # times of noise that conditions are trained with, from none on
DROPPED = 0.12  # share of samples that are told nothing


def trained_clip(place: Path) -> CLIP:
    """The CLIP that is shipped."""
    weights = load_file(place / "clip.safetensors")
    model = new_clip(len(weights.pop("token_ids")), layers=4)
    model.load_state_dict({name: x.float() for name, x in weights.items()})
    return model.eval()


@torch.no_grad()
def said(clip: CLIP) -> tuple[Tensor, Tensor, Tensor]:
    """Of every caption its words, zero behind its end, which those are, and its vector."""
    _, rows = tokens([text for label in range(10) for text in captions(label)])
    x = clip.token_embedding(rows) + clip.positional_embedding
    x = clip.ln_final(clip.transformer(x, causal=True))  # M N D
    ends = rows.argmax(-1)
    keep = torch.arange(CONTEXT) <= ends[:, None]  # M N
    found = x[torch.arange(len(x)), ends] @ clip.text_projection
    return x * keep[:, :, None], keep, stretched(found)


def stretched(x: Tensor) -> Tensor:
    """Vectors whose squares have mean 1."""
    return functional.normalize(x, dim=-1) * x.shape[-1] ** 0.5


@torch.no_grad()
def vectors(clip: CLIP, images: Tensor) -> Tensor:
    """The vectors of images, B D."""
    return stretched(torch.cat([clip.visual(part) for part in images.split(500)]))


def noised(clean: Tensor, t: Tensor, shares: Tensor) -> tuple[Tensor, Tensor]:
    """Samples at their times, and the noise in them."""
    share = shares[t].view(-1, *(1,) * (clean.ndim - 1))
    noise = torch.randn_like(clean)
    return share.sqrt() * clean + (1 - share).sqrt() * noise, noise


def times(batch: int, shift: float) -> Tensor:
    """Times that are drawn more often in the middle; a larger shift draws noisier ones."""
    return (STEPS * torch.sigmoid(torch.randn(batch) + shift)).long().clamp(max=STEPS - 1)


def train_prior(place: Path, steps: int) -> None:
    """The vector of an image from that of a text, its words and a noisy vector."""
    clip, (images, labels) = trained_clip(place), split()["models"]
    words, keep, texts = said(clip)
    found = vectors(clip, images)
    mean, std = found.mean(0), found.std(0)
    more = [vectors(clip, augment(images)) for _ in range(3)]
    standard, labels = (torch.cat((found, *more)) - mean) / std, labels.repeat(4)
    each, shares, batch = len(words) // 10, alpha_bar(), 64
    model = Prior(CONTEXT, width=128, layers=2, embedding=found.shape[1])
    training = Training(model, steps, rate=1.5e-3, decay=0.01)
    while training.step < steps:
        chosen = torch.randint(len(standard), (batch,))
        text = labels[chosen] * each + torch.randint(each, (batch,))
        t, told = torch.randint(STEPS, (batch,)), torch.rand(batch) >= DROPPED
        x_t, _ = noised(standard[chosen], t, shares)
        guess = model(x_t, t, words[text], keep[text], texts[text], told)
        training.update((guess - standard[chosen]).square().mean())
    ends = {"clip_mean": mean[None], "clip_std": std[None]}
    write(place, "unclip_prior", training.average.state_dict() | ends)


def write_vectors(place: Path, steps: int) -> None:
    """Vectors of so many digits that nobody was trained on, to be looked at beside others."""
    images, labels = (part[:steps] for part in split()["held out"])
    found = {"vectors": vectors(trained_clip(place), images), "labels": labels.int()}
    write(place, "digit_vectors", found)


def train_decoder(place: Path, steps: int) -> None:
    """The clean image from a noisy one and the vector of the image, itself noised a little.

    It starts from the denoiser that was told labels and texts.
    """
    clip, (images, _) = trained_clip(place), split()["models"]
    found = vectors(clip, images)
    mean, std = found.mean(0), found.std(0)
    shares, batch = alpha_bar(), 64
    model = ImageDenoiser(7, 128, 4, found.shape[1])
    own, known = model.state_dict(), load_file(place / "denoiser.safetensors")
    model.load_state_dict(own | {name: x.float() for name, x in known.items() if name in own})
    training = Training(model, steps, rate=1e-3, decay=0.01)
    while training.step < steps:
        chosen = torch.randint(len(images), (batch,))
        level, told = torch.randint(MOST_NOISE, (batch,)), torch.rand(batch) >= DROPPED
        standard, _ = noised((found[chosen] - mean) / std, level, shares)
        t = times(batch, -0.5)
        x_t, _ = noised(images[chosen], t, shares)
        guess = model(x_t, t, model.condition(standard * std + mean, level, told))
        wrong = (guess - images[chosen]).square().mean((1, 2, 3))
        weight = (1 / (1 - shares[t])).clamp(max=5)  # that of v, with a limit
        training.update((weight * wrong).mean())
        if training.step % 200 == 0 or training.step == steps:
            whole = {**training.average.state_dict(), "mean": mean, "std": std}
            write(place, "unclip_decoder", whole)


class Told(nn.Module):
    """A U-Net that reads words, and the words that stand for none."""

    def __init__(self, channels: int, widths: tuple[int, int], **added: Any) -> None:
        super().__init__()
        self.unet = UNet2DConditionModel(
            in_channels=channels,
            out_channels=1,
            block_out_channels=widths,
            layers_per_block=1,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
            cross_attention_dim=128,
            attention_head_dim=1,
            norm_num_groups=8,
            **added,
        )
        self.null_words = nn.Parameter(torch.randn(CONTEXT, 128) * 0.02)

    def forward(self, x: Tensor, t: Tensor, words: Tensor, told: Tensor, **added: Tensor) -> Tensor:
        given = torch.where(told[:, None, None], words, self.null_words)
        return self.unet(x, t, given, added_cond_kwargs=added).sample

    def arrays(self) -> dict[str, Tensor]:
        """The arrays of the U-Net, under the names of diffusers, and `null_words`."""
        return {**self.unet.state_dict(), "null_words": self.null_words.detach()}


def coarse(images: Tensor) -> Tensor:
    """Images of half the side."""
    return functional.avg_pool2d(images, 2)


def train_unet(
    place: Path, name: str, model: Told, steps: int, loss: Callable[..., Tensor]
) -> None:
    """A U-Net on digits and captions; `loss` is asked for that of some of them."""
    clip, (images, labels) = trained_clip(place), split()["models"]
    words, _, texts = said(clip)
    each, batch = len(words) // 10, 32
    training = Training(model, steps, rate=2e-3, decay=0.01)
    while training.step < steps:
        chosen = torch.randint(len(images), (batch,))
        text = labels[chosen] * each + torch.randint(each, (batch,))
        told = torch.rand(batch) >= DROPPED
        training.update(loss(images[chosen], words[text], texts[text], told))
        if training.step % 200 == 0 or training.step == steps:
            write(place, name, training.average.arrays())


def wrong_velocity(
    model: Told, clean: Tensor, beside: list[Tensor], *said: Tensor, **added: Tensor
) -> Tensor:
    """How wrong the velocity of noised images is said, a mean of squares."""
    shares, t = alpha_bar(), times(len(clean), 0)
    x_t, noise = noised(clean, t, shares)
    share = shares[t].view(-1, 1, 1, 1)
    v = share.sqrt() * noise - (1 - share).sqrt() * clean
    return (model(torch.cat((x_t, *beside), dim=1), t, *said, **added) - v).square().mean()


def train_base(place: Path, steps: int) -> None:
    """Small images from words."""
    model = Told(1, (32, 48))

    def loss(images: Tensor, words: Tensor, _: Tensor, told: Tensor) -> Tensor:
        return wrong_velocity(model, coarse(images), [], words, told)

    train_unet(place, "imagen_base", model, steps, loss)


def train_upscaler(place: Path, steps: int) -> None:
    """Images from small ones that are noised, how much they are, and words."""
    sizes = {"addition_time_embed_dim": 32, "projection_class_embeddings_input_dim": 128 + 32}
    model = Told(2, (16, 32), addition_embed_type="text_time", **sizes)

    def loss(images: Tensor, words: Tensor, texts: Tensor, told: Tensor) -> Tensor:
        level = torch.randint(MOST_NOISE, (len(images),))
        low, _ = noised(functional.interpolate(coarse(images), scale_factor=2), level, alpha_bar())
        added = {"text_embeds": texts, "time_ids": level[:, None].float()}
        return wrong_velocity(model, images, [low], words, told, **added)

    train_unet(place, "imagen_upscaler", model, steps, loss)


TRAINING = {  # name: what trains it, steps (or how many vectors), seed
    "prior": (train_prior, 1500, 22),
    "vectors": (write_vectors, 300, 22),
    "decoder": (train_decoder, 1000, 22),
    "base": (train_base, 1500, 22),
    "upscaler": (train_upscaler, 600, 22),
}


if __name__ == "__main__":
    train_asked(TRAINING, __doc__)
