"""Arrays that come and go take the pages of those before them."""

import platform
import subprocess
import sys

import pytest

ROUNDS = """
import resource
import numpy as np
from refimpl.oracle.runs.pages import keep_pages
{first}
for turn in range(20):
    arrays = [np.ones(1 << 18) for _ in range(12)]
    del arrays
    if not turn:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(first):
    """The pages that the system hands out while arrays come and go."""
    run = [sys.executable, "-c", ROUNDS.format(first=first)]
    return int(subprocess.run(run, capture_output=True, check=True, text=True).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="an option of glibc's allocator")
def test_pages_are_kept():
    assert faults("keep_pages()") < faults("") / 8
