"""The oracle's own files: as they were installed, and unchanged by what it judges."""

from __future__ import annotations

import base64
import compileall
import functools
import hashlib
import os
import sys
from pathlib import Path

from refimpl.exceptions import RefimplError

PACKAGE = Path(__file__).resolve().parents[2]


class Changed(RefimplError, RuntimeError):
    """A file of the package is not what it was."""


@functools.cache
def seal() -> dict[Path, tuple[tuple[int, ...], str]]:
    """The package as it is before a target runs; Changed if it is not as it was installed.

    What a target imports of it is compiled here, because targets see these files read-only.
    """
    if not sys.dont_write_bytecode:
        compileall.compile_dir(PACKAGE, quiet=2)
    sealed = {path: (stamp(path), digest(path)) for path in sources()}
    for path, installed in recorded().items():
        if path not in sealed or sealed[path][1] != installed:
            raise Changed(f"{path}: is not as it was installed; install refimpl anew")
    return sealed


def changed() -> Path | None:
    """A file that has another content than when it was sealed, or has come or gone."""
    before = seal()
    for path in sources() ^ before.keys():
        return path
    for path, (known, content) in before.items():
        if stamp(path) != known and digest(path) != content:
            return path
    return None


def sources() -> set[Path]:
    """What the package consists of, without what Python compiled."""
    found = set()
    for folder, folders, names in os.walk(PACKAGE):
        folders[:] = [name for name in folders if name != "__pycache__"]
        found |= {Path(folder, name) for name in names}
    return found


@functools.cache
def recorded() -> dict[Path, str]:
    """The digests that were noted when the package was installed; none in a checkout."""
    found = {}
    for record in PACKAGE.parent.glob("refimpl-*.dist-info/RECORD"):
        for line in record.read_text(encoding="utf-8").splitlines():
            path, _, rest = line.rpartition(",")[0].rpartition(",")
            kind, _, written = rest.partition("=")
            if path.startswith(f"{PACKAGE.name}/") and kind == "sha256":
                found[PACKAGE.parent / path] = written
    return found


def stamp(path: Path) -> tuple[int, ...]:
    """What changes whenever a file is written: nobody can set the time of the last change."""
    try:
        about = path.stat()
    except OSError:
        return ()
    return about.st_ino, about.st_size, about.st_mtime_ns, about.st_ctime_ns


def digest(path: Path) -> str:
    """SHA-256 as an installation's record writes it."""
    try:
        content = hashlib.sha256(path.read_bytes()).digest()
    except OSError:
        return ""
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
