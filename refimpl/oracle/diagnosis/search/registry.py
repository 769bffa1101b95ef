"""What a rule is: a function that writes edits of the nodes of some kinds."""

from __future__ import annotations

import ast
import functools
import itertools
from collections.abc import Callable, Iterator, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from refimpl import axes
from refimpl.text import FunctionText, defined, function_text

if TYPE_CHECKING:
    from refimpl.oracle.diagnosis.search.writer import Writer

Edits = Iterator[tuple[ast.AST, "ast.expr | str", str]]  # what is replaced, by what, and in words


class Rule:
    """Edits of every node of some kinds, as the function says that it is made of."""

    def __init__(
        self,
        kinds: tuple[type[ast.AST], ...],
        edits: Callable[[Writer, Any], Edits],
        of: Callable[[Writer, Any], Edits] | None = None,
    ) -> None:
        self.kinds = kinds
        self.edits = edits
        functools.update_wrapper(self, of or edits)

    def __call__(self, at: Writer, node: ast.AST) -> Edits:
        """The edits of one node; none of a node of another kind."""
        return self.edits(at, node) if isinstance(node, self.kinds) else iter(())

    def tried(self, steps: str, arguments: str = "x; y", most: int = 2) -> list[str]:
        """The first edits of an example: of an expression that a function returns, or its steps.

        Arguments without an annotation are arrays of two axes.
        """
        from refimpl.oracle.diagnosis.search.writer import Writer

        page = written(steps, arguments)
        changes = itertools.islice(Writer(page).changes([self]), most)
        return [change.new.replace("\n    ", "\n") for change in changes]


def written(steps: str, arguments: str) -> FunctionText:
    """A function of an example, which knows kinds of arguments and the chapter on diffusion."""
    from refimpl.ops.diffusion import reference as chapter

    if not steps.startswith(("return", "if")) and "\n" not in steps:
        steps = f"return {steps}"
    given = [a if ":" in a else f"{a}: Float[Array, 'B D']" for a in arguments.split("; ")]
    body = steps.replace("\n", "\n    ")
    source = f"def example({', '.join(given)}) -> Float[Array, 'B D']:\n    {body}\n"
    names = {**vars(axes), **vars(chapter), "np": np}
    return function_text(defined("example", source, names), source)


def rule(*kinds: type[ast.AST]) -> Callable[[Callable[[Writer, Any], Edits]], Rule]:
    """Make a rule of a function that yields edits of the nodes of some kinds."""
    return lambda function: Rule(kinds, function)


def gathered(families: Sequence[ModuleType]) -> list[Rule]:
    """The rules of several files, in the order in which they stand there."""
    return [x for family in families for x in vars(family).values() if isinstance(x, Rule)]
