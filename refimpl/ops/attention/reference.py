"""Attention: queries look up keys and carry values away."""

import numpy as np

from refimpl.axes import Array, Bias, Count, Float, Label, Size
from refimpl.ops.layers.reference import linear, softmax
from refimpl.special import constant


def attention(
    query: Float[Array, "B G*R N E"],
    key: Float[Array, "B G M E"],
    value: Float[Array, "B G M F"],
    bias: Bias[Array, "broadcastable B G*R N M"] | None,
) -> Float[Array, "B G*R N F"]:
    r"""Attention: each query mixes the values of the keys that it resembles.

    $$O = \mathrm{softmax}\left(\frac{Q K^\top}{\sqrt{E}} + A\right) V$$

    query: B G*R N E, what is looked for; head h of the G*R heads reads key head h // R.
    key: B G M E, what it is compared with; R query heads share each of the G key heads.
    value: B G M F, what is carried away; its width F need not be the head width E.
    bias: broadcastable to B G*R N M, the A added to the scores in nats; -inf hides a key, None
        hides none.

    Returns B G*R N F, weighted means of the values; zeros for a query that sees no key.

    Raises AxesError for axes that disagree, such as heads that are no multiple of the key heads,
    and DomainError for a head width of 0.

    Elsewhere: torch's `scaled_dot_product_attention` needs `enable_gqa=True` to share key heads,
    and a boolean mask there is True where a key is seen; `nn.MultiheadAttention` means the
    opposite. A query without keys gives the mean of all values in JAX and wherever the most
    negative finite number hides keys, NaN with a plain softmax. T5 leaves the root out; ADM and
    GLIDE divide query and key by the fourth root of E each, which is the same.

    Paper: Vaswani et al. 2017, "Attention is all you need", equation 1; shared key heads are from
    Ainslie et al. 2023, "GQA: Training generalized multi-query Transformer models from multi-head
    checkpoints", section 2.2.

    >>> query, key = np.zeros((1, 1, 2, 4)), np.ones((1, 1, 2, 4))
    >>> value = np.array([[[[2.0], [8.0]]]])
    >>> bias = np.array([[0.0, 0.0], [0.0, -np.inf]])  # the second query sees the first key alone
    >>> attention(query, key, value, bias)[0, 0]
    array([[5.],
           [2.]])
    """
    heads, E = query.shape[1], query.shape[3]
    shared = heads // key.shape[1]  # query heads 0 .. R-1 look at key head 0, and so on
    key, value = np.repeat(key, shared, axis=1), np.repeat(value, shared, axis=1)  # B H M E, F
    scores = query @ np.swapaxes(key, -1, -2) / np.sqrt(constant(E, query))  # B H N M
    if bias is not None:
        scores = scores + bias
    return softmax(scores) @ value  # B H N F


def multi_head_attention(
    x: Float[Array, "B N H*E"],
    memory: Float[Array, "B M H*E"],
    in_weight: Float[Array, "3*H*E H*E"],
    in_bias: Float[Array, "3*H*E"] | None,
    out_weight: Float[Array, "H*E H*E"],
    out_bias: Float[Array, "H*E"] | None,
    heads: Size[int, "H"],
    bias: Bias[Array, "broadcastable B H N M"] | None,
) -> Float[Array, "B N H*E"]:
    r"""Attention in H subspaces at once, between a learned projection in and another out.

    $$\begin{aligned}
    y &= \mathrm{Concat}(\mathrm{head}_1, \dots, \mathrm{head}_H) W^{O\top} + b^O \\
    \mathrm{head}_h &= \mathrm{Attention}(x W_h^{Q\top} + b_h^Q,\;
    m W_h^{K\top} + b_h^K,\; m W_h^{V\top} + b_h^V)
    \end{aligned}$$

    x: B N H*E, the tokens that ask.
    memory: B M H*E, the tokens m that answer; x itself in self-attention.
    in_weight: 3*H*E H*E, rows of all queries, then of all keys, then of all values; inside each
        block head h owns the rows h*E to h*E + E - 1; zero-based.
    in_bias: 3*H*E, added to the projections in the same order; None adds nothing.
    out_weight: H*E H*E, from the heads side by side to the output.
    out_bias: H*E, added to the output; None adds nothing.
    heads: H, the number of heads, a divisor of the width.
    bias: broadcastable to B H N M, added to the scores in nats; -inf hides a key, None hides none.

    Returns B N H*E, the mixed tokens, without a residual.

    Raises AxesError for axes that disagree, such as a width that is no multiple of the heads.

    Elsewhere: torch's `nn.MultiheadAttention` packs alike, but takes N B D unless told
    `batch_first=True`. GPT-2 and JAX store weights transposed, as (in, out). GPT-NeoX, BLOOM and
    ADM's legacy order pack head by head: q, k and v of head 0, then those of head 1. CLIP and
    ViT add all three biases, BEiT and EVA leave that of the keys out, which changes nothing.

    Paper: Vaswani et al. 2017, "Attention is all you need", section 3.2.2.

    >>> x, identity = np.array([[[1.0, 0.0], [0.0, 1.0]]]), np.eye(2)
    >>> in_weight = np.concatenate([0 * identity, 0 * identity, identity])  # equal scores
    >>> multi_head_attention(x, x, in_weight, None, identity, None, 2, None)
    array([[[0.5, 0.5],
            [0.5, 0.5]]])
    """
    D = x.shape[-1]
    b_q, b_k, b_v = (None,) * 3 if in_bias is None else np.split(in_bias, 3)
    w_q, w_k, w_v = np.split(in_weight, 3)  # D D each
    query = split_heads(linear(x, w_q, b_q), heads)  # B H N E
    key = split_heads(linear(memory, w_k, b_k), heads)  # B H M E
    value = split_heads(linear(memory, w_v, b_v), heads)  # B H M E
    mixed = attention(query, key, value, bias)  # B H N E
    mixed = np.reshape(np.swapaxes(mixed, 1, 2), (*x.shape[:2], D))  # B N D
    return linear(mixed, out_weight, out_bias)


def split_heads(x: Float[Array, "B N H*E"], heads: Size[int, "H"]) -> Float[Array, "B H N E"]:
    r"""Give each head its own contiguous slice of the width."""
    B, N, D = x.shape
    return np.swapaxes(np.reshape(x, (B, N, heads, D // heads)), 1, 2)  # B H N E


def causal_bias(
    queries: Size[int, "N"],
    keys: Size[int, "M"],
) -> Float[Array, "N M"]:
    r"""Causal mask aligned at the top left: query i sees the keys 0 to i, itself included.

    $$A_{ij} = \begin{cases} 0 & j \le i \\ -\infty & j > i \end{cases}$$

    queries: N, the number of queries i, zero-based.
    keys: M, the number of keys j, zero-based.

    Returns N M, a bias for attention.

    Raises AxesError for sizes that are negative or no integers.

    Elsewhere: `is_causal=True` of torch's `scaled_dot_product_attention` is aligned like this;
    flash-attention since 2.1 and MLX align at the bottom right, which differs for N unlike M.
    GPT-2 fills with -1e10 and BERT with -1e4 in place of -inf.

    Paper: Vaswani et al. 2017, "Attention is all you need", section 3.2.3.

    >>> causal_bias(2, 3)
    array([[  0., -inf, -inf],
           [  0.,   0., -inf]])
    """
    i, j = np.arange(queries)[:, None], np.arange(keys)
    return np.where(j <= i, 0.0, -np.inf)  # N M


def causal_bias_lower_right(
    queries: Size[int, "N"],
    keys: Size[int, "M"],
) -> Float[Array, "N M"]:
    r"""Causal mask aligned at the bottom right: the last query sees every key, as with a cache.

    $$A_{ij} = \begin{cases} 0 & j - M \le i - N \\ -\infty & \text{else} \end{cases}$$

    queries: N, the number of queries i, zero-based: the last N of the tokens seen so far.
    keys: M, the number of keys j, zero-based; with fewer keys than queries the first N - M
        queries see nothing.

    Returns N M, a bias for attention.

    Raises AxesError for sizes that are negative or no integers.

    Elsewhere: flash-attention since 2.1, MLX and torch's `CausalBias` from `causal_lower_right`
    are aligned like this; torch's `is_causal=True` is aligned at the top left.

    Paper: Vaswani et al. 2017, "Attention is all you need", section 3.2.3, which has N = M; the
    alignment is that of the library of Dao 2023, "FlashAttention-2: Faster attention with better
    parallelism and work partitioning".

    >>> causal_bias_lower_right(2, 3)
    array([[  0.,   0., -inf],
           [  0.,   0.,   0.]])
    """
    i, j = np.arange(queries)[:, None], np.arange(keys)
    return np.where(j <= i + keys - queries, 0.0, -np.inf)  # N M


def padding_bias(
    lengths: Count[Array, "B", "M"],
    keys: Size[int, "M"],
) -> Float[Array, "B 1 1 M"]:
    r"""Padding mask: each sample of a batch sees its own first keys, and no padding.

    $$A_{b11j} = \begin{cases} 0 & j < \ell_b \\ -\infty & j \ge \ell_b \end{cases}$$

    lengths: B, the number of real keys of each sample, 0 to M.
    keys: M, the number of keys j, zero-based, padding at the end included.

    Returns B 1 1 M, a bias for attention: the same for all heads and queries.

    Raises AxesError for a length that is negative, above M or no integer.

    Elsewhere: Hugging Face takes 1 for a real token and 0 for padding; `key_padding_mask` of
    torch's `nn.MultiheadAttention` is True for padding. Queries that are padding themselves
    still get an output, here as there.

    Paper: Vaswani et al. 2017, "Attention is all you need", section 3.2.3, which hides keys by
    scores of -inf.

    >>> padding_bias(np.array([3, 1]), 3)[:, 0, 0]
    array([[  0.,   0.,   0.],
           [  0., -inf, -inf]])
    """
    keep = np.arange(keys) < lengths[:, None]  # B M
    return np.where(keep, 0.0, -np.inf)[:, None, None, :]  # B 1 1 M


def prefix_bias(
    prefix: Count[int, "", "N"],
    tokens: Size[int, "N"],
) -> Float[Array, "N N"]:
    r"""Prefix mask: the first tokens see each other, later ones all before them and themselves.

    $$A_{ij} = \begin{cases} 0 & j \le i \text{ or } j < n \\
    -\infty & \text{else} \end{cases}$$

    prefix: the number n of tokens that see each other both ways, 0 to N; 0 is the causal mask.
    tokens: N, the number of tokens i and j, zero-based.

    Returns N N, a bias for attention.

    Raises AxesError for a prefix that is negative, above N or no integer.

    Elsewhere: the Q-Former of BLIP-2 generates text after its query tokens in this way, UniLM
    calls it sequence-to-sequence masking, T5 a prefix LM.

    Paper: Raffel et al. 2020, "Exploring the limits of transfer learning with a unified
    text-to-text Transformer", section 3.2.1.

    >>> prefix_bias(2, 3)
    array([[  0.,   0., -inf],
           [  0.,   0., -inf],
           [  0.,   0.,   0.]])
    """
    i, j = np.arange(tokens)[:, None], np.arange(tokens)
    return np.where((j < prefix) | (j <= i), 0.0, -np.inf)  # N N


def block_diagonal_bias(segments: Label[Array, "N"]) -> Float[Array, "N N"]:
    r"""Block mask: tokens see the tokens of their own segment, before and after them.

    $$A_{ij} = \begin{cases} 0 & s_i = s_j \\ -\infty & s_i \ne s_j \end{cases}$$

    segments: N, the segment s_i of each token, any integer; equal numbers belong together, next
        to each other or not.

    Returns N N, a bias for attention: block-diagonal where segments are contiguous.

    Raises AxesError for segments that are no integers or no vector.

    Elsewhere: flash-attention and Qwen2.5-VL give the boundaries `cu_seqlens` of contiguous
    segments in place of a number for each token, JAX's splash attention takes `SegmentIds`.

    Paper: Dehghani et al. 2023, "Patch n' Pack: NaViT, a Vision Transformer for any aspect ratio
    and resolution", section 2.1.

    >>> block_diagonal_bias(np.array([0, 0, 1]))
    array([[  0.,   0., -inf],
           [  0.,   0., -inf],
           [-inf, -inf,   0.]])
    """
    return np.where(segments[:, None] == segments, 0.0, -np.inf)  # N N
