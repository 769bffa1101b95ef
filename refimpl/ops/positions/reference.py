"""Positions: how a word becomes a vector, and how attention learns where it stands."""

import numpy as np

from refimpl.axes import Array, AxesError, Base, Float, Index, Label, Size, Time
from refimpl.constants import constant
from refimpl.ops.images.reference import resize_bicubic, resize_bicubic_vjp


def embed_tokens(
    ids: Index[Array, "B N", "V"],
    table: Float[Array, "V D"],
) -> Float[Array, "B N D"]:
    r"""Replace each word by its row of a table.

    $$x_{bn} = W_{i_{bn}}$$

    ids: B N, the words, zero-based, below V.
    table: V D, a vector for each word of the vocabulary.

    Returns B N D, the vectors.

    Raises AxesError for an id below 0 or not below V; negative ids do not count from the end.

    Elsewhere: the first Transformer and Gemma multiply by the root of D, which
    is a step of the model here. torch's padding_idx only stops the gradient of one row.

    Paper: Bengio et al. 2003, "A neural probabilistic language model", section 2.

    >>> embed_tokens(np.array([[2, 0]]), np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]))
    array([[[5., 6.],
            [1., 2.]]])
    """
    return table[ids]  # B N D


def embed_tokens_vjp(
    ids: Index[Array, "B N", "V"],
    table: Float[Array, "V D"],
    grad: Float[Array, "B N D"],
) -> Float[Array, "V D"]:
    r"""The gradient of an embedding table: each row gets the sum of grad where its word occurs.

    $$\bar W_v = \sum_{bn} [i_{bn} = v]\, \bar x_{bn}$$

    ids: B N, the words, zero-based, below V.
    table: V D, the vectors of the words; only its shape counts.
    grad: B N D, the gradient with respect to the vectors.

    Returns V D, the gradient of the table; zero for words that do not occur.

    Raises AxesError for an id below 0 or not below V.

    Elsewhere: torch's scale_grad_by_freq divides by how often a word occurs, and its padding_idx
    leaves the gradient of one row at zero.

    Paper: Bengio et al. 2003, "A neural probabilistic language model", section 3, differentiated.

    >>> grad = np.array([[[1.0], [2.0], [4.0]]])
    >>> embed_tokens_vjp(np.array([[0, 1, 0]]), np.zeros((3, 1)), grad)
    array([[5.],
           [2.],
           [0.]])
    """
    V, D = table.shape
    places = np.eye(V)[ids].reshape(-1, V)  # B*N V
    return places.T @ grad.reshape(-1, D)  # V D


def rotary_angles(
    positions: Time[Array, "N"],
    half: Size[int, "E"],
    base: Base[float, ""],
) -> Float[Array, "N E"]:
    r"""The angles by which rotary embedding rotates each pair of a query or key.

    $$\theta_{ni} = p_n\, b^{-i/E}, \qquad i = 0, \dots, E - 1$$

    positions: N, zero-based positions in the text; with a cache, those of the new tokens.
    half: E, the number of pairs, half the width that is turned.
    base: b, above 1; 10000 in the paper, 500000 in Llama 3, 1000000 in Qwen2.

    Returns N E, angles in radians.

    Raises AxesError for a negative position or a base of 1 or less.

    Elsewhere: Hugging Face keeps 1 / b^(i/E) as inv_freq, and cosines and sines of each angle
    twice. Where only a part of the head is turned, E counts the pairs of that part. Linear scaling
    for longer texts divides the positions.

    Paper: Su et al. 2021, "RoFormer: enhanced Transformer with rotary position embedding",
    section 3.2.2.

    >>> rotary_angles(np.array([0.0, 3.0]), half=2, base=100.0).round(2)
    array([[0. , 0. ],
           [3. , 0.3]])
    """
    frequencies = np.exp(-np.log(base) * np.arange(half) / half)  # E
    return positions[:, None] * frequencies  # N E


def rotary_embedding(
    x: Float[Array, "B H N 2*E"],
    angles: Float[Array, "N E"],
) -> Float[Array, "B H N 2*E"]:
    r"""Rotate each pair of numbers of a query or key by the angle of its position.

    $$y_i = x_i \cos\theta_{ni} - x_{i+E} \sin\theta_{ni}, \qquad
      y_{i+E} = x_i \sin\theta_{ni} + x_{i+E} \cos\theta_{ni}$$

    x: B H N 2*E, queries or keys; a pair is a number of the first half and one of the second.
    angles: N E, in radians, from `rotary_angles`.

    Returns B H N 2*E, the rotated vectors, of the same length.

    Raises AxesError for a width that is not twice the number of angles.

    Elsewhere: Hugging Face's Llama and Qwen2 pair halves as here. The paper, Meta's Llama, GPT-J
    and timm pair neighbours; `halves_from_pairs` converts. ONNX has both, chosen by
    `interleaved`.

    Paper: Su et al. 2021, "RoFormer: enhanced Transformer with rotary position embedding",
    equation 34; halves are paired as in GPT-NeoX.

    >>> rotary_embedding(np.array([[[[1.0, 2.0]]]]), np.array([[np.pi / 2]])).round(3)
    array([[[[-2.,  1.]]]])
    """
    half = angles.shape[-1]
    first, second = x[..., :half], x[..., half:]  # B H N E
    cosine, sine = np.cos(angles), np.sin(angles)  # N E
    left = first * cosine - second * sine  # B H N E
    right = first * sine + second * cosine  # B H N E
    return np.concatenate((left, right), axis=-1)  # B H N 2*E


def rotary_embedding_vjp(
    x: Float[Array, "B H N 2*E"],
    angles: Float[Array, "N E"],
    grad: Float[Array, "B H N 2*E"],
) -> tuple[Float[Array, "B H N 2*E"], Float[Array, "N E"]]:
    r"""The gradients of a loss that follows a rotary embedding: grad is rotated back.

    $$\bar x_i = \bar y_i \cos\theta_{ni} + \bar y_{i+E} \sin\theta_{ni}, \qquad
      \bar x_{i+E} = \bar y_{i+E} \cos\theta_{ni} - \bar y_i \sin\theta_{ni},$$
    $$\bar\theta_{ni} = \sum_{bh} \left(\bar y_{i+E}\, y_i - \bar y_i\, y_{i+E}\right)$$

    x: B H N 2*E, queries or keys.
    angles: N E, in radians.
    grad: B H N 2*E, the gradient with respect to the turned vectors.

    Returns the gradients of x, B H N 2*E, and of the angles, N E.

    Raises AxesError for a width that is not twice the number of angles.

    Elsewhere: kernels return the gradient of x alone, as positions are not learned.

    Paper: Su et al. 2021, "RoFormer: enhanced Transformer with rotary position embedding",
    equation 34, differentiated.

    >>> x, grad = np.array([[[[1.0, 2.0]]]]), np.array([[[[3.0, 4.0]]]])
    >>> x_grad, angles_grad = rotary_embedding_vjp(x, np.array([[np.pi / 2]]), grad)
    >>> x_grad.round(3), angles_grad.round(3)
    (array([[[[ 4., -3.]]]]), array([[-11.]]))
    """
    half = angles.shape[-1]
    first, second = x[..., :half], x[..., half:]  # B H N E
    up, down = grad[..., :half], grad[..., half:]  # B H N E
    cosine, sine = np.cos(angles), np.sin(angles)  # N E
    x_grad = np.concatenate((up * cosine + down * sine, down * cosine - up * sine), axis=-1)
    cosine_grad = np.sum(up * first, axis=(0, 1)) + np.sum(down * second, axis=(0, 1))  # N E
    sine_grad = np.sum(down * first, axis=(0, 1)) - np.sum(up * second, axis=(0, 1))  # N E
    return x_grad, cosine * sine_grad - sine * cosine_grad


def halves_from_pairs(x: Float[Array, "... 2*E"]) -> Float[Array, "... 2*E"]:
    r"""Reorder pairs of neighbours to halves: all first numbers, then all second ones.

    $$y_i = x_{2i}, \qquad y_{i+E} = x_{2i+1}$$

    x: ... 2*E, vectors whose pairs are neighbours; or the rows of a weight that makes such.

    Returns ... 2*E, vectors whose pairs are a number of each half.

    Raises AxesError for an odd width.

    Elsewhere: the converters of Llama's weights to Hugging Face permute the rows of the query and
    key weights of each head in this way.

    Paper: Su et al. 2021, "RoFormer: enhanced Transformer with rotary position embedding",
    equation 34, against GPT-NeoX.

    >>> halves_from_pairs(np.array([0.0, 1.0, 2.0, 3.0, 4.0, 5.0]))
    array([0., 2., 4., 1., 3., 5.])
    """
    return np.concatenate((x[..., 0::2], x[..., 1::2]), axis=-1)  # ... 2*E


def pairs_from_halves(x: Float[Array, "... 2*E"]) -> Float[Array, "... 2*E"]:
    r"""Reorder halves to pairs of neighbours: the inverse of `halves_from_pairs`.

    $$y_{2i} = x_i, \qquad y_{2i+1} = x_{i+E}$$

    x: ... 2*E, vectors whose pairs are a number of each half.

    Returns ... 2*E, vectors whose pairs are neighbours.

    Raises AxesError for an odd width.

    Elsewhere: converts Hugging Face's weights back to those of Llama; GGUF files hold this
    order.

    Paper: Su et al. 2021, "RoFormer: enhanced Transformer with rotary position embedding",
    equation 34, against GPT-NeoX.

    >>> pairs_from_halves(np.array([0.0, 2.0, 4.0, 1.0, 3.0, 5.0]))
    array([0., 1., 2., 3., 4., 5.])
    """
    half = x.shape[-1] // 2
    pairs = np.stack((x[..., :half], x[..., half:]), axis=-1)  # ... E 2
    return pairs.reshape(x.shape)  # ... 2*E


def alibi_bias(
    query_positions: Time[Array, "N"],
    key_positions: Time[Array, "M"],
    heads: Size[int, "H"],
) -> Float[Array, "H N M"]:
    r"""Lower the scores of distant keys in proportion to distance, with one slope for each head.

    $$b_{hnm} = -m_h\, |p_n - s_m|, \qquad m_h = 2^{-8h/H}, \qquad h = 1, \dots, H$$

    query_positions: N, zero-based positions of the queries.
    key_positions: M, zero-based positions of the keys.
    heads: H, at least 1. Where it is not a power of two, the slopes are those of the next lower
        power P, then the first, third, … of those of 2 P.

    Returns H N M, biases of at most zero, to be added to the scores; the causal mask is
    a separate bias.

    Raises AxesError for no head or a negative position.

    Elsewhere: Bloom and MPT add m s instead, the same for every query: under a causal bias that is
    a constant added to each row, which softmax ignores.

    Paper: Press et al. 2022, "Train short, test long: attention with linear biases enables input
    length extrapolation", section 3.

    >>> alibi_bias(np.array([2.0]), np.array([0.0, 1.0, 2.0]), heads=2).round(4)
    array([[[-0.125 , -0.0625, -0.    ]],
    <BLANKLINE>
           [[-0.0078, -0.0039, -0.    ]]])
    """
    if heads < 1:
        raise AxesError(f"alibi_bias: heads has {heads}, expected at least 1")
    power = 2 ** (heads.bit_length() - 1)  # the largest up to H
    exponents = np.append(np.arange(1, power + 1), np.arange(heads - power) + 0.5) * 8 / power
    slopes = constant(2, key_positions) ** -exponents  # H
    distances = np.abs(query_positions[:, None] - key_positions)  # N M
    return -slopes[:, None, None] * distances  # H N M


def relative_buckets(
    query_positions: Label[Array, "N"],
    key_positions: Label[Array, "M"],
    buckets: Label[int, ""],
    max_distance: Label[int, ""],
) -> Index[Array, "N M"]:
    r"""Sort distances in both directions into buckets, near ones exactly, far ones by logarithm.

    $$r = |s_m - p_n|, \qquad n = \tfrac12 K, \qquad e = \left\lfloor\tfrac12 n\right\rfloor,$$
    $$k = n\,[s_m > p_n] + \begin{cases} r & r < e \\
      \min\left(e + \left\lfloor\frac{\log(r/e)}{\log(d/e)}(n - e)\right\rfloor, n - 1\right) &
      \text{else} \end{cases}$$

    query_positions: N, whole positions of the queries.
    key_positions: M, whole positions of the keys.
    buckets: K, even, at least 4; 32 in T5. The second half is for keys after their query.
    max_distance: d, above e; 128 in T5. Farther keys share the last bucket.

    Returns N M, buckets from 0 to K - 1; distance 0 has bucket 0.

    Raises AxesError for another number of buckets or too small a distance.

    Elsewhere: the decoder's form is `relative_buckets_causal`. log(r) - log(e) instead of the
    logarithm of the quotient puts exact powers one bucket too low.

    Paper: Raffel et al. 2020, "Exploring the limits of transfer learning with a unified
    text-to-text Transformer", section 2.1; the rule is that of its code.

    >>> keys = np.array([0, 1, 7, 8, 9, 40, 1000])
    >>> relative_buckets(np.array([8]), keys, buckets=32, max_distance=128)
    array([[ 8,  7,  1,  0, 17, 28, 31]])
    """
    half = buckets // 2
    exact = half // 2
    if exact < 1 or buckets % 2 or max_distance <= exact:
        raise AxesError(
            f"relative_buckets: buckets has {buckets} and max_distance {max_distance}, expected an "
            "even number of at least 4 buckets and a distance above a quarter of it"
        )
    ahead = key_positions - query_positions[:, None]  # N M
    distance = np.abs(ahead)  # N M
    share = np.log(np.maximum(distance, exact) / exact) / np.log(max_distance / exact)
    far = np.minimum(exact + np.floor(share * (half - exact)), half - 1).astype(int)  # N M
    return half * (ahead > 0) + np.where(distance < exact, distance, far)  # N M


def relative_buckets_causal(
    query_positions: Label[Array, "N"],
    key_positions: Label[Array, "M"],
    buckets: Label[int, ""],
    max_distance: Label[int, ""],
) -> Index[Array, "N M"]:
    r"""Sort distances to earlier keys into buckets, near ones exactly, far ones by logarithm.

    $$r = \max(p_n - s_m, 0), \qquad e = \left\lfloor\tfrac12 K\right\rfloor,$$
    $$k = \begin{cases} r & r < e \\
      \min\left(e + \left\lfloor\frac{\log(r/e)}{\log(d/e)}(K - e)\right\rfloor, K - 1\right) &
      \text{else} \end{cases}$$

    query_positions: N, whole positions of the queries.
    key_positions: M, whole positions of the keys; later ones are hidden by the causal mask.
    buckets: K, at least 2; 32 in T5.
    max_distance: d, above e; 128 in T5. Farther keys share the last bucket.

    Returns N M, buckets from 0 to K - 1; 0 also for keys after their query.

    Raises AxesError for fewer buckets or too small a distance.

    Elsewhere: the encoder's form is `relative_buckets`, which has half as many for each direction.

    Paper: Raffel et al. 2020, "Exploring the limits of transfer learning with a unified
    text-to-text Transformer", section 2.1; the rule is that of its code.

    >>> keys = np.array([0, 24, 25, 39, 40, 41])
    >>> relative_buckets_causal(np.array([40]), keys, buckets=32, max_distance=128)
    array([[23, 16, 15,  1,  0,  0]])
    """
    exact = buckets // 2
    if exact < 1 or max_distance <= exact:
        raise AxesError(
            f"relative_buckets_causal: buckets has {buckets} and max_distance {max_distance}, "
            "expected at least 2 buckets and a distance above half of it"
        )
    distance = np.maximum(query_positions[:, None] - key_positions, 0)  # N M
    share = np.log(np.maximum(distance, exact) / exact) / np.log(max_distance / exact)
    far = np.minimum(exact + np.floor(share * (buckets - exact)), buckets - 1).astype(int)
    return np.where(distance < exact, distance, far)  # N M


def relative_bias(
    table: Float[Array, "K H"],
    buckets: Index[Array, "N M", "K"],
) -> Float[Array, "H N M"]:
    r"""A bias for each head, learned for each bucket of distances.

    $$b_{hnm} = W_{k_{nm},\, h}$$

    table: K H, for each bucket a number for each head.
    buckets: N M, the bucket of each query and key, zero-based, below K.

    Returns H N M, to be added to the scores of every sample and, in T5, of every layer.

    Raises AxesError for a bucket below 0 or not below K.

    Elsewhere: Swin has such a table for the offsets within a window. T5 has none in attention
    to its encoder.

    Paper: Raffel et al. 2020, "Exploring the limits of transfer learning with a unified
    text-to-text Transformer", section 2.1.

    >>> relative_bias(np.array([[0.5], [2.0]]), np.array([[0, 1, 1]]))
    array([[[0.5, 2. , 2. ]]])
    """
    return np.moveaxis(table[buckets], -1, 0)  # H N M


def relative_bias_vjp(
    table: Float[Array, "K H"],
    buckets: Index[Array, "N M", "K"],
    grad: Float[Array, "H N M"],
) -> Float[Array, "K H"]:
    r"""The gradient of the table of a relative bias: the sum of grad over each bucket.

    $$\bar W_{kh} = \sum_{nm} [k_{nm} = k]\, \bar b_{hnm}$$

    table: K H, the biases; only its shape counts.
    buckets: N M, the bucket of each query and key, zero-based, below K.
    grad: H N M, the gradient with respect to the bias, over samples and layers added already.

    Returns K H, the gradient of the table; zero in buckets that are empty.

    Raises AxesError for a bucket below 0 or not below K.

    Elsewhere: frameworks add in any order; on GPUs it may differ from run to run.

    Paper: Raffel et al. 2020, "Exploring the limits of transfer learning with a unified
    text-to-text Transformer", section 2.1, differentiated.

    >>> relative_bias_vjp(np.zeros((3, 1)), np.array([[0, 1, 0]]), np.array([[[1.0, 2.0, 4.0]]]))
    array([[5.],
           [2.],
           [0.]])
    """
    K, H = table.shape
    places = np.eye(K)[buckets].reshape(-1, K)  # N*M K
    return places.T @ grad.reshape(H, -1).T  # K H


def as_grid(positions, rows, cols):
    """Rows of a table behind the first one, as one image whose channels are their width."""
    columns = np.swapaxes(positions[1:], 0, 1)  # D rows*cols
    return np.reshape(columns, (1, -1, rows, cols))  # 1 D rows cols


def resize_positions(
    positions: Float[Array, "rows*cols+1 D"],
    rows: Size[int, "rows"],
    cols: Size[int, "cols"],
    tall: Size[int, "tall"],
    wide: Size[int, "wide"],
) -> Float[Array, "tall*wide+1 D"]:
    r"""Resize a table of positions for images of another size; the class token's row stays.

    $$y_0 = x_0, \qquad y_{1 + i w' + j} = \sum_{kl} W_{ik}\, V_{jl}\, x_{1 + k w + l}$$

    positions: rows*cols+1 D, the class token first, then the patches row by row.
    rows: rows of the grid that it was learned for.
    cols: columns of that grid.
    tall: rows of the new grid.
    wide: columns of that grid.

    Returns tall*wide+1 D; W and V are the antialiased bicubic weights of `resize_bicubic`.

    Raises AxesError for a table that is no such grid, or one without patches.

    Elsewhere: timm does the same. Hugging Face and DINOv2 use torch's plain bicubic filter, which
    has another slope and does not widen when shrinking. The first Vision Transformer interpolates
    linearly with corners aligned.

    Paper: Dosovitskiy et al. 2021, "An image is worth 16x16 words: Transformers for image
    recognition at scale", section 3.2, which leaves the filter open.

    >>> resize_positions(np.array([[9.0], [0.0], [8.0]]), 1, 2, 1, 1)
    array([[9.],
           [4.]])
    """
    D = positions.shape[1]
    resized = resize_bicubic(as_grid(positions, rows, cols), tall, wide)  # 1 D tall wide
    patches = np.swapaxes(np.reshape(resized, (D, tall * wide)), 0, 1)  # tall*wide D
    return np.concatenate((positions[:1], patches), axis=0)  # tall*wide+1 D


def resize_positions_vjp(
    positions: Float[Array, "rows*cols+1 D"],
    rows: Size[int, "rows"],
    cols: Size[int, "cols"],
    tall: Size[int, "tall"],
    wide: Size[int, "wide"],
    grad: Float[Array, "tall*wide+1 D"],
) -> Float[Array, "rows*cols+1 D"]:
    r"""The gradient of a loss that follows resized positions: the transposed map.

    $$\bar x_0 = \bar y_0, \qquad
    \bar x_{1 + k w + l} = \sum_{ij} W_{ik}\, V_{jl}\, \bar y_{1 + i w' + j}$$

    positions: rows*cols+1 D, the table; only its shape counts.
    rows: rows of the grid that it was learned for.
    cols: columns of that grid.
    tall: rows of the new grid.
    wide: columns of that grid.
    grad: tall*wide+1 D, the gradient with respect to the resized table.

    Returns rows*cols+1 D, the gradient of the table.

    Raises AxesError for a table that is no such grid, or one without patches.

    Elsewhere: most resize once, when weights are read, and train the resized table.

    Paper: Dosovitskiy et al. 2021, "An image is worth 16x16 words: Transformers for image
    recognition at scale", section 3.2, differentiated.

    >>> grad = np.array([[1.0], [6.0]])
    >>> resize_positions_vjp(np.zeros((3, 1)), 1, 2, 1, 1, grad)
    array([[1.],
           [3.],
           [3.]])
    """
    D = grad.shape[1]
    arrived = as_grid(grad, tall, wide)  # 1 D tall wide
    back = resize_bicubic_vjp(as_grid(positions, rows, cols), tall, wide, arrived)
    patches = np.swapaxes(np.reshape(back, (D, rows * cols)), 0, 1)  # rows*cols D
    return np.concatenate((grad[:1], patches), axis=0)  # rows*cols+1 D
