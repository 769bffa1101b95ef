"""The audit's page: what is audited now replaces what was said of it, and of nothing else."""

from __future__ import annotations

from tests.audit.__main__ import page
from tests.audit.audits import Audit
from tests.audit.judged import Judged


def audited(op, rejections):
    left = Judged(op, "tf32", elements=100, throughout=7, left=5)
    return Audit(op, inputs=9, rejections=rejections, counts=[left])


def test_an_operation_that_is_audited_again_has_the_new_rows_and_others_keep_theirs():
    before = page([audited("silu", 1), audited("relu", 2)], "")
    after = page([audited("silu", 3)], before)
    kept = [line for line in before.splitlines() if line.startswith("| relu ")]
    assert len(kept) == 2
    assert all(line in after.splitlines() for line in kept)
    assert after == page([audited("silu", 3), audited("relu", 2)], "")


def test_an_operation_that_is_no_more_leaves_the_page():
    before = page([audited("silu", 1)], "").replace("| silu |", "| gone |")
    assert "gone" not in page([audited("relu", 1)], before)
