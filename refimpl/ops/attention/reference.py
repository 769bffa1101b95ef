"""Attention: queries look up keys and carry values away."""

import numpy as np

from refimpl.axes import Array, Bias, Count, Float, Label, Size, Stride, Weight
from refimpl.constants import constant
from refimpl.ops.layers.reference import linear, linear_vjp, softmax


def attention(
    query: Float[Array, "B G*R N E"],
    key: Float[Array, "B G M E"],
    value: Float[Array, "B G M F"],
    bias: Bias[Array, "broadcastable B G*R N M"] | None,
) -> Float[Array, "B G*R N F"]:
    r"""Attention: each query averages the values, weighted by how well its keys match.

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


def attention_vjp(
    query: Float[Array, "B G*R N E"],
    key: Float[Array, "B G M E"],
    value: Float[Array, "B G M F"],
    bias: Bias[Array, "broadcastable B G*R N M"] | None,
    grad: Float[Array, "B G*R N F"],
) -> tuple[
    Float[Array, "B G*R N E"],
    Float[Array, "B G M E"],
    Float[Array, "B G M F"],
    Float[Array, "B G*R N M"],
]:
    r"""The gradients of a loss that follows an attention, from the gradient of what it returns.

    $$\bar V = P^\top \bar O, \qquad \bar P = \bar O V^\top, \qquad
    \bar A_{nm} = P_{nm} \left(\bar P_{nm} - \textstyle\sum_f \bar O_{nf} O_{nf}\right), \qquad
    \bar Q = \frac{\bar A K}{\sqrt E}, \qquad \bar K = \frac{\bar A^\top Q}{\sqrt E}, \qquad
    P = \mathrm{softmax}\left(\frac{Q K^\top}{\sqrt{E}} + A\right), \qquad O = P V$$

    where a bar over an array is its gradient, and those of K and V are summed over the R query
    heads that share them.

    query: B G*R N E, what is looked for.
    key: B G M E, what it is compared with.
    value: B G M F, what is carried away.
    bias: broadcastable to B G*R N M, the A added to the scores in nats; -inf hides a key, None
        hides none.
    grad: B G*R N F, the gradient of the output.

    Returns B G*R N E, the gradient of the queries; B G M E, of the keys; B G M F, of the values;
    and B G*R N M, of the scores, which is that of a bias with all its axes, to be summed along
    those that a smaller bias shares. A hidden key and a query that sees no key have gradient zero.

    Raises AxesError where the axes of grad are not those of the output, and DomainError for a head
    width of 0.

    Elsewhere: FlashAttention keeps the output and the logarithm of each row's sum, and recomputes
    P; autograd keeps P and subtracts the row sums of P times its gradient, which are the same.
    A query without keys has gradients NaN with a plain softmax.

    Paper: Dao, Fu, Ermon, Rudra and Re 2022, "FlashAttention: fast and memory-efficient exact
    attention with IO-awareness", appendix B.2.

    >>> query, key = np.zeros((1, 1, 1, 4)), np.ones((1, 1, 2, 4)) * np.array([[1.0], [2.0]])
    >>> value, grad = np.array([[[[2.0], [8.0]]]]), np.ones((1, 1, 1, 1))
    >>> query_grad, key_grad, value_grad, bias_grad = attention_vjp(query, key, value, None, grad)
    >>> bias_grad[0, 0], query_grad[0, 0], value_grad[0, 0].T
    (array([[-1.5,  1.5]]), array([[0.75, 0.75, 0.75, 0.75]]), array([[0.5, 0.5]]))
    """
    B, heads, N, E = query.shape
    G, M, F = value.shape[1:]
    query = np.reshape(query, (B, G, heads // G, N, E))  # B G R N E, by the key head they look at
    grad = np.reshape(grad, (B, G, heads // G, N, F))  # B G R N F
    key, value = key[:, :, None], value[:, :, None]  # B G 1 M E, F
    root = np.sqrt(constant(E, query))
    scores = query @ np.swapaxes(key, -1, -2) / root  # B G R N M
    if bias is not None:
        scores = scores + np.reshape(np.broadcast_to(bias, (B, heads, N, M)), scores.shape)
    weights = softmax(scores)  # B G R N M
    weights_grad = grad @ np.swapaxes(value, -1, -2)  # B G R N M
    average = np.sum(grad * (weights @ value), axis=-1, keepdims=True)  # B G R N 1
    scores_grad = weights * (weights_grad - average)  # B G R N M
    query_grad = np.reshape(scores_grad @ key / root, (B, heads, N, E))
    key_grad = np.sum(np.swapaxes(scores_grad, -1, -2) @ query, axis=2) / root  # B G M E
    value_grad = np.sum(np.swapaxes(weights, -1, -2) @ grad, axis=2)  # B G M F
    return query_grad, key_grad, value_grad, np.reshape(scores_grad, (B, heads, N, M))


def multi_head_attention(
    x: Float[Array, "B N H*E"],
    memory: Float[Array, "B M H*E"],
    in_weight: Weight[Array, "3*H*E H*E"],
    in_bias: Weight[Array, "3*H*E"] | None,
    out_weight: Weight[Array, "H*E H*E"],
    out_bias: Weight[Array, "H*E"] | None,
    heads: Size[int, "H"],
    bias: Bias[Array, "broadcastable B H N M"] | None,
) -> Float[Array, "B N H*E"]:
    r"""Attention in H heads, each with its own projections, and an output projection.

    $$\begin{aligned}
    y &= \mathrm{Concat}(\mathrm{head}_1, \dots, \mathrm{head}_H) W^{O\top} + b^O \\
    \mathrm{head}_h &= \mathrm{Attention}(x W_h^{Q\top} + b_h^Q,\;
    m W_h^{K\top} + b_h^K,\; m W_h^{V\top} + b_h^V)
    \end{aligned}$$

    x: B N H*E, the tokens that the queries come from.
    memory: B M H*E, the tokens m of keys and values; x itself in self-attention.
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


def multi_head_attention_vjp(
    x: Float[Array, "B N H*E"],
    memory: Float[Array, "B M H*E"],
    in_weight: Weight[Array, "3*H*E H*E"],
    in_bias: Weight[Array, "3*H*E"] | None,
    out_weight: Weight[Array, "H*E H*E"],
    heads: Size[int, "H"],
    bias: Bias[Array, "broadcastable B H N M"] | None,
    grad: Float[Array, "B N H*E"],
) -> tuple[
    Float[Array, "B N H*E"],
    Float[Array, "B M H*E"],
    Float[Array, "3*H*E H*E"],
    Float[Array, "3*H*E"],
    Float[Array, "H*E H*E"],
    Float[Array, "H*E"],
]:
    r"""The gradients of a loss that follows multi-head attention, with its projections.

    $$\bar x = \bar Q\, W^Q, \qquad \bar m = \bar K\, W^K + \bar V\, W^V, \qquad
    \bar W^{QKV} = \sum \left[\bar Q\, x^\top;\; \bar K\, m^\top;\; \bar V\, m^\top\right],
    \qquad \bar W^O = \sum \bar y\, h^\top$$

    where h are the heads side by side, the gradients of Q, K and V are those of `attention_vjp`
    for the gradient of h, and sums go over all tokens of the batch.

    x: B N H*E, the tokens that the queries come from.
    memory: B M H*E, the tokens m of keys and values; x itself in self-attention.
    in_weight: 3*H*E H*E, rows of all queries, then of all keys, then of all values.
    in_bias: 3*H*E, added to the projections in the same order; None adds nothing.
    out_weight: H*E H*E, from the heads side by side to the output.
    heads: H, the number of heads, a divisor of the width.
    bias: broadcastable to B H N M, added to the scores in nats; -inf hides a key, None hides none.
    grad: B N H*E, the gradient of the output.

    Returns B N H*E, the gradient of x; B M H*E, of the memory; 3*H*E H*E and 3*H*E, of the weight
    and bias of the projections in, the latter also where there is none; H*E H*E and H*E, of those
    out. In self-attention the gradient of the tokens is the sum of the first two.

    Raises AxesError for axes that disagree, such as a width that is no multiple of the heads.

    Elsewhere: weights that are stored transposed, as (in, out), have transposed gradients. The
    gradient of the keys' bias is zero but for rounding, which optimisers such as Adam amplify.

    Paper: Vaswani et al. 2017, "Attention is all you need", section 3.2.2 differentiated.

    >>> x, identity = np.array([[[1.0, 0.0], [0.0, 1.0]]]), np.eye(2)
    >>> in_weight, grad = np.concatenate([0 * identity, 0 * identity, identity]), np.ones((1, 2, 2))
    >>> grads = multi_head_attention_vjp(x, x, in_weight, None, identity, 2, None, grad)
    >>> grads[0], grads[1]  # of x as queries, and of x as memory
    (array([[[0., 0.],
            [0., 0.]]]), array([[[1., 1.],
            [1., 1.]]]))
    """
    b_q, b_k, b_v = (None,) * 3 if in_bias is None else np.split(in_bias, 3)
    w_q, w_k, w_v = np.split(in_weight, 3)  # D D each
    query = split_heads(linear(x, w_q, b_q), heads)  # B H N E
    key = split_heads(linear(memory, w_k, b_k), heads)  # B H M E
    value = split_heads(linear(memory, w_v, b_v), heads)  # B H M E
    mixed = join_heads(attention(query, key, value, bias))  # B N D
    mixed_grad, out_weight_grad, out_bias_grad = linear_vjp(mixed, out_weight, grad)
    inner = attention_vjp(query, key, value, bias, split_heads(mixed_grad, heads))
    query_grad, key_grad, value_grad = (join_heads(inner[i]) for i in range(3))  # B N D, B M D
    x_grad, w_q_grad, b_q_grad = linear_vjp(x, w_q, query_grad)
    by_keys, w_k_grad, b_k_grad = linear_vjp(memory, w_k, key_grad)
    by_values, w_v_grad, b_v_grad = linear_vjp(memory, w_v, value_grad)
    in_weight_grad = np.concatenate([w_q_grad, w_k_grad, w_v_grad])  # 3*D D
    in_bias_grad = np.concatenate([b_q_grad, b_k_grad, b_v_grad])  # 3*D
    memory_grad = by_keys + by_values  # B M D
    return x_grad, memory_grad, in_weight_grad, in_bias_grad, out_weight_grad, out_bias_grad


def split_heads(x: Float[Array, "B N H*E"], heads: Size[int, "H"]) -> Float[Array, "B H N E"]:
    r"""Give each head its own contiguous slice of the width."""
    B, N, D = x.shape
    return np.swapaxes(np.reshape(x, (B, N, heads, D // heads)), 1, 2)  # B H N E


def join_heads(x: Float[Array, "B H N E"]) -> Float[Array, "B N H*E"]:
    r"""Put the heads side by side again."""
    B, heads, N, E = x.shape
    return np.reshape(np.swapaxes(x, 1, 2), (B, N, heads * E))  # B N H*E


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


def sliding_window_bias(
    queries: Size[int, "N"],
    keys: Size[int, "M"],
    window: Stride[int, ""],
) -> Float[Array, "N M"]:
    r"""Window mask: a query sees its own key and the ones just before it, a window of keys in all.

    $$A_{ij} = \begin{cases} 0 & i' - w < j \le i' \\ -\infty & \text{else} \end{cases}, \qquad
    i' = i + M - N$$

    queries: N, the number of queries i, zero-based: the last N of the tokens seen so far.
    keys: M, the number of keys j, zero-based.
    window: w, at least 1, how many keys a query sees, its own included; M or more is causal.

    Returns N M, a bias for attention.

    Raises AxesError for sizes that are negative or no integers, and a window below 1.

    Elsewhere: `window_size=(left, right)` of flash-attention leaves out the query's own key, so
    that left is w - 1. Longformer's window looks to both sides.

    Paper: Jiang et al. 2023, "Mistral 7B", section 2; Beltagy et al. 2020, "Longformer: the
    long-document transformer", section 3.1.

    >>> sliding_window_bias(2, 3, window=2)
    array([[  0.,   0., -inf],
           [-inf,   0.,   0.]])
    """
    i, j = np.arange(queries)[:, None], np.arange(keys)
    own = i + keys - queries  # N 1
    return np.where((j <= own) & (j > own - window), 0.0, -np.inf)  # N M


def cached_causal_bias(
    lengths: Count[Array, "B", "M"],
    queries: Size[int, "N"],
    keys: Size[int, "M"],
) -> Float[Array, "B 1 N M"]:
    r"""Causal mask for a cache in which each sample has its own length, padding at the end.

    $$A_{b1ij} = \begin{cases} 0 & j \le i + \ell_b - N \\ -\infty & \text{else} \end{cases}$$

    lengths: B, how many keys of each sample are real, those of the N queries included, 0 to M.
    queries: N, the number of queries i, zero-based: the last N real tokens of each sample.
    keys: M, how many keys a cache has room for.

    Returns B 1 N M, a bias for attention: the same for all heads. A query before a sample's first
    token sees nothing.

    Raises AxesError for a length that is negative, above M or no integer.

    Elsewhere: `cache_seqlens` of flash-attention counts the keys without those of the queries.
    With padding in front, as in Hugging Face's generation, all samples end at the same place.

    Paper: Dao 2023, "FlashAttention-2: Faster attention with better parallelism and work
    partitioning", whose library decodes with such caches.

    >>> cached_causal_bias(np.array([3, 2]), 2, 3)[:, 0]
    array([[[  0.,   0., -inf],
            [  0.,   0.,   0.]],
    <BLANKLINE>
           [[  0., -inf, -inf],
            [  0.,   0., -inf]]])
    """
    i, j = np.arange(queries)[:, None], np.arange(keys)
    own = i + lengths[:, None, None] - queries  # B N 1
    return np.where(j <= own, 0.0, -np.inf)[:, None]  # B 1 N M
