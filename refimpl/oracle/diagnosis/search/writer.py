"""A page as a syntax tree: where its nodes stand, what they are, and the edits of all rules."""

from __future__ import annotations

import ast
import functools
import inspect
import re
import types
from collections.abc import Iterator, Sequence
from typing import Any

from refimpl.oracle.diagnosis.search.nodes import (
    OPERATORS,
    at_place,
    has_axes,
    make,
    number,
    numpy_name,
)
from refimpl.oracle.diagnosis.search.pages import HIDDEN, Change
from refimpl.oracle.diagnosis.search.registry import Rule
from refimpl.text import FunctionText

NUMBERS = (
    f"A * {HIDDEN}",
    f"A + {HIDDEN}",
    f"np.minimum(A, {HIDDEN})",
    f"np.maximum(A, {HIDDEN})",
    f"np.clip(A, -{HIDDEN}, {HIDDEN})",
)
GUARDS = (1e-3, 1e-5, 1e-6, 1e-7, 1e-8, 1e-9, 1e-12, 1e-20)
SHIFTED = (  # a table read one place early or late, with the ends held or wrapped around
    "np.concatenate((A[:1], A[:-1]))",
    "np.concatenate((A[1:], A[-1:]))",
    "np.roll(A, 1, axis=0)",
    "np.roll(A, -1, axis=0)",
)
PRECEDENCE = {"|": 1, "&": 2, "+": 3, "-": 3, "*": 4, "/": 4, "@": 4, "//": 4, "%": 4, "**": 6}


class Writer:
    """Writes the edits of one page."""

    def __init__(self, page: FunctionText) -> None:
        self.page = page
        self.scope = page.function.__globals__
        tree = ast.parse(page.source).body[0]
        assert isinstance(tree, ast.FunctionDef)
        self.tree: ast.FunctionDef = tree
        self.parents: dict[ast.AST, ast.AST] = {}
        self.written: dict[tuple[ast.AST, tuple[Rule, ...]], list[Change]] = {}
        self.steps: list[ast.stmt] = []
        self._walk(self.tree)
        self.lines = [0]
        for line in page.source.splitlines(keepends=True):
            self.lines.append(self.lines[-1] + len(line.encode()))
        self.bytes = page.source.encode()
        self.parameters = inspect.signature(page.function).parameters

    def _walk(self, node: ast.AST) -> None:
        for child in ast.iter_child_nodes(node):
            refusal = isinstance(child, ast.If) and isinstance(child.body[0], ast.Raise)
            if not refusal and not isinstance(child, (ast.arguments, ast.Raise)):
                self.parents[child] = node
                self._walk(child)

    def changes(self, rules: Sequence[Rule]) -> Iterator[Change]:
        """Every edit of the page as a change of its characters."""
        for node in list(self.parents):
            yield from self.changes_at(node, rules)

    def changes_at(self, node: ast.AST, rules: Sequence[Rule]) -> list[Change]:
        """The edits of one node, written once however many searches ask for them."""
        key = node, tuple(rules)
        if key not in self.written:
            self.written[key] = [self.change(*edit) for rule in rules for edit in rule(self, node)]
        return self.written[key]

    def places(self) -> Iterator[Change]:
        """Every number, and every quantity with a number beside it, that number yet unknown.

        And every scalar argument, with a number in its place.
        """
        scalars = [n for n, p in self.annotated.items() if p.annotation.scalar]
        for first in filter(self.is_first, self.tree.body):
            for name in (n for n in scalars if not self.annotated[n].annotation.kind.integer):
                text = self.with_prologue(first, f"{name} = {HIDDEN}")
                yield self.change(first, text, "a number in the place of an argument")
        for node in list(self.parents):
            parent = self.parents[node]
            places = number(node) is not None and number(parent) is None
            counts = self.is_axis(node) or isinstance(parent, (ast.Subscript, ast.Slice, ast.Tuple))
            if places and not counts:
                yield self.change(node, make(HIDDEN), "another number")
            if self.is_quantity(node):
                for template in NUMBERS:
                    new = make(template, A=node)  # type: ignore[arg-type]
                    yield self.change(node, new, "a number too many")
                if self._of_sizes_alone(node):
                    yield self.change(node, make(HIDDEN), "a fixed number")

    def _of_sizes_alone(self, node: ast.AST) -> bool:
        """Whether a value is made of sizes and numbers, and of no array."""
        calls = [n for n in ast.walk(node) if isinstance(n, ast.Call)]
        constants = {n for c in calls if ast.unparse(c.func) == "constant" for n in c.args[1:]}
        inside = {n for c in constants for n in ast.walk(c)}
        names = [n for n in ast.walk(node) if isinstance(n, ast.Name) and n not in inside]
        return all(n.id in ("np", "constant") or self.is_a_length(n) for n in names)

    def change(self, node: Any, new: ast.expr | str, what: str) -> Change:
        """An edit of one node as a change of characters."""
        start = self.lines[node.lineno - 1] + node.col_offset
        end = self.lines[node.end_lineno - 1] + node.end_col_offset
        if not isinstance(new, str):
            text = re.sub(r"([\w.]+) \*\* (\d)\b", r"\1**\2", ast.unparse(new))
            new = f"({text})" if self._needs_parentheses(node, new) else text
        elif isinstance(node, ast.stmt) and not new:
            start = self.lines[node.lineno - 1]
            end = self.lines[node.end_lineno or node.lineno]
        start, end = len(self.bytes[:start].decode()), len(self.bytes[:end].decode())
        return Change(self.page, start, end, new, what)

    def _needs_parentheses(self, node: ast.AST, new: ast.expr) -> bool:
        def binding(expression: ast.AST) -> int:
            match expression:
                case ast.BinOp(op=operator):
                    return PRECEDENCE.get(OPERATORS.get(type(operator), ""), 0)
                case ast.UnaryOp(op=ast.USub()):
                    return 5
                case ast.Compare() | ast.BoolOp() | ast.IfExp() | ast.Tuple() | ast.UnaryOp():
                    return 0
            return 8

        parent = self.parents[node]
        if isinstance(parent, (ast.Attribute, ast.Subscript)) and parent.value is node:
            outer = 7
        elif isinstance(parent, (ast.BinOp, ast.UnaryOp, ast.Compare, ast.BoolOp)):
            outer = binding(parent)
        else:
            return False
        last = isinstance(parent, ast.BinOp) and parent.right is node
        inside = binding(new) < outer or (binding(new) == outer and (last or outer == 0))
        start = self.lines[node.lineno - 1] + node.col_offset  # type: ignore[attr-defined]
        return inside and self.bytes[start - 1 : start] != b"("

    def is_guarded(self, node: ast.AST) -> bool:
        """Whether a node stands where zero does harm: below a bar, in a root or a logarithm."""
        parent = self.parents[node]
        if isinstance(parent, ast.BinOp):
            return isinstance(parent.op, ast.Div) and parent.right is node
        return isinstance(parent, ast.Call) and numpy_name(parent.func) in ("log", "sqrt")

    def factors(self, node: ast.expr) -> list[ast.expr]:
        """What is known where a node stands; roots and exponentials that the function takes."""
        names: list[ast.expr] = [ast.Name(name) for name in self.known_before(at_place(node))]
        for name in self.parameters:
            if self.kind(ast.Name(name)) in ("LogScale", "LogVariance"):
                names.append(make("np.exp(A)", A=ast.Name(name)))
            if self.kind(ast.Name(name)) == "Size":
                names.append(make("(A / 1000)", A=ast.Name(name)))
        array = next((n for n, p in self.parameters.items() if has_axes(p.annotation)), "")
        if array:
            names += [make(f"{array}.shape[{axis}]") for axis in (-1, 0, 1)]
            names += [make(f"np.sqrt({array}.shape[-1])")]
        roots = [
            n
            for n in self.parents
            if isinstance(n, ast.Call) and numpy_name(n.func) in ("sqrt", "exp")
        ]
        return names + list({ast.unparse(root): root for root in roots}.values())

    def is_axis(self, node: ast.AST) -> bool:
        """Whether a node stands where an axis is asked for."""
        parent = self.parents.get(node)
        if isinstance(parent, (ast.Tuple, ast.UnaryOp)):
            return self.is_axis(parent)
        if isinstance(parent, ast.keyword):
            return parent.arg == "axis"
        moves = ("swapaxes", "transpose")
        return (
            isinstance(parent, ast.Call)
            and numpy_name(parent.func) in moves
            and node in parent.args[1:]
        )

    def is_quantity(self, node: ast.AST) -> bool:
        """Whether a node is a value that is computed with, rather than a shape or an axis."""
        kinds = (ast.Name, ast.Call, ast.BinOp, ast.Subscript, ast.IfExp)
        if not isinstance(node, kinds) or not isinstance(
            getattr(node, "ctx", ast.Load()), ast.Load
        ):
            return False
        parent = self.parents[node]
        if isinstance(parent, ast.Call):
            return parent.func is not node and not self.is_axis(node)
        if isinstance(parent, ast.IfExp):
            return parent.test is not node
        return isinstance(parent, (ast.BinOp, ast.UnaryOp, ast.Return, ast.Assign))

    @property
    def annotated(self) -> dict[str, inspect.Parameter]:
        """The parameters whose axes and kind are known; helpers of a chapter may have none."""
        return {n: p for n, p in self.parameters.items() if hasattr(p.annotation, "kind")}

    def is_first(self, node: ast.AST) -> bool:
        """Whether a node is the first step of the function, refusals aside."""
        return node is next((s for s in self.tree.body if s in self.parents), None)

    def is_last(self, node: ast.AST) -> bool:
        """Whether a node is the last step of the function."""
        return node is self.tree.body[-1]

    def with_prologue(self, node: ast.stmt, line: str) -> str:
        """A step with another line before it."""
        start = self.lines[node.lineno - 1] + node.col_offset
        end = self.lines[(node.end_lineno or node.lineno) - 1] + (node.end_col_offset or 0)
        return f"{line}\n    {self.bytes[start:end].decode()}"

    def as_written(self, step: ast.stmt) -> str:
        """A step with its comment, as it stands on the page."""
        lines = self.page.source.splitlines()[step.lineno - 1 : step.end_lineno]
        return "\n".join(line.removeprefix("    ") for line in lines)

    def is_a_length(self, node: ast.Name) -> bool:
        """Whether a name was given the length of an axis."""
        return any(
            isinstance(step, ast.Assign)
            and _measures(step.value)
            and any(isinstance(n, ast.Name) and n.id == node.id for n in ast.walk(step.targets[0]))
            for step in self.tree.body
        )

    def annotation(self, node: ast.AST) -> Any:
        """The annotation of the parameter that a name stands for, if it is one."""
        return getattr(self.parameters.get(getattr(node, "id", "")), "annotation", None)

    def kind_of(self, node: ast.AST) -> Any:
        """The kind of numbers in the parameter that a name stands for, if it is one."""
        return getattr(self.annotation(node), "kind", None)

    def kind(self, node: ast.AST) -> str:
        """The kind of the parameter that a name stands for."""
        annotation = getattr(self.parameters.get(getattr(node, "id", "")), "annotation", None)
        return getattr(getattr(annotation, "kind", None), "name", "")

    def known_before(self, node: ast.Name) -> list[str]:
        """The names that have a value where a node stands."""
        assigned = [
            other.id
            for other in self.parents
            if isinstance(other, ast.Name)
            and isinstance(other.ctx, ast.Store)
            and other.lineno < node.lineno
        ]
        return [n for n in dict.fromkeys((*self.parameters, *assigned)) if n not in (node.id, "_")]

    def functions(self, arity: int) -> list[str]:
        """The functions of the chapter, or known to it, that take so many arguments."""
        return [
            name
            for name, found in self.scope.items()
            if isinstance(found, types.FunctionType)
            and found.__module__.endswith(".reference")
            and found is not self.page.function
            and name not in self.parameters
            and len(inspect.signature(found).parameters) == arity
        ]

    def is_optional(self, node: ast.Call, place: int) -> bool:
        """Whether the function called can do without an argument."""
        called = self.scope.get(getattr(node.func, "id", ""))
        if not isinstance(called, types.FunctionType):
            return False
        parameters = list(inspect.signature(called).parameters.values())
        return place < len(parameters) and getattr(parameters[place].annotation, "optional", False)


def _measures(value: ast.expr) -> bool:
    """Whether an expression is made of the lengths of axes."""
    text = ast.unparse(value)
    return (".shape" in text or text.startswith("len(")) and "reshape" not in text


@functools.lru_cache(maxsize=32)
def writer_of(page: FunctionText) -> Writer:
    """The writer of a page, which several searches share."""
    return Writer(page)
