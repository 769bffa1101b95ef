"""What tests of compiled twins have in common."""

import pytest

from refimpl.compiled import threads


@pytest.fixture
def two_threads():
    before = threads.count()
    threads.use(2)
    yield
    threads.use(before)
