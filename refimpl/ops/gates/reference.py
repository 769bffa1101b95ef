"""The rectifier and gated linear units: feed-forward layers from the first Transformer to Llama."""

import numpy as np

from refimpl.axes import Array, Float
from refimpl.ops.layers.reference import (
    gelu,
    gelu_tanh,
    gelu_tanh_vjp,
    gelu_vjp,
    silu,
    silu_vjp,
)


def relu(x: Float[Array, "..."]) -> Float[Array, "..."]:
    r"""The rectified linear unit: positive numbers stay, negative ones become zero.

    $$y = \max(x, 0)$$

    x: ..., any numbers.

    Returns ..., numbers of at least zero.

    Raises AxesError for an x that is not of real numbers.

    Elsewhere: the activation of the first Transformer, of the lectures' GPT and of T5's first
    release. ReLU6 clips at 6; leaky ReLU multiplies negative numbers by 0.01.

    Paper: Nair, Hinton 2010, "Rectified linear units improve restricted Boltzmann machines".

    >>> import numpy as np
    >>> relu(np.array([-2.0, 0.0, 3.0]))
    array([0., 0., 3.])
    """
    return np.maximum(x, 0)


def relu_vjp(x: Float[Array, "..."], grad: Float[Array, "..."]) -> Float[Array, "..."]:
    r"""The gradient of a loss that follows ReLU: grad where x is positive, zero elsewhere.

    $$\bar x = \bar y\, [x > 0]$$

    x: ..., the inputs of relu.
    grad: ..., the gradient with respect to the result.

    Returns ..., the gradient of x; zero where x is zero, at which there is no slope.

    Raises AxesError for shapes that differ.

    Elsewhere: torch, JAX and TensorFlow take zero at zero, too; any number from zero to grad is a
    subgradient. Guided backpropagation also sets negative gradients to zero.

    Paper: Nair, Hinton 2010, "Rectified linear units improve restricted Boltzmann machines".

    >>> import numpy as np
    >>> relu_vjp(np.array([-2.0, 0.0, 3.0]), np.array([1.0, 1.0, 1.0]))
    array([0., 0., 1.])
    """
    return np.where(x > 0, grad, 0)


def swiglu(gate: Float[Array, "..."], up: Float[Array, "..."]) -> Float[Array, "..."]:
    r"""The gated linear unit of silu: one projection times the silu of another.

    $$y = \operatorname{silu}(g) \odot u$$

    gate: ..., the projection that goes through silu; any finite numbers, or +inf.
    up: ..., the projection that the gate multiplies, in the shape of gate.

    Returns ..., the products.

    Raises AxesError for shapes that differ.

    Elsewhere: packed weights hold both projections. Hugging Face's gate_up_proj and Llama's w1, w3
    have the gate first; latent diffusion's GEGLU and torch's F.glu have it second.

    Paper: Shazeer 2020, "GLU variants improve Transformer", equation 6.

    >>> import numpy as np
    >>> swiglu(np.array([-1.0, 0.0, 3.0]), np.array([2.0, 5.0, 1.0])).round(4)
    array([-0.5379,  0.    ,  2.8577])
    """
    return silu(gate) * up


def swiglu_vjp(
    gate: Float[Array, "..."], up: Float[Array, "..."], grad: Float[Array, "..."]
) -> tuple[Float[Array, "..."], Float[Array, "..."]]:
    r"""The gradients of a loss that follows a gated linear unit of silu.

    $$\bar g = \bar y \odot u \odot \operatorname{silu}'(g), \qquad
      \bar u = \bar y \odot \operatorname{silu}(g)$$

    gate: ..., the projection that goes through silu, any finite numbers.
    up: ..., the projection that the gate multiplies.
    grad: ..., the gradient with respect to the products.

    Returns the gradients of gate and up, each ... .

    Raises AxesError for shapes that differ.

    Elsewhere: fused kernels return both in one packed array, in the order of their weights.

    Paper: Shazeer 2020, "GLU variants improve Transformer", equation 6, differentiated.

    >>> import numpy as np
    >>> swiglu_vjp(np.array([0.0]), np.array([2.0]), np.array([1.0]))
    (array([1.]), array([0.]))
    """
    return silu_vjp(gate, grad * up), grad * silu(gate)


def geglu(gate: Float[Array, "..."], up: Float[Array, "..."]) -> Float[Array, "..."]:
    r"""The gated linear unit of GELU: one projection times the GELU of another.

    $$y = \operatorname{GELU}(g) \odot u$$

    gate: ..., the projection that goes through GELU; any finite numbers, or +inf.
    up: ..., the projection that the gate multiplies, in the shape of gate.

    Returns ..., the products.

    Raises AxesError for shapes that differ.

    Elsewhere: the feed-forward layers of Stable Diffusion's U-Net, where the packed projection has
    the value first and the gate second. T5 1.1 uses the form with the hyperbolic tangent.

    Paper: Shazeer 2020, "GLU variants improve Transformer", equation 6.

    >>> import numpy as np
    >>> geglu(np.array([-1.0, 0.0, 3.0]), np.array([2.0, 5.0, 1.0])).round(4)
    array([-0.3173,  0.    ,  2.996 ])
    """
    return gelu(gate) * up


def geglu_vjp(
    gate: Float[Array, "..."], up: Float[Array, "..."], grad: Float[Array, "..."]
) -> tuple[Float[Array, "..."], Float[Array, "..."]]:
    r"""The gradients of a loss that follows a gated linear unit of GELU.

    $$\bar g = \bar y \odot u \odot \operatorname{GELU}'(g), \qquad
      \bar u = \bar y \odot \operatorname{GELU}(g)$$

    gate: ..., the projection that goes through GELU, any finite numbers.
    up: ..., the projection that the gate multiplies.
    grad: ..., the gradient with respect to the products.

    Returns the gradients of gate and up, each ... .

    Raises AxesError for shapes that differ.

    Elsewhere: fused kernels return both in one packed array, in the order of their weights.

    Paper: Shazeer 2020, "GLU variants improve Transformer", equation 6, differentiated.

    >>> import numpy as np
    >>> geglu_vjp(np.array([0.0]), np.array([2.0]), np.array([1.0]))
    (array([1.]), array([0.]))
    """
    return gelu_vjp(gate, grad * up), grad * gelu(gate)


def geglu_tanh(gate: Float[Array, "..."], up: Float[Array, "..."]) -> Float[Array, "..."]:
    r"""The gated linear unit of the tanh form of GELU.

    $$y = \operatorname{GELU}_{\tanh}(g) \odot u$$

    gate: ..., the projection that goes through GELU; any finite numbers, or +inf.
    up: ..., the projection that the gate multiplies, in the shape of gate.

    Returns ..., the products.

    Raises AxesError for shapes that differ.

    Elsewhere: the feed-forward layers of T5 1.1 and Gemma. transformers calls it gated-gelu for T5,
    and means this form, not the one with the error function.

    Paper: Shazeer 2020, "GLU variants improve Transformer", equation 6.

    >>> import numpy as np
    >>> geglu_tanh(np.array([-1.0, 0.0, 3.0]), np.array([2.0, 5.0, 1.0])).round(4)
    array([-0.3176,  0.    ,  2.9964])
    """
    return gelu_tanh(gate) * up


def geglu_tanh_vjp(
    gate: Float[Array, "..."], up: Float[Array, "..."], grad: Float[Array, "..."]
) -> tuple[Float[Array, "..."], Float[Array, "..."]]:
    r"""The gradients of a loss that follows a gated linear unit of the tanh form of GELU.

    $$\bar g = \bar y \odot u \odot \operatorname{GELU}_{\tanh}'(g), \qquad
      \bar u = \bar y \odot \operatorname{GELU}_{\tanh}(g)$$

    gate: ..., the projection that goes through GELU, any finite numbers.
    up: ..., the projection that the gate multiplies.
    grad: ..., the gradient with respect to the products.

    Returns the gradients of gate and up, each ... .

    Raises AxesError for shapes that differ.

    Elsewhere: fused kernels return both in one packed array, in the order of their weights.

    Paper: Shazeer 2020, "GLU variants improve Transformer", equation 6, differentiated.

    >>> import numpy as np
    >>> geglu_tanh_vjp(np.array([0.0]), np.array([2.0]), np.array([1.0]))
    (array([1.]), array([0.]))
    """
    return gelu_tanh_vjp(gate, grad * up), grad * gelu_tanh(gate)
