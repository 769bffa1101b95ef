"""Memory that a process of ours keeps: bounds are made of arrays that come and go."""

from __future__ import annotations

import contextlib
import ctypes

# options of glibc's allocator, and bytes
KEPT = (-1, 1 << 28)  # at the end of the heap, before any of it goes back to the system
AHEAD = (-2, 1 << 24)  # asked for beyond what is needed
MAPPED = (-3, 1 << 25)  # from which on an array is mapped for itself


def keep_pages() -> None:
    """Have the allocator keep the pages of arrays that are gone for those that come.

    By default they go back to the system at once, which hands every page out empty again, at a
    fault each: a fifth of the time of long inputs. Elsewhere than with glibc nothing changes.
    """
    with contextlib.suppress(AttributeError, OSError, TypeError):  # the last on Windows
        allocator = ctypes.CDLL(None)
        for option, size in (KEPT, AHEAD, MAPPED):
            allocator.mallopt(option, size)
