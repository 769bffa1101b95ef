"""What `refimpl bench` measures: the works, and each as the twins and as each peer do it."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import refimpl
from refimpl.compiled import threads
from refimpl.exceptions import RefimplError

Inputs = dict[str, Any]
Call = Callable[..., Any]


class Unavailable(RefimplError):
    """A peer cannot do this work, and why."""


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

    @property
    def name(self) -> str:
        """The operation and its size."""
        return f"{self.op} {self.size}"


# The works


def _floats(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.standard_normal(shape, dtype=np.float32)


def _one(name: str, *shape: int) -> Callable[[np.random.Generator], Inputs]:
    return lambda rng: {name: _floats(rng, *shape)}


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
        given: Inputs = {name: _floats(rng, 16, 3, 256, 256) for name in names.split()}
        return given | {name: known[name] if x is None else x for name, x in more.items()}

    return inputs


def attention(B: int, H: int, N: int, E: int, grad: bool) -> Work:
    """Attention of tokens among themselves, or its gradient."""

    def inputs(rng: np.random.Generator) -> Inputs:
        given: Inputs = {n: _floats(rng, B, H, N, E) for n in ("query", "key", "value")}
        given["bias"] = None
        return given | ({"grad": _floats(rng, B, H, N, E)} if grad else {})

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
        given: Inputs = {n_: _floats(rng, n, d) for n_ in ("image_features", "text_features")}
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


def _patch_embed(rng: np.random.Generator) -> Inputs:
    weight = _floats(rng, 768, 3, 16, 16) / 28
    return {"images": _floats(rng, 8, 3, 224, 224), "weight": weight, "bias": _floats(rng, 768)}


def _layer_norm(rng: np.random.Generator) -> Inputs:
    x, gain, bias = _floats(rng, 8, 197, 768), _floats(rng, 768), _floats(rng, 768)
    return {"x": x, "gain": gain, "bias": bias, "eps": 1e-6}


BATCH = 4 * 16 * 3 * 256 * 256  # bytes of sixteen images
HIDDEN, WIDE = 4 * 8 * 197 * 768, 4 * 8 * 197 * 3072  # bytes of ViT-B's tokens and hidden layer
SCORES = 4 * 8 * 12 * 197 * 197
BLOCK_MACS = 12 * 768**2 + 2 * 197 * 768  # multiplications that a token of ViT-B costs in a block
ONE_PASS = {"torch": 0.35, "torch.compile": 1.0}
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
    Work("softmax", "8×12×197×197", _one("z", 8, 12, 197, 197), 2 * SCORES, targets={"torch": 0.8}),
    Work("layer_norm", "8×197×768", _layer_norm, 2 * HIDDEN, targets={"torch": 0.8}),
    Work("gelu", "8×197×3072", _one("x", 8, 197, 3072), 2 * WIDE, targets={"torch": 0.8}),
    Work("gelu_tanh", "8×197×3072", _one("x", 8, 197, 3072), 2 * WIDE, targets={"torch": 0.8}),
    Work("quick_gelu", "8×197×3072", _one("x", 8, 197, 3072), 2 * WIDE, targets={"torch": 0.8}),
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
        targets={"torch": 0.7},
    ),
    clip(2048, 512),
    clip(8192, 512, slow=True),
    clip(32768, 512, slow=True, alone=True),
    Work(
        "vit_b16",
        "8×3×224×224",
        _one("images", 8, 3, 224, 224),
        # of the last block, the 196 patches need keys and values alone
        flops=2 * 8 * (197 * 12 * BLOCK_MACS - 196 * (BLOCK_MACS - 3 * 768**2) + 196 * 768**2),
        targets={"torch": 1.0, "onnxruntime": 1.0},
        near=1 / 0.85,
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


# The sides


def ours(work: Work, inputs: Inputs) -> Call:
    """The twin."""
    from refimpl import fast

    if work.op in MODELS:
        return MODELS[work.op](**inputs)
    if work.op == "attention_vjp":  # without the N M gradient of the scores, as all peers
        given = fast.prepare(refimpl.OPS[work.op].specs, inputs)
        return functools.partial(fast.kernels("attention").attention_grads, **given)
    return functools.partial(getattr(fast, work.op), **inputs)


TEXT, SCALE, T = "a handwritten seven", 6.0, 500  # of a guided step, as `refimpl sample` makes it


def _clip_guided_step(x_t: np.ndarray) -> Call:
    from refimpl import fast
    from refimpl.models import generate, sampling

    denoiser = sampling.guided_by_classifier(
        generate.without_condition(), generate.towards(TEXT), generate.BETAS, SCALE, fast
    )
    share, (t, t_prev) = fast.alpha_bar(generate.BETAS), _times(len(x_t))

    def call() -> np.ndarray:
        eps = denoiser(x_t, t)
        return fast.ddim_step(x_t, t, t_prev, eps, np.zeros_like(x_t), share, 0.0)

    return call


def _times(count: int) -> tuple[np.ndarray, np.ndarray]:
    return np.full(count, T), np.full(count, T - 20)


def vit_b16() -> tuple[Any, dict[str, np.ndarray]]:
    """ViT-B/16 with weights that are drawn, of a size that keeps activations near one."""
    from refimpl.models.configs import Vit

    config, rng = Vit(16, 768, 12, 12, 3072), np.random.default_rng(1)
    params = {
        name: _floats(rng, *shape) * np.float32(math.prod(shape[1:]) ** -0.5)
        for name, shape in config.shapes().items()
    }
    return config, params


def _vit_b16(images: np.ndarray) -> Call:
    from refimpl.models import compiled
    from refimpl.models.vit import vit

    config, params = vit_b16()
    return lambda: vit(images, params, config, compiled)


MODELS: dict[str, Callable[..., Call]] = {
    "clip_guided_step": _clip_guided_step,
    "vit_b16": _vit_b16,
}


def _guided_by(backend: Any) -> Callable[..., Any]:
    """Guidance, then a step on what it gives."""
    guide, advance = backend.classifier_free_guidance.__wrapped__, backend.ddim_step.__wrapped__

    def step(eps_uncond: Any, eps_cond: Any, scale: float, **given: Any) -> Any:
        return advance(eps=guide(eps_uncond, eps_cond, scale), **given)

    return step


def _torch(work: Work, inputs: Inputs, compiled: bool = False) -> Call:
    import torch

    from refimpl.backends import torch as backend

    torch.set_num_threads(threads.count())
    given = {n: torch.from_numpy(x) if _is_array(x) else x for n, x in inputs.items()}
    function = _torch_function(work.op, backend)
    if compiled:
        function = torch.compile(function)
    differentiates = work.op.endswith("_vjp") or work.op == "clip_guided_step"
    keep = torch.enable_grad if differentiates else torch.inference_mode

    def call() -> Any:
        with keep():
            return function(**given)

    return call


def _torch_function(op: str, backend: Any) -> Callable[..., Any]:
    import torch

    F = torch.nn.functional

    def attention_vjp(query: Any, key: Any, value: Any, bias: Any, grad: Any) -> Any:
        wanted = [x.detach().requires_grad_() for x in (query, key, value)]
        return torch.autograd.grad(F.scaled_dot_product_attention(*wanted), wanted, grad)

    def clip_loss_vjp(image_features: Any, text_features: Any, log_scale: Any, grad: Any) -> Any:
        given = image_features, text_features, torch.tensor(log_scale)
        wanted = [x.detach().requires_grad_() for x in given]
        images, texts = (F.normalize(x, dim=-1) for x in wanted[:2])
        logits = wanted[2].exp() * (images @ texts.T)  # N N
        labels = torch.arange(len(logits))
        loss = (F.cross_entropy(logits, labels) + F.cross_entropy(logits.T, labels)) / 2
        return torch.autograd.grad(loss * grad, wanted)

    own: dict[str, Call] = {
        "attention_vjp": attention_vjp,
        "clip_loss_vjp": clip_loss_vjp,
        "guided_ddim_step": _guided_by(backend),
        "vit_b16": _torch_vit_b16,
    }
    if op == "clip_guided_step":
        return _torch_clip_guided_step()
    return own.get(op) or getattr(backend, op).__wrapped__


def _torch_vit_b16(images: Any) -> Any:
    from refimpl.backends import torch_models

    config, params = _vit_b16_tensors()
    return torch_models.vit(images, params, config)


@functools.cache
def _vit_b16_tensors() -> Any:
    from refimpl.backends import torch_models

    config, params = vit_b16()
    return config, torch_models.as_tensors(params)


def _torch_clip_guided_step() -> Call:
    """The step with a gradient from autograd."""
    import torch

    from refimpl.backends import torch_models
    from refimpl.models import generate
    from refimpl.models.denoiser import label_condition
    from refimpl.models.shipped import small_clip, small_denoiser

    F = torch.nn.functional
    config, arrays = small_denoiser()
    model = small_clip("noised_clip")
    params, clip = torch_models.as_tensors(arrays), torch_models.as_tensors(model.params)
    texts = F.normalize(torch.from_numpy(model.text_features([TEXT], refimpl.fast)), dim=-1)
    shares = torch.from_numpy(refimpl.alpha_bar(generate.BETAS)).float()

    def call(x_t: Any) -> Any:
        at, before = _times(len(x_t))
        t, share = torch.from_numpy(at), shares[at[0]]
        condition = torch.from_numpy(label_condition(np.full(len(x_t), config.labels), arrays))
        with torch.no_grad():
            x_start = torch_models.denoise(x_t, t, condition, params, config).clamp(-1, 1)
            eps = (x_t - share.sqrt() * x_start) / (1 - share).sqrt()
        images = x_t.detach().requires_grad_()
        features = F.normalize(torch_models.clip_image(images, clip, model.config), dim=-1)
        logit = (clip["logit_scale"].exp() * (features @ texts.T)).sum()
        (gradient,) = torch.autograd.grad(logit, images)
        eps = eps - (1 - share).sqrt() * SCALE * gradient
        x_start = (x_t - (1 - share).sqrt() * eps) / share.sqrt()
        return shares[before[0]].sqrt() * x_start + (1 - shares[before[0]]).sqrt() * eps

    return call


def _compiled(work: Work, inputs: Inputs) -> Call:
    call = _torch(work, inputs, compiled=True)
    try:
        call()
    except Exception as error:
        raise Unavailable(f"does not compile: {type(error).__name__}") from error
    return call


def _jax(work: Work, inputs: Inputs) -> Call:
    import jax

    from refimpl.backends import jax as backend

    if work.op in MODELS:
        raise Unavailable("this model is not written for it")
    arrays = {n: jax.numpy.asarray(x) for n, x in inputs.items() if _is_array(x)}
    constants = {n: x for n, x in inputs.items() if n not in arrays}

    def attention_vjp(query: Any, key: Any, value: Any, bias: Any, grad: Any) -> Any:
        attend = functools.partial(backend.attention.__wrapped__, bias=bias)
        return jax.vjp(lambda *x: attend(*x), query, key, value)[1](grad)

    def clip_loss_vjp(image_features: Any, text_features: Any, log_scale: Any, grad: Any) -> Any:
        given = image_features, text_features, jax.numpy.float32(log_scale)
        loss, back = jax.vjp(backend.clip_loss.__wrapped__, *given)
        return back(jax.numpy.asarray(grad, loss.dtype))

    own: dict[str, Call] = {
        "attention_vjp": attention_vjp,
        "clip_loss_vjp": clip_loss_vjp,
        "guided_ddim_step": _guided_by(backend),
    }
    function: Call = own.get(work.op) or getattr(backend, work.op).__wrapped__
    compiled = jax.jit(functools.partial(function, **constants))
    return lambda: jax.block_until_ready(compiled(**arrays))


def _onnxruntime(work: Work, inputs: Inputs) -> Call:
    from refimpl.backends import onnxruntime as backend

    if work.op == "vit_b16":
        return _exported(inputs)
    if work.op not in ("softmax", "layer_norm", "gelu", "gelu_tanh", "quick_gelu", "attention"):
        raise Unavailable("no single node does this")
    function = getattr(backend, work.op).__wrapped__
    given = {n: backend.Tensor(x) if _is_array(x) else x for n, x in inputs.items()}
    return lambda: function(**given)


def _exported(inputs: Inputs) -> Call:
    """ViT-B/16 as ONNX, out of PyTorch."""
    import io
    import warnings

    import onnxruntime
    import torch

    from refimpl.backends import torch_models

    config, params = _vit_b16_tensors()

    class Model(torch.nn.Module):
        def forward(self, images: Any) -> Any:
            return torch_models.vit(images, params, config)

    images, file = torch.from_numpy(inputs["images"]), io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that this way to export is the older one
        torch.onnx.export(Model(), (images,), file, opset_version=20, dynamo=False)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads.count()
    session = onnxruntime.InferenceSession(file.getvalue(), options, ["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda: session.run(None, {name: inputs["images"]})


def _is_array(x: Any) -> bool:
    return isinstance(x, np.ndarray)


SIDES: dict[str, Callable[[Work, Inputs], Call]] = {
    "torch": _torch,
    "torch.compile": _compiled,
    "jax": _jax,
    "onnxruntime": _onnxruntime,
}
