"""Patch embedding: how an image, a position and a time become tokens."""

import numpy as np

from refimpl.axes import Array, Float, Size, Time
from refimpl.constants import constant
from refimpl.ops.layers.reference import linear, linear_vjp


def patchify(
    images: Float[Array, "B channels rows*P cols*P"],
    patch: Size[int, "P"],
) -> Float[Array, "B rows*cols channels*P*P"]:
    r"""Cut images into square patches, row by row, and flatten each patch into a vector.

    $$x_{b,\; r\,\mathrm{cols} + c,\; (k P + i) P + j} =
    \mathrm{image}_{b,\, k,\, r P + i,\, c P + j}$$

    images: B channels rows*P cols*P, pixels in any range and unit.
    patch: P, the side of a patch in pixels.

    Returns B rows*cols channels*P*P, the patches in reading order; within a patch the channel
    varies slowest and the column fastest.

    Raises AxesError for images whose height or width is not a multiple of the patch side.

    Elsewhere: Flax kernels, MAE and vit-pytorch flatten as (row, column, channel). A convolution
    without padding drops the pixels that remain at the right and at the bottom. Qwen2-VL orders
    the patches by blocks of 2 × 2.

    Paper: Dosovitskiy et al. 2021, "An Image is Worth 16x16 Words: Transformers for Image
    Recognition at Scale", section 3.1.

    >>> patchify(np.arange(8).reshape(1, 1, 2, 4), 2)
    array([[[0, 1, 4, 5],
            [2, 3, 6, 7]]])
    """
    B, channels, height, width = images.shape
    rows, cols = height // patch, width // patch
    grid = np.reshape(images, (B, channels, rows, patch, cols, patch))
    grid = np.transpose(grid, (0, 2, 4, 1, 3, 5))  # B rows cols channels P P
    return np.reshape(grid, (B, rows * cols, channels * patch * patch))


def unpatchify(
    patches: Float[Array, "B rows*cols channels*P*P"],
    patch: Size[int, "P"],
    rows: Size[int, "rows"],
    channels: Size[int, "channels"],
) -> Float[Array, "B channels rows*P cols*P"]:
    r"""Put patches back into images: the inverse of `patchify`.

    $$\mathrm{image}_{b,\, k,\, r P + i,\, c P + j} =
    x_{b,\; r\,\mathrm{cols} + c,\; (k P + i) P + j}$$

    patches: B rows*cols channels*P*P, in reading order, each flattened as (channel, row, column).
    patch: P, the side of a patch in pixels.
    rows: rows of patches in an image; the number of columns follows from it.
    channels: image channels.

    Returns B channels rows*P cols*P, images with the numbers of the patches unchanged.

    Raises AxesError for a number of patches that is not a multiple of the rows, or a patch width
    other than channels*P*P.

    Elsewhere: MAE and DiT read a patch as (row, column, channel) and take the grid to be square.

    Paper: Dosovitskiy et al. 2021, "An Image is Worth 16x16 Words: Transformers for Image
    Recognition at Scale", section 3.1, read backwards.

    >>> unpatchify(np.array([[[0, 1, 4, 5], [2, 3, 6, 7]]]), patch=2, rows=1, channels=1)
    array([[[[0, 1, 2, 3],
             [4, 5, 6, 7]]]])
    """
    B, N, _ = patches.shape
    cols = N // max(rows, 1)
    grid = np.reshape(patches, (B, rows, cols, channels, patch, patch))
    grid = np.transpose(grid, (0, 3, 1, 4, 2, 5))  # B channels rows P cols P
    return np.reshape(grid, (B, channels, rows * patch, cols * patch))


def patch_embed(
    images: Float[Array, "B channels rows*P cols*P"],
    weight: Float[Array, "D channels P P"],
    bias: Float[Array, "D"] | None,
) -> Float[Array, "B rows*cols D"]:
    r"""Map every patch of an image linearly to a token: a convolution of stride P, unpadded.

    $$z_{b,\; r\,\mathrm{cols} + c,\; d} = \mathrm{bias}_d + \sum_{k,i,j} W_{dkij}\,
    \mathrm{image}_{b,\, k,\, r P + i,\, c P + j}$$

    images: B channels rows*P cols*P, normalised pixels in any range.
    weight: D channels P P, one kernel for each output feature, not flipped.
    bias: D, added to every token; None for no bias.

    Returns B rows*cols D, tokens in reading order.

    Raises AxesError for images whose height or width is not a multiple of the patch side.

    Elsewhere: ViT and SigLIP have a bias, CLIP has none. JAX and TensorFlow store the kernel as
    (row, column, channel, feature), which is another order of the same sum.

    Paper: Dosovitskiy et al. 2021, "An Image is Worth 16x16 Words: Transformers for Image
    Recognition at Scale", equation 1.

    >>> image = np.array([[[[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]]]])
    >>> patch_embed(image, weight=np.ones((1, 1, 2, 2)), bias=np.array([0.5]))
    array([[[14.5],
            [22.5]]])
    """
    D, channels, patch, _ = weight.shape
    patches = patchify(images, patch)  # B N channels*P*P
    return linear(patches, np.reshape(weight, (D, channels * patch * patch)), bias)  # B N D


def patch_embed_vjp(
    images: Float[Array, "B channels rows*P cols*P"],
    weight: Float[Array, "D channels P P"],
    grad: Float[Array, "B rows*cols D"],
) -> tuple[
    Float[Array, "B channels rows*P cols*P"], Float[Array, "D channels P P"], Float[Array, "D"]
]:
    r"""The gradients of a loss that follows a patch embedding: a dense layer's, patch by patch.

    $$\overline{\mathrm{image}}_{b,\, k,\, r P + i,\, c P + j} = \sum_d W_{dkij}\,
    \bar z_{b,\; r\,\mathrm{cols} + c,\; d}, \qquad
    \overline{W}_{dkij} = \sum_{b,r,c} \bar z_{b,\; r\,\mathrm{cols} + c,\; d}\,
    \mathrm{image}_{b,\, k,\, r P + i,\, c P + j}, \qquad
    \overline{\mathrm{bias}}_d = \sum_{b,r,c} \bar z_{b,\; r\,\mathrm{cols} + c,\; d}$$

    images: B channels rows*P cols*P, the images that were embedded.
    weight: D channels P P, one kernel for each output feature, not flipped.
    grad: B rows*cols D, the gradient with respect to the tokens, in reading order.

    Returns B channels rows*P cols*P, the gradient of the images; D channels P P, of the weight;
    and D, of the bias.

    Raises AxesError for images whose height or width is not a multiple of the patch side, or a
    number of tokens other than that of the patches.

    Elsewhere: the gradient of the images is a transposed convolution of stride P; as the patches
    do not overlap, nothing is added up.

    Paper: Dosovitskiy et al. 2021, "An Image is Worth 16x16 Words: Transformers for Image
    Recognition at Scale", equation 1 differentiated.

    >>> image, weight = np.array([[[[1.0, 2.0, 3.0, 4.0]] * 2]]), np.array([[[[1.0, 2], [3, 4]]]])
    >>> patch_embed_vjp(image, weight, np.array([[[1.0], [10.0]]]))[0]
    array([[[[ 1.,  2., 10., 20.],
             [ 3.,  4., 30., 40.]]]])
    """
    D, channels, patch, _ = weight.shape
    rows = images.shape[2] // patch
    patches = patchify(images, patch)  # B N channels*P*P
    kernels = np.reshape(weight, (D, channels * patch * patch))
    patches_grad, weight_grad, bias_grad = linear_vjp(patches, kernels, grad)
    images_grad = unpatchify(patches_grad, patch, rows, channels)
    return images_grad, np.reshape(weight_grad, weight.shape), bias_grad


def vit_tokens(
    patches: Float[Array, "B N D"],
    class_token: Float[Array, "D"],
    positions: Float[Array, "N+1 D"],
) -> Float[Array, "B N+1 D"]:
    r"""Put the class token before the patches and add a position vector to every token.

    $$z_0 = [x_{\mathrm{class}};\; z^1;\; \dots;\; z^N] + E_{\mathrm{pos}}$$

    patches: B N D, embedded patches in reading order.
    class_token: D, the same for every image.
    positions: N+1 D, one vector for each token; row 0 belongs to the class token.

    Returns B N+1 D, the class token at index 0, patch n (zero-based) at index n+1.

    Raises AxesError for a table of positions without exactly one row more than there are patches.

    Elsewhere: DeiT III has N rows of positions and gives the class token none. CLIP applies a
    layer norm to the result. The first Transformer multiplies embeddings by the root of D before
    positions are added.

    Paper: Dosovitskiy et al. 2021, "An Image is Worth 16x16 Words: Transformers for Image
    Recognition at Scale", equation 1.

    >>> vit_tokens(np.array([[[1.0], [2.0]]]), np.array([9.0]), np.array([[0.1], [0.2], [0.3]]))
    array([[[9.1],
            [1.2],
            [2.3]]])
    """
    B, _, D = patches.shape
    first = np.broadcast_to(class_token, (B, 1, D))
    return np.concatenate((first, patches), axis=1) + positions  # B N+1 D


def vit_tokens_vjp(
    grad: Float[Array, "B N+1 D"],
) -> tuple[Float[Array, "B N D"], Float[Array, "D"], Float[Array, "N+1 D"]]:
    r"""The gradients of a loss that follows the tokens; class token and positions get sums.

    $$\bar z^n_b = \bar z_{0,b,n}, \qquad \bar x_{\mathrm{class}} = \sum_b \bar z_{0,b,0}, \qquad
    \bar E_{\mathrm{pos}} = \sum_b \bar z_{0,b}$$

    grad: B N+1 D, the gradient with respect to the tokens, the class token at index 0.

    Returns B N D, the gradient of the patches; D, of the class token; and N+1 D, of the positions.

    Raises AxesError for a grad that has not three axes.

    Elsewhere: fixed positions, such as sines, need no gradient.

    Paper: Dosovitskiy et al. 2021, "An Image is Worth 16x16 Words: Transformers for Image
    Recognition at Scale", equation 1 differentiated.

    >>> vit_tokens_vjp(np.array([[[1.0], [2.0]], [[10.0], [20.0]]]))[1:]
    (array([11.]), array([[11.],
           [22.]]))
    """
    positions_grad = np.sum(grad, axis=0)  # N+1 D
    return grad[:, 1:], positions_grad[0], positions_grad


def sinusoidal_positions(
    positions: Time[Array, "N"],
    half: Size[int, "E"],
) -> Float[Array, "N 2*E"]:
    r"""Encode positions as sines and cosines of falling frequencies, side by side in pairs.

    $$\mathrm{PE}_{p,2i} = \sin\frac{p}{10000^{i/E}}, \qquad
    \mathrm{PE}_{p,2i+1} = \cos\frac{p}{10000^{i/E}}, \qquad i = 0, \dots, E - 1$$

    positions: N, zero-based, not negative; fractions are allowed.
    half: E, the number of frequencies, half the width of the result.

    Returns N 2*E, numbers in [-1, 1]; sines in even columns, cosines in odd ones.

    Raises AxesError for a negative position.

    Elsewhere: tensor2tensor puts all sines before all cosines and lets the exponents run from 0
    to 1 inclusive, i / (E - 1); MAE has the blocks of sines and cosines with the exponents above.

    Paper: Vaswani et al. 2017, "Attention Is All You Need", section 3.5.

    >>> sinusoidal_positions(np.array([0.0, 1.0]), half=2).round(4)
    array([[0.    , 1.    , 0.    , 1.    ],
           [0.8415, 0.5403, 0.01  , 1.    ]])
    """
    log_base = np.log(constant(10000, positions))
    frequencies = np.exp(-log_base * np.arange(half) / half)  # E
    angles = positions[:, None] * frequencies  # N E
    pairs = np.stack((np.sin(angles), np.cos(angles)), axis=-1)  # N E 2
    return np.reshape(pairs, (len(positions), 2 * half))  # N 2*E


def timestep_embedding(
    t: Time[Array, "B"],
    half: Size[int, "E"],
) -> Float[Array, "B 2*E"]:
    r"""Encode diffusion times as cosines, then sines, of falling frequencies.

    $$\mathrm{TE}_t = [\cos(t\,\omega_0), \dots, \cos(t\,\omega_{E-1}),\;
    \sin(t\,\omega_0), \dots, \sin(t\,\omega_{E-1})], \qquad \omega_i = 10000^{-i/E}$$

    t: B, diffusion times, zero-based, not negative; of the order of 1000, fractions are allowed.
    half: E, the number of frequencies, half the width of the result.

    Returns B 2*E, numbers in [-1, 1].

    Raises AxesError for a negative time.

    Elsewhere: Ho et al. put sines first, with frequencies 10000^(-i / (E - 1)); diffusers chooses
    by flip_sin_to_cos and downscale_freq_shift. Where the width is odd, a zero is appended. Under
    respacing the time of the full schedule is embedded, not the index of the short one.

    Paper: Ho et al. 2020, "Denoising Diffusion Probabilistic Models", appendix B; this layout is
    that of Dhariwal and Nichol 2021, "Diffusion Models Beat GANs on Image Synthesis".

    >>> timestep_embedding(np.array([0.0, 10.0]), half=2).round(4)
    array([[ 1.    ,  1.    ,  0.    ,  0.    ],
           [-0.8391,  0.995 , -0.544 ,  0.0998]])
    """
    log_base = np.log(constant(10000, t))
    frequencies = np.exp(-log_base * np.arange(half) / half)  # E
    angles = t[:, None] * frequencies  # B E
    return np.concatenate((np.cos(angles), np.sin(angles)), axis=-1)  # B 2*E
