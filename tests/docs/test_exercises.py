"""The exercise that the textbook shows: two wrong files with their verdicts, and the right one."""

from __future__ import annotations

from refimpl.registry import OPS
from tests.textbook import exercises

VERDICTS = (
    (1, "looks like q_sample/noise-factor-not-rooted"),
    (1, "looks like q_sample/time-counted-from-one"),
    (0, "conforms"),
)


def test_the_oracle_says_of_each_try_what_the_page_says_of_it():
    tries = exercises.tries()
    assert len(tries) == len(VERDICTS)
    for (op, code), (status, words) in zip(tries, VERDICTS, strict=True):
        found, said = exercises.verdict(op, code)
        assert found == status
        assert words in said


def test_the_lines_of_a_text_are_counted_without_its_signature():
    assert exercises.body(OPS["q_sample"])[-1].startswith("    return np.sqrt(share)")
    assert len(exercises.body(OPS["q_sample"])) == 2
