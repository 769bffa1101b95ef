"""Whatever a target, a file or an argument does, it ends as a sentence or a verdict."""

from __future__ import annotations

import pytest

from tests.hostile.__main__ import attempts


@pytest.mark.parametrize("attempt", attempts(), ids=lambda attempt: attempt.name)
def test_hostile(attempt, tmp_path):
    attempt.run(tmp_path)
