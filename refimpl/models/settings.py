"""What a `config.json` of transformers says of a model, setting by setting."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from refimpl.models.names import WeightsError


def need(told: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """Settings by our names, from a table of theirs; WeightsError for what is missing.

    >>> need({"n_layer": 12}, {"layers": "n_layer"})
    {'layers': 12}
    """
    missing = [theirs for theirs in names.values() if theirs not in told]
    if missing:
        raise WeightsError(f"config.json: {', '.join(missing)} is missing")
    return {ours: told[theirs] for ours, theirs in names.items()}


def only(told: Mapping[str, Any], **allowed: Any) -> None:
    """Raise WeightsError for a setting that is there and is not what the text here computes."""
    for name, value in allowed.items():
        if told.get(name, value) not in (value, None):
            raise WeightsError(
                f"config.json: {name} is {told[name]!r}, expected {value!r}: no text here has it"
            )


def one_of(told: Mapping[str, Any], name: str, known: Mapping[str, str], usual: str) -> str:
    """Our name of a library's function, `usual` where it is not told; WeightsError for others."""
    theirs = told.get(name, usual)
    if theirs not in known:
        raise WeightsError(f"config.json: {name} is {theirs!r}, expected {', '.join(known)}")
    return known[theirs]
