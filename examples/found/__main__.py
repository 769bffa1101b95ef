"""What was found in other libraries, where no operation of refimpl alone can show it.

`python examples/found NAME` prints what the library gives and what is right; see docs/found.md.
"""

from __future__ import annotations

import runpy
import sys
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

Pair = tuple[str, object, object]  # what is looked at, what the library gives, what is right


def trailing_spacing() -> Iterator[Pair]:
    """diffusers: some numbers of steps come back as one more, the last at time -1."""
    from diffusers import DDIMScheduler

    scheduler = DDIMScheduler(timestep_spacing="trailing")
    wrong = []
    for steps in range(1, 1001):
        scheduler.set_timesteps(steps)
        if len(scheduler.timesteps) != steps or scheduler.timesteps.min() < 0:
            wrong.append(steps)
    scheduler.set_timesteps(61)
    yield "number of times for 61 steps", len(scheduler.timesteps), 61
    yield "last time", int(scheduler.timesteps[-1]), 15
    yield "numbers of steps up to 1000 that go wrong", len(wrong), 0


def linspace_steps() -> Iterator[Pair]:
    """diffusers: DDIM steps to T // steps below, which is not the next time of its own list."""
    import torch
    from diffusers import DDIMScheduler

    scheduler = DDIMScheduler(timestep_spacing="linspace", clip_sample=False)
    scheduler.set_timesteps(10)
    now, following = (int(t) for t in scheduler.timesteps[:2])
    x = torch.ones(1, 1, 1, 1)  # a clean sample of 1 without noise
    share = scheduler.alphas_cumprod
    stepped = scheduler.step(0 * x, now, share[now] ** 0.5 * x).prev_sample.item()
    right = share[following].item() ** 0.5
    yield f"1 after the step from {now} to {following}", round(stepped, 6), round(right, 6)


def fixed_large_log() -> Iterator[Pair]:
    """diffusers: takes the root of a logarithm."""
    import torch
    from diffusers import DDPMScheduler

    x = torch.zeros(1, 1, 1, 1)
    for kind in ("fixed_large", "fixed_large_log"):
        scheduler = DDPMScheduler(variance_type=kind)
        moved = scheduler.step(x, 500, x, generator=torch.Generator().manual_seed(0)).prev_sample
        yield f"noise added at t = 500 under {kind}", round(moved.item(), 6), 0.154560


def all_noise() -> Iterator[Pair]:
    """diffusers: the first DDIM step from pure noise with eta = 1 takes the root of a rounding."""
    import torch
    from diffusers import DDIMScheduler

    x, nan = torch.ones(1, 1, 1, 1), []
    for steps in range(1, 101):
        scheduler = DDIMScheduler(
            prediction_type="v_prediction",
            rescale_betas_zero_snr=True,
            timestep_spacing="trailing",
            clip_sample=False,
        )
        scheduler.set_timesteps(steps)
        first = scheduler.timesteps[0]
        moved = scheduler.step(x, first, x, eta=1.0, variance_noise=0 * x).prev_sample
        if not torch.isfinite(moved).all():
            nan.append(steps)
    yield "the least number of steps whose first one is NaN", min(nan, default="none"), "none"
    yield "numbers of steps up to 100 whose first one is NaN", len(nan), 0


def guided_ddim() -> Iterator[Pair]:
    """guided-diffusion: the first DDIM step with eta = 1 takes the root of a rounding, too."""
    import torch

    from refimpl.ops.diffusion.reference import alpha_bar, cosine_schedule

    shares = alpha_bar(cosine_schedule(1000, 0.008, 0.999))
    nan = []
    for steps in range(2, 51):
        times = [round(i * 999 / (steps - 1)) for i in range(steps)]
        now = torch.tensor(shares[times]).float()
        earlier = torch.tensor([1.0, *shares[times[:-1]]]).float()
        sigma = torch.sqrt((1 - earlier) / (1 - now)) * torch.sqrt(1 - now / earlier)
        if torch.isnan(torch.sqrt(1 - earlier - sigma**2)).any():
            nan.append(steps)
    yield "numbers of steps up to 50 for which a step is NaN", nan, []


def no_noise() -> Iterator[Pair]:
    """diffusers: add_noise holds the shares of signal in the samples' half format."""
    import torch
    from diffusers import DDPMScheduler

    scheduler = DDPMScheduler()
    ones = torch.ones(1000, 1)
    for dtype in (torch.bfloat16, torch.float16):
        got = scheduler.add_noise(0 * ones.to(dtype), ones.to(dtype), torch.arange(1000))[:, 0]
        right = (1 - scheduler.alphas_cumprod.double()).sqrt()
        off = ((got.double() / right - 1).abs() > 0.1).sum()
        yield f"times without any noise in {dtype}", int((got == 0).sum()), 0
        yield f"times with noise off by 10 % in {dtype}", int(off), 0


def default_threshold() -> Iterator[Pair]:
    """diffusers: dynamic thresholding, as it is by default, clips."""
    import torch
    from diffusers import DDPMScheduler

    x = torch.tensor([[[[-4.0, -1.0, 1.0, 2.0]]]])
    scheduler = DDPMScheduler(thresholding=True, prediction_type="sample")
    got = scheduler.step(x, 0, x).pred_original_sample.flatten().tolist()
    right = [-1.0, -0.251889, 0.251889, 0.503778]
    yield "-4, -1, 1, 2 at the quantile 0.995", [round(x, 6) for x in got], right


def flat_threshold() -> Iterator[Pair]:
    """diffusers: dynamic thresholding fails on samples that are vectors."""
    import torch
    from diffusers import DDPMScheduler

    x = torch.tensor([[0.5, -0.5]])
    scheduler = DDPMScheduler(thresholding=True, prediction_type="sample")
    try:
        got: object = scheduler.step(x, 0, x).pred_original_sample.tolist()
    except TypeError as error:
        got = f"TypeError: {str(error)[:60]}"
    yield "0.5, -0.5", got, [[0.5, -0.5]]


def column() -> Iterator[Pair]:
    """PyTorch: an antialiased resize to one column repeats the weights of the first row."""
    import torch

    column = torch.tensor([0.0, 1.0, 4.0]).reshape(1, 1, 3, 1)
    for mode in ("bicubic", "bilinear"):
        resize = torch.nn.functional.interpolate
        got = resize(column, (2, 1), mode=mode, antialias=True).flatten()
        lying = resize(column.mT, (1, 2), mode=mode, antialias=True).flatten()
        right = [round(x, 4) for x in lying.tolist()]
        yield f"0, 1, 4 made two, {mode}", [round(x, 4) for x in got.tolist()], right


def nearest_factor() -> Iterator[Pair]:
    """PyTorch: a nearest resize multiplies by a factor that was rounded to float32."""
    import torch

    def picked(size: int, target: int) -> list[int]:
        column = torch.arange(float(size)).reshape(1, 1, size, 1)
        resized = torch.nn.functional.interpolate(column, (target, 1), mode="nearest")
        return [int(x) for x in resized.flatten()]

    def right(size: int, target: int) -> list[int]:
        return [i * size // target for i in range(target)]

    yield "the pixel at 41 of 82 made of 2", picked(2, 82)[41], right(2, 82)[41]
    pairs = [(n, m) for n in range(1, 33) for m in range(1, 129)]
    wrong = sum(picked(n, m) != right(n, m) for n, m in pairs)
    yield f"of {len(pairs)} pairs of sizes, those that differ", wrong, 0


def lp_normalization() -> Iterator[Pair]:
    """ONNX's reference evaluator: the norm of order 1 sums without magnitudes."""
    from onnx import TensorProto, helper
    from onnx.reference import ReferenceEvaluator

    node = helper.make_node("LpNormalization", ["x"], ["y"], p=1)
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in "xy"]
    model = helper.make_model(helper.make_graph([node], "lp", ends[:1], ends[1:]))
    for x, right in (([3.0, -1.0], [0.75, -0.25]), ([1.0, -1.0], [0.5, -0.5])):
        with np.errstate(all="ignore"):
            (got,) = ReferenceEvaluator(model).run(None, {"x": np.array([x], np.float32)})
        yield f"{x} ÷ the sum of its magnitudes", got[0].tolist(), right


def neighbours() -> Iterator[Pair]:
    """diffusers: DDIM with 30 trailing steps goes 33 down where its times lie 33 or 34 apart."""
    from diffusers import DDIMScheduler

    scheduler = DDIMScheduler(timestep_spacing="trailing")
    scheduler.set_timesteps(30)
    times = scheduler.timesteps.tolist()
    missed = sum(now - 1000 // 30 != after for now, after in pairwise(times))
    yield "steps of 29 that end beside the next time", missed, 0


def jax_attention() -> Iterator[Pair]:
    """JAX: float64 goes in and out of dot_product_attention, float32 is inside."""
    import jax
    import jax.numpy as jnp

    with jax.enable_x64(True):
        query, key, value = jnp.ones((1, 1, 1, 1)), jnp.array([0.0, 1.0]), jnp.array([1.0, 0.0])
        key, value = (x.reshape(1, 2, 1, 1) for x in (key, value))
        result = jax.nn.dot_product_attention(query, key, value)
        yield "the softmax of 0, 1, first", float(result[0, 0, 0, 0]), 0.2689414213699951
        yield "its dtype", str(result.dtype), "float64"


def tensorflow_gelu() -> Iterator[Pair]:
    """TensorFlow: the float64 GELU divides by a float32 root of 2, and has eight digits."""
    import tensorflow as tf

    one = tf.constant(1.0, tf.float64)
    yield "gelu(1) in float64", float(tf.nn.gelu(one)), 0.8413447460685429
    exact = 0.8411919906082768
    yield "gelu(1) by the hyperbolic tangent", float(tf.nn.gelu(one, approximate=True)), exact


def tensorflow_empty_batch() -> Iterator[Pair]:
    """TensorFlow: the convolution of an empty batch has the shape of its input."""
    import tensorflow as tf

    result = tf.nn.conv2d(tf.zeros((0, 8, 8, 3)), tf.zeros((2, 2, 3, 5)), 2, "VALID")
    yield "shape of the convolution of no image", tuple(result.shape), (0, 4, 4, 5)


def tensorflow_zero_vector() -> Iterator[Pair]:
    """TensorFlow: l2_normalize floors the square at 1e-12, which is 0 in float16."""
    import tensorflow as tf

    result = tf.math.l2_normalize(tf.zeros((1,), tf.float16), axis=-1)
    yield "the zero vector, normalised in float16", float(result[0]), 0.0


def tensorflow_bias_gradient() -> Iterator[Pair]:
    """TensorFlow: the gradient of a bias is summed in bfloat16."""
    import tensorflow as tf

    bias = tf.zeros((1,), tf.bfloat16)
    with tf.GradientTape() as tape:
        tape.watch(bias)
        result = tf.nn.bias_add(tf.zeros((3, 1), tf.bfloat16), bias)
    gradient = tape.gradient(result, bias, tf.constant([[256.0], [1.0], [1.0]], tf.bfloat16))
    yield "256 + 1 + 1", float(gradient[0]), 258.0


def tensorflow_resize_gradient() -> Iterator[Pair]:
    """TensorFlow: an antialiased resize of float64 has no gradient."""
    import tensorflow as tf

    image = tf.ones((1, 8, 8, 1), tf.float64)
    with tf.GradientTape() as tape:
        tape.watch(image)
        small = tf.image.resize(image, (4, 4), "bicubic", antialias=True)
    try:
        answer = tape.gradient(small, image).dtype.name
    except tf.errors.InvalidArgumentError as error:
        answer = f"raises {type(error).__name__}"
    yield "the gradient's dtype", answer, "float64"


def keras_scalar() -> Iterator[Pair]:
    """Keras on TensorFlow: a bfloat16 number without axes cannot become an array."""
    import ml_dtypes
    from keras import ops

    total = ops.sum(ops.convert_to_tensor(np.ones(3, ml_dtypes.bfloat16)))
    try:
        answer: object = float(ops.convert_to_numpy(total))
    except ValueError as error:
        answer = f"raises ValueError: {error}"
    yield "1 + 1 + 1 as an array", answer, 3.0


def _openvino(build: Callable, x: np.ndarray, **options: str) -> np.ndarray:
    """The output of one of OpenVINO's operators on the CPU."""
    import openvino
    from openvino import opset15

    given = opset15.parameter(x.shape, x.dtype)
    model = openvino.Model([build(opset15, given)], [given])
    return openvino.Core().compile_model(model, "CPU", options)([x])[0]


def openvino_eps_mode() -> Iterator[Pair]:
    """OpenVINO: NormalizeL2 adds eps to the square of the norm also where eps_mode is max."""
    for mode, right in (("add", 3 / 26**0.5), ("max", 3 / 5)):

        def build(ov: Any, x: Any, mode: str = mode) -> Any:
            return ov.normalize_l2(x, ov.constant([1]), 1.0, mode)

        result = _openvino(build, np.array([[3, 4]], np.float32), INFERENCE_PRECISION_HINT="f32")
        yield (
            f"3 of the vector 3, 4 with eps 1, {mode}",
            round(float(result[0, 0]), 6),
            round(right, 6),
        )


def openvino_swish() -> Iterator[Pair]:
    """OpenVINO: swish of float16 cannot be built, its beta is float32."""
    try:
        answer: object = float(_openvino(lambda ov, x: ov.swish(x), np.zeros(1, np.float16))[0])
    except RuntimeError as error:
        answer = "raises " + str(error).split(" failed")[0]
    yield "swish(0) in float16", answer, 0.0


def openvino_precision() -> Iterator[Pair]:
    """OpenVINO: float32 models are computed in bfloat16 on processors that have it, unasked."""
    import openvino

    hint = openvino.Core().get_property("CPU", "INFERENCE_PRECISION_HINT")
    yield "what a float32 model is computed in", hint.get_type_name(), "f32"


def mlx_log_softmax() -> Iterator[Pair]:
    """MLX: the compiled log_softmax of rows of one number ends the process on the CPU."""
    import subprocess

    code = (
        "import mlx.core as mx, mlx.nn as nn; mx.set_default_device(mx.cpu); "
        "print(nn.log_softmax(mx.array([[1.0]])).item())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    yield "log_softmax of one number", done.stdout.strip() or f"signal {-done.returncode}", "0.0"


def tinygrad_softmax() -> Iterator[Pair]:
    """tinygrad: -inf alone has the weight 1."""
    from refimpl.backends import tinygrad

    weights = tinygrad.softmax(z=np.array([[-np.inf]], np.float32))
    yield "softmax of -inf alone", float(weights[0, 0]), 0.0


def tinygrad_products() -> Iterator[Pair]:
    """tinygrad: a product of bfloat16 numbers is rounded to bfloat16 before it is added."""
    import ml_dtypes

    from refimpl.backends import tinygrad

    x, weight = (
        np.array([row], ml_dtypes.bfloat16) for row in ((129 / 128, 1), (129 / 128, -65 / 64))
    )
    result = tinygrad.linear(x=x, weight=weight, bias=None)
    yield "(129/128)² - 65/64", float(result[0, 0]), 2.0**-14


def liger_group_norm() -> Iterator[Pair]:
    """Liger: the variance of a group is E[x²] - E[x]², which loses all digits far from zero."""
    from refimpl.backends import liger

    x = np.float32(3000 + np.cos(np.arange(16))).reshape(1, 4, 2, 2)
    ones, zeros = np.ones(4, np.float32), np.zeros(4, np.float32)
    normal = liger.group_norm(x, ones, zeros, 1, 1e-5).numpy()
    first = round(float(normal[0, 0, 0, 0]), 3)
    yield "the first of 16 cosines around 3000, normalised", first, 1.343


def pallas_bias() -> Iterator[Pair]:
    """Pallas for TPUs: flash attention adds its bias before it scales the scores."""
    from refimpl.backends import pallas_tpu

    query, value = np.zeros((1, 1, 1, 4), np.float32), np.eye(2, 4, dtype=np.float32)[None, None]
    bias = np.float32([[[[np.log(3), 0]]]])
    weight = np.asarray(pallas_tpu.attention(query, 0 * value, value, bias))[0, 0, 0, 0]
    yield "the weight of a key with a bias of ln 3, of two", round(float(weight), 4), 0.75


def pallas_epsilon() -> Iterator[Pair]:
    """Pallas for GPUs: decode and paged attention add an epsilon to the sum of the weights."""
    import jax

    from refimpl.backends import pallas_decode, pallas_paged

    ones = np.ones((1, 1, 1, 4), np.float32)
    for name, kernel in (("decode", pallas_decode), ("paged", pallas_paged)):
        with jax.enable_x64(False):  # their counters are of 32 bits
            alone = np.asarray(kernel.attention(ones, ones, ones, None))[0, 0, 0, 0]
        yield f"{name}: a query of one key, whose value is 1", float(alone), 1.0


def splash_hidden_row() -> Iterator[Pair]:
    """Pallas for TPUs: a row without keys is the mean of a whole tile, padding included."""
    from refimpl.backends import pallas_splash

    ones = np.ones((1, 1, 2, 4), np.float32)
    bias = np.float32([[[[-np.inf, -np.inf], [0, 0]]]])
    hidden = np.asarray(pallas_splash.attention(ones, ones, ones, bias))[0, 0, 0, 0]
    yield "a row that sees none of two keys, whose values are 1", float(hidden), 0.0


def compiled_expm1() -> Iterator[Pair]:
    """torch.compile on CPUs: expm1, and so ELU and SELU, is exp(x) - 1."""
    import torch

    x = torch.full((64,), -1e-5)
    for name, function in (("expm1", torch.expm1), ("elu", torch.nn.functional.elu)):
        compiled = torch.compile(function)(x)[0].item()
        yield f"{name} of -1e-5, compiled", f"{compiled:.6g}", f"{np.expm1(-1e-5):.6g}"


def video_positions() -> Iterator[Pair]:
    """transformers: words behind a video are told to stand before its last frames."""
    from refimpl.backends.transformers import torch, transformers

    with torch.device("meta"):  # positions need the configuration alone
        sizes = {"depth": 1, "tokens_per_second": 25, "num_hidden_layers": 1}
        config = transformers.Qwen2_5_VLConfig(vision_config=sizes, text_config=sizes)
        model = transformers.Qwen2_5_VLModel(config)
    ids = torch.tensor([[7] * 12 + [9] * 5])  # three patches of 2 × 2 tokens, two seconds apart
    found, _ = model.get_rope_index(
        ids,
        mm_token_type_ids=torch.tensor([[2] * 12 + [0] * 5]),
        video_grid_thw=torch.tensor([[3, 4, 4]]),
        second_per_grid_ts=torch.tensor([2.0]),
    )
    yield "times of the words behind it", found[0, 0, 12:].tolist(), [101, 102, 103, 104, 105]


def rounded_root() -> Iterator[Pair]:
    """transformers: a whole quotient falls short of itself, and a unit a side is lost."""
    from refimpl.backends.transformers import image_processing_qwen2_vl as library

    def square(n: int) -> tuple[int, int]:
        return library.smart_resize(n, n, 28, 56**2, 16384 * 28**2)

    yield "sides of a square of 3621", square(3621), (3584, 3584)
    yield "sides of a square of 19", square(19), (56, 56)
    wrong = sum(square(n) != (3584, 3584) for n in range(3600, 8000))
    yield "squares of 3600 to 7999 that go wrong", wrong, 0


OTHERS = ("schedulers", "language", "media")
FOUND = {
    function.__name__: function
    for function in (
        trailing_spacing,
        linspace_steps,
        neighbours,
        fixed_large_log,
        all_noise,
        guided_ddim,
        no_noise,
        default_threshold,
        flat_threshold,
        lp_normalization,
        column,
        nearest_factor,
        compiled_expm1,
        jax_attention,
        video_positions,
        rounded_root,
        tensorflow_gelu,
        tensorflow_empty_batch,
        tensorflow_zero_vector,
        tensorflow_bias_gradient,
        tensorflow_resize_gradient,
        keras_scalar,
        openvino_eps_mode,
        openvino_swish,
        openvino_precision,
        mlx_log_softmax,
        tinygrad_softmax,
        tinygrad_products,
        liger_group_norm,
        pallas_bias,
        pallas_epsilon,
        splash_hidden_row,
    )
}
for _name in OTHERS:
    FOUND |= runpy.run_path(str(Path(__file__).with_name(f"{_name}.py")))["FOUND"]


def main(names: list[str]) -> None:
    """Print the pairs of the named findings, of all if none is named."""
    unknown = [name for name in names if name not in FOUND]
    if unknown:
        sys.exit(f"{unknown[0]}: not among {', '.join(FOUND)}")
    for name in names or FOUND:
        print(f"{name}: {FOUND[name].__doc__}")
        for what, got, right in FOUND[name]():
            print(f"  {what}: {got}; right is {right}")


if __name__ == "__main__":
    main(sys.argv[1:])
