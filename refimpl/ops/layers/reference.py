"""Layers: the small functions every Transformer and U-Net is built from."""

import numpy as np

from refimpl.axes import Array, Epsilon, Float, Index, Size
from refimpl.special import constant, erf, pi


def linear(
    x: Float[Array, "... D"],
    weight: Float[Array, "O D"],
    bias: Float[Array, "O"] | None,
) -> Float[Array, "... O"]:
    r"""A dense layer: every output is a weighted sum of the inputs, plus a bias.

    $$y_o = \sum_d W_{od}\, x_d + b_o$$

    x: ... D, inputs, any numbers.
    weight: O D, one row for each output.
    bias: O, added to every output vector; None adds nothing.

    Returns ... O, the outputs.

    Raises AxesError where the last axes of x and weight differ, or weight and bias disagree on O.

    Elsewhere: torch stores the weight as here. TensorFlow and Flax kernels, GPT-2's Conv1D and the
    projection matrices of CLIP are stored D O and multiply from the right without a transpose.

    Paper: Rumelhart, Hinton and Williams 1986, "Learning representations by back-propagating
    errors", equation 1.

    >>> linear(np.array([1.0, 2.0]), np.array([[3.0, 4.0], [0.0, 1.0]]), np.array([0.5, 0.0]))
    array([11.5,  2. ])
    """
    y = x @ weight.T  # ... O
    return y if bias is None else y + bias


def linear_vjp(
    x: Float[Array, "... D"],
    weight: Float[Array, "O D"],
    grad: Float[Array, "... O"],
) -> tuple[Float[Array, "... D"], Float[Array, "O D"], Float[Array, "O"]]:
    r"""The gradients of a loss behind a dense layer, from the gradient of its outputs.

    $$\bar x = \bar y\, W, \qquad \bar W = \sum \bar y\, x^\top, \qquad \bar b = \sum \bar y$$

    with sums over all vectors of the batch.

    x: ... D, the inputs that the layer was given.
    weight: O D, one row for each output.
    grad: ... O, the gradient with respect to the outputs.

    Returns ... D, the gradient of the inputs; O D, of the weight; and O, of the bias.

    Raises AxesError where the axes of grad are not those of the outputs.

    Elsewhere: torch sums over the batch as here; a layer whose weight is stored D O has the
    transposed gradient.

    Paper: Rumelhart, Hinton and Williams 1986, "Learning representations by back-propagating
    errors".

    >>> x, weight = np.array([[1.0, 2.0]]), np.array([[3.0, 4.0], [0.0, 1.0]])
    >>> linear_vjp(x, weight, np.array([[1.0, 10.0]]))
    (array([[ 3., 14.]]), array([[ 1.,  2.],
           [10., 20.]]), array([ 1., 10.]))
    """
    inputs = np.reshape(x, (-1, x.shape[-1]))  # rows D
    outputs_grad = np.reshape(grad, (-1, grad.shape[-1]))  # rows O
    weight_grad = outputs_grad.T @ inputs  # O D
    return grad @ weight, weight_grad, np.sum(outputs_grad, axis=0)


def layer_norm(
    x: Float[Array, "... D"],
    gain: Float[Array, "D"],
    bias: Float[Array, "D"],
    eps: Epsilon[float, ""],
) -> Float[Array, "... D"]:
    r"""Layer normalisation: each vector gets mean zero and variance one, then a gain and a bias.

    $$y_d = \gamma_d \frac{x_d - \mu}{\sqrt{\sigma^2 + \epsilon}} + \beta_d, \qquad
    \mu = \frac1D \sum_d x_d, \quad \sigma^2 = \frac1D \sum_d (x_d - \mu)^2$$

    x: ... D, each vector along the last axis is normalised by itself.
    gain: D, the factor γ after normalising.
    bias: D, the addend β.
    eps: scalar ≥ 0, added to the variance under the root, in units of x squared.

    Returns ... D, the normalised vectors.

    Raises AxesError where gain or bias has another width than x; DomainError for a constant vector
    when eps is 0.

    Elsewhere: eps is 1e-5 in torch, CLIP and GPT-2, 1e-6 in Flax and the original ViT, 1e-12 in
    BERT, 1e-3 in Keras. Flax computes the variance as mean square minus squared mean, which loses
    digits for vectors far from zero. The Annotated Transformer divides by the sample standard
    deviation plus eps.

    Paper: Ba, Kiros and Hinton 2016, "Layer normalization", equations 3 and 4.

    >>> layer_norm(np.array([1.0, 0.0, 0.0, 0.0]), np.ones(4), np.zeros(4), 1e-6).round(3)
    array([ 1.732, -0.577, -0.577, -0.577])
    """
    mean = np.mean(x, axis=-1, keepdims=True)  # ... 1
    centred = x - mean
    variance = np.mean(centred * centred, axis=-1, keepdims=True)  # ... 1
    return gain * (centred / np.sqrt(variance + eps)) + bias


def rms_norm(
    x: Float[Array, "... D"],
    gain: Float[Array, "D"],
    eps: Epsilon[float, ""],
) -> Float[Array, "... D"]:
    r"""Root-mean-square normalisation: each vector gets mean square one, then a gain; no centring.

    $$y_d = \gamma_d \frac{x_d}{\sqrt{\frac1D \sum_j x_j^2 + \epsilon}}$$

    x: ... D, each vector along the last axis is normalised by itself.
    gain: D, the factor γ after normalising.
    eps: scalar ≥ 0, added to the mean square under the root, in units of x squared.

    Returns ... D, the normalised vectors.

    Raises AxesError where gain has another width than x; DomainError for a zero vector when eps
    is 0.

    Elsewhere: eps is 1e-6 in T5, 1e-5 or 1e-6 in the Llama and Qwen families. Gemma stores
    the gain minus one. In half precision many codes multiply the gain after rounding.

    Paper: Zhang and Sennrich 2019, "Root mean square layer normalization", equation 4.

    >>> rms_norm(np.array([3.0, 4.0, 0.0, 0.0]), np.ones(4), 0.0)
    array([1.2, 1.6, 0. , 0. ])
    """
    mean_square = np.mean(x * x, axis=-1, keepdims=True)  # ... 1
    return gain * (x / np.sqrt(mean_square + eps))


def group_norm(
    x: Float[Array, "B G*C height width"],
    gain: Float[Array, "G*C"],
    bias: Float[Array, "G*C"],
    groups: Size[int, "G"],
    eps: Epsilon[float, ""],
) -> Float[Array, "B G*C height width"]:
    r"""Group normalisation: the channels of an image are normalised in groups of neighbours.

    $$y_{bchw} = \gamma_c \frac{x_{bchw} - \mu_{bg}}{\sqrt{\sigma^2_{bg} + \epsilon}} + \beta_c,
    \qquad g = \lfloor c / C \rfloor$$

    with the mean and the population variance over the C channels and all pixels of group g.

    x: B G*C height width, feature maps.
    gain: G*C, the factor γ of each channel.
    bias: G*C, the addend β of each channel.
    groups: scalar, the number of groups; it must divide the number of channels.
    eps: scalar ≥ 0, added to the variance under the root, in units of x squared.

    Returns B G*C height width, the normalised maps.

    Raises AxesError where groups does not divide the channels, or gain or bias has another length;
    DomainError for a constant group when eps is 0.

    Elsewhere: 32 groups almost everywhere in diffusion. eps is 1e-5 in torch and guided diffusion,
    1e-6 in the original DDPM and in the autoencoder and Transformer blocks of latent diffusion.

    Paper: Wu and He 2018, "Group normalization", equation 7.

    >>> x = np.array([1.0, 3.0, 10.0, 30.0]).reshape(1, 4, 1, 1)
    >>> group_norm(x, np.ones(4), np.zeros(4), 2, 0.0).ravel()
    array([-1.,  1., -1.,  1.])
    """
    B, channels, height, width = x.shape
    grouped = np.reshape(x, (B, groups, channels // groups, height, width))  # B G C height width
    mean = np.mean(grouped, axis=(2, 3, 4), keepdims=True)  # B G 1 1 1
    centred = grouped - mean
    variance = np.mean(centred * centred, axis=(2, 3, 4), keepdims=True)  # B G 1 1 1
    gain, bias = (np.reshape(a, (groups, channels // groups, 1, 1)) for a in (gain, bias))
    normal = gain * (centred / np.sqrt(variance + eps)) + bias  # B G C height width
    return np.reshape(normal, x.shape)


def softmax(z: Float[Array, "... K"]) -> Float[Array, "... K"]:
    r"""Softmax: positive weights that sum to one, larger for larger entries.

    $$p_i = \frac{e^{z_i}}{\sum_j e^{z_j}}$$

    z: ... K, logits in nats; -inf gives weight 0, and a row of -inf alone gives zeros.

    Returns ... K, weights in [0, 1].

    Raises AxesError for a z without axes or not of real numbers; DomainError for an entry +inf.

    Elsewhere: a row of -inf alone is NaN in torch and NumPy one-liners, and uniform where the
    mask is the lowest finite number instead of -inf. A temperature T divides the logits first:
    softmax(z / T).

    Paper: Bridle 1990, "Probabilistic interpretation of feedforward classification network
    outputs", equation 1.

    >>> softmax(np.array([0.0, np.log(3.0)])).round(2)
    array([0.25, 0.75])
    """
    top = np.max(z, axis=-1, keepdims=True)  # ... 1
    top = np.where(top > -np.inf, top, 0)  # a row of -inf alone has weights 0
    weights = np.exp(z - top)
    return weights / np.maximum(np.sum(weights, axis=-1, keepdims=True), 1)


def log_softmax(z: Float[Array, "... K"]) -> Float[Array, "... K"]:
    r"""The natural logarithm of softmax, finite where softmax itself underflows.

    $$\log p_i = z_i - \log \sum_j e^{z_j}$$

    z: ... K, logits in nats; -inf stays -inf, also in a row of -inf alone.

    Returns ... K, log-probabilities in nats, at most 0.

    Raises AxesError for a z without axes or not of real numbers; DomainError for an entry +inf.

    Elsewhere: a row of -inf alone is NaN in torch. The logarithm of a computed softmax is -inf for
    entries more than 103 below the largest in float32.

    Paper: Blanchard, Higham and Higham 2021, "Accurately computing the log-sum-exp and softmax
    functions".

    >>> log_softmax(np.array([0.0, 1000.0]))
    array([-1000.,     0.])
    """
    top = np.max(z, axis=-1, keepdims=True)  # ... 1
    top = np.where(top > -np.inf, top, 0)
    total = np.sum(np.exp(z - top), axis=-1, keepdims=True)  # ... 1
    return z - (top + np.log(np.maximum(total, 1)))


def cross_entropy(
    logits: Float[Array, "N K"],
    labels: Index[Array, "N", "K"],
) -> Float[Array, ""]:
    r"""The mean number of nats by which the logits miss the labels.

    $$L = -\frac1N \sum_n \log \frac{e^{z_{n y_n}}}{\sum_k e^{z_{nk}}}$$

    logits: N K, one row for each sample, in nats; not probabilities.
    labels: N, the right class of each sample, zero-based, below K.

    Returns a scalar, the loss in nats, at least 0; inf where a label's logit is -inf.

    Raises AxesError where the numbers of samples differ or a label is outside 0 ... K-1;
    DomainError for a logit +inf or for no samples.

    Elsewhere: torch skips the label -100 and averages over the rest; label smoothing replaces the
    one-hot target by a mixture with the uniform one. A sum over samples instead of the mean is
    common in language models.

    Paper: Bridle 1990, "Training stochastic model recognition algorithms as networks can lead to
    maximum mutual information estimation of parameters".

    >>> float(cross_entropy(np.array([[0.0, np.log(3.0)]]), np.array([1])).round(4))
    0.2877
    """
    N = logits.shape[0]
    log_probs = log_softmax(logits)  # N K
    return -np.mean(log_probs[np.arange(N), labels])


def sigmoid(z: Float[Array, "..."]) -> Float[Array, "..."]:
    r"""The logistic function, from 0 to 1, in a form in which nothing overflows.

    $$\sigma(z) = \frac{1}{1 + e^{-z}}$$

    z: ..., log-odds in nats; ±inf give 1 and 0.

    Returns ..., probabilities in [0, 1].

    Raises AxesError for a z that is not of real numbers.

    Elsewhere: JAX calls it logistic; SciPy calls it expit. Hard sigmoids are piecewise linear
    stand-ins, (z + 3) / 6 in torch and z / 5 + 1/2 in older Keras.

    Paper: Verhulst 1838, "Notice sur la loi que la population poursuit dans son accroissement".

    >>> sigmoid(np.array([-1000.0, 0.0, np.log(3.0)])).round(2)
    array([0.  , 0.5 , 0.75])
    """
    return np.exp(np.minimum(z, 0)) / (1 + np.exp(-np.abs(z)))


def gelu(x: Float[Array, "..."]) -> Float[Array, "..."]:
    r"""The Gaussian error linear unit: x times the probability that a normal number lies below x.

    $$f(x) = x\,\Phi(x) = \frac{x}{2} \left(1 + \operatorname{erf} \frac{x}{\sqrt 2}\right)$$

    x: ..., any finite numbers, or +inf.

    Returns ..., the activations, at least -0.17.

    Raises AxesError for an x that is not of real numbers; DomainError for an entry -inf.

    Elsewhere: this exact form is the default of torch, timm, BERT in its torch port and open_clip;
    JAX and Flax default to gelu_tanh, and the original CLIP weights need quick_gelu.

    Paper: Hendrycks and Gimpel 2016, "Gaussian error linear units (GELUs)", section 2.

    >>> gelu(np.array([-1.0, 0.0, 1.0, 3.0])).round(4)
    array([-0.1587,  0.    ,  0.8413,  2.996 ])
    """
    return x / 2 * (1 + erf(x / np.sqrt(constant(2, x))))


def gelu_tanh(x: Float[Array, "..."]) -> Float[Array, "..."]:
    r"""GELU with the error function approximated by a hyperbolic tangent.

    $$f(x) = \frac{x}{2} \left(1 + \tanh\left(\sqrt{2/\pi}\,(x + 0.044715\, x^3)\right)\right)$$

    x: ..., any finite numbers, or +inf.

    Returns ..., the activations, nowhere further than 4.74e-4 from gelu.

    Raises AxesError for an x that is not of real numbers; DomainError for an entry -inf.

    Elsewhere: the default of JAX and Flax, hence of the original ViT; also GPT-2, T5 1.1 and
    SigLIP. torch spells it approximate="tanh", Hugging Face gelu_new or gelu_pytorch_tanh.

    Paper: Hendrycks and Gimpel 2016, "Gaussian error linear units (GELUs)", section 2.

    >>> gelu_tanh(np.array([-1.0, 0.0, 1.0, 3.0])).round(4)
    array([-0.1588,  0.    ,  0.8412,  2.9964])
    """
    return x / 2 * (1 + np.tanh(np.sqrt(2 / pi(x)) * (x + 0.044715 * x**3)))


def quick_gelu(x: Float[Array, "..."]) -> Float[Array, "..."]:
    r"""GELU with the normal distribution approximated by a logistic one.

    $$f(x) = x\,\sigma(1.702\, x)$$

    x: ..., any finite numbers, or +inf.

    Returns ..., the activations, nowhere further than 0.0204 from gelu.

    Raises AxesError for an x that is not of real numbers; DomainError for an entry -inf.

    Elsewhere: all CLIP weights published by OpenAI were trained with it; open_clip uses it only in
    configurations whose names end in quickgelu.

    Paper: Hendrycks and Gimpel 2016, "Gaussian error linear units (GELUs)", section 2.

    >>> quick_gelu(np.array([-1.0, 0.0, 1.0, 3.0])).round(4)
    array([-0.1542,  0.    ,  0.8458,  2.9819])
    """
    return x * sigmoid(1.702 * x)


def silu(x: Float[Array, "..."]) -> Float[Array, "..."]:
    r"""The sigmoid linear unit, also called swish: x times its own logistic function.

    $$f(x) = x\,\sigma(x) = \frac{x}{1 + e^{-x}}$$

    x: ..., any finite numbers, or +inf.

    Returns ..., the activations, at least -0.28.

    Raises AxesError for an x that is not of real numbers; DomainError for an entry -inf.

    Elsewhere: the activation of the U-Nets of DDPM, guided diffusion and Stable Diffusion. Swish
    with a factor β in the logistic function is silu at β = 1; hard-swish is a piecewise stand-in.

    Paper: Elfwing, Uchibe and Doya 2018, "Sigmoid-weighted linear units for neural network function
    approximation in reinforcement learning".

    >>> silu(np.array([-1.0, 0.0, 1.0, 3.0])).round(4)
    array([-0.2689,  0.    ,  0.7311,  2.8577])
    """
    return x * sigmoid(x)


def l2_normalize(x: Float[Array, "... D"]) -> Float[Array, "... D"]:
    r"""Each vector divided by its Euclidean length; the zero vector stays zero.

    $$u = \frac{x}{\lVert x \rVert_2}, \qquad \lVert x \rVert_2 = \sqrt{\textstyle\sum_d x_d^2}$$

    x: ... D, each vector along the last axis is normalised by itself.

    Returns ... D, vectors of length one, or zero.

    Raises AxesError for an x without axes or not of real numbers; DomainError for an infinite
    entry.

    Elsewhere: they differ near zero alone. The original CLIP has no guard (the zero vector is NaN);
    torch divides by the larger of length and 1e-12, GLIDE by the length plus 1e-12, and JAX codes
    often by the root of the squared length plus 1e-12.

    Paper: Radford et al. 2021, "Learning transferable visual models from natural language
    supervision", figure 3.

    >>> l2_normalize(np.array([[3.0, 4.0], [0.0, 0.0]]))
    array([[0.6, 0.8],
           [0. , 0. ]])
    """
    norm = np.sqrt(np.sum(x * x, axis=-1, keepdims=True))  # ... 1
    return x / np.where(norm > 0, norm, 1)  # the zero vector stays zero


def l2_normalize_vjp(
    x: Float[Array, "... D"],
    grad: Float[Array, "... D"],
) -> Float[Array, "... D"]:
    r"""The gradient of a loss behind a division by length: the part across x, over the length.

    $$\bar x = \frac{\bar u - u\,(u \cdot \bar u)}{\lVert x \rVert_2}, \qquad
    u = \frac{x}{\lVert x \rVert_2}$$

    x: ... D, the vectors that were normalised.
    grad: ... D, the gradient with respect to the unit vectors.

    Returns ... D, the gradient of x, orthogonal to x; for a zero vector, which has no derivative,
    grad itself, as though it were divided by one.

    Raises AxesError for shapes that differ; DomainError for an infinite entry.

    Elsewhere: torch's guard makes it grad times 1e12 where the length is below 1e-12; the zero
    vector is NaN in JAX and in codes without a guard.

    Paper: Salimans and Kingma 2016, "Weight normalization: a simple reparameterization to
    accelerate training of deep neural networks", section 2.1.

    >>> l2_normalize_vjp(np.array([[3.0, 4.0]]), np.array([[1.0, 0.0]])).round(3)
    array([[ 0.128, -0.096]])
    """
    norm = np.sqrt(np.sum(x * x, axis=-1, keepdims=True))  # ... 1
    norm = np.where(norm > 0, norm, 1)  # the zero vector passes grad on
    unit = x / norm
    along = np.sum(unit * grad, axis=-1, keepdims=True)  # ... 1
    return (grad - unit * along) / norm
