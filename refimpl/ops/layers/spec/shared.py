"""What the specifications of the layers share."""

import numpy as np

from refimpl.gradients import LINEAR_IN_GRAD
from refimpl.op import Law, values
from refimpl.ops.common import cosines, sines

SAFE = 80  # e to this power is still finite in float32


def largest(x):
    """The largest magnitude of an array, 0 if it is empty."""
    return np.max(np.abs(values(x)), initial=0)


def no_less(high, low):
    """The inequality high ≥ low as a pair of equal sides."""
    return np.minimum(high - low, 0), 0


def norm_gradient(scale, shift, eps):
    """Vectors of different sizes, and a gradient that is no symmetric function of them."""
    return {
        "x": scale * sines(2, 3, 5) * np.array([[1.0], [10.0], [0.1]]) + shift,
        "gain": 1 + cosines(5),
        "eps": eps,
        "grad": cosines(2, 3, 5),
    }


def rows_of_all_heights():
    """Logits near 0, -200, -20000 and -60000, each row beside an entry that is hidden."""
    near = np.array([[0.0, -1.0, -2.0], [-200.0, -201.0, -203.0], [-20000.0, -20016.0, -20000.0]])
    rows = np.concatenate((near, [[-60000.0, -60032.0, -60000.0]]))
    return np.concatenate((rows, np.full((4, 1), -np.inf)), axis=1)


def activations():
    """Numbers where the known activations differ, both tails included."""
    return np.array(
        [-1000.0, -30, -10, -6, -3, -2.7, -2.27, -1, -0.75, -0.1, 0, 0.5, 1, 2.7, 4, 20]
    )


def gate_symmetry(f, x):
    yield f(x) - f(-x), x


def gate_below_rectifier(f, x):
    yield no_less(np.maximum(x, 0), f(x))


def gate_saturates(f, x):
    far = np.abs(x) + 1000
    yield f(far), far
    yield f(-far), 0


def gate_gradients_add_up(f, x, grad):
    yield f(x, grad) + f(-x, grad), grad


def gate_gradient_at_zero(f, x, grad):
    yield f(0 * x, grad), grad / 2


def gate_gradient_saturates(f, x, grad):
    far = np.abs(x) + 1000
    yield f(far, grad), grad
    yield f(-far, grad), 0 * grad


GATE_GRADIENT_LAWS = (
    Law("the gradients at x and at -x add up to grad", gate_gradients_add_up),
    Law("is half of grad at 0", gate_gradient_at_zero),
    Law("is grad far above zero and 0 far below", gate_gradient_saturates),
    LINEAR_IN_GRAD,
)
