"""ADM's classifier of PyTorch's layers, in the layout of guided diffusion."""

from __future__ import annotations

import math

import torch
from torch import nn

from refimpl.backends import hooks

F = torch.nn.functional
NAMES = ((r"\.proj_out\.$", ".proj_out_of_kernels."),)  # it gives B C N there


def attend(joint, heads, by_heads):
    """Attention of what one matrix gave, B 3*C N, its thirds whole or by heads: -> B C N."""
    B, channels, N = joint.shape
    if by_heads:
        parts = joint.reshape(B, heads, -1, N).chunk(3, dim=2)
    else:
        parts = (x.reshape(B, heads, -1, N) for x in joint.chunk(3, dim=1))
    mixed = F.scaled_dot_product_attention(*(x.transpose(2, 3) for x in parts))  # B H N E
    return mixed.transpose(2, 3).reshape(B, channels // 3, N)


class Residual(nn.Module):
    """Two convolutions; the time scales and shifts the second norm, or is added before it."""

    def __init__(self, config, before, after, resize=None):
        super().__init__()
        D, told = 4 * config.width, after * (1 + config.scale_shift)
        self.scale_shift, self.resize = config.scale_shift, resize or nn.Identity()
        groups, eps = config.groups, config.eps
        conv = nn.Conv2d(before, after, 3, padding=1)
        self.in_layers = nn.Sequential(nn.GroupNorm(groups, before, eps), nn.SiLU(), conv)
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(D, told))
        conv = nn.Conv2d(after, after, 3, padding=1)
        norm = nn.GroupNorm(groups, after, eps)
        self.out_layers = nn.Sequential(norm, nn.SiLU(), nn.Identity(), conv)
        same = before == after
        self.skip_connection = nn.Identity() if same else nn.Conv2d(before, after, 1)

    def forward(self, x, emb):
        """A map of the same or another size, as the time has it."""
        norm, activation, conv = self.in_layers
        y = conv(self.resize(activation(norm(x))))
        said = self.emb_layers(emb)[..., None, None]
        norm, *rest = self.out_layers
        if self.scale_shift:
            scale, shift = said.chunk(2, dim=1)
            y = norm(y) * (1 + scale) + shift
        else:
            y = norm(y + said)
        for layer in rest:
            y = layer(y)
        return self.skip_connection(self.resize(x)) + y


class Attention(nn.Module):
    """Pixels that ask each other."""

    def __init__(self, config, channels):
        super().__init__()
        self.heads = channels // config.head if config.head else config.heads
        self.by_heads = config.by_heads
        self.norm = nn.GroupNorm(config.groups, channels, config.eps)
        self.qkv = nn.Conv1d(channels, 3 * channels, 1)
        self.proj_out = nn.Conv1d(channels, channels, 1)

    def forward(self, x, _):
        """The map, and what its pixels say, added."""
        joint = self.qkv(self.norm(x).flatten(2))
        return x + self.proj_out(attend(joint, self.heads, self.by_heads)).reshape(x.shape)


class Pool(nn.Module):
    """Attention in which the mean of a map is the first token, of which alone the labels hear."""

    def __init__(self, config, channels, pixels):
        super().__init__()
        self.heads = channels // config.head if config.head else config.heads
        table = torch.randn(channels, pixels + 1) / channels**0.5
        self.positional_embedding = nn.Parameter(table)
        self.qkv_proj = nn.Conv1d(channels, 3 * channels, 1)
        self.c_proj = nn.Conv1d(channels, config.outputs, 1)

    def forward(self, x):
        """Scores of labels."""
        tokens = x.flatten(2)
        tokens = torch.cat((tokens.mean(-1, keepdim=True), tokens), dim=-1)
        tokens = tokens + self.positional_embedding
        return self.c_proj(attend(self.qkv_proj(tokens), self.heads, False))[:, :, 0]


class Classifier(nn.Module):
    """The way down, the middle, and the pool."""

    def __init__(self, config):
        super().__init__()
        D, width = 4 * config.width, int(config.multiples[0] * config.width)
        self.waves = nn.Identity()
        self.half = config.width // 2
        self.time_embed = nn.Sequential(nn.Linear(config.width, D), nn.SiLU(), nn.Linear(D, D))
        first = nn.Conv2d(config.channels, width, 3, padding=1)
        self.input_blocks = nn.ModuleList([nn.ModuleList([first])])
        for level, multiple in enumerate(config.multiples):
            for _ in range(config.layers):
                before, width = width, int(multiple * config.width)
                block = nn.ModuleList([Residual(config, before, width)])
                if level in config.attention:
                    block.append(Attention(config, width))
                self.input_blocks.append(block)
            if level + 1 < len(config.multiples):
                halves = Residual(config, width, width, nn.AvgPool2d(2))
                self.input_blocks.append(nn.ModuleList([halves]))
        self.middle_block = nn.ModuleList(
            [
                Residual(config, width, width),
                Attention(config, width),
                Residual(config, width, width),
            ]
        )
        pixels = (config.side >> len(config.multiples) - 1) ** 2
        norm = nn.GroupNorm(config.groups, width, config.eps)
        self.out = nn.Sequential(norm, nn.SiLU(), Pool(config, width, pixels))

    def forward(self, x, t):
        """Scores of labels, B labels."""
        angles = t[:, None] * torch.exp(torch.arange(self.half) * (-math.log(10000) / self.half))
        emb = self.time_embed(self.waves(torch.cat((angles.cos(), angles.sin()), dim=-1)))
        ((first,), *blocks) = self.input_blocks
        x = first(x)
        for block in (*blocks, self.middle_block):
            for step in block:
                x = step(x, emb)
        return self.out(x)


def record(config, seed):
    """The classifier of this configuration's sizes."""
    if not config.resampling:
        raise NotImplementedError("has ADM's classifier with blocks that resample alone")
    return hooks.record(Classifier(config), config, NAMES, None, seed, torch.__version__)
