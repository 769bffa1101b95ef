"""Train what paints by latents and codes: `python golden/weights/train_latent.py NAME…`.

NAME is vae, unet (which needs vae) or codes. Needs PyTorch, diffusers, mlxtend and safetensors.
Every seed is fixed; the weights are written in float16 beside this file, or to `--to`. The networks
are those of diffusers, whose names of parameters the texts have.
"""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional
from train import HERE, Training, augment, captions, new_clip, split, tokens, train_asked, write

from refimpl.backends import hooks

hooks.allow_broken_torchvision()
from diffusers import AutoencoderKL, UNet2DConditionModel, VQModel  # noqa: E402

TIMES, BETAS = 1000, (0.00085, 0.012)  # of Stable Diffusion: linear in the roots
CODES, REPLACED = 64, 0.1  # and the share of codes that the decoder gets wrong on purpose


def new_vae() -> AutoencoderKL:
    """32 by 32 pixels as 4 channels of 8 by 8."""
    return AutoencoderKL(
        in_channels=1,
        out_channels=1,
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(16, 32, 64),
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=8,
    )


def new_unet() -> UNet2DConditionModel:
    """Two levels, both of which read the tokens of a text."""
    return UNet2DConditionModel(
        in_channels=4,
        out_channels=4,
        down_block_types=("CrossAttnDownBlock2D",) * 2,
        up_block_types=("CrossAttnUpBlock2D",) * 2,
        block_out_channels=(32, 64),
        layers_per_block=1,
        norm_num_groups=8,
        attention_head_dim=(2, 4),  # the numbers of heads
        cross_attention_dim=128,
    )


def new_codes() -> VQModel:
    """32 by 32 pixels as 4 by 4 codes of a book."""
    return VQModel(
        in_channels=1,
        out_channels=1,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(16, 32, 64, 64),
        layers_per_block=1,
        latent_channels=8,
        num_vq_embeddings=CODES,
        vq_embed_dim=8,
        norm_num_groups=8,
    )


def framed(images: Tensor) -> Tensor:
    """Two black pixels around, so that sides can be halved often."""
    return functional.pad(images, (2, 2, 2, 2), value=-1.0)


def drawn(images: Tensor, count: int) -> Tensor:
    """Some of the digits, turned, sheared, scaled and shifted a little."""
    return framed(augment(images[torch.randint(len(images), (count,))], 0.7))


def train_vae(place: Path, steps: int) -> None:
    """Squared error, and a little of the divergence from standard normal latents."""
    images, _ = split()["models"]
    model = new_vae()
    training = Training(model, steps, rate=2e-3, decay=0.01)
    while training.step < steps:
        clean = drawn(images, 32)
        posterior = model.encode(clean).latent_dist
        wrong = (model.decode(posterior.sample()).sample - clean).square().mean()
        divergence = posterior.kl().mean() / posterior.mean[0].numel()
        training.update(wrong + 1e-3 * divergence)
        if training.step % 250 == 0 or training.step == steps:
            report(training.average.eval(), place)


@torch.no_grad()
def report(model: AutoencoderKL, place: Path) -> None:
    """Write the weights, with what brings the latents to unit variance."""
    data = split()
    spread = model.encode(framed(data["models"][0][:500])).latent_dist.sample().std()
    write(place, "vae", {**model.state_dict(), "latent_scale": (1 / spread).reshape(1)})
    held_out = framed(data["held out"][0])
    found = model.decode(model.encode(held_out).latent_dist.mode()).sample
    wrong = (found - held_out).square().mean()
    print(f"held out: squared error {wrong:.4f}, deviation of latents {spread:.3f}", flush=True)


def loaded(model: nn.Module, path: Path) -> tuple[nn.Module, dict[str, Tensor]]:
    """A model with the numbers of a file, and what the file has besides."""
    weights = load_file(path)
    own = {name: weights.pop(name).float() for name in model.state_dict()}
    model.load_state_dict(own)
    return model.eval(), weights


@torch.no_grad()
def latents(place: Path, images: Tensor) -> tuple[Tensor, Tensor]:
    """Means and deviations of scaled latents: of the digits, then of three turned a little."""
    model, more = loaded(new_vae(), place / "vae.safetensors")
    scale = more["latent_scale"].float()
    turns = [images, *(augment(images, 0.5) for _ in range(3))]
    posteriors = [model.encode(framed(part)).latent_dist for x in turns for part in x.split(100)]
    return (
        scale * torch.cat([found.mean for found in posteriors]),
        scale * torch.cat([found.std for found in posteriors]),
    )


@torch.no_grad()
def readings(place: Path) -> tuple[Tensor, int]:
    """What the text tower says of every token, caption by caption; the last text is empty."""
    texts = [text for label in range(10) for text in captions(label)]
    known, _ = tokens(texts)
    _, rows = tokens([*texts, ""])
    clip, _ = loaded(new_clip(len(known), layers=4), place / "clip.safetensors")
    x = clip.token_embedding(rows) + clip.positional_embedding
    return clip.ln_final(clip.transformer(x, causal=True)), len(texts) // 10


def train_unet(place: Path, steps: int) -> None:
    """The noise in latents, given the tokens of a caption, or in one of ten of the empty text."""
    images, labels = split()["models"]
    mean, deviation = latents(place, images)
    said, each = readings(HERE)
    share = torch.cumprod(1 - torch.linspace(*(b**0.5 for b in BETAS), TIMES).double() ** 2, 0)
    model, batch = new_unet(), 32
    training = Training(model, steps, rate=1e-3, decay=0.01)
    while training.step < steps:
        chosen = torch.randint(len(mean), (batch,))
        clean = mean[chosen] + deviation[chosen] * torch.randn(batch, *mean.shape[1:])
        rows = labels[chosen % len(labels)] * each + torch.randint(each, (batch,))
        rows = torch.where(torch.rand(batch) < 0.1, len(said) - 1, rows)
        t, noise = torch.randint(TIMES, (batch,)), torch.randn_like(clean)
        kept = share[t].float()[:, None, None, None]
        noisy = kept.sqrt() * clean + (1 - kept).sqrt() * noise
        training.update((model(noisy, t, said[rows]).sample - noise).square().mean())
        if training.step % 250 == 0 or training.step == steps:
            write(place, "unet", training.average.state_dict())


def train_codes(place: Path, steps: int) -> None:
    """Squared error through the nearest codes, of which the decoder gets some wrong on purpose.

    That makes it draw a digit where the codes say no whole one. Half of the way, codes that nothing
    is near to become latents of the batch.
    """
    images, _ = split()["models"]
    model = new_codes()
    book = model.quantize.embedding.weight
    training, near = Training(model, steps, rate=2e-3, decay=0.0), torch.zeros(CODES)
    while training.step < steps:
        clean = drawn(images, 32)
        z = model.quant_conv(model.encoder(clean))  # B D rows cols
        flat = z.movedim(1, -1).reshape(-1, z.shape[1])
        code = torch.cdist(flat, book).argmin(-1)
        near += functional.one_hot(code, CODES).sum(0)
        if training.step % 50 == 0 and training.step <= steps // 2:
            with torch.no_grad():
                book[near == 0] = flat[torch.randint(len(flat), (int((near == 0).sum()),))]
            print(f"{int((near == 0).sum())} codes were near to nothing", flush=True)
            near, code = torch.zeros(CODES), torch.cdist(flat, book).argmin(-1)
        e = book[code]
        commitment = (flat.detach() - e).square().mean() + 0.25 * (
            flat - e.detach()
        ).square().mean()
        wrong = torch.rand(len(flat), 1) < REPLACED
        through = torch.where(
            wrong, book.detach()[torch.randint(CODES, (len(flat),))], flat + (e - flat).detach()
        )
        seen = through.reshape(len(z), *z.shape[2:], -1).movedim(-1, 1)
        found = model.decoder(model.post_quant_conv(seen))
        training.update((found - clean).square().mean() + commitment)
        if training.step % 250 == 0 or training.step == steps:
            write(place, "codes", training.average.state_dict())
            report_codes(training.average.eval())


@torch.no_grad()
def report_codes(model: VQModel) -> None:
    """How well digits that nobody saw are drawn by their codes."""
    held_out = framed(split()["held out"][0])
    wrong = (model(held_out).sample - held_out).square().mean()
    print(f"held out: squared error {wrong:.4f}", flush=True)


TRAINING = {  # name: what trains it, steps, seed
    "vae": (train_vae, 1200, 30),
    "unet": (train_unet, 3000, 30),
    "codes": (train_codes, 800, 30),
}


if __name__ == "__main__":
    train_asked(TRAINING, __doc__)
