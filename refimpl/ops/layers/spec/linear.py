"""What is known about linear and its gradient: laws, probes, mistakes and dialects."""

import numpy as np

from refimpl.gradients import LINEAR_IN_GRAD
from refimpl.op import Edit, Law, Op, Probe
from refimpl.ops.common import cosines, sines
from refimpl.ops.layers import reference as text


def linear_equation(f, x, weight, bias):
    products = x[..., None, :] * weight
    total = np.sum(products, axis=-1)
    yield f(x, weight, bias), total if bias is None else total + bias


def linear_additive(f, x, weight, bias):
    other = x[..., ::-1]
    together = f(x + other, weight, bias) + f(0 * x, weight, bias)
    yield together, f(x, weight, bias) + f(other, weight, bias)


def linear_identity(f, x, weight, bias):
    yield f(x, np.eye(x.shape[-1]), None), x


def linear_twice(f, x, weight, bias):
    second = weight.T[::-1]
    yield f(f(x, weight, bias), second, None), f(x, second @ weight, _image(f, second, bias))


def _image(f, second, bias):
    return None if bias is None else f(bias, second, None)


def linear_split_input(f, x, weight, bias):
    if x.shape[-1] > 1:
        first = f(x[..., :1], weight[:, :1], bias)
        yield f(x, weight, bias), first + f(x[..., 1:], weight[:, 1:], None)


def linear_reversed_outputs(f, x, weight, bias):
    turned = None if bias is None else bias[::-1]
    yield f(x, weight[::-1], turned), f(x, weight, bias)[..., ::-1]


LINEAR = Op(
    text.linear,
    laws=(
        Law("every output is the sum over inputs of weight times input", linear_equation),
        Law("the image of a sum is the sum of the images, less one bias", linear_additive),
        Law("the identity matrix changes nothing", linear_identity),
        Law("two layers are one layer whose weight is the product", linear_twice),
        Law("the inputs may be split among layers whose outputs are added", linear_split_input),
        Law("reversing the rows of weight and bias reverses the outputs", linear_reversed_outputs),
    ),
    probes=(
        Probe(
            "a square weight that is not symmetric",
            lambda: {"x": sines(2, 3), "weight": cosines(3, 3), "bias": sines(3)},
        ),
        Probe(
            "outputs that are the bias alone",
            lambda: {"x": np.zeros((2, 3)), "weight": cosines(4, 3), "bias": sines(4)},
        ),
    ),
    mistakes=(
        Edit(
            "linear/not-transposed",
            "multiplies by the weight as stored, (out, in), without transposing it",
            "weight.T",
            "weight",
            effect="wrong features; raises unless the layer is square",
            source="https://github.com/mindspore-lab/mindone/pull/399",
            invisible_when="the weight is symmetric",
        ),
        Edit(
            "linear/reshaped",
            "reshapes the weight to (in, out) instead of transposing it",
            "weight.T",
            "weight.reshape(x.shape[-1], -1)",
            effect="the right shape with the weights in the wrong places",
            invisible_when="there is one input or one output, or the weight is symmetric",
        ),
        Edit(
            "linear/bias-dropped",
            "leaves the bias out",
            "return y if bias is None else y + bias",
            "return y",
            effect="every output is off by a constant",
            invisible_when="the bias is zero, as after initialisation",
        ),
        Edit(
            "linear/bias-twice",
            "adds the bias twice, as when two shards of the weight both add it",
            "y + bias",
            "y + bias + bias",
            effect="every output is off by a constant",
            source="https://github.com/awslabs/slapo/issues/10",
            invisible_when="the bias is zero, as after initialisation",
        ),
        Edit(
            "linear/scaled-by-width",
            "divides by the root of the number of inputs, as an initialisation would",
            "x @ weight.T",
            "x @ weight.T / np.sqrt(x.shape[-1])",
            effect="outputs shrink with the width",
            invisible_when="there is one input",
        ),
        Edit(
            "linear/rectified",
            "applies a ReLU to the outputs",
            "y + bias",
            "np.maximum(y + bias, 0)",
            effect="negative outputs become zero",
            invisible_when="all outputs are positive",
        ),
    ),
)


def linear_vjp_equation(f, x, weight, grad):
    rows = tuple(range(x.ndim - 1))
    x_grad, weight_grad, bias_grad = f(x, weight, grad)
    yield x_grad, np.sum(grad[..., None] * weight, axis=-2)
    yield weight_grad, np.sum(grad[..., None] * x[..., None, :], axis=rows)
    yield bias_grad, np.sum(grad, axis=rows)


def linear_vjp_adjoint(f, x, weight, grad):
    turned, other = x[..., ::-1], weight[::-1]
    x_grad, weight_grad, _ = f(x, weight, grad)
    yield np.sum(x_grad * turned), np.sum(grad * text.linear(turned, weight, None))
    yield np.sum(weight_grad * other), np.sum(grad * text.linear(x, other, None))


def linear_vjp_bias_as_input(f, x, weight, grad):
    ones = 0 * x[..., :1] + 1
    yield f(ones, weight[:, :1], grad)[1][:, 0], f(x, weight, grad)[2]


def linear_vjp_rows_add_up(f, x, weight, grad):
    first, rest = f(x[:1], weight, grad[:1]), f(x[1:], weight, grad[1:])
    whole = f(x, weight, grad)
    for i in (1, 2):
        yield first[i] + rest[i], whole[i]


def linear_vjp_rows_apart(f, x, weight, grad):
    yield f(x[:1], weight, grad[:1])[0], f(x, weight, grad)[0][:1]


LINEAR_VJP = Op(
    text.linear_vjp,
    laws=(
        Law("every gradient is a sum of products with grad", linear_vjp_equation),
        Law("is adjoint to the layer in x and in the weight", linear_vjp_adjoint),
        Law(
            "the bias has the gradient of a weight whose input is always one",
            linear_vjp_bias_as_input,
        ),
        Law("the gradients of weight and bias are sums over the vectors", linear_vjp_rows_add_up),
        Law("the gradient of a vector depends on that vector alone", linear_vjp_rows_apart),
        LINEAR_IN_GRAD,
    ),
    probes=(
        Probe(
            "a square weight that is not symmetric",
            lambda: {"x": sines(2, 3), "weight": cosines(3, 3), "grad": cosines(2, 3)},
        ),
        Probe(
            "batches of two axes",
            lambda: {"x": sines(2, 3, 4), "weight": cosines(5, 4), "grad": cosines(2, 3, 5)},
        ),
    ),
    mistakes=(
        Edit(
            "linear_vjp/weight-as-forward",
            "multiplies by the transposed weight, as the forward pass does",
            "grad @ weight,",
            "grad @ weight.T,",
            effect="wrong gradients; raises unless the layer is square",
            invisible_when="the weight is symmetric",
        ),
        Edit(
            "linear_vjp/weight-gradient-transposed",
            "returns the gradient of the weight as (in, out)",
            "outputs_grad.T @ inputs",
            "inputs.T @ outputs_grad",
            effect="wrong updates; raises unless the layer is square",
            invisible_when="the gradient of the weight is symmetric",
        ),
        Edit(
            "linear_vjp/weight-averaged",
            "divides the gradient of the weight by the number of vectors",
            "outputs_grad.T @ inputs",
            "outputs_grad.T @ inputs / len(inputs)",
            effect="divided twice where the loss is a mean already",
            invisible_when="there is one vector",
        ),
        Edit(
            "linear_vjp/weight-overwritten",
            "keeps the last vector's gradient of the weight instead of the sum",
            "outputs_grad.T @ inputs",
            "outputs_grad[-1:].T @ inputs[-1:]",
            effect="the rest of the batch has no effect",
            invisible_when="there is one vector",
        ),
        Edit(
            "linear_vjp/bias-averaged",
            "averages the gradient of the bias over the batch",
            "np.sum(outputs_grad, axis=0)",
            "np.mean(outputs_grad, axis=0)",
            effect="the bias learns too slowly",
            invisible_when="there is one vector",
        ),
        Edit(
            "linear_vjp/bias-summed-over-one-axis",
            "sums the gradient of the bias over the first batch axis only",
            "np.sum(outputs_grad, axis=0)",
            "np.sum(grad, axis=0)",
            effect="the gradient keeps an axis of tokens",
            invisible_when="the batch has one axis",
        ),
        Edit(
            "linear_vjp/weight-reshaped",
            "reshapes the transposed weight instead of using it as stored",
            "grad @ weight,",
            "grad @ np.reshape(weight.T, weight.shape),",
            effect="the right shape with the weights in the wrong places",
            invisible_when="there is one input or one output",
        ),
    ),
    outputs=("x_grad", "weight_grad", "bias_grad"),
)
