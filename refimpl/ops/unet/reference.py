"""U-Nets: residual blocks told the time, attention over pixels, Transformer blocks that read words.

A U-Net halves its maps level by level, then doubles them again beside what it kept on the way down.
At each level stand the blocks of this chapter.
"""

import numpy as np

from refimpl.axes import Array, AxesError, Bias, Epsilon, Float, Size, Stride, Time, Weight
from refimpl.ops.attention.reference import attention, join_heads, split_heads
from refimpl.ops.convolution.reference import conv2d
from refimpl.ops.gates.reference import geglu
from refimpl.ops.layers.reference import group_norm, layer_norm, linear, silu
from refimpl.ops.patch_embedding.reference import timestep_embedding


def check_divides(op, name, number, channels):
    """Refuse groups or heads that do not part the channels evenly."""
    if channels % number:
        raise AxesError(f"{op}: {name} is {number}, expected a divisor of channels={channels}")


def time_mlp(
    emb: Float[Array, "B D"],
    in_weight: Weight[Array, "O D"],
    in_bias: Weight[Array, "O"],
    out_weight: Weight[Array, "O O"],
    out_bias: Weight[Array, "O"],
) -> Float[Array, "B O"]:
    r"""The two-layer network that turns the time into a condition for every block of a U-Net.

    $$y = W_2\,\operatorname{silu}(W_1 e + b_1) + b_2$$

    emb: B D, the time as cosines and sines, or another condition as a vector.
    in_weight: O D, the first layer.
    in_bias: O, its bias.
    out_weight: O O, the second layer.
    out_bias: O, its bias.

    Returns B O, in practice four times as wide as the level with the largest maps.

    Raises AxesError for widths that do not fit.

    Elsewhere: each residual block applies one more silu before its own projection. SDXL passes
    sizes and pooled text through a second network of this form and adds the two results; guided
    diffusion adds a row of a table of classes.

    Paper: Ho et al. 2020, "Denoising Diffusion Probabilistic Models", appendix B.

    >>> emb, one, none = np.array([[2.0, -2.0]]), np.eye(2), np.zeros(2)
    >>> time_mlp(emb, one, none, one, none).round(4)
    array([[ 1.7616, -0.2384]])
    """
    hidden = silu(linear(emb, in_weight, in_bias))  # B O
    return linear(hidden, out_weight, out_bias)  # B O


def micro_conditions(
    sizes: Time[Array, "B 6"],
    half: Size[int, "E"],
) -> Float[Array, "B 12*E"]:
    r"""Encode six sizes of an image as cosines and sines, one after the other.

    $$y = [\mathrm{TE}(s_0), \mathrm{TE}(s_1), \dots, \mathrm{TE}(s_5)]$$

    with the cosines, then the sines, of `timestep_embedding`.

    sizes: B 6, in pixels: height and width of the original, top and left of the crop, height and
        width of the target.
    half: E, the number of frequencies for each size.

    Returns B 12*E, numbers in [-1, 1].

    Raises AxesError for other than six sizes, or a negative one.

    Elsewhere: SDXL has 128 frequencies and puts the 1536 numbers behind the pooled text. Its
    refiner takes five numbers, with an aesthetic score instead of the target's size.

    Paper: Podell et al. 2023, "SDXL: Improving latent diffusion models for high-resolution image
    synthesis", section 2.2.

    >>> micro_conditions(np.array([[2.0, 0, 0, 0, 0, 0]]), half=1).round(4)
    array([[-0.4161,  0.9093,  1.    ,  0.    ,  1.    ,  0.    ,  1.    ,
             0.    ,  1.    ,  0.    ,  1.    ,  0.    ]])
    """
    each = timestep_embedding(np.reshape(sizes, (sizes.size,)), half)  # B*6 2*E
    return np.reshape(each, (len(sizes), 12 * half))


def activated_conv(x, gain, shift, weight, bias, groups, eps):
    """Group normalisation, silu, and three by three taps: half of a residual block."""
    return conv2d(silu(group_norm(x, gain, shift, groups, eps)), weight, bias, 1, 1, 1, 1, 1)


def skipped(op, x, channels, weight, bias):
    """What goes past a block: the map itself, or a dense layer over its channels."""
    if weight is not None:
        return conv2d(x, weight, bias, 1, 0, 0, 1, 1)
    if x.shape[1] != channels:
        raise AxesError(
            f"{op}: skip_weight is None for {x.shape[1]} channels in and {channels} out, "
            "expected as many out as in, or a weight"
        )
    return x


def residual_block(
    x: Float[Array, "B G*C height width"],
    emb: Float[Array, "B D"],
    norm1_gain: Weight[Array, "G*C"],
    norm1_bias: Weight[Array, "G*C"],
    conv1_weight: Weight[Array, "G*O G*C 3 3"],
    conv1_bias: Weight[Array, "G*O"],
    emb_weight: Weight[Array, "G*O D"],
    emb_bias: Weight[Array, "G*O"],
    norm2_gain: Weight[Array, "G*O"],
    norm2_bias: Weight[Array, "G*O"],
    conv2_weight: Weight[Array, "G*O G*O 3 3"],
    conv2_bias: Weight[Array, "G*O"],
    skip_weight: Weight[Array, "G*O G*C 1 1"] | None,
    skip_bias: Weight[Array, "G*O"] | None,
    groups: Size[int, "G"],
    eps: Epsilon[float, ""],
) -> Float[Array, "B G*O height width"]:
    r"""A residual block of two convolutions, with the time added between them.

    $$\begin{aligned}
    h &= \mathrm{conv}_1(\operatorname{silu}(\mathrm{GN}_1(x))) +
    W_e\,\operatorname{silu}(e) + b_e \\
    y &= \mathrm{conv}_2(\operatorname{silu}(\mathrm{GN}_2(h))) + W_s x + b_s
    \end{aligned}$$

    x: B G*C height width, feature maps.
    emb: B D, the time from `time_mlp`; the block itself applies a silu to it.
    norm1_gain: G*C, of the first normalisation.
    norm1_bias: G*C, of the first normalisation.
    conv1_weight: G*O G*C 3 3, of the first convolution.
    conv1_bias: G*O, of the first convolution.
    emb_weight: G*O D, from the time to one number for each channel.
    emb_bias: G*O, added to it.
    norm2_gain: G*O, of the second normalisation.
    norm2_bias: G*O, of the second normalisation.
    conv2_weight: G*O G*O 3 3, of the second convolution.
    conv2_bias: G*O, of the second convolution.
    skip_weight: G*O G*C 1 1, of the skip connection; None where channels stay.
    skip_bias: G*O, of the skip connection; None where there is no weight, or for no bias.
    groups: G, of both normalisations.
    eps: scalar ≥ 0, of both normalisations.

    Returns B G*O height width.

    Raises AxesError where the channels change and there is no skip_weight.

    Elsewhere: the block of Ho's U-Net (eps 1e-6) and of Stable Diffusion's (1e-5). Autoencoders
    leave the time out. Some other blocks divide the sum by the root of two. Older
    releases have a skip connection of three by three taps ("conv_shortcut").

    Paper: Ho et al. 2020, "Denoising Diffusion Probabilistic Models", appendix B.

    >>> one, none = np.ones(1), np.zeros(1)
    >>> zero = np.zeros((1, 1, 3, 3))
    >>> block = one, none, zero, none, one[:, None], none, one, none, zero, none, None, None
    >>> residual_block(np.array([[[[1.0, 2.0]]]]), np.ones((1, 1)), *block, 1, 1e-5)
    array([[[[1., 2.]]]])
    """
    h = activated_conv(x, norm1_gain, norm1_bias, conv1_weight, conv1_bias, groups, eps)
    told = linear(silu(emb), emb_weight, emb_bias)  # B G*O
    h = h + told[:, :, None, None]  # B G*O height width
    h = activated_conv(h, norm2_gain, norm2_bias, conv2_weight, conv2_bias, groups, eps)
    return skipped("residual_block", x, len(conv2_weight), skip_weight, skip_bias) + h


def residual_block_scale_shift(
    x: Float[Array, "B G*C height width"],
    emb: Float[Array, "B D"],
    norm1_gain: Weight[Array, "G*C"],
    norm1_bias: Weight[Array, "G*C"],
    conv1_weight: Weight[Array, "G*O G*C 3 3"],
    conv1_bias: Weight[Array, "G*O"],
    emb_weight: Weight[Array, "2*G*O D"],
    emb_bias: Weight[Array, "2*G*O"],
    norm2_gain: Weight[Array, "G*O"],
    norm2_bias: Weight[Array, "G*O"],
    conv2_weight: Weight[Array, "G*O G*O 3 3"],
    conv2_bias: Weight[Array, "G*O"],
    skip_weight: Weight[Array, "G*O G*C 1 1"] | None,
    skip_bias: Weight[Array, "G*O"] | None,
    groups: Size[int, "G"],
    eps: Epsilon[float, ""],
) -> Float[Array, "B G*O height width"]:
    r"""A residual block in which the time scales and shifts the second normalisation.

    $$\begin{aligned}
    h &= \mathrm{conv}_1(\operatorname{silu}(\mathrm{GN}_1(x))), \qquad
    [s;\, t] = W_e\,\operatorname{silu}(e) + b_e \\
    y &= \mathrm{conv}_2(\operatorname{silu}((1 + s) \odot \mathrm{GN}_2(h) + t)) + W_s x + b_s
    \end{aligned}$$

    x: B G*C height width, feature maps.
    emb: B D, the time from `time_mlp`; the block itself applies a silu to it.
    norm1_gain: G*C, of the first normalisation.
    norm1_bias: G*C, of the first normalisation.
    conv1_weight: G*O G*C 3 3, of the first convolution.
    conv1_bias: G*O, of the first convolution.
    emb_weight: 2*G*O D, rows of all scales, then of all shifts.
    emb_bias: 2*G*O, added to them, in the same order.
    norm2_gain: G*O, of the second normalisation, before scale and shift.
    norm2_bias: G*O, of the second normalisation, before scale and shift.
    conv2_weight: G*O G*O 3 3, of the second convolution.
    conv2_bias: G*O, of the second convolution.
    skip_weight: G*O G*C 1 1, of the skip connection; None where channels stay.
    skip_bias: G*O, of the skip connection; None where there is no weight, or for no bias.
    groups: G, of both normalisations.
    eps: scalar ≥ 0, of both normalisations.

    Returns B G*O height width.

    Raises AxesError where the channels change and there is no skip_weight.

    Elsewhere: the block of guided diffusion (eps 1e-5), GLIDE and the decoders of DALL·E 2, where
    images are resized inside a block: before the first convolution, and on the skip.

    Paper: Dhariwal and Nichol 2021, "Diffusion Models Beat GANs on Image Synthesis", section 3.1.

    >>> one, none = np.ones(1), np.zeros(1)
    >>> zero, two = np.zeros((1, 1, 3, 3)), np.zeros(2)
    >>> block = one, none, zero, none, two[:, None], two, one, none, zero, none, None, None
    >>> residual_block_scale_shift(np.array([[[[1.0, 2.0]]]]), np.ones((1, 1)), *block, 1, 1e-5)
    array([[[[1., 2.]]]])
    """
    h = activated_conv(x, norm1_gain, norm1_bias, conv1_weight, conv1_bias, groups, eps)
    told = linear(silu(emb), emb_weight, emb_bias)[:, :, None, None]  # B 2*G*O 1 1
    scale, shift = np.split(told, 2, axis=1)  # B G*O 1 1 each
    normal = group_norm(h, norm2_gain, norm2_bias, groups, eps)  # B G*O height width
    h = conv2d(silu(normal * (1 + scale) + shift), conv2_weight, conv2_bias, 1, 1, 1, 1, 1)
    passed = skipped("residual_block_scale_shift", x, len(conv2_weight), skip_weight, skip_bias)
    return passed + h


def as_tokens(x):
    """The pixels of a map, row by row, each a token of its channels."""
    B, channels, height, width = x.shape
    return np.swapaxes(np.reshape(x, (B, channels, height * width)), 1, 2)  # B N channels


def as_map(tokens, height, width):
    """The tokens of all pixels as a map again."""
    B, _, channels = tokens.shape
    return np.reshape(np.swapaxes(tokens, 1, 2), (B, channels, height, width))


def spatial_attention(
    x: Float[Array, "B channels height width"],
    norm_gain: Weight[Array, "channels"],
    norm_bias: Weight[Array, "channels"],
    in_weight: Weight[Array, "3*channels channels"],
    in_bias: Weight[Array, "3*channels"],
    out_weight: Weight[Array, "channels channels"],
    out_bias: Weight[Array, "channels"],
    heads: Stride[int, ""],
    groups: Stride[int, ""],
    eps: Epsilon[float, ""],
) -> Float[Array, "B channels height width"]:
    r"""Self-attention between all pixels of a map, added to the map.

    $$y = x + W_o\,\mathrm{Concat}_h\,\mathrm{Attention}(W_h^Q n,\, W_h^K n,\, W_h^V n) + b_o,
    \qquad n = \mathrm{GN}(x)$$

    x: B channels height width, feature maps.
    norm_gain: channels, of the normalisation.
    norm_bias: channels, of the normalisation.
    in_weight: 3*channels channels, rows of all queries, then of all keys, then of all values;
        head by head inside each.
    in_bias: 3*channels, in the same order.
    out_weight: channels channels, of the projection behind the heads.
    out_bias: channels, of the projection behind the heads.
    heads: the number of heads, a divisor of the channels.
    groups: of the normalisation, a divisor of the channels.
    eps: scalar ≥ 0, of the normalisation.

    Returns B channels height width.

    Raises AxesError for heads or groups that do not divide the channels.

    Elsewhere: weights are kept as kernels of one tap. Guided diffusion's legacy order has queries,
    keys and values inside each head; its new order is this one. Autoencoders have one head.

    Paper: Ho et al. 2020, "Denoising Diffusion Probabilistic Models", appendix B; with several
    heads Dhariwal and Nichol 2021, "Diffusion Models Beat GANs on Image Synthesis", section 3.

    >>> weights = np.ones(1), np.zeros(1), np.ones((3, 1)), np.zeros(3), np.ones((1, 1)), np.ones(1)
    >>> spatial_attention(np.array([[[[3.0, 3.0]]]]), *weights, heads=1, groups=1, eps=1e-6)
    array([[[[4., 4.]]]])
    """
    _, channels, height, width = x.shape
    check_divides("spatial_attention", "heads", heads, channels)
    check_divides("spatial_attention", "groups", groups, channels)
    normal = group_norm(x, norm_gain, norm_bias, groups, eps)
    projected = linear(as_tokens(normal), in_weight, in_bias)  # B N 3*channels
    query, key, value = (split_heads(z, heads) for z in np.split(projected, 3, axis=-1))
    mixed = join_heads(attention(query, key, value, None))  # B N channels
    return x + as_map(linear(mixed, out_weight, out_bias), height, width)


def cross_attention(
    x: Float[Array, "B N channels"],
    memory: Float[Array, "B M words"],
    query_weight: Weight[Array, "channels channels"],
    memory_weight: Weight[Array, "2*channels words"],
    out_weight: Weight[Array, "channels channels"],
    out_bias: Weight[Array, "channels"],
    heads: Stride[int, ""],
    bias: Bias[Array, "broadcastable B 1 N M"] | None,
) -> Float[Array, "B N channels"]:
    r"""Attention from tokens to other tokens, such as from pixels to the words of a caption.

    $$y = W_o\,\mathrm{Concat}_h\,\mathrm{Attention}(W_h^Q x,\, W_h^K m,\, W_h^V m) + b_o$$

    x: B N channels, the tokens that the queries come from.
    memory: B M words, the tokens m of keys and values, of any width; x itself in self-attention.
    query_weight: channels channels, of the queries; there is no bias.
    memory_weight: 2*channels words, rows of all keys, then of all values; there is no bias.
    out_weight: channels channels, of the projection behind the heads.
    out_bias: channels, of the projection behind the heads.
    heads: the number of heads, a divisor of the channels.
    bias: broadcastable to B 1 N M, added to the scores in nats; -inf hides, None hides none.

    Returns B N channels, without a residual.

    Raises AxesError for heads that do not divide the channels.

    Elsewhere: Stable Diffusion hides no token: pixels attend to padding, too. diffusers
    calls the number of heads attention_head_dim in the configurations of its U-Nets.

    Paper: Rombach et al. 2022, "High-resolution image synthesis with latent diffusion models",
    section 3.3.

    >>> x, memory, one = np.ones((1, 2, 1)), np.array([[[3.0], [5.0]]]), np.ones((1, 1))
    >>> cross_attention(x, memory, 0 * one, np.ones((2, 1)), one, np.zeros(1), 1, None)
    array([[[4.],
            [4.]]])
    """
    check_divides("cross_attention", "heads", heads, x.shape[-1])
    query = split_heads(linear(x, query_weight, None), heads)  # B H N E
    both = np.split(linear(memory, memory_weight, None), 2, axis=-1)  # B M channels each
    key, value = (split_heads(z, heads) for z in both)  # B H M E each
    return linear(join_heads(attention(query, key, value, bias)), out_weight, out_bias)


def gated_feed_forward(x, in_weight, in_bias, out_weight, out_bias):
    """A dense layer whose second half gates the first, and one back: GEGLU as it is packed."""
    up, gate = np.split(linear(x, in_weight, in_bias), 2, axis=-1)  # B N hidden each
    return linear(geglu(gate, up), out_weight, out_bias)  # B N channels


def transformer_block(
    x: Float[Array, "B N channels"],
    memory: Float[Array, "B M words"],
    norm1_gain: Weight[Array, "channels"],
    norm1_bias: Weight[Array, "channels"],
    self_weight: Weight[Array, "3*channels channels"],
    self_out_weight: Weight[Array, "channels channels"],
    self_out_bias: Weight[Array, "channels"],
    norm2_gain: Weight[Array, "channels"],
    norm2_bias: Weight[Array, "channels"],
    query_weight: Weight[Array, "channels channels"],
    memory_weight: Weight[Array, "2*channels words"],
    cross_out_weight: Weight[Array, "channels channels"],
    cross_out_bias: Weight[Array, "channels"],
    norm3_gain: Weight[Array, "channels"],
    norm3_bias: Weight[Array, "channels"],
    in_weight: Weight[Array, "2*hidden channels"],
    in_bias: Weight[Array, "2*hidden"],
    out_weight: Weight[Array, "channels hidden"],
    out_bias: Weight[Array, "channels"],
    heads: Stride[int, ""],
    bias: Bias[Array, "broadcastable B 1 N M"] | None,
    eps: Epsilon[float, ""],
) -> Float[Array, "B N channels"]:
    r"""Self-attention, cross-attention to the words, feed-forward: each normalised and added.

    $$\begin{aligned}
    h &= x + \mathrm{SelfAttention}(\mathrm{LN}_1(x)) \\
    h' &= h + \mathrm{CrossAttention}(\mathrm{LN}_2(h),\, m) \\
    y &= h' + W_2\,(u \odot \operatorname{GELU}(g)) + b_2, \qquad
    [u;\, g] = W_1\,\mathrm{LN}_3(h') + b_1
    \end{aligned}$$

    x: B N channels, the tokens.
    memory: B M words, the tokens of keys and values, not normalised here.
    norm1_gain: channels, before self-attention.
    norm1_bias: channels, before self-attention.
    self_weight: 3*channels channels, rows of all queries, all keys, all values, without bias.
    self_out_weight: channels channels, behind the heads.
    self_out_bias: channels, behind the heads.
    norm2_gain: channels, before cross-attention.
    norm2_bias: channels, before cross-attention.
    query_weight: channels channels, of the queries to the memory.
    memory_weight: 2*channels words, rows of all keys, then all values of the memory.
    cross_out_weight: channels channels, behind the heads.
    cross_out_bias: channels, behind the heads.
    norm3_gain: channels, before the feed-forward layers.
    norm3_bias: channels, before the feed-forward layers.
    in_weight: 2*hidden channels, rows of the values u, then of the gates g.
    in_bias: 2*hidden, in the same order.
    out_weight: channels hidden, back to the tokens.
    out_bias: channels, back to the tokens.
    heads: of both attentions, a divisor of the channels.
    bias: broadcastable to B 1 N M, added to the scores of the memory in nats; None hides nothing.
    eps: scalar ≥ 0, of all three normalisations.

    Returns B N channels.

    Raises AxesError for heads that do not divide the channels.

    Elsewhere: the block of Stable Diffusion, with eps 1e-5 and hidden = 4 channels, where queries,
    keys and values have a matrix each.

    Paper: Rombach et al. 2022, "High-resolution image synthesis with latent diffusion models",
    section 3.3 and appendix E.2.1.

    >>> one, none, m = np.ones(1), np.zeros(1), np.zeros((1, 1))
    >>> attend, cross = (np.zeros((3, 1)), m, none), (m, np.zeros((2, 1)), m, none)
    >>> think = np.zeros((2, 1)), np.zeros(2), m, none
    >>> block = one, none, *attend, one, none, *cross, one, none, *think
    >>> transformer_block(np.array([[[2.0]]]), np.ones((1, 3, 1)), *block, 1, None, 1e-5)
    array([[[2.]]])
    """
    channels = x.shape[-1]
    normal = layer_norm(x, norm1_gain, norm1_bias, eps)
    own, others = self_weight[:channels], self_weight[channels:]
    x = x + cross_attention(
        normal, normal, own, others, self_out_weight, self_out_bias, heads, None
    )
    normal = layer_norm(x, norm2_gain, norm2_bias, eps)
    weights = query_weight, memory_weight, cross_out_weight, cross_out_bias
    x = x + cross_attention(normal, memory, *weights, heads, bias)
    normal = layer_norm(x, norm3_gain, norm3_bias, eps)
    return x + gated_feed_forward(normal, in_weight, in_bias, out_weight, out_bias)


def spatial_transformer(
    x: Float[Array, "B channels height width"],
    memory: Float[Array, "B M words"],
    norm_gain: Weight[Array, "channels"],
    norm_bias: Weight[Array, "channels"],
    enter_weight: Weight[Array, "channels channels"],
    enter_bias: Weight[Array, "channels"],
    norm1_gain: Weight[Array, "channels"],
    norm1_bias: Weight[Array, "channels"],
    self_weight: Weight[Array, "3*channels channels"],
    self_out_weight: Weight[Array, "channels channels"],
    self_out_bias: Weight[Array, "channels"],
    norm2_gain: Weight[Array, "channels"],
    norm2_bias: Weight[Array, "channels"],
    query_weight: Weight[Array, "channels channels"],
    memory_weight: Weight[Array, "2*channels words"],
    cross_out_weight: Weight[Array, "channels channels"],
    cross_out_bias: Weight[Array, "channels"],
    norm3_gain: Weight[Array, "channels"],
    norm3_bias: Weight[Array, "channels"],
    in_weight: Weight[Array, "2*hidden channels"],
    in_bias: Weight[Array, "2*hidden"],
    out_weight: Weight[Array, "channels hidden"],
    out_bias: Weight[Array, "channels"],
    leave_weight: Weight[Array, "channels channels"],
    leave_bias: Weight[Array, "channels"],
    heads: Stride[int, ""],
    groups: Stride[int, ""],
    bias: Bias[Array, "broadcastable B 1 1 M"] | None,
    eps: Epsilon[float, ""],
    block_eps: Epsilon[float, ""],
) -> Float[Array, "B channels height width"]:
    r"""A Transformer block over the pixels of a map, between two projections, added to the map.

    $$y = x + W_l\,\mathrm{Block}(W_e\,\mathrm{GN}(x) + b_e,\; m) + b_l$$

    x: B channels height width, feature maps.
    memory: B M words, the tokens of a caption, not normalised here.
    norm_gain: channels, of the group normalisation.
    norm_bias: channels, of the group normalisation.
    enter_weight: channels channels, the projection from pixels to tokens.
    enter_bias: channels, from pixels to tokens.
    norm1_gain: channels, of the block, before self-attention.
    norm1_bias: channels, of the block, before self-attention.
    self_weight: 3*channels channels, rows of all queries, all keys, all values, without bias.
    self_out_weight: channels channels, behind the heads.
    self_out_bias: channels, behind the heads.
    norm2_gain: channels, of the block, before cross-attention.
    norm2_bias: channels, of the block, before cross-attention.
    query_weight: channels channels, of the queries to the memory.
    memory_weight: 2*channels words, rows of all keys, then all values of the memory.
    cross_out_weight: channels channels, behind the heads.
    cross_out_bias: channels, behind the heads.
    norm3_gain: channels, of the block, before the feed-forward layers.
    norm3_bias: channels, of the block, before the feed-forward layers.
    in_weight: 2*hidden channels, rows of the values u, then of the gates g.
    in_bias: 2*hidden, in the same order.
    out_weight: channels hidden, back to the tokens.
    out_bias: channels, back to the tokens.
    leave_weight: channels channels, from tokens to pixels.
    leave_bias: channels, from tokens to pixels.
    heads: of both attentions, a divisor of the channels.
    groups: of the group normalisation, a divisor of the channels.
    bias: broadcastable to B 1 1 M, added to the scores of the memory in nats; None hides nothing.
    eps: scalar ≥ 0, of the group normalisation.
    block_eps: scalar ≥ 0, of the layer normalisations in the block.

    Returns B channels height width.

    Raises AxesError for heads or groups that do not divide the channels.

    Elsewhere: Stable Diffusion has eps 1e-6 outside and 1e-5 inside, SDXL up to ten blocks. Version
    1 keeps the two outer layers as kernels of one tap, version 2 and SDXL as matrices.

    Paper: Rombach et al. 2022, "High-resolution image synthesis with latent diffusion models",
    appendix E.2.1.

    >>> one, none, m = np.ones(1), np.zeros(1), np.zeros((1, 1))
    >>> attend, cross = (np.zeros((3, 1)), m, none), (m, np.zeros((2, 1)), m, none)
    >>> think = np.zeros((2, 1)), np.zeros(2), m, none
    >>> block = one, none, *attend, one, none, *cross, one, none, *think
    >>> weights, how = (one, none, m, none, *block, m, one), (1, 1, None, 1e-6, 1e-5)
    >>> spatial_transformer(np.array([[[[2.0, 5.0]]]]), np.ones((1, 3, 1)), *weights, *how)
    array([[[[3., 6.]]]])
    """
    _, channels, height, width = x.shape
    check_divides("spatial_transformer", "groups", groups, channels)
    normal = group_norm(x, norm_gain, norm_bias, groups, eps)
    tokens = linear(as_tokens(normal), enter_weight, enter_bias)  # B N channels
    attend = norm1_gain, norm1_bias, self_weight, self_out_weight, self_out_bias
    read = norm2_gain, norm2_bias, query_weight, memory_weight, cross_out_weight, cross_out_bias
    think = norm3_gain, norm3_bias, in_weight, in_bias, out_weight, out_bias
    tokens = transformer_block(tokens, memory, *attend, *read, *think, heads, bias, block_eps)
    return x + as_map(linear(tokens, leave_weight, leave_bias), height, width)
