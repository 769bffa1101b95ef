"""`python golden/examples/run.py [LANGUAGE...]` builds the examples and shows that they can fail.

Each example runs once as it is, which must pass, and once for each operation with a mistake planted
in it, which must fail in that operation and in no other. Needs the standard library alone.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).resolve().parent
GOLDEN = HERE.parent
PROGRAM = "example.exe" if os.name == "nt" else "example"
SECONDS = 60  # for one build or one run
FILES = {
    "attention": "attention/attention.json",
    "clip_loss": "clip/clip_loss.json",
    "q_sample": "diffusion/q_sample.json",
    "p_sample": "diffusion/p_sample.json",
}
LINE = re.compile(r"(\w+) (\d+) cases, worst (\S+)")


class Language(NamedTuple):
    """How an example is built and started; {here} has the sources, {out} what is built."""

    tools: tuple[str, ...]
    build: str
    start: str


LANGUAGES = {
    "C": Language(
        ("gcc",),
        "gcc -std=c11 -O1 -Wall -Wextra -ffp-contract=off {here}/example.c -o {out}/{program} -lm",
        "{out}/{program}",
    ),
    "C++": Language(
        ("g++",),
        "g++ -std=c++17 -O1 -Wall -Wextra -ffp-contract=off {here}/example.cpp -o {out}/{program}",
        "{out}/{program}",
    ),
    "Rust": Language(
        ("rustc",),
        "rustc --edition 2021 -O {here}/example.rs -o {out}/{program}",
        "{out}/{program}",
    ),
    "JavaScript": Language(("node",), "", "node {here}/example.mjs"),
    "Java": Language(
        ("javac", "java"),
        "javac -d {out} {here}/Example.java {here}/Golden.java {here}/Json.java",
        "java -cp {out} Example",
    ),
}


class Outcome(NamedTuple):
    """What one run printed, as cases and worst ratio of each operation, and its exit status."""

    status: int
    found: dict[str, tuple[int, float]]
    text: str


def absent(language: str) -> list[str]:
    """The tools that a language lacks on this machine."""
    return [tool for tool in LANGUAGES[language].tools if not _works(tool)]


def _works(tool: str) -> bool:
    if not shutil.which(tool):
        return False
    return _call([tool, "--version"]).returncode == 0  # a stub without a toolchain fails here


def _call(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        timeout=SECONDS,
        check=False,
    )


def _command(words: str, out: Path) -> list[str]:
    return [word.format(here=HERE, out=out, program=PROGRAM) for word in words.split()]


def build(language: str, out: Path) -> str:
    """Build an example into a folder; returns what the compiler said, "" for nothing."""
    command = _command(LANGUAGES[language].build, out)
    if not command:
        return ""
    result = _call(command)
    if result.returncode:
        raise RuntimeError(f"{language} does not build:\n{result.stdout}")
    return result.stdout.strip()


def run(language: str, out: Path, mistake: str = "", golden: Path = GOLDEN) -> Outcome:
    """Run a built example, with a mistake planted in one operation or in none."""
    planted = ["--mistake", mistake] if mistake else []
    result = _call([*_command(LANGUAGES[language].start, out), str(golden), *planted])
    found = {name: (int(cases), float(worst)) for name, cases, worst in LINE.findall(result.stdout)}
    return Outcome(result.returncode, found, result.stdout)


def cases(golden: Path = GOLDEN) -> dict[str, int]:
    """The number of cases of each operation that list float32."""
    counts = {}
    for name, file in FILES.items():
        content = json.loads((golden / file).read_text(encoding="utf-8"))
        counts[name] = sum("float32" in case["allowed"] for case in content["cases"])
    return counts


def problems(outcome: Outcome, mistake: str, counts: dict[str, int]) -> list[str]:
    """What is wrong with a run: a right one must pass, a planted mistake must fail alone."""
    what = f"with a mistake in {mistake}" if mistake else "without a mistake"
    found = []
    if outcome.status != (1 if mistake else 0):
        found.append(f"{what} it exits with {outcome.status}\n{outcome.text[-2000:]}")
    for name, count in counts.items():
        seen, worst = outcome.found.get(name, (0, float("nan")))
        if seen != count:
            found.append(f"{what} it checks {seen} of {count} cases of {name}")
        elif (worst > 1) != (name == mistake):
            verb = "accepts" if name == mistake else "rejects"
            found.append(f"{what} it {verb} {name}, worst {worst}")
    return found


def examine(language: str, out: Path) -> tuple[dict[str, Outcome], list[str]]:
    """Build an example and run it, right ("") and with each mistake; outcomes and problems."""
    counts = cases()
    said = build(language, out)
    outcomes = {mistake: run(language, out, mistake) for mistake in ("", *FILES)}
    found = [f"the compiler warns:\n{said}"] if said else []
    for mistake, outcome in outcomes.items():
        found += problems(outcome, mistake, counts)
    return outcomes, found


def row(language: str) -> tuple[list[str], list[str]]:
    """A language's line of the table, and its problems."""
    missing = absent(language)
    if missing:
        return [language, *("" for _ in FILES), f"absent ({', '.join(missing)})"], []
    with tempfile.TemporaryDirectory() as out:
        try:
            outcomes, found = examine(language, Path(out))
        except (RuntimeError, OSError, subprocess.TimeoutExpired) as error:
            return [language, *("" for _ in FILES), "fails"], [str(error)]
    cells = [
        " / ".join(
            f"{outcomes[mistake].found.get(name, (0, float('nan')))[1]:.2g}"
            for mistake in ("", name)
        )
        for name in FILES
    ]
    return [language, *cells, "fails" if found else "ok"], found


def table(rows: list[list[str]]) -> str:
    """Rows with aligned columns.

    >>> print(table([["a", "bcd"], ["efg", "h"]]))
    a    bcd
    efg  h
    """
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def main() -> int:
    """Run the examples of some languages, of all without arguments."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("languages", nargs="*", metavar="LANGUAGE", help=", ".join(LANGUAGES))
    names = {name.lower(): name for name in LANGUAGES}
    wanted = parser.parse_args().languages or list(names)
    unknown = [name for name in wanted if name.lower() not in names]
    if unknown:
        parser.error(f"no example in {', '.join(unknown)}; there are {', '.join(LANGUAGES)}")
    heads = [f"{name} ({count})" for name, count in cases().items()]
    rows, failed = [["language", *heads, "verdict"]], []
    for name in wanted:
        language = names[name.lower()]
        line, found = row(language)
        rows.append(line)
        failed += [f"{language}: {problem}" for problem in found]
    print("largest error ÷ allowed error in float32 (cases): right / with a mistake planted\n")
    print(table(rows))
    for problem in failed:
        print(f"\n{problem}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
