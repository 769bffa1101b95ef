"""Who does a work of `refimpl bench`: the twins, and each peer in its own best words."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

import refimpl
from refimpl.bench import nets
from refimpl.bench.works import Call, Inputs, Work
from refimpl.compiled import threads
from refimpl.exceptions import RefimplError


class Unavailable(RefimplError):
    """A peer cannot do this work, and why."""


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


def _search(queries: np.ndarray, documents: np.ndarray, count: int) -> Call:
    from refimpl import fast

    return lambda: fast.kernels("retrieval").best(queries, documents, count)


MODELS: dict[str, Callable[..., Call]] = {
    "clip_guided_step": _clip_guided_step,
    "search": _search,
    **nets.OURS,
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

    def conv2d_vjp(images: Any, weight: Any, stride: int, before: int, grad: Any, **_: Any) -> Any:
        sides = [stride] * 2, [before] * 2, [1] * 2, False, [0] * 2, 1
        backward = torch.ops.aten.convolution_backward
        return backward(grad, images, weight, [len(weight)], *sides, [True] * 3)

    def group_norm_silu(x: Any, gain: Any, bias: Any, groups: int, eps: float) -> Any:
        return F.silu(F.group_norm(x, groups, gain, bias, eps))

    def nearest_code(z: Any, codebook: Any) -> Any:
        return torch.cdist(z, codebook).argmin(dim=-1)

    own: dict[str, Call] = {
        "attention_vjp": attention_vjp,
        "clip_loss_vjp": clip_loss_vjp,
        "conv2d_vjp": conv2d_vjp,
        "group_norm_silu": group_norm_silu,
        "guided_ddim_step": _guided_by(backend),
        "nearest_code": nearest_code,
    }
    if op == "clip_guided_step":
        return _torch_clip_guided_step()
    if op in nets.OURS:
        return nets.in_torch(op)
    return own.get(op) or getattr(backend, op).__wrapped__


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
    if work.op not in own and not hasattr(backend, work.op):
        raise Unavailable("no single function does this")
    function: Call = own.get(work.op) or getattr(backend, work.op).__wrapped__
    compiled = jax.jit(functools.partial(function, **constants))
    return lambda: jax.block_until_ready(compiled(**arrays))


def _onnxruntime(work: Work, inputs: Inputs) -> Call:
    from refimpl.backends import onnxruntime as backend

    if work.op in nets.OURS:
        return nets.in_onnxruntime(work.op, inputs, threads.count())
    if work.op not in ("softmax", "layer_norm", "gelu", "gelu_tanh", "quick_gelu", "attention"):
        raise Unavailable("no single node does this")
    function = getattr(backend, work.op).__wrapped__
    given = {n: backend.Tensor(x) if _is_array(x) else x for n, x in inputs.items()}
    return lambda: function(**given)


def _is_array(x: Any) -> bool:
    return isinstance(x, np.ndarray)


def _numpy(work: Work, inputs: Inputs) -> Call:
    """The products, the ten best of each row in no order, then their order."""
    queries, documents, count = (inputs[name] for name in ("queries", "documents", "count"))

    def call() -> tuple[np.ndarray, np.ndarray]:
        scores = queries @ documents.T  # B M
        some = np.argpartition(-scores, count - 1, axis=1)[:, :count]
        order = np.argsort(-np.take_along_axis(scores, some, 1), axis=1, kind="stable")
        found = np.take_along_axis(some, order, 1)
        return found, np.take_along_axis(scores, found, 1)

    return call


def _faiss(work: Work, inputs: Inputs) -> Call:
    import faiss

    faiss.omp_set_num_threads(threads.count())
    documents = inputs["documents"]
    index = faiss.IndexFlatIP(documents.shape[1])
    index.add(documents)
    return lambda: index.search(inputs["queries"], inputs["count"])[::-1]


SIDES: dict[str, Callable[[Work, Inputs], Call]] = {
    "torch": _torch,
    "torch.compile": _compiled,
    "jax": _jax,
    "onnxruntime": _onnxruntime,
    "faiss": _faiss,
    "numpy": _numpy,
}
