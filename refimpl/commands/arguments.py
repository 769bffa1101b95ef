"""What the command's options may be; each mistake is a sentence before anything is started."""

from __future__ import annotations

import argparse
import difflib
import math
import shlex
from collections.abc import Iterable, Sequence

CALL, PROGRAM = 30.0, 600.0  # seconds: one call of a function, one run of a program


def seconds(text: str) -> float:
    """A time limit.

    >>> seconds("2.5")
    2.5
    """
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no positive number of seconds")
    return value


def natural(text: str) -> int:
    """A number of things, at least one."""
    return _integer(text, 1)


def seed(text: str) -> int:
    """A seed of random numbers, which is not negative."""
    return _integer(text, 0)


def _integer(text: str, least: int) -> int:
    try:
        value = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number") from None
    if value < least:
        raise argparse.ArgumentTypeError(f"{value} is less than {least}")
    return value


def program(text: str) -> str:
    """A command with places for its two files.

    >>> program("./mine {in} {out}")
    './mine {in} {out}'
    """
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no command: {error}") from None
    for place in ("{in}", "{out}"):
        if not any(place in word for word in words):
            raise argparse.ArgumentTypeError(
                f"{text!r} has no {place}, expected such as './mine {{in}} {{out}}'"
            )
    return text


def check_verify(options: argparse.Namespace) -> None:
    """What options of `refimpl verify` may not stand together, and names that nothing has."""
    from refimpl.oracle.targets.sessions import TargetError
    from refimpl.registry import OPS

    recorded = "--cmd" if options.cmd else "--from" if options.place else ""
    other = recorded or ("--model" if options.models else "")
    if other and options.profile:
        raise TargetError(f"{other} draws no cases: leave out --profile")
    if recorded and options.seed is not None:
        raise TargetError(f"{recorded} draws no cases: leave out --seed")
    if options.place and not options.place.is_dir():
        raise TargetError(f"{options.place}: there is no such folder")
    if not options.models:
        check_causes("--allow", options.allow, OPS.values())
    options.profile = options.profile or "ci"
    options.limit = options.limit or (PROGRAM if options.cmd else CALL)


def check_causes(where: str, names: Sequence[str], ops: Iterable) -> None:
    """Causes by name; TargetError for one that no operation has."""
    from refimpl.oracle.targets.sessions import TargetError

    known = {edit.id for op in ops for edit in (*op.dialects, *op.mistakes, *op.lossy)}
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"; did you mean {near[0]}?" if near else "; see refimpl explain OPERATION"
            raise TargetError(f"{where}: no cause is called {name!r}{hint}")
