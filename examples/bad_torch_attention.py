"""Attention in torch with a mistake: the softmax runs over the queries, not over the keys.

It returns its scores as well, so that the report can say which step goes wrong first. Run
`refimpl verify examples/bad_torch_attention.py` to see what the oracle makes of it.
"""

import torch

VERSION = torch.__version__


def attention(query, key, value, bias):
    query, key, value = (torch.tensor(x.copy()) for x in (query, key, value))
    shared = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(shared, dim=1), value.repeat_interleave(shared, dim=1)
    scores = torch.einsum("bhnd,bhmd->bhnm", query, key) * query.shape[-1] ** -0.5
    if bias is not None:
        scores = scores + torch.tensor(bias.copy())
    weights = torch.softmax(scores, dim=-2)
    weights = torch.nan_to_num(weights, nan=0.0)  # a key that no query sees
    return {"result": torch.einsum("bhnm,bhmf->bhnf", weights, value), "scores": scores}
