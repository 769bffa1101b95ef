"""Layers: the small functions every Transformer and U-Net is built from."""

import numpy as np

from refimpl.axes import Array, Epsilon, Float, Index, Size
from refimpl.constants import constant, erf, pi


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
    r"""The gradients of a loss that follows a dense layer, from the gradient of its outputs.

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


def layer_norm_vjp(
    x: Float[Array, "... D"],
    gain: Float[Array, "D"],
    eps: Epsilon[float, ""],
    grad: Float[Array, "... D"],
) -> tuple[Float[Array, "... D"], Float[Array, "D"], Float[Array, "D"]]:
    r"""The gradients of a loss that follows a layer normalisation.

    $$\bar x = \frac{\hat g - \overline{\hat g} - \hat x\, \overline{\hat g\, \hat x}}
    {\sqrt{\sigma^2 + \epsilon}}, \qquad \hat g = \gamma\, \bar y, \qquad
    \hat x = \frac{x - \mu}{\sqrt{\sigma^2 + \epsilon}}, \qquad
    \bar\gamma = \sum \bar y\, \hat x, \qquad \bar\beta = \sum \bar y$$

    with means over the vector and sums over all vectors of the batch.

    x: ... D, the inputs that were normalised.
    gain: D, the factor γ.
    eps: scalar ≥ 0, as in the forward pass.
    grad: ... D, the gradient with respect to the outputs.

    Returns ... D, the gradient of x; D, of the gain; and D, of the bias.

    Raises AxesError where gain or grad has another width than x; DomainError for a constant
    vector when eps is 0.

    Elsewhere: torch expands the quotient into a factor times x plus a constant. JAX computes the
    variance as mean square minus squared mean, which loses digits for vectors far from zero.

    Paper: Xu, Sun, Zhang, Zhao and Lin 2019, "Understanding and improving layer normalization".

    >>> x, grad = np.array([[2.0, 0.0, 0.0, 0.0]]), np.array([[0.0, 1.0, 0.0, 0.0]])
    >>> x_grad, gain_grad, _ = layer_norm_vjp(x, np.ones(4), 0.0, grad)
    >>> x_grad.round(3), gain_grad.round(3)
    (array([[ 0.   ,  0.77 , -0.385, -0.385]]), array([ 0.   , -0.577,  0.   ,  0.   ]))
    """
    centred = x - np.mean(x, axis=-1, keepdims=True)
    variance = np.mean(centred * centred, axis=-1, keepdims=True)  # ... 1
    root = np.sqrt(variance + eps)
    normal = centred / root
    inner = gain * grad
    along = np.mean(inner * normal, axis=-1, keepdims=True)  # ... 1
    x_grad = (inner - np.mean(inner, axis=-1, keepdims=True) - normal * along) / root
    batch = tuple(range(x.ndim - 1))
    return x_grad, np.sum(grad * normal, axis=batch), np.sum(grad, axis=batch)


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
    the gain minus one. In half precision many libraries round before multiplying by the gain.

    Paper: Zhang and Sennrich 2019, "Root mean square layer normalization", equation 4.

    >>> rms_norm(np.array([3.0, 4.0, 0.0, 0.0]), np.ones(4), 0.0)
    array([1.2, 1.6, 0. , 0. ])
    """
    mean_square = np.mean(x * x, axis=-1, keepdims=True)  # ... 1
    return gain * (x / np.sqrt(mean_square + eps))


def rms_norm_vjp(
    x: Float[Array, "... D"],
    gain: Float[Array, "D"],
    eps: Epsilon[float, ""],
    grad: Float[Array, "... D"],
) -> tuple[Float[Array, "... D"], Float[Array, "D"]]:
    r"""The gradients of a loss that follows a root-mean-square normalisation.

    $$\bar x = \frac{\hat g - \hat x\, \overline{\hat g\, \hat x}}{r}, \qquad
    \hat g = \gamma\, \bar y, \qquad \hat x = \frac{x}{r}, \qquad
    r = \sqrt{\overline{x^2} + \epsilon}, \qquad \bar\gamma = \sum \bar y\, \hat x$$

    with means over the vector and the sum over all vectors of the batch.

    x: ... D, the inputs that were normalised.
    gain: D, the factor γ.
    eps: scalar ≥ 0, as in the forward pass.
    grad: ... D, the gradient with respect to the outputs.

    Returns ... D, the gradient of x; and D, of the gain.

    Raises AxesError where gain or grad has another width than x; DomainError for a zero vector
    when eps is 0.

    Elsewhere: where the gain is stored minus one, its gradient is the same and x needs 1 + gain.

    Paper: Zhang and Sennrich 2019, "Root mean square layer normalization", section 4.

    >>> x, grad = np.array([[3.0, 4.0]]), np.array([[1.0, 0.0]])
    >>> x_grad, gain_grad = rms_norm_vjp(x, np.ones(2), 0.0, grad)
    >>> x_grad.round(3), gain_grad.round(3)
    (array([[ 0.181, -0.136]]), array([0.849, 0.   ]))
    """
    root = np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + eps)  # ... 1
    normal = x / root
    inner = gain * grad
    along = np.mean(inner * normal, axis=-1, keepdims=True)  # ... 1
    x_grad = (inner - normal * along) / root
    return x_grad, np.sum(grad * normal, axis=tuple(range(x.ndim - 1)))


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


def group_norm_vjp(
    x: Float[Array, "B G*C height width"],
    gain: Float[Array, "G*C"],
    groups: Size[int, "G"],
    eps: Epsilon[float, ""],
    grad: Float[Array, "B G*C height width"],
) -> tuple[Float[Array, "B G*C height width"], Float[Array, "G*C"], Float[Array, "G*C"]]:
    r"""The gradients of a loss that follows a group normalisation.

    $$\bar x = \frac{\hat g - \overline{\hat g} - \hat x\, \overline{\hat g\, \hat x}}
    {\sqrt{\sigma^2 + \epsilon}}, \qquad \hat g_{bchw} = \gamma_c\, \bar y_{bchw}, \qquad
    \bar\gamma_c = \sum_{bhw} \bar y\, \hat x, \qquad \bar\beta_c = \sum_{bhw} \bar y$$

    with the means over the channels and all pixels of a group, and the normalised maps in the hat.

    x: B G*C height width, the feature maps that were normalised.
    gain: G*C, the factor γ of each channel.
    groups: scalar, the number of groups; it must divide the number of channels.
    eps: scalar ≥ 0, as in the forward pass.
    grad: B G*C height width, the gradient with respect to the outputs.

    Returns B G*C height width, the gradient of x; G*C, of the gain; and G*C, of the bias.

    Raises AxesError where groups does not divide the channels, or gain or grad has another shape;
    DomainError for a constant group when eps is 0.

    Elsewhere: torch expands the quotient into a factor times x plus a constant.

    Paper: Wu and He 2018, "Group normalization", equation 7 differentiated.

    >>> x, grad = np.array([1.0, 3.0, 5.0, 5.0]).reshape(1, 4, 1, 1), np.ones((1, 4, 1, 1))
    >>> x_grad, gain_grad, bias_grad = group_norm_vjp(x, np.array([1.0, 1, 1, 3]), 2, 1.0, grad)
    >>> x_grad.ravel(), gain_grad.round(3), bias_grad
    (array([ 0.,  0., -1.,  1.]), array([-0.707,  0.707,  0.   ,  0.   ]), array([1., 1., 1., 1.]))
    """
    B, channels, height, width = x.shape
    shape = (B, groups, channels // groups * height * width)
    grouped = np.reshape(x, shape)  # B G C*height*width
    centred = grouped - np.mean(grouped, axis=-1, keepdims=True)
    variance = np.mean(centred * centred, axis=-1, keepdims=True)  # B G 1
    root = np.sqrt(variance + eps)
    normal = centred / root
    inner = np.reshape(gain[:, None, None] * grad, shape)  # B G C*height*width
    along = np.mean(inner * normal, axis=-1, keepdims=True)  # B G 1
    x_grad = (inner - np.mean(inner, axis=-1, keepdims=True) - normal * along) / root
    gain_grad = np.sum(grad * np.reshape(normal, x.shape), axis=(0, 2, 3))  # G*C
    return np.reshape(x_grad, x.shape), gain_grad, np.sum(grad, axis=(0, 2, 3))


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


def softmax_vjp(
    z: Float[Array, "... K"],
    grad: Float[Array, "... K"],
) -> Float[Array, "... K"]:
    r"""The gradient of a loss that follows a softmax: p times grad less its average.

    $$\bar z_i = p_i \left(\bar p_i - \sum_j \bar p_j\, p_j\right)$$

    z: ... K, the logits in nats; -inf has weight 0 and gradient 0.
    grad: ... K, the gradient with respect to the weights.

    Returns ... K, the gradient of the logits; each row sums to zero.

    Raises AxesError for shapes that differ; DomainError for an entry +inf.

    Elsewhere: a row of -inf alone is NaN in torch and JAX. Libraries take the weights of the
    forward pass instead of the logits; a temperature T divides the result.

    Paper: Bridle 1990, "Training stochastic model recognition algorithms as networks can lead to
    maximum mutual information estimation of parameters".

    >>> softmax_vjp(np.array([0.0, np.log(3.0)]), np.array([1.0, 0.0])).round(4)
    array([ 0.1875, -0.1875])
    """
    weights = softmax(z)
    average = np.sum(grad * weights, axis=-1, keepdims=True)  # ... 1
    return weights * (grad - average)


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


def log_softmax_vjp(
    z: Float[Array, "... K"],
    grad: Float[Array, "... K"],
) -> Float[Array, "... K"]:
    r"""The gradient of a loss that follows a logarithm of softmax.

    $$\bar z_i = \bar\ell_i - p_i \sum_j \bar\ell_j$$

    z: ... K, the logits in nats; an entry -inf has weight 0.
    grad: ... K, the gradient with respect to the log-probabilities.

    Returns ... K, the gradient of the logits; each row with a visible entry sums to zero.

    Raises AxesError for shapes that differ; DomainError for an entry +inf.

    Elsewhere: a row of -inf alone is NaN in torch and JAX.

    Paper: Bridle 1990, "Training stochastic model recognition algorithms as networks can lead to
    maximum mutual information estimation of parameters".

    >>> log_softmax_vjp(np.array([0.0, np.log(3.0)]), np.array([1.0, 0.0])).round(2)
    array([ 0.75, -0.75])
    """
    weights = np.exp(log_softmax(z))
    return grad - weights * np.sum(grad, axis=-1, keepdims=True)


def cross_entropy(
    logits: Float[Array, "N K"],
    labels: Index[Array, "N", "K"],
) -> Float[Array, ""]:
    r"""The mean negative log-probability of the labels, in nats.

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


def cross_entropy_vjp(
    logits: Float[Array, "N K"],
    labels: Index[Array, "N", "K"],
    grad: Float[Array, ""],
) -> Float[Array, "N K"]:
    r"""The gradient of the mean cross-entropy: probabilities minus the one-hot labels, over N.

    $$\bar z_{nk} = \frac{\bar L}{N} \left(p_{nk} - [k = y_n]\right)$$

    logits: N K, one row for each sample, in nats.
    labels: N, the right class of each sample, zero-based, below K.
    grad: a scalar, the gradient with respect to the loss, 1 for the loss itself.

    Returns N K, the gradient of the logits; each row sums to zero.

    Raises AxesError where the numbers of samples differ or a label is outside 0 ... K-1;
    DomainError for a logit +inf or for no samples.

    Elsewhere: label smoothing subtracts the smoothed target; samples with torch's label -100 have
    gradient zero and are not counted in N.

    Paper: Bridle 1990, "Training stochastic model recognition algorithms as networks can lead to
    maximum mutual information estimation of parameters".

    >>> logits, labels = np.array([[0.0, np.log(3.0)], [0.0, 0.0]]), np.array([1, 0])
    >>> cross_entropy_vjp(logits, labels, np.array(1.0)).round(3)
    array([[ 0.125, -0.125],
           [-0.25 ,  0.25 ]])
    """
    N, K = logits.shape
    probs = np.exp(log_softmax(logits))  # N K
    return grad / N * (probs - np.eye(K)[labels])


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


def sigmoid_vjp(z: Float[Array, "..."], grad: Float[Array, "..."]) -> Float[Array, "..."]:
    r"""The gradient of a loss that follows a logistic function: at most a quarter of grad.

    $$\bar z = \bar p\, \sigma(z)\, (1 - \sigma(z)) = \bar p\, \frac{e^{-|z|}}{(1 + e^{-|z|})^2}$$

    z: ..., log-odds in nats.
    grad: ..., the gradient with respect to the probabilities.

    Returns ..., the gradient of z.

    Raises AxesError for shapes that differ.

    Elsewhere: libraries take the probabilities p of the forward pass instead of z; their 1 - p has
    few digits left where z is large, and none from 17 on in float32.

    Paper: Rumelhart, Hinton and Williams 1986, "Learning representations by back-propagating
    errors".

    >>> sigmoid_vjp(np.array([0.0, np.log(3.0)]), np.ones(2)).round(4)
    array([0.25  , 0.1875])
    """
    odds = np.exp(-np.abs(z))  # against the likelier of the two events
    return grad * (odds / ((1 + odds) * (1 + odds)))


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


def gelu_vjp(x: Float[Array, "..."], grad: Float[Array, "..."]) -> Float[Array, "..."]:
    r"""The gradient of a loss that follows a Gaussian error linear unit.

    $$\bar x = \bar y \left(\Phi(x) + x\,\varphi(x)\right), \qquad
    \varphi(x) = \frac{e^{-x^2/2}}{\sqrt{2\pi}}$$

    x: ..., the inputs, any finite numbers.
    grad: ..., the gradient with respect to the activations.

    Returns ..., the gradient of x: between -0.13 and 1.13 times grad.

    Raises AxesError for shapes that differ.

    Elsewhere: the gradient of gelu_tanh and of quick_gelu is another function.

    Paper: Hendrycks and Gimpel 2016, "Gaussian error linear units (GELUs)", section 2.

    >>> gelu_vjp(np.array([-1.0, 0.0, 1.0, 3.0]), np.ones(4)).round(4)
    array([-0.0833,  0.5   ,  1.0833,  1.0119])
    """
    probability = (1 + erf(x / np.sqrt(constant(2, x)))) / 2
    density = np.exp(-(x * x) / 2) / np.sqrt(2 * pi(x))
    return grad * (probability + x * density)


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


def gelu_tanh_vjp(x: Float[Array, "..."], grad: Float[Array, "..."]) -> Float[Array, "..."]:
    r"""The gradient of a loss that follows the tanh form of GELU.

    $$\bar x = \frac{\bar y}{2} \left(1 + h + x\,(1 - h^2)\,u'\right), \qquad h = \tanh u, \qquad
    u = \sqrt{2/\pi}\,(x + 0.044715\, x^3)$$

    x: ..., the inputs, any finite numbers.
    grad: ..., the gradient with respect to the activations.

    Returns ..., the gradient of x: between -0.13 and 1.13 times grad.

    Raises AxesError for shapes that differ.

    Elsewhere: some write the derivative with the coefficient 0.134145, three times 0.044715.

    Paper: Hendrycks and Gimpel 2016, "Gaussian error linear units (GELUs)", section 2.

    >>> gelu_tanh_vjp(np.array([-1.0, 0.0, 1.0, 3.0]), np.ones(4)).round(4)
    array([-0.083 ,  0.5   ,  1.083 ,  1.0116])
    """
    slope = np.sqrt(2 / pi(x))
    h = np.tanh(slope * (x + 0.044715 * x**3))
    bell = np.maximum(1 - h * h, 0)  # in one piece: x - x h² would lose digits
    inner = slope * (1 + 3 * (0.044715 * (x * x)))
    return grad / 2 * (1 + h + x * bell * inner)


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


def quick_gelu_vjp(x: Float[Array, "..."], grad: Float[Array, "..."]) -> Float[Array, "..."]:
    r"""The gradient of a loss that follows quick_gelu.

    $$\bar x = \bar y \left(s + 1.702\, x\, s\, (1 - s)\right), \qquad s = \sigma(1.702\, x)$$

    x: ..., the inputs, any finite numbers.
    grad: ..., the gradient with respect to the activations.

    Returns ..., the gradient of x: between -0.1 and 1.1 times grad.

    Raises AxesError for shapes that differ.

    Elsewhere: it is the gradient of silu taken at 1.702 x.

    Paper: Hendrycks and Gimpel 2016, "Gaussian error linear units (GELUs)", section 2.

    >>> quick_gelu_vjp(np.array([-1.0, 0.0, 1.0, 3.0]), np.ones(4)).round(4)
    array([-0.0678,  0.5   ,  1.0678,  1.0245])
    """
    gate = sigmoid(1.702 * x)
    closed = np.maximum(1 - gate, 0)  # in one piece: x - x gate would lose digits
    return grad * (gate + 1.702 * x * (gate * closed))


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


def silu_vjp(x: Float[Array, "..."], grad: Float[Array, "..."]) -> Float[Array, "..."]:
    r"""The gradient of a loss that follows a sigmoid linear unit.

    $$\bar x = \bar y\, \sigma(x) \left(1 + x\,(1 - \sigma(x))\right)$$

    x: ..., the inputs, any finite numbers.
    grad: ..., the gradient with respect to the activations.

    Returns ..., the gradient of x: between -0.1 and 1.1 times grad.

    Raises AxesError for shapes that differ.

    Elsewhere: some write f + σ(x) (1 - f) with the activation f of the forward pass.

    Paper: Elfwing, Uchibe and Doya 2018, "Sigmoid-weighted linear units for neural network function
    approximation in reinforcement learning", in the section on the derivative.

    >>> silu_vjp(np.array([-1.0, 0.0, 1.0, 3.0]), np.ones(4)).round(4)
    array([0.0723, 0.5   , 0.9277, 1.0881])
    """
    gate = sigmoid(x)
    closed = np.maximum(1 - gate, 0)  # in one piece: x - x gate would lose digits
    return grad * (gate + x * (gate * closed))


def l2_normalize(x: Float[Array, "... D"]) -> Float[Array, "... D"]:
    r"""Each vector divided by its Euclidean length; the zero vector stays zero.

    $$u = \frac{x}{\lVert x \rVert_2}, \qquad \lVert x \rVert_2 = \sqrt{\textstyle\sum_d x_d^2}$$

    x: ... D, each vector along the last axis is normalised by itself.

    Returns ... D, vectors of length one, or zero.

    Raises AxesError for an x without axes or not of real numbers; DomainError for an infinite
    entry.

    Elsewhere: libraries differ only near zero. The original CLIP has no guard (zero gives NaN);
    torch divides by the larger of length and 1e-12, GLIDE by the length plus 1e-12, and JAX codes
    often by the root of the squared length plus 1e-12.

    Paper: Radford et al. 2021, "Learning transferable visual models from natural language
    supervision", figure 3.

    >>> l2_normalize(np.array([[3.0, 4.0], [0.0, 0.0]]))
    array([[0.6, 0.8],
           [0. , 0. ]])
    """
    norm = np.sqrt(np.sum(x * x, axis=-1, keepdims=True))  # ... 1
    return x / np.where(norm <= 0, 1, norm)  # the zero vector stays zero


def l2_normalize_vjp(
    x: Float[Array, "... D"],
    grad: Float[Array, "... D"],
) -> Float[Array, "... D"]:
    r"""The gradient of a loss that follows a division by length: grad without its part along x.

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
    norm = np.where(norm <= 0, 1, norm)  # the zero vector passes grad on
    unit = x / norm
    along = np.sum(unit * grad, axis=-1, keepdims=True)  # ... 1
    return (grad - unit * along) / norm
