"""Whatever a target, a file or an argument does, it ends as a sentence or a verdict."""

from __future__ import annotations

import pytest

from tests.hostile.__main__ import trials


@pytest.mark.parametrize("trial", trials(), ids=lambda trial: trial.name)
def test_hostile(trial, tmp_path):
    trial.run(tmp_path)
