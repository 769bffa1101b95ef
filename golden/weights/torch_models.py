"""The networks in PyTorch, as they are trained: CLIP in its own key layout, a denoiser, a judge."""

from __future__ import annotations

import math
from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn import functional

HEAD = 64  # width of an attention head, as in CLIP


class QuickGELU(nn.Module):
    """The activation of CLIP."""

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(1.702 * x)


class SelfAttention(nn.Module):
    """Multi-head attention with the parameter names of `nn.MultiheadAttention`."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.in_proj_weight = nn.Parameter(torch.randn(3 * width, width) * width**-0.5)
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * width))
        self.out_proj = nn.Linear(width, width)

    def forward(self, x: Tensor, causal: bool, bias: Tensor | None = None) -> Tensor:
        B, N, width = x.shape
        packed = functional.linear(x, self.in_proj_weight, self.in_proj_bias)
        query, key, value = packed.view(B, N, 3, width // HEAD, HEAD).permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(query, key, value, bias, is_causal=causal)
        return self.out_proj(mixed.transpose(1, 2).reshape(B, N, width))


class Block(nn.Module):
    """A residual attention block: pre-LN attention, then pre-LN MLP."""

    def __init__(self, width: int, layers: int) -> None:
        super().__init__()
        self.attn = SelfAttention(width)
        self.ln_1 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            OrderedDict(
                c_fc=nn.Linear(width, 4 * width),
                gelu=QuickGELU(),
                c_proj=nn.Linear(4 * width, width),
            )
        )
        self.ln_2 = nn.LayerNorm(width)
        for last in (self.attn.out_proj, self.mlp.c_proj):
            nn.init.normal_(last.weight, std=(2 * width * layers) ** -0.5)
            nn.init.zeros_(last.bias)

    def forward(self, x: Tensor, causal: bool, bias: Tensor | None = None) -> Tensor:
        x = x + self.attn(self.ln_1(x), causal, bias)
        return x + self.mlp(self.ln_2(x))


class Transformer(nn.Module):
    """A stack of blocks."""

    def __init__(self, width: int, layers: int) -> None:
        super().__init__()
        self.resblocks = nn.ModuleList(Block(width, layers) for _ in range(layers))

    def forward(self, x: Tensor, causal: bool = False, bias: Tensor | None = None) -> Tensor:
        for block in self.resblocks:
            x = block(x, causal, bias)
        return x


class ImageTower(nn.Module):
    """The Vision Transformer of CLIP, for grey images."""

    def __init__(self, side: int, patch: int, width: int, layers: int, embedding: int) -> None:
        super().__init__()
        tokens = (side // patch) ** 2 + 1
        self.conv1 = nn.Conv2d(1, width, patch, patch, bias=False)
        self.class_embedding = nn.Parameter(torch.randn(width) * width**-0.5)
        self.positional_embedding = nn.Parameter(torch.randn(tokens, width) * width**-0.5)
        self.ln_pre = nn.LayerNorm(width)
        self.transformer = Transformer(width, layers)
        self.ln_post = nn.LayerNorm(width)
        self.proj = nn.Parameter(torch.randn(width, embedding) * width**-0.5)

    def forward(self, images: Tensor) -> Tensor:
        patches = self.conv1(images).flatten(2).transpose(1, 2)
        first = self.class_embedding.expand(len(images), 1, -1)
        x = self.ln_pre(torch.cat((first, patches), dim=1) + self.positional_embedding)
        return self.ln_post(self.transformer(x)[:, 0]) @ self.proj


class CLIP(nn.Module):
    """Both towers; `token_ids` are the ids that the rows of the token embedding stand for."""

    def __init__(
        self, vocabulary: int, context: int, patch: int, width: int, layers: int, text_layers: int
    ) -> None:
        super().__init__()
        self.visual = ImageTower(28, patch, width, layers, width)
        self.token_embedding = nn.Embedding(vocabulary, width)
        self.positional_embedding = nn.Parameter(torch.randn(context, width) * 0.01)
        self.transformer = Transformer(width, text_layers)
        self.ln_final = nn.LayerNorm(width)
        self.text_projection = nn.Parameter(torch.randn(width, width) * width**-0.5)
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))
        nn.init.normal_(self.token_embedding.weight, std=0.02)

    def encode_text(self, rows: Tensor) -> Tensor:
        x = self.token_embedding(rows) + self.positional_embedding
        x = self.ln_final(self.transformer(x, causal=True))
        return x[torch.arange(len(x)), rows.argmax(-1)] @ self.text_projection


def timestep_embedding(t: Tensor, half: int) -> Tensor:
    """Cosines, then sines, of falling frequencies."""
    angles = t[:, None].float() * torch.exp(-math.log(10000) * torch.arange(half) / half)
    return torch.cat((angles.cos(), angles.sin()), dim=-1)


class Denoiser(nn.Module):
    """A diffusion Transformer that gives the clean image; time and condition are one token.

    The same vector is also added to every patch. A condition is a row of `label_embedding`, the
    last of which means none, or a text's direction times `text_condition`.
    """

    def __init__(self, patch: int, width: int, layers: int, embedding: int, labels: int) -> None:
        super().__init__()
        tokens = (28 // patch) ** 2
        self.conv1 = nn.Conv2d(1, width, patch, patch)
        self.positional_embedding = nn.Parameter(torch.randn(tokens, width) * 0.02)
        self.time_mlp = nn.Sequential(
            OrderedDict(
                c_fc=nn.Linear(width, width), silu=nn.SiLU(), c_proj=nn.Linear(width, width)
            )
        )
        self.label_embedding = nn.Embedding(labels + 1, width)
        self.text_condition = nn.Linear(embedding, width)
        self.transformer = Transformer(width, layers)
        self.ln_post = nn.LayerNorm(width)
        self.head = nn.Linear(width, patch * patch)
        nn.init.normal_(self.label_embedding.weight, std=0.02)
        nn.init.zeros_(self.head.weight)
        self.patch = patch

    def forward(self, x_t: Tensor, t: Tensor, condition: Tensor) -> Tensor:
        width = self.conv1.out_channels
        token = (self.time_mlp(timestep_embedding(t, width // 2)) + condition)[:, None]
        patches = self.conv1(x_t).flatten(2).transpose(1, 2) + self.positional_embedding
        x = self.transformer(torch.cat((token, patches + token), dim=1))
        return self.pixels(self.head(self.ln_post(x[:, 1:])))

    def pixels(self, patches: Tensor) -> Tensor:
        side = 28 // self.patch
        grid = patches.view(-1, side, side, self.patch, self.patch)
        return grid.transpose(2, 3).reshape(-1, 1, 28, 28)


class Prior(nn.Module):
    """A causal Transformer that gives the vector of an image from a text and a noisy vector.

    It reads words, the vector of the text, the time, the noisy vector, and a learned query, where
    the answer stands. A text that is not told keeps its first sign, and `null_text` is its vector.
    """

    def __init__(self, context: int, width: int, layers: int, embedding: int) -> None:
        super().__init__()
        self.encoder_hidden_states_proj = nn.Linear(width, width)
        self.embedding_proj = nn.Linear(embedding, width)
        self.proj_in = nn.Linear(embedding, width)
        self.time_embedding = nn.Sequential(
            OrderedDict(
                linear_1=nn.Linear(width, width), act=nn.SiLU(), linear_2=nn.Linear(width, width)
            )
        )
        self.null_text = nn.Parameter(torch.zeros(embedding))
        self.query = nn.Parameter(torch.randn(width) * 0.02)
        self.positional_embedding = nn.Parameter(torch.randn(context + 4, width) * 0.02)
        self.transformer = Transformer(width, layers)
        self.norm_out = nn.LayerNorm(width)
        self.proj_to_clip_embeddings = nn.Linear(width, embedding)

    def forward(
        self, x_t: Tensor, t: Tensor, words: Tensor, keep: Tensor, text: Tensor, told: Tensor
    ) -> Tensor:
        B, N, width = words.shape
        first = torch.arange(N) == 0
        keep = keep & (told[:, None] | first)
        text = torch.where(told[:, None], text, self.null_text)
        single = (
            self.embedding_proj(text),
            self.time_embedding(timestep_embedding(t, width // 2)),
            self.proj_in(x_t),
            self.query.expand(B, width),
        )
        x = torch.cat((self.encoder_hidden_states_proj(words), torch.stack(single, dim=1)), dim=1)
        seen = functional.pad(keep, (0, 4), value=True)[:, None, None]
        seen = seen & torch.ones(N + 4, N + 4, dtype=torch.bool).tril()
        bias = torch.zeros(seen.shape).masked_fill(~seen, -torch.inf)
        x = self.transformer(x + self.positional_embedding, bias=bias)
        return self.proj_to_clip_embeddings(self.norm_out(x[:, -1]))


class ImageDenoiser(Denoiser):
    """The same diffusion Transformer, told the noised vector of an image and its level."""

    def __init__(self, patch: int, width: int, layers: int, embedding: int) -> None:
        super().__init__(patch, width, layers, embedding, labels=0)
        del self.label_embedding, self.text_condition
        self.image_condition = nn.Linear(2 * embedding, width)
        self.null_image = nn.Parameter(torch.zeros(width))
        self.embedding = embedding

    def condition(self, vector: Tensor, level: Tensor, told: Tensor) -> Tensor:
        both = torch.cat((vector, timestep_embedding(level, self.embedding // 2)), dim=1)
        return torch.where(told[:, None], self.image_condition(both), self.null_image)


def judge() -> nn.Sequential:
    """A small convolutional classifier that shares nothing with the models it judges."""
    layers: list[nn.Module] = []
    channels = 1
    for width in (16, 32, 64):
        layers += [nn.Conv2d(channels, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU()]
        layers += [nn.MaxPool2d(2)]
        channels = width
    return nn.Sequential(*layers, nn.Flatten(), nn.Dropout(0.3), nn.Linear(64 * 9, 10))
