"""What a rule is: a function that writes edits of the nodes of some kinds."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from refimpl.oracle.diagnosis.search.writer import Writer

Edits = Iterator[tuple[ast.AST, "ast.expr | str", str]]  # what is replaced, by what, and in words


@dataclass(frozen=True)
class Rule:
    """Edits of every node of some kinds."""

    kinds: tuple[type[ast.AST], ...]
    edits: Callable[[Writer, Any], Edits]

    def __call__(self, at: Writer, node: ast.AST) -> Edits:
        """The edits of one node; none of a node of another kind."""
        return self.edits(at, node) if isinstance(node, self.kinds) else iter(())


def rule(*kinds: type[ast.AST]) -> Callable[[Callable[[Writer, Any], Edits]], Rule]:
    """Make a rule of a function that yields edits of the nodes of some kinds."""
    return lambda function: Rule(kinds, function)


def gathered(families: Sequence[ModuleType]) -> list[Rule]:
    """The rules of several files, in the order in which they stand there."""
    return [x for family in families for x in vars(family).values() if isinstance(x, Rule)]
