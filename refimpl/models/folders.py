"""A model in a folder, as transformers writes it: `config.json`, and weights in safetensors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from refimpl.models import weights
from refimpl.models.model import Model
from refimpl.models.names import WeightsError
from refimpl.models.registry import families

ONE, SEVERAL = "model.safetensors", "model.safetensors.index.json"


def read_folder(folder: str | Path) -> tuple[Any, dict[str, np.ndarray]]:
    """The configuration that `config.json` describes, and the arrays under our names.

    Half precision is widened to float32. A head that is told to be the table of words, and equals
    it, is left out.

    Raises WeightsError for a folder without one of the files, a kind of model or a setting that no
    text here has, and arrays that are missing, surplus or misshapen.
    """
    folder = Path(folder)
    told = described(folder)
    kind = told.get("model_type")
    model = _family(folder, kind)
    config = model.described[str(kind)](told)
    layout = next((x for x in model.layouts if x.fits(state := _arrays(folder))), weights.NO_LAYOUT)
    params = layout.translate(state)
    head, words = params.get("head.weight"), params.get("words.weight")
    tied = "head.weight" not in config.shapes()
    if tied and head is not None and words is not None and np.array_equal(head, words):
        del params["head.weight"]
    weights.check(params, config)
    return config, params


def described(folder: Path) -> Mapping[str, Any]:
    """What a folder's `config.json` says."""
    if not folder.is_dir():
        raise WeightsError(f"{folder}: is no folder, expected one with config.json and {ONE}")
    told = read_json(folder / "config.json")
    if not isinstance(told, dict):
        raise WeightsError(f"{folder / 'config.json'}: is no table, expected model_type and sizes")
    return told


def read_json(path: Path) -> Any:
    """A file of JSON; WeightsError where it cannot be read."""
    try:
        return json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise WeightsError(f"{path}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise WeightsError(f"{path}: is no JSON: {error}") from None


def _family(folder: Path, kind: Any) -> Model:
    for model in families():
        if kind in model.described:
            return model
    known = ", ".join(name for model in families() for name in model.described)
    raise WeightsError(f"{folder}: config.json has model_type {kind!r}, expected one of {known}")


def _arrays(folder: Path) -> dict[str, np.ndarray]:
    """The arrays of the one file, or of all files that the index names."""
    if (folder / ONE).exists() or not (folder / SEVERAL).exists():
        return weights.load(folder / ONE)
    index = read_json(folder / SEVERAL)
    places = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(places, dict):
        raise WeightsError(f"{folder / SEVERAL}: has no weight_map")
    state: dict[str, np.ndarray] = {}
    for file in sorted(set(places.values())):
        if Path(str(file)).name != file:
            raise WeightsError(f"{folder / SEVERAL}: {file!r} is no file of this folder")
        state |= weights.load(folder / file)
    return state
