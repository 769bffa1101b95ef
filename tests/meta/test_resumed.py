"""Long audits go on where they were left: what their log holds is not judged again."""

from __future__ import annotations

import json
from collections import Counter

from tests.audit.mutants import Row, judge_mutants, stored
from tests.planted.__main__ import judged
from tests.planted.trials import entries


def test_a_row_is_read_from_a_log_as_it_was_written(tmp_path):
    log = tmp_path / "rows"
    row = Row("relu", "generic", 2, 1, Counter(probes=1), Counter(laws=1), [("x", "same")], 0.5)
    gone = Row("no_such_operation", "generic")
    log.write_text("".join(json.dumps(vars(one)) + "\n" for one in (row, gone)))
    assert stored(log) == {("relu", "generic"): row}
    assert stored(tmp_path / "none") == stored(None) == {}


def test_what_the_checks_say_of_a_few_mutants_outlives_a_log(tmp_path):
    row = judge_mutants(("relu", "mistakes", 1))
    (tmp_path / "rows").write_text(json.dumps(vars(row)))
    assert stored(tmp_path / "rows") == {("relu", "mistakes"): row}
    assert row.killed == row.mutants > 0


def test_entries_that_were_taken_out_before_are_not_taken_out_again():
    names = {edit.id for _, edit in entries()}
    assert list(judged("quick", [], "withheld", 1, names)) == []
    left = judged("quick", [], "withheld", 1, names - {"relu/absolute"})
    assert [trial.name for trial in left] == ["relu/absolute"]
