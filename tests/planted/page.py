"""The trials as tables."""

from __future__ import annotations

import statistics

from refimpl.oracle.diagnosis.causes import SEARCHING
from tests.planted.trials import FRESH, Judged, entries

KINDS = {
    "listed": "a mistake of the catalogue",
    "unlisted": "another mistake, one edit",
    "two": "two mistakes at once",
    "withheld": "a catalogue entry taken out",
}
OUTCOMES = ("first", "among", "explained", "unknown", "wrong", "conforms", "crashes")


def table(trials: list[Judged]) -> str:
    """Outcomes by kind and language."""
    head = "| kind | written in | trials | " + " | ".join(OUTCOMES) + " |"
    lines = [head, "|---|---|" + "---:|" * (len(OUTCOMES) + 1)]
    for kind in (*KINDS, "honest"):
        mine = [t for t in trials if t.kind == kind]
        languages = list(dict.fromkeys(t.language for t in mine))
        for language in [*languages, *(["all"] if len(languages) > 1 else [])]:
            some = [t for t in mine if language in (t.language, "all")]
            counts = [str(sum(t.outcome == outcome for t in some)) for outcome in OUTCOMES]
            lines.append(f"| {kind} | {language} | {len(some)} | {' | '.join(counts)} |")
    return "\n".join(lines)


def seconds(trials: list[Judged]) -> str:
    """How long diagnoses took."""
    took = sorted(t.seconds for t in trials if t.outcome not in ("conforms", "crashes"))
    if not took:
        return ""
    median = statistics.median(took)
    return f"A diagnosis took {median:.1f} s of computing (median), at most {took[-1]:.1f} s,"


def rest(trials: list[Judged]) -> str:
    """What was not explained, and what was explained wrongly."""
    lines = [
        f"- {t.name} ({t.language}, {t.kind}): {t.outcome}"
        + (f"; said: {t.causes[0]}" if t.causes else "")
        for t in trials
        if t.kind not in ("withheld", "honest") and t.outcome in ("unknown", "wrong", "conforms")
    ]
    by_op: dict[str, list[str]] = {}
    for t in trials:
        if t.kind == "withheld" and t.outcome in ("unknown", "wrong"):
            mark = " (wrong)" if t.outcome == "wrong" else ""
            by_op.setdefault(t.op, []).append(t.name.partition("/")[2] + mark)
    lines += [f"- {op}, taken out: {', '.join(names)}" for op, names in by_op.items()]
    return "\n".join(lines) or "Nothing."


PAGE = """# What the diagnosis finds

Made by `make planted` ({profile} profile, float32). Every implementation goes through the same
session and the same cases as in `refimpl verify`; its true cause was written down beforehand.

{kinds}

- **first**: the recorded cause is named, alone or before others that agree with it everywhere.
- **among**: it is one of several causes that could not be told apart.
- **explained**: another text was shown that gives what the implementation gives on {fresh} inputs
  that the diagnosis had not seen. For mistakes outside the catalogue this is the aim.
- **unknown**: the diagnosis says that it does not know.
- **wrong**: a cause was shown that does not hold on those inputs.
- **conforms**: nothing was found to deviate, as it should be for honest implementations.

The planted implementations stand in `tests/planted`, written from descriptions of mistakes and
not from the text. An entry taken out of the catalogue runs as the edited text in float32; the
search has to find it by itself. {taken} of {all} entries were taken out, one at a time.

The corpus and the search were made by the same hands: the corpus first, but what it showed to be
missing was added to the search as kinds of slips. The entries taken out are the stricter test.

{table}

{seconds}
beside what the implementation needs to answer. A search ends after {budget:.0f} s of computing, so
that what is found late in it depends on the machine.

## Not explained

{rest}
"""


def page(trials: list[Judged], profile: str) -> str:
    """The page docs/diagnosis.md."""
    return PAGE.format(
        profile=profile,
        kinds="\n".join(f"- `{kind}`: {says}" for kind, says in KINDS.items()),
        fresh=FRESH,
        table=table(trials),
        taken=sum(trial.kind == "withheld" for trial in trials),
        all=len(entries()),
        seconds=seconds(trials),
        budget=SEARCHING,
        rest=rest(trials),
    )
