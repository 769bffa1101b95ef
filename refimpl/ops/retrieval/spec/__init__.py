"""What is known about retrieval."""

from refimpl.ops.retrieval.spec.found import PRECISION_AT_K, RANKING
from refimpl.ops.retrieval.spec.max_similarity import MAX_SIMILARITY
from refimpl.ops.retrieval.spec.mean_pool import MEAN_POOL, MEAN_POOL_VJP
from refimpl.ops.retrieval.spec.ndcg import NDCG
from refimpl.ops.retrieval.spec.rankings import (
    AVERAGE_PRECISION,
    RANKS,
    RECALL_AT_K,
    RECIPROCAL_RANK,
)

OPS = (
    MEAN_POOL,
    MEAN_POOL_VJP,
    MAX_SIMILARITY,
    RANKS,
    RECALL_AT_K,
    AVERAGE_PRECISION,
    RECIPROCAL_RANK,
    NDCG,
    RANKING,
    PRECISION_AT_K,
)
