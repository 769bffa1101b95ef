"""Retrieval: one vector for a text, scores of documents, and how good a ranking is."""

import numpy as np

from refimpl.axes import Array, Float, Gain, Index, Mask, Total
from refimpl.constants import constant


def mean_pool(
    x: Float[Array, "texts N D"],
    keep: Mask[Array, "texts N"],
) -> Float[Array, "texts D"]:
    r"""One vector for a text: the mean of the vectors of its words, without padding.

    $$y_{bd} = \frac{\sum_n k_{bn}\, x_{bnd}}{\sum_n k_{bn}}$$

    x: texts N D, a vector for each word.
    keep: texts N, 1 where a word counts, 0 for padding; at least one word of each text counts.

    Returns texts D, the means, not normalised.

    Raises AxesError for a keep that is neither 0 nor 1; DomainError for a text of no words.

    Elsewhere: Sentence Transformers divides by at least 1e-9. BERT's own pooled vector is a dense
    layer and a tanh of the first word; CLIP reads the last.

    Paper: Reimers, Gurevych 2019, "Sentence-BERT: sentence embeddings using Siamese BERT-networks",
    section 3.

    >>> x = np.array([[[1.0, 2.0], [3.0, 6.0], [99.0, 99.0]]])
    >>> mean_pool(x, np.array([[1, 1, 0]]))
    array([[2., 4.]])
    """
    total = np.sum(np.where(keep[..., None] > 0, x, 0), axis=1)  # texts D
    return total / np.sum(keep, axis=1)[:, None]


def mean_pool_vjp(
    keep: Mask[Array, "texts N"],
    grad: Float[Array, "texts D"],
) -> Float[Array, "texts N D"]:
    r"""The gradient of a loss that follows `mean_pool`: all words that count get the same.

    $$\bar x_{bnd} = \frac{k_{bn}}{\sum_m k_{bm}}\, \bar y_{bd}$$

    keep: texts N, 1 where a word counts, 0 for padding.
    grad: texts D, the gradient with respect to the means.

    Returns texts N D, the gradient of the words; zero for padding.

    Raises AxesError for a keep that is neither 0 nor 1; DomainError for a text of no words.

    Elsewhere: pooling by the first word gives that word the whole gradient.

    Paper: Reimers, Gurevych 2019, "Sentence-BERT: sentence embeddings using Siamese BERT-networks",
    section 3, differentiated.

    >>> mean_pool_vjp(np.array([[1, 1, 0]]), np.array([[2.0]]))[0, :, 0]
    array([1., 1., 0.])
    """
    shares = grad / np.sum(keep, axis=1)[:, None]  # texts D
    return keep[..., None] * shares[:, None]  # texts N D


def max_similarity(
    queries: Float[Array, "B N D"],
    queries_keep: Mask[Array, "B N"],
    documents: Float[Array, "Q M D"],
    documents_keep: Mask[Array, "Q M"],
) -> Float[Array, "B Q"]:
    r"""Late interaction: each query word's largest product with a document, summed over the query.

    $$s_{bq} = \sum_n k_{bn} \max_{m:\, k_{qm} = 1} \langle x_{bn}, y_{qm} \rangle$$

    queries: B N D, a vector for each word of each query, normalised before if cosines are meant.
    queries_keep: B N, 1 where a word of a query counts, 0 for padding.
    documents: Q M D, a vector for each word of each document; or for each frame of a film.
    documents_keep: Q M, 1 where it counts, 0 for padding.

    Returns B Q, scores; -inf for a document of no words, 0 for a query of none.

    Raises AxesError for vectors of other widths.

    Elsewhere: BGE-M3 divides by the number of query words. With one query vector it is the best
    frame of a film. Where padding holds zeros instead of being hidden, it beats negative products.

    Paper: Khattab, Zaharia 2020, "ColBERT: efficient and effective passage search via
    contextualized late interaction over BERT", equation 3.

    >>> queries, documents = np.eye(2)[None], np.array([[[0.5, 0.1], [0.2, 2.0]]])
    >>> max_similarity(queries, np.array([[1, 1]]), documents, np.array([[1, 1]]))
    array([[2.5]])
    """
    products = queries[:, None] @ np.swapaxes(documents, 1, 2)  # B Q N M
    seen = documents_keep[None, :, None] > 0  # 1 Q 1 M
    best = np.max(np.where(seen, products, -np.inf), axis=-1)  # B Q N
    return np.sum(np.where(queries_keep[:, None] > 0, best, 0), axis=-1)  # B Q


def ranks(
    scores: Float[Array, "N M"],
    positive: Index[Array, "N", "M"],
) -> Total[Array, "N"]:
    r"""The rank of the relevant document for each query, counted from one.

    $$r_n = 1 + \left|\{m : s_{nm} > s_{np} \text{ or } s_{nm} = s_{np}, m < p\}\right|$$

    scores: N M, of every document for every query; higher is better.
    positive: N, p, the relevant document of each query, zero-based, below M.

    Returns N, whole numbers from 1 to M; of equal scores the lower index comes first.

    Raises AxesError for a document that does not exist.

    Elsewhere: faiss puts the higher index first, trec_eval the name that sorts last; sklearn
    averages over equal scores.

    Paper: Kendall 1945, "The treatment of ties in ranking problems".

    >>> ranks(np.array([[0.3, 0.9, 0.3]]), np.array([2]))
    array([3])
    """
    own = np.take_along_axis(scores, positive[:, None], axis=1)  # N 1
    earlier = np.arange(scores.shape[1]) < positive[:, None]  # N M
    return 1 + np.sum((scores > own) | ((scores == own) & earlier), axis=1)


def recall_at_k(
    relevance: Gain[Array, "texts N"],
    relevant: Total[Array, "texts"],
    k: Total[int, ""],
) -> Float[Array, "texts"]:
    r"""Recall at k: the share of all relevant documents among the first k.

    $$R = \frac{1}{R_b} \sum_{n < k} g_{bn}$$

    relevance: texts N, 1 where the document at a rank is relevant, 0 where not, the best first.
    relevant: texts, how many relevant documents there are, retrieved or not.
    k: how many documents count; all of them where k is larger than the list.

    Returns texts, from 0 to 1; 0 for a query without relevant documents.

    Raises AxesError for a negative k.

    Elsewhere: with one relevant document it is the hit rate that CLIP's papers call recall. Metric
    learning divides by the smaller of k and the number of relevant documents.

    Paper: Manning et al. 2008, "Introduction to information retrieval", section 8.4.

    >>> recall_at_k(np.array([[1.0, 0.0, 1.0, 0.0]]), np.array([4]), 3)
    array([0.5])
    """
    return np.sum(relevance[:, :k], axis=1) / np.maximum(relevant, 1)


def average_precision(
    relevance: Gain[Array, "texts N"],
    relevant: Total[Array, "texts"],
) -> Float[Array, "texts"]:
    r"""The mean of the precisions at each relevant document; missing ones count zero.

    $$P = \frac{1}{R_b} \sum_n \frac{g_{bn}}{n + 1} \sum_{m \le n} g_{bm}$$

    relevance: texts N, 1 where the document at a rank is relevant, 0 where not, the best first.
    relevant: texts, how many relevant documents there are, retrieved or not.

    Returns texts, from 0 to 1; 0 for a query without relevant documents.

    Raises AxesError for a negative relevance.

    Elsewhere: sklearn groups equal scores and knows only what is in the list. The mean over queries
    is MAP. In detection precisions are interpolated.

    Paper: Harman 1993, "Overview of the first Text REtrieval Conference", appendix.

    >>> average_precision(np.array([[1.0, 0.0, 1.0, 1.0, 0.0]]), np.array([3])).round(4)
    array([0.8056])
    """
    places = np.arange(1, relevance.shape[1] + 1)  # N
    precisions = np.cumsum(relevance, axis=1) / places  # texts N
    return np.sum(relevance * precisions, axis=1) / np.maximum(relevant, 1)


def reciprocal_rank(relevance: Gain[Array, "texts N"]) -> Float[Array, "texts"]:
    r"""One over the rank of the first relevant document.

    $$r = \max_n \frac{g_{bn}}{n + 1}$$

    relevance: texts N, 1 where the document at a rank is relevant, 0 where not, the best first.

    Returns texts, from 0 to 1; 0 where no document is relevant.

    Raises AxesError for a negative relevance.

    Elsewhere: the mean over queries is MRR, which is not one over the mean rank.

    Paper: Voorhees 1999, "The TREC-8 question answering track report", section 3.

    >>> reciprocal_rank(np.array([[0.0, 0.0, 1.0, 1.0], [1.0, 0.0, 1.0, 0.0]])).round(4)
    array([0.3333, 1.    ])
    """
    return np.max(relevance / np.arange(1, relevance.shape[1] + 1), axis=1)


def ndcg(
    gains: Gain[Array, "texts N"],
    judged: Gain[Array, "texts M"],
    k: Total[int, ""],
) -> Float[Array, "texts"]:
    r"""Discounted gains of a ranking, divided by those of the ideal ranking.

    $$\mathrm{nDCG} = \frac{\sum_{n < k} g_{bn} / \log_2(n + 2)}
      {\sum_{n < k} j_{b(n)} / \log_2(n + 2)}, \qquad j_{b(0)} \ge j_{b(1)} \ge \dots$$

    gains: texts N, the gain of the document at each rank, the best first.
    judged: texts M, the gains of all judged documents, retrieved or not, in any order.
    k: how many ranks count; all of them where k is larger than the list.

    Returns texts, from 0 to 1; 0 where no document has a gain.

    Raises AxesError for a negative gain.

    Elsewhere: trec_eval, ranx and sklearn take the gains as they are; Burges and LETOR 2^g - 1,
    which is the same for gains of 0 and 1.

    Paper: Järvelin, Kekäläinen 2002, "Cumulated gain-based evaluation of IR techniques", section 2.

    >>> gains = np.array([[3.0, 2.0, 3.0, 0.0, 1.0, 2.0]])
    >>> ndcg(gains, gains, 6).round(6)
    array([0.960808])
    """
    places = constant(1, gains) * np.arange(2, k + 2)
    discounts = np.log(places) / np.log(constant(2, gains))  # k of them
    best = -np.sort(-judged, axis=1)[:, :k]
    reached = np.sum(gains[:, :k] / discounts[: gains.shape[1]], axis=1)  # texts
    possible = np.sum(best / discounts[: judged.shape[1]], axis=1)  # texts
    return np.where(possible > 0, reached, 0) / np.where(possible > 0, possible, 1)


def ranking(scores: Float[Array, "N M"]) -> Index[Array, "N M", "M"]:
    r"""The documents for each query, the best first; the first k are what a search returns.

    $$s_{n, i_1} \ge s_{n, i_2} \ge \dots \ge s_{n, i_M}$$

    scores: N M, of every document for every query; higher is better.

    Returns N M, zero-based documents; of equal scores the lower index comes first.

    Raises AxesError for other axes.

    Elsewhere: faiss puts the higher index first and fills with -1 where it has fewer than k; an
    index that searches a part of the documents may miss the best one.

    Paper: Manning et al. 2008, "Introduction to information retrieval", section 6.3.3.

    >>> ranking(np.array([[0.3, 0.9, 0.3]]))
    array([[1, 0, 2]])
    """
    return np.argsort(-scores, axis=-1, kind="stable")  # N M


def precision_at_k(
    relevance: Gain[Array, "texts N"],
    k: Total[int, ""],
) -> Float[Array, "texts"]:
    r"""Precision at k: the share of the first k documents that is relevant.

    $$P = \frac{1}{k} \sum_{n < k} g_{bn}$$

    relevance: texts N, 1 where the document at a rank is relevant, 0 where not, the best first.
    k: how many documents count, at least 1; ranks after the last document count as irrelevant.

    Returns texts, from 0 to 1.

    Raises DomainError for k = 0.

    Elsewhere: scikit-learn and others divide by the number of documents that were returned, where
    that is less than k.

    Paper: Manning et al. 2008, "Introduction to information retrieval", section 8.4.

    >>> precision_at_k(np.array([[1.0, 0.0, 1.0, 0.0]]), 3).round(4)
    array([0.6667])
    """
    if k < 1:
        raise ValueError("k is 0, expected at least 1")
    return np.sum(relevance[:, :k], axis=1) / k
