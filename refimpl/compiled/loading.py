"""Modules of kernels: loaded with their compiled code in a folder of our own."""

from __future__ import annotations

import functools
import hashlib
import importlib
import os
import re
import sys
import threading
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

SOURCES = ("compiled/*.py", "models/kernels*.py", "ops/*/fast*.py")
OURS = re.compile(r"refimpl\.(compiled\.\w+|models\.kernels\w*|ops\.\w+\.fast\w*)$")

_lock = threading.RLock()  # a module of kernels may import another


@functools.cache
def compiled(module: str) -> ModuleType:
    """A module of kernels, its cache in a folder of our own."""
    from numba import config

    with _lock:
        before = config.CACHE_DIR
        config.CACHE_DIR = before or str(cache())
        try:
            loaded = importlib.import_module(module)
        finally:
            config.CACHE_DIR = before
        for name in [name for name in sys.modules if OURS.match(name)]:
            mend(sys.modules[name])
        return loaded


def mend(module: ModuleType) -> None:
    """Have the kernels of a module survive whatever becomes of their files."""
    for kernel in [*vars(module).values()]:
        kept = getattr(kernel, "_cache", None)
        if hasattr(kept, "cache_path") and not isinstance(kept, Kept):
            kernel._cache = Kept(kept, kernel.__name__)


class Kept:
    """The files of a kernel: what cannot be read is compiled again, and what cannot be written is
    not kept."""

    def __init__(self, files: Any, kernel: str) -> None:
        self.files, self.kernel = files, kernel

    def __getattr__(self, name: str) -> Any:
        return getattr(self.files, name)

    def load_overload(self, *about: Any) -> Any:
        """Compiled code, or None where there is none that can be read."""
        try:
            return self.files.load_overload(*about)
        except Exception as error:  # whatever unpickling comes to
            self._say(f"is damaged and compiled again ({type(error).__name__}: {error})")
        try:
            self.files.flush()
        except OSError as error:
            self._say(f"cannot be mended: {error}")
        return None

    def save_overload(self, *about: Any) -> None:
        """Keep compiled code, as far as there is room."""
        try:
            self.files.save_overload(*about)
        except OSError as error:
            self._say(f"cannot be kept: {error}")

    def _say(self, what: str) -> None:
        folder = self.files.cache_path
        says = f"{folder}: the compiled kernel {self.kernel} {what}"
        warnings.warn(says, RuntimeWarning, stacklevel=2)


def cache() -> Path:
    """Where compiled kernels are kept, by version and by a digest of all sources of kernels."""
    told = os.environ.get("NUMBA_CACHE_DIR", "")
    if told:
        return Path(told)
    import refimpl

    digest = hashlib.sha256()
    home = Path(__file__).parents[1]
    for path in sorted(path for source in SOURCES for path in home.glob(source)):
        digest.update(path.read_bytes())
    caches = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(caches) / "refimpl" / f"{refimpl.__version__}-{digest.hexdigest()[:16]}"
