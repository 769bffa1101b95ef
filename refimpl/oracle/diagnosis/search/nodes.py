"""Nodes of a syntax tree: made, read and placed."""

from __future__ import annotations

import ast
from typing import Any

OPERATORS: dict[type, str] = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.Div: "/",
    ast.MatMult: "@",
    ast.Pow: "**",
    ast.FloorDiv: "//",
    ast.Mod: "%",
    ast.LShift: "<<",
    ast.RShift: ">>",
    ast.BitXor: "^",
    ast.BitOr: "|",
    ast.BitAnd: "&",
}
COMPARISONS: dict[type, str] = {
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.Eq: "==",
    ast.NotEq: "!=",
}


def make(template: str, **parts: ast.expr) -> ast.expr:
    """An expression with other expressions in the places of its capital letters.

    >>> ast.unparse(make("A * B", A=make("x + 1"), B=make("y")))
    '(x + 1) * y'
    """

    return _Fill(parts).visit(ast.parse(template, mode="eval").body)


class _Fill(ast.NodeTransformer):
    """Puts expressions in the places of names."""

    def __init__(self, parts: dict[str, ast.expr]) -> None:
        self.parts = parts

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return self.parts.get(node.id, node)


def number(node: ast.AST) -> int | float | None:
    """The number that a node spells, its sign included."""
    match node:
        case ast.Constant(value=bool()):
            return None
        case ast.Constant(value=int() | float() as value):
            return value
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)):
            return -value
    return None


def numpy_name(node: ast.AST) -> str:
    """The name of the NumPy function that a node is, or nothing."""
    match node:
        case ast.Attribute(value=ast.Name(id="np"), attr=name):
            return name
    return ""


def span(first: ast.stmt, last: ast.stmt) -> ast.stmt:
    """A nameless step in the place of several."""
    place = ast.copy_location(ast.Pass(), first)
    place.end_lineno, place.end_col_offset = last.end_lineno, last.end_col_offset
    return place


def has_axes(annotation: Any) -> bool:
    """Whether an argument is an array of numbers, by its annotation."""
    return not getattr(annotation, "scalar", True) and not annotation.kind.integer


def at_place(target: ast.expr) -> ast.Name:
    """A nameless name in the place of an expression."""
    return ast.copy_location(ast.Name(""), target)


def off_by_one(name: str, table: str) -> tuple[str, ...]:
    """An index one off, with or without care for the ends; from the end; the first for all."""
    return (
        f"{name} - 1",
        f"np.maximum({name} - 1, 0)",
        f"np.minimum({name} + 1, len({table}) - 1)",
        f"np.maximum({name} - 1, -1)",
        f"np.where({name} < 0, {name}, {name} + 1)",
        f"len({table}) - 1 - {name}",
        f"np.repeat({name}[:1], len({name}))",
    )
