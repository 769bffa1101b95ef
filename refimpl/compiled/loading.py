"""Modules of kernels: loaded with their compiled code in a folder of our own."""

from __future__ import annotations

import functools
import hashlib
import importlib
import os
import threading
from pathlib import Path
from types import ModuleType

_lock = threading.RLock()  # a module of kernels may import another


@functools.cache
def compiled(module: str) -> ModuleType:
    """A module of kernels, its cache in a folder of our own."""
    from numba import config

    with _lock:
        before = config.CACHE_DIR
        config.CACHE_DIR = before or str(cache())
        try:
            return importlib.import_module(module)
        finally:
            config.CACHE_DIR = before


def cache() -> Path:
    """Where compiled kernels are kept, by version and by a digest of all sources of kernels."""
    told = os.environ.get("NUMBA_CACHE_DIR", "")
    if told:
        return Path(told)
    import refimpl

    digest = hashlib.sha256()
    home = Path(__file__).parents[1]
    sources = ("compiled/*.py", "models/kernels.py", "ops/*/fast*.py")
    for path in sorted(path for source in sources for path in home.glob(source)):
        digest.update(path.read_bytes())
    caches = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(caches) / "refimpl" / f"{refimpl.__version__}-{digest.hexdigest()[:16]}"
