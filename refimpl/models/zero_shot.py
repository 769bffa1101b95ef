"""Uses of embeddings: zero-shot classes, retrieval, principal components.

Scores are similarities, larger is better. Ranks are zero-based: 0 is the best place.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from refimpl.axes import AxesError
from refimpl.op import DomainError
from refimpl.ops.layers.reference import softmax


def _array(function: str, name: str, value: Any, axes: str) -> np.ndarray:
    """An argument as a float64 array of finite numbers with these axes."""
    array = np.asarray(value)
    if array.dtype.kind not in "fiub":
        raise AxesError(f"{function}: {name} has dtype {array.dtype}, expected real numbers")
    if array.ndim != len(axes.split()):
        raise AxesError(f"{function}: {name} has shape {array.shape}, expected axes ({axes})")
    if not np.all(np.isfinite(array)):
        raise DomainError(f"{function}: {name} has numbers that are not finite")
    return array.astype(np.float64)


def _unit(function: str, name: str, vectors: np.ndarray) -> np.ndarray:
    """Vectors of length one along the last axis."""
    lengths = np.sqrt(np.sum(vectors * vectors, axis=-1, keepdims=True))
    if not np.all(lengths > 0):
        raise DomainError(f"{function}: {name} has a vector of length 0, which has no direction")
    return vectors / lengths


def zero_shot_weights(text_features: Any) -> np.ndarray:
    r"""One direction for each class from the embeddings of its prompts.

    $$w_k = \frac{m_k}{\lVert m_k \rVert}, \qquad
    m_k = \frac{1}{N} \sum_{n=1}^{N} \frac{t_{kn}}{\lVert t_{kn} \rVert}$$

    text_features: K N D, N prompts for each of K classes, in any length.

    Returns K D, vectors of length one.

    Raises AxesError for other axes, DomainError for a prompt of length zero or prompts of a class
    that cancel.

    Elsewhere: the transpose, D K, multiplies image features from the right. Averaging logits
    instead of vectors leaves out the second division: each class is then scaled by the length of
    its mean.

    Paper: Radford et al. 2021, "Learning Transferable Visual Models From Natural Language
    Supervision", section 3.1.4.

    >>> zero_shot_weights([[[3.0, 0.0], [0.0, 5.0]]]).round(4)
    array([[0.7071, 0.7071]])
    """
    features = _array("zero_shot_weights", "text_features", text_features, "K N D")
    if not features.shape[1]:
        raise AxesError("zero_shot_weights: text_features has N=0, expected at least one prompt")
    prompts = _unit("zero_shot_weights", "text_features", features)  # K N D
    return _unit("zero_shot_weights", "the mean of the prompts", np.mean(prompts, axis=1))  # K D


def zero_shot_table(image_features: Any, weights: Any, scale: float = 100.0) -> np.ndarray:
    r"""How probable each class is for each image.

    $$p_{bk} = \mathrm{softmax}_k\bigl(s\, \langle i_b / \lVert i_b \rVert, w_k \rangle\bigr)$$

    image_features: B D, in any length.
    weights: K D, from `zero_shot_weights`; taken as they are.
    scale: s, what the cosine is multiplied by; 100 in the published CLIP models.

    Returns B K, rows that sum to one.

    Raises AxesError for widths that differ, DomainError for an image of length zero.

    Elsewhere: SigLIP takes a sigmoid of each class for itself.

    Paper: Radford et al. 2021, "Learning Transferable Visual Models From Natural Language
    Supervision", section 3.1.2.

    >>> zero_shot_table([[2.0, 0.0]], [[1.0, 0.0], [0.0, 1.0]], scale=1.0).round(4)
    array([[0.7311, 0.2689]])
    """
    images = _array("zero_shot_table", "image_features", image_features, "B D")
    classes = _array("zero_shot_table", "weights", weights, "K D")
    if images.shape[1] != classes.shape[1]:
        raise AxesError(
            f"zero_shot_table: weights has D={classes.shape[1]}, image_features has "
            f"D={images.shape[1]}"
        )
    cosines = _unit("zero_shot_table", "image_features", images) @ classes.T  # B K
    return softmax(float(scale) * cosines)


def ranks(scores: Any, target: Any) -> np.ndarray:
    r"""How many documents come before the right one; among equals the lower index comes first.

    $$r_i = \#\{j : S_{ij} > S_{i t_i}\} + \#\{j < t_i : S_{ij} = S_{i t_i}\}$$

    scores: N M, the similarity of N queries and M documents.
    target: N, the zero-based index of the right document for each query.

    Returns N, integers from 0.

    Raises AxesError for an index outside the documents.

    Elsewhere: counting only what is greater is optimistic, and calls a collapsed model perfect;
    counting equals too is pessimistic.

    Paper: Karpathy and Fei-Fei 2015, "Deep Visual-Semantic Alignments for Generating Image
    Descriptions", section 4.1, which leaves ties open; this rule is that of a stable sort.

    >>> ranks([[0.3, 0.3, 0.3], [0.1, 0.9, 0.5]], [2, 1])
    array([2, 0])
    """
    table = _array("ranks", "scores", scores, "N M")
    places = np.asarray(target)
    N, M = table.shape
    if places.shape != (N,) or (places.size and places.dtype.kind not in "iu"):
        raise AxesError(f"ranks: target has shape {places.shape}, expected integers (N)=({N},)")
    if np.any((places < 0) | (places >= M)):
        raise AxesError(f"ranks: target has an index outside 0 to {M - 1}")
    right = np.take_along_axis(table, places[:, None].astype(np.int64), axis=1)  # N 1
    before = (table > right) | ((table == right) & (np.arange(M) < places[:, None]))  # N M
    return np.sum(before, axis=1)  # N


def median_rank(scores: Any, target: Any) -> int:
    r"""The middle of the ranks, counted from 1, halves rounded down.

    $$\lfloor \mathrm{median}(r_1, \dots, r_N) \rfloor + 1$$

    scores: N M, similarities.
    target: N, zero-based indices of the right documents.

    Returns an integer from 1 to M.

    Raises AxesError for no queries, or an index outside the documents.

    Elsewhere: some report the zero-based rank, one less, or keep the half.

    Paper: Karpathy and Fei-Fei 2015, "Deep Visual-Semantic Alignments for Generating Image
    Descriptions", section 4.1.

    >>> median_rank([[0.9, 0.1], [0.9, 0.1]], [0, 1])
    1
    """
    found = ranks(scores, target)
    if not len(found):
        raise AxesError("median_rank: scores has N=0, expected at least one query")
    return int(np.floor(np.median(found))) + 1


def recall_at_k(scores: Any, relevant: Any, k: int) -> float:
    r"""The share of queries with a right document among the best k.

    $$\frac1N \#\{i : \min_{j \in R_i} r_{ij} < k\}$$

    scores: N M, similarities; among equals the lower index comes first.
    relevant: N M, true where the document answers the query; a query may have several.
    k: how many documents are looked at, at least 1.

    Returns a number in [0, 1]. A query without any right document counts as a miss.

    Raises AxesError for no queries, other axes, or k below 1.

    Elsewhere: trec_eval and BEIR divide the right documents found by all right ones; with one
    right document a query that is the same.

    Paper: Karpathy and Fei-Fei 2015, "Deep Visual-Semantic Alignments for Generating Image
    Descriptions", section 4.1.

    >>> recall_at_k([[0.9, 0.1], [0.9, 0.1]], np.eye(2, dtype=bool), 1)
    0.5
    """
    if int(k) != k or k < 1:
        raise AxesError(f"recall_at_k: k is {k}, expected an integer from 1")
    hits = ranked_relevance("recall_at_k", scores, relevant)  # N M
    return float(np.mean(np.any(hits[:, : int(k)], axis=1)))


def average_precision(scores: Any, relevant: Any) -> np.ndarray:
    r"""The precision at each right document, averaged over all right documents of a query.

    $$\mathrm{AP}_i = \frac{1}{|R_i|} \sum_{k=1}^{M} \mathrm{rel}_{ik}\,
    \frac{1}{k} \sum_{l=1}^{k} \mathrm{rel}_{il}$$

    scores: N M, similarities; among equals the lower index comes first.
    relevant: N M, true where the document answers the query.

    Returns N, numbers in [0, 1]; 0 for a query without any right document. With one right document
    of rank r it is 1 / (r + 1).

    Raises AxesError for no queries, or other axes.

    Elsewhere: dividing by the right documents among the first k, instead of all, rewards a short
    list. scikit-learn steps over equal scores at once, which is another rule for ties.

    Paper: Manning, Raghavan and Schütze 2008, "Introduction to Information Retrieval", equation
    8.8.

    >>> average_precision([[5.0, 4.0, 3.0, 2.0, 1.0]], [[1, 0, 1, 1, 0]]).round(7)
    array([0.8055556])
    """
    hits = ranked_relevance("average_precision", scores, relevant)  # N M
    precision = np.cumsum(hits, axis=1) / np.arange(1, hits.shape[1] + 1)  # N M
    return np.sum(hits * precision, axis=1) / np.maximum(np.sum(hits, axis=1), 1)  # N


def mean_average_precision(scores: Any, relevant: Any) -> float:
    r"""The mean of the average precision over all queries, those without a right document included.

    $$\mathrm{mAP} = \frac1N \sum_{i=1}^{N} \mathrm{AP}_i$$

    scores: N M, similarities; among equals the lower index comes first.
    relevant: N M, true where the document answers the query.

    Returns a number in [0, 1].

    Raises AxesError for no queries, or other axes.

    Elsewhere: leaving out queries without a right document raises the figure.

    Paper: Manning, Raghavan and Schütze 2008, "Introduction to Information Retrieval", equation
    8.8.

    >>> mean_average_precision([[0.9, 0.1], [0.9, 0.1]], np.eye(2, dtype=bool))
    0.75
    """
    return float(np.mean(average_precision(scores, relevant)))


def ranked_relevance(function: str, scores: Any, relevant: Any) -> np.ndarray:
    """Which documents are right, the best score first, equals in the order of their index."""
    table = _array(function, "scores", scores, "N M")
    right = np.asarray(relevant)
    if right.shape != table.shape or not np.all((right == 0) | (right == 1)):
        raise AxesError(
            f"{function}: relevant has shape {right.shape}, expected truth values "
            f"(N M)={table.shape}"
        )
    if not len(table):
        raise AxesError(f"{function}: scores has N=0, expected at least one query")
    order = np.argsort(-table, axis=1, kind="stable")
    return np.take_along_axis(right.astype(bool), order, axis=1)  # N M


class Components(NamedTuple):
    """Principal components: directions as rows, variances along them, and every point's scores."""

    mean: np.ndarray
    directions: np.ndarray
    variances: np.ndarray
    scores: np.ndarray


def principal_components(features: Any, count: int) -> Components:
    r"""The directions in which embeddings vary most.

    $$X - \bar x = U S V^\top, \qquad \mathrm{var}_k = \frac{S_k^2}{N - 1}, \qquad
    \mathrm{scores} = (X - \bar x)\, V$$

    features: N D, one embedding a row.
    count: K, how many components, from 1 to the smaller of N and D.

    Returns `Components`: mean D; directions K D, of length one, the entry of largest magnitude
    positive, the first one among equals; variances K, falling; scores N K.

    Raises AxesError for fewer than two rows, or a count out of range.

    Elsewhere: scikit-learn chose the sign by the scores before version 1.5. Where two variances
    are equal the directions are not determined.

    Paper: Jolliffe 2002, "Principal Component Analysis", section 3.5.

    >>> parts = principal_components([[0.0, 0.0], [3.0, 4.0]], 1)
    >>> parts.directions, parts.variances
    (array([[0.6, 0.8]]), array([12.5]))
    """
    rows = _array("principal_components", "features", features, "N D")
    N, D = rows.shape
    if N < 2:
        raise AxesError(f"principal_components: features has N={N}, expected at least 2")
    if not 1 <= count <= min(N, D):
        raise AxesError(f"principal_components: count is {count}, expected 1 to {min(N, D)}")
    mean = np.mean(rows, axis=0)  # D
    _, lengths, directions = np.linalg.svd(rows - mean, full_matrices=False)
    directions = directions[:count]  # K D
    largest = np.argmax(np.abs(directions), axis=1)[:, None]
    signs = np.sign(np.take_along_axis(directions, largest, axis=1))  # K 1
    directions = directions * signs
    return Components(
        mean, directions, lengths[:count] ** 2 / (N - 1), (rows - mean) @ directions.T
    )
