"""Memory that is used again, and what it remembers of the numbers in it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refimpl import fast
from refimpl.compiled import memory, threads
from refimpl.registry import OPS


def floats(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape, dtype=np.float32)


@given(st.integers(0, 3 * memory.LARGE), st.sampled_from([np.float32, np.float64]))
def test_memory_is_lent_to_one_array_at_a_time(size, dtype):
    first, second = memory.zeros((size,), dtype), memory.empty((1, size), dtype)
    second[:] = 1
    assert not np.shares_memory(first, second)
    assert not first.any()
    assert (first.dtype, first.shape, second.shape) == (dtype, (size,), (1, size))
    assert first.flags.c_contiguous
    assert first.flags.writeable


def test_memory_serves_again_when_the_last_view_of_it_is_gone():
    array = memory.empty((memory.LARGE,), np.float32)
    address, view = array.ctypes.data, array[5:].reshape(-1, 1)
    del array
    assert memory.empty((memory.LARGE,), np.float32).ctypes.data != address
    del view
    assert memory.empty((memory.LARGE,), np.float32).ctypes.data == address


def test_no_more_memory_is_kept_than_said():
    arrays = [memory.empty((memory.KEPT // 16 + i,), np.uint8) for i in range(40)]
    del arrays
    assert 0 < sum(x.nbytes for kept in memory._shelf.values() for x in kept) <= memory.KEPT


SHARES = np.linspace(0.9, 0.1, 10, dtype=np.float32)
TIMES = {"t": np.arange(4), "alpha_bar": SHARES}
ROWS = (4, 1, 80, 100)
TOLD = {  # operations that tell whether their numbers are finite while they write them
    "linear": {"x": ROWS, "weight": (70, 100), "bias": (70,)},
    "softmax": {"z": ROWS},
    "softmax_vjp": {"z": ROWS, "grad": ROWS},
    "layer_norm": {"x": ROWS, "gain": (100,), "bias": (100,), "eps": 1e-5},
    "rms_norm": {"x": ROWS, "gain": (100,), "eps": 1e-5},
    "group_norm": {"x": ROWS, "gain": (1,), "bias": (1,), "groups": 1, "eps": 1e-5},
    "sigmoid": {"z": ROWS},
    "gelu": {"x": ROWS},
    "gelu_vjp": {"x": ROWS, "grad": ROWS},
    "gelu_tanh": {"x": ROWS},
    "gelu_tanh_vjp": {"x": ROWS, "grad": ROWS},
    "silu": {"x": ROWS},
    "silu_vjp": {"x": ROWS, "grad": ROWS},
    "swiglu": {"gate": ROWS, "up": ROWS},
    "geglu": {"gate": ROWS, "up": ROWS},
    "q_sample": {"x_start": ROWS, "noise": ROWS, **TIMES},
    "x0_from_eps": {"x_t": ROWS, "eps": ROWS, **TIMES},
    "score_from_eps": {"eps": ROWS, **TIMES},
    "ddim_step": {"x_t": ROWS, "eps": ROWS, "noise": ROWS, **TIMES}
    | {"t_prev": np.arange(4) - 1, "eta": 0.5},
    "ddim_inversion": {"x": ROWS, "eps": ROWS, "t": np.arange(4), "t_next": np.arange(4) + 1}
    | {"alpha_bar": SHARES},
    "euler_step": {"x": ROWS, "denoised": ROWS, "sigma": 2.0, "sigma_next": 1.0},
    "classifier_free_guidance": {"eps_uncond": ROWS, "eps_cond": ROWS, "scale": 3.0},
    "classifier_guidance": {"mean": ROWS, "variance": None, "gradient": ROWS, "scale": 3.0},
    "dynamic_threshold": {"x_start": ROWS, "quantile": 0.5},
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", TOLD)
def test_a_result_is_told_to_be_finite_if_it_is(two_threads, name, dtype):
    kernel = getattr(fast.kernels(OPS[name].chapter), name)
    arrays = {n: floats(*x) for n, x in TOLD[name].items() if isinstance(x, tuple)}
    given = TOLD[name] | arrays | ({"variance": np.ones(ROWS)} if "variance" in TOLD[name] else {})
    for bad in (0.0, np.nan, np.inf):
        for changed in arrays:
            tried = {n: x.copy() if n == changed else x for n, x in given.items()}
            tried[changed].flat[-1] += bad
            inputs = OPS[name].read(**tried, keep_dtype=True)
            inputs = {
                n: x.astype(dtype) if isinstance(x, np.ndarray) and x.dtype.kind == "f" else x
                for n, x in inputs.items()
            }
            with np.errstate(all="ignore"):
                result = kernel(**fast.prepare(OPS[name].specs, inputs))
            assert memory.told_finite(result) == np.isfinite(result).all()


def test_a_part_of_memory_tells_nothing_of_the_whole(two_threads):
    array = memory.empty((2, memory.LARGE), np.float32)
    threads.fill(lambda first, last, x: True, memory.LARGE, 1, array[0])
    assert not memory.told_finite(array)
    threads.fill(lambda first, last, x: first > 0, 2 * memory.LARGE, 1, array.reshape(-1))
    assert not memory.told_finite(array)
    threads.fill(lambda first, last, x: True, 2 * memory.LARGE, 1, array.reshape(-1))
    assert memory.told_finite(array)
