"""NumPy arrays outside, JAX arrays inside."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np

jax.config.update("jax_enable_x64", True)


@functools.lru_cache(maxsize=4)  # each keeps what it compiled for every shape
def compiled(function, constants):
    """A function that JAX compiles once for each shape, with these constants inside."""
    return jax.jit(functools.partial(function, **{name: x for name, x, _ in constants}))


def on_tensors(function):
    """NumPy arrays outside, JAX arrays inside; compiled as a whole, scalars as constants."""

    @functools.wraps(function)
    def call(**inputs):
        try:
            arrays = {n: jnp.asarray(x) for n, x in inputs.items() if isinstance(x, np.ndarray)}
            constants = {n: x for n, x in inputs.items() if n not in arrays}
            written = tuple((n, x, repr(x)) for n, x in constants.items())  # 0.0 is not -0.0
            result = compiled(function, written)(**arrays)
            return (
                tuple(map(np.asarray, result)) if isinstance(result, tuple) else np.asarray(result)
            )
        except Exception as error:
            if any(isinstance(x, np.ndarray) and not x.size for x in inputs.values()):
                raise NotImplementedError(f"refuses an empty batch: {error}") from error
            raise

    return call
