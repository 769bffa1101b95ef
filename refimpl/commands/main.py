"""The command `refimpl`."""

from __future__ import annotations

import argparse
import contextlib
import sys
from typing import Any, cast

import refimpl
from refimpl.commands import (
    bench,
    describe,
    explain,
    generate,
    here,
    models,
    replay,
    search,
    vectors,
    verify,
)
from refimpl.commands.endings import CONFORMS, INTERNAL, INTERRUPTED, USAGE, as_interruptions
from refimpl.commands.terminal import Screen, Unheard


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(
        prog="refimpl",
        description="Is my implementation right, and if not, what did I do wrong?",
        epilog="exit codes: 0 conforms, 1 deviates, 2 interrupted, 3 internal error, "
        "4 usage error, target cannot be loaded or report not written, "
        "5 nothing, or too little, was judged",
    )
    top.add_argument("--version", action="version", version=f"refimpl {refimpl.__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    everything = (
        verify,
        vectors,
        models,
        describe,
        generate,
        search,
        replay,
        explain,
        bench,
        here,
    )
    for command in everything:
        command.add(commands)
    return top


def main(words: list[str] | None = None) -> Any:
    """Parse, run, and turn every ending into an exit code."""
    with (
        contextlib.redirect_stdout(cast(Any, Screen(cast(Any, Unheard(sys.stdout))))),
        contextlib.redirect_stderr(cast(Any, Screen(sys.stderr))),
    ):
        code = _main(words)
        sys.stdout.flush()
    raise SystemExit(code)


def _main(words: list[str] | None) -> int:
    from refimpl.models.schedules import ConfigError
    from refimpl.oracle.targets.own_files import Changed
    from refimpl.oracle.targets.sessions import TargetError
    from refimpl.oracle.vectors.golden import VectorError
    from refimpl.own import OperationError

    if sys.flags.optimize > 1:
        print("refimpl: reads its own docstrings, which python -OO removes", file=sys.stderr)
        return USAGE
    try:
        options = parser().parse_args(words)
    except SystemExit as end:
        return USAGE if end.code else CONFORMS
    try:
        with as_interruptions():
            return options.run(options)
    except (TargetError, VectorError, OperationError, ConfigError, KeyError) as error:
        print(f"refimpl: {error.args[0]}", file=sys.stderr)
        return USAGE
    except KeyboardInterrupt:
        return INTERRUPTED
    except (OSError, MemoryError) as error:
        print(f"refimpl: {error or 'out of memory'}", file=sys.stderr)
        return USAGE
    except Changed as error:
        print(f"refimpl: {error}", file=sys.stderr)
        return INTERNAL
    except Exception:
        import traceback

        traceback.print_exc()
        print("refimpl: internal error; please report the above", file=sys.stderr)
        return INTERNAL


if __name__ == "__main__":
    main()
