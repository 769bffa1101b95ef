"""What `refimpl bench` measures: operations on inputs of a size that people have."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

FRAMEWORKS = ("torch", "torch.compile", "jax", "onnxruntime")
Inputs = dict[str, Any]
Call = Callable[..., Any]


@dataclass(frozen=True)
class Work:
    """An operation on inputs of one size, and what it costs at least.

    `bytes` are its arguments read once and its result written once; `flops` those of its matrix
    products. `targets` are the ratios to peers, `near` is the multiple of that least time, that
    the twins are meant to reach.
    """

    op: str
    size: str
    inputs: Callable[[np.random.Generator], Inputs]
    bytes: float = 0.0
    flops: float = 0.0
    targets: Mapping[str, float] = field(default_factory=dict)
    near: float = math.nan
    slow: bool = False  # runs only when it is named
    alone: bool = False  # no peer has the memory or the time
    peers: tuple[str, ...] = FRAMEWORKS  # with whom it is compared

    @property
    def name(self) -> str:
        """The operation and its size."""
        return f"{self.op} {self.size}"


# The works


def floats(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Normal numbers of this shape."""
    return rng.standard_normal(shape, dtype=np.float32)


def _one(name: str, *shape: int) -> Callable[[np.random.Generator], Inputs]:
    return lambda rng: {name: floats(rng, *shape)}


def _diffusion(names: str, **more: Any) -> Callable[[np.random.Generator], Inputs]:
    """Batches of images under these names, times, and a schedule of a thousand steps."""

    def inputs(rng: np.random.Generator) -> Inputs:
        betas = np.linspace(1e-4, 0.02, 1000, dtype=np.float32)
        t = rng.integers(100, 1000, 16)
        known = {
            "t": t,
            "t_prev": t - 20,
            "betas": betas,
            "alpha_bar": np.cumprod(1 - betas),
            "log_variance": np.log(betas)[t].reshape(-1, 1, 1, 1),
        }
        given: Inputs = {name: floats(rng, 16, 3, 256, 256) for name in names.split()}
        return given | {name: known[name] if x is None else x for name, x in more.items()}

    return inputs


def attention(B: int, H: int, N: int, E: int, grad: bool) -> Work:
    """Attention of tokens among themselves, or its gradient."""

    def inputs(rng: np.random.Generator) -> Inputs:
        given: Inputs = {n: floats(rng, B, H, N, E) for n in ("query", "key", "value")}
        given["bias"] = None
        return given | ({"grad": floats(rng, B, H, N, E)} if grad else {})

    products = 7 if grad else 2  # those of the output once more, then five
    return Work(
        "attention_vjp" if grad else "attention",
        f"{B}×{H}×{N}×{E}",
        inputs,
        bytes=4 * (7 if grad else 4) * B * H * N * E,
        flops=2 * products * B * H * N * N * E,
        targets={"torch": 0.9},
    )


def clip(n: int, d: int, slow: bool = False, alone: bool = False) -> Work:
    """The gradient of the CLIP loss of n pairs of width d."""

    def inputs(rng: np.random.Generator) -> Inputs:
        given: Inputs = {n_: floats(rng, n, d) for n_ in ("image_features", "text_features")}
        return given | {"log_scale": math.log(100.0), "grad": 1.0}

    return Work(
        "clip_loss_vjp",
        f"{n}×{d}",
        inputs,
        bytes=16 * n * d,
        flops=8 * n * n * d,  # the logits twice, and two products with their gradients
        targets={"torch": 0.6},
        near=1.5 if alone else math.nan,
        slow=slow,
        alone=alone,
    )


def convolution(
    B: int, C: int, side: int, out: int, taps: int = 3, stride: int = 1, grad: bool = False
) -> Work:
    """A convolution of square feature maps that keeps their size, or halves it; or its gradient."""
    tall = side // stride

    def inputs(rng: np.random.Generator) -> Inputs:
        weight = floats(rng, out, C, taps, taps) / np.float32(taps * math.sqrt(C))
        given: Inputs = {"images": floats(rng, B, C, side, side), "weight": weight}
        given |= {} if grad else {"bias": floats(rng, out)}
        given |= {"stride": stride, "before": taps // 2, "after": taps // 2}
        given |= {"dilation": 1, "groups": 1}
        return given | ({"grad": floats(rng, B, out, tall, tall)} if grad else {})

    products = 2 if grad else 1
    return Work(
        "conv2d_vjp" if grad else "conv2d",
        f"{B}×{C}×{side}×{side}→{out} {taps}×{taps}" + (f"/{stride}" if stride > 1 else ""),
        inputs,
        bytes=4 * products * (B * C * side**2 + out * C * taps**2 + B * out * tall**2),
        flops=2 * products * B * out * tall**2 * C * taps**2,
        targets={"torch": 1.0},
        near=1 / 0.8,
    )


def decode(cached: int) -> Work:
    """The attention of a new token over the keys and values of those before: GPT-2's heads."""

    def inputs(rng: np.random.Generator) -> Inputs:
        lengths = {"query": 1, "key": cached, "value": cached}
        given: Inputs = {name: floats(rng, 1, 12, n, 64) for name, n in lengths.items()}
        return given | {"bias": None}

    return Work("attention", f"1×12×1→{cached}×64", inputs, bytes=8 * 12 * cached * 64)


def search(queries: int, documents: int, D: int = 384, slow: bool = False) -> Work:
    """The ten best of many vectors for each query, by their inner products."""

    def inputs(rng: np.random.Generator) -> Inputs:
        given: Inputs = {"queries": floats(rng, queries, D), "documents": floats(rng, documents, D)}
        return given | {"count": 10}

    return Work(
        "search",
        f"{queries} in {documents}×{D}",
        inputs,
        bytes=4 * D * documents,
        flops=2 * queries * documents * D,
        targets={"faiss": 1.0, "numpy": 0.3},
        slow=slow,
        peers=("faiss", "numpy"),
    )


def _rotary(rng: np.random.Generator) -> Inputs:
    angles = np.arange(512)[:, None] / 10000 ** (np.arange(64) / 64)
    return {"x": floats(rng, 1, 32, 512, 128), "angles": angles.astype(np.float32)}


def _swiglu(rng: np.random.Generator) -> Inputs:
    return {"gate": floats(rng, 512, 11008), "up": floats(rng, 512, 11008)}


def _rms_norm(rng: np.random.Generator) -> Inputs:
    return {"x": floats(rng, 512, 4096), "gain": floats(rng, 4096), "eps": 1e-6}


def _group_norm(rng: np.random.Generator) -> Inputs:
    given: Inputs = {"x": floats(rng, 1, 320, 64, 64), "gain": floats(rng, 320)}
    return given | {"bias": floats(rng, 320), "groups": 32, "eps": 1e-5}


def _codes(rng: np.random.Generator) -> Inputs:
    return {"z": floats(rng, 4096, 256), "codebook": floats(rng, 16384, 256)}


def _patch_embed(rng: np.random.Generator) -> Inputs:
    weight = floats(rng, 768, 3, 16, 16) / 28
    return {"images": floats(rng, 8, 3, 224, 224), "weight": weight, "bias": floats(rng, 768)}


def _layer_norm(rng: np.random.Generator) -> Inputs:
    x, gain, bias = floats(rng, 8, 197, 768), floats(rng, 768), floats(rng, 768)
    return {"x": x, "gain": gain, "bias": bias, "eps": 1e-6}


def _gpt2_prompt(rng: np.random.Generator) -> Inputs:
    return {"ids": rng.integers(0, 50257, (1, 1024))}


def _gpt2_token(rng: np.random.Generator) -> Inputs:
    cache = floats(rng, 12, 2, 1, 12, 1024, 64)  # the last place is that of the token
    return {"ids": rng.integers(0, 50257, (1, 1)), "cache": cache}


def _sd_block(rng: np.random.Generator) -> Inputs:
    x, words = floats(rng, 2, 320, 64, 64), floats(rng, 2, 77, 768)
    return {"x": x, "emb": floats(rng, 2, 1280), "words": words}


def _terrain_adm(rng: np.random.Generator) -> Inputs:
    level, condition = np.full(1, 80, np.float32), np.full(1, 0.5, np.float32)  # noise alone
    return {"noisy": floats(rng, 1, 1, 128, 128), "sigma": level, "condition": condition}


BATCH = 4 * 16 * 3 * 256 * 256  # bytes of sixteen images
HIDDEN, WIDE = 4 * 8 * 197 * 768, 4 * 8 * 197 * 3072  # bytes of ViT-B's tokens and hidden layer
SCORES = 4 * 8 * 12 * 197 * 197
BLOCK_MACS = 12 * 768**2 + 2 * 197 * 768  # multiplications that a token of ViT-B costs in a block
LLAMA_HEADS, LLAMA_WIDE = 4 * 512 * 4096, 4 * 512 * 11008  # bytes of 512 tokens of Llama-7B
LLAMA = {"torch.compile": 0.9}
MAP = 4 * 320 * 64 * 64  # bytes of a map of Stable Diffusion's first level
NORM_AND_GATE = {"torch": 0.4, "torch.compile": 1.0}
SOFTMAX = {"torch": 0.8, "onnxruntime": 1.0}
GELU = {"torch": 0.8, "jax": 1.0, "onnxruntime": 1.0}
ONE_PASS = {"torch": 0.35, "torch.compile": 1.0, "jax": 1.0}
GPT2_MACS = 12 * 12 * 768**2 + 50257 * 768  # multiplications that a word costs outside attention
LANGUAGE_PEERS = ("torch", "torch.compile", "onnxruntime")
LANGUAGE = dict.fromkeys(LANGUAGE_PEERS, 1.0)
DECODER_MACS = 4096 * (  # of Stable Diffusion's images, by levels
    16
    + 9 * 4 * 512
    + 512**2 * (9 * 10 + 4)
    + 2 * 512 * 4096
    + 4 * 512**2 * 9 * 7
    + 16 * (9 * (512**2 + 512 * 256 + 5 * 256**2) + 512 * 256)
    + 64 * (9 * (256**2 + 256 * 128 + 5 * 128**2 + 3 * 128) + 256 * 128)
)
STEP = {"t": None, "t_prev": None, "alpha_bar": None, "eta": 0.5}
WORKS = (
    Work(
        "q_sample",
        "16×3×256×256",
        _diffusion("x_start noise", t=None, alpha_bar=None),
        bytes=3 * BATCH,
        targets=ONE_PASS,
        near=1.4,
    ),
    Work(
        "p_sample",
        "16×3×256×256",
        _diffusion("x_t eps noise", t=None, betas=None, log_variance=None, clip=1.0),
        bytes=4 * BATCH,
        targets=ONE_PASS,
        near=1.4,
    ),
    Work(
        "ddim_step",
        "16×3×256×256",
        _diffusion("x_t eps noise", **STEP),
        bytes=4 * BATCH,
        targets=ONE_PASS,
        near=1.4,
    ),
    Work(
        "guided_ddim_step",
        "16×3×256×256",
        _diffusion("x_t eps_uncond eps_cond noise", scale=7.5, **STEP),
        bytes=5 * BATCH,
        targets=ONE_PASS,
        near=1.4,
    ),
    Work("softmax", "8×12×197×197", _one("z", 8, 12, 197, 197), 2 * SCORES, targets=SOFTMAX),
    Work("layer_norm", "8×197×768", _layer_norm, 2 * HIDDEN, targets={"torch": 0.75}),
    Work("gelu", "8×197×3072", _one("x", 8, 197, 3072), 2 * WIDE, targets=GELU),
    Work("gelu_tanh", "8×197×3072", _one("x", 8, 197, 3072), 2 * WIDE, targets=GELU),
    Work("quick_gelu", "8×197×3072", _one("x", 8, 197, 3072), 2 * WIDE, targets=GELU),
    *(
        attention(*shape, grad)
        for grad in (False, True)
        for shape in ((8, 12, 197, 64), (1, 12, 1024, 64), (1, 8, 4096, 64))
    ),
    Work(
        "patch_embed",
        "8×3×224×224",
        _patch_embed,
        bytes=4 * (8 * 3 * 224 * 224 + 769 * 768 + 8 * 196 * 768),
        flops=2 * 8 * 196 * 768 * 768,
        targets={"torch": 1.0},
    ),
    clip(2048, 512),
    clip(8192, 512, slow=True),
    clip(32768, 512, slow=True, alone=True),
    convolution(1, 320, 64, 320),
    convolution(8, 64, 32, 64),
    convolution(1, 320, 64, 320, stride=2),
    convolution(1, 320, 64, 320, taps=1),
    convolution(1, 320, 64, 320, grad=True),
    convolution(8, 64, 32, 64, grad=True),
    Work("group_norm_silu", "1×320×64×64", _group_norm, 2 * MAP, targets=NORM_AND_GATE),
    Work("rotary_embedding", "1×32×512×128", _rotary, 2 * LLAMA_HEADS, targets=LLAMA),
    Work("swiglu", "512×11008", _swiglu, 3 * LLAMA_WIDE, targets=LLAMA),
    Work("rms_norm", "512×4096", _rms_norm, 2 * LLAMA_HEADS, targets=LLAMA),
    Work(
        "nearest_code",
        "4096×256, 16384",
        _codes,
        bytes=4 * 256 * (4096 + 16384),
        flops=2 * 4096 * 16384 * 256,
        targets={"torch": 0.6},
    ),
    search(1, 1_000_000, slow=True),
    search(32, 1_000_000, slow=True),
    Work(
        "vit_b16",
        "8×3×224×224",
        _one("images", 8, 3, 224, 224),
        # of the last block, the 196 patches need keys and values alone
        flops=2 * 8 * (197 * 12 * BLOCK_MACS - 196 * (BLOCK_MACS - 3 * 768**2) + 196 * 768**2),
        targets={"torch": 1.0, "onnxruntime": 1.0},
        near=1 / 0.85,
    ),
    Work(
        "gpt2_prompt",
        "1×1024",
        _gpt2_prompt,
        # a word sees half of the others
        flops=2 * 1024 * (GPT2_MACS + 12 * 768 * 1024),
        targets=LANGUAGE,
        peers=LANGUAGE_PEERS,
    ),
    Work(
        "gpt2_token",
        "1×1, cache 1024",
        _gpt2_token,
        bytes=4 * GPT2_MACS,
        targets=LANGUAGE,
        near=1.25,
        peers=LANGUAGE_PEERS,
    ),
    Work(
        "sd_block",
        "2×320×64×64",
        _sd_block,
        flops=2 * 2 * 4096 * (320**2 * (18 + 8 + 12) + 2 * 320 * (4096 + 77)),
        targets={"torch": 1.0, "torch.compile": 1.0},
        peers=("torch", "torch.compile"),
    ),
    Work(
        "vae_decode",
        "1×4×64×64",
        _one("z", 1, 4, 64, 64),
        flops=2 * DECODER_MACS,
        targets={"torch": 1.0},
        slow=True,
        peers=("torch",),
    ),
    Work(
        "terrain_adm",
        "1×1×128×128",
        _terrain_adm,
        targets={"onnxruntime": 1.0},
        peers=("onnxruntime",),
    ),
    Work("clip_guided_step", "16×1×28×28", _one("x_t", 16, 1, 28, 28), targets={"torch": 0.7}),
)


def choose(names: Sequence[str]) -> list[Work]:
    """The works whose name begins with one of these; without any, all that are not slow.

    `all` stands for all, the slow ones as well, `none` for none.
    """
    if not names:
        return [work for work in WORKS if not work.slow]
    if list(names) in (["all"], ["none"]):
        return list(WORKS) if names[0] == "all" else []
    for name in names:
        if not any(work.name.startswith(name) for work in WORKS):
            known = ", ".join(dict.fromkeys(work.op for work in WORKS))
            raise KeyError(f"no work is called {name!r}; there are {known}")
    return [work for work in WORKS if any(work.name.startswith(name) for name in names)]
