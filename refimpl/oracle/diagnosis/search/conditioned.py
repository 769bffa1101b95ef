"""Edits that are made only on some inputs, for some samples of an input, or in one of two calls."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from refimpl.oracle.diagnosis.conditions import Condition, Sampled
from refimpl.oracle.diagnosis.search.pages import NUMPY, Candidate, Change
from refimpl.text import assembled, reached


@dataclass(frozen=True)
class Conditioned(Candidate):
    """An edit that is made only where a condition holds; another one elsewhere, if there is one."""

    condition: Condition = field(kw_only=True)
    other: Candidate | None = field(kw_only=True, default=None)

    @property
    def id(self) -> str:
        """What is changed where, and what elsewhere."""
        where = f"{super().id}, only where {self.condition.says}"
        return f"{where}; elsewhere {self.other.id}" if self.other else where

    @property
    def text(self) -> Callable[..., Any]:
        """The operation, edited where the condition holds."""
        edited, holds, elsewhere = super().text, self.condition.holds, self.other or self.base
        right = elsewhere.text if elsewhere else self.root
        return lambda **inputs: (edited if holds(inputs) else right)(**inputs)

    @property
    def diff(self) -> str:
        """The edit, or both."""
        return f"{super().diff}\n{self.other.diff}" if self.other else super().diff


@dataclass(frozen=True)
class InSamples(Candidate):
    """An edit that is made only for the samples of which a condition holds."""

    condition: Sampled = field(kw_only=True)

    @property
    def id(self) -> str:
        """What is changed, and for which samples."""
        return f"{super().id}, only where {self.condition.says}"

    @property
    def text(self) -> Callable[..., Any]:
        """The operation, edited where the condition holds."""
        edited, condition = super().text, self.condition
        right = self.base.text if self.base else self.root
        return lambda **inputs: condition.split(edited, right, inputs)


@dataclass(frozen=True)
class InOneCall(Candidate):
    """An edit of a function that is made for one of several calls of it."""

    call: Change = field(kw_only=True)  # calls the edited function, under another name
    called: str = field(kw_only=True)  # the call, as the page prints it

    @property
    def id(self) -> str:
        """What is changed, and in which call."""
        return f"{super().id}, in the call `{self.called}` alone"

    @property
    def text(self) -> Callable[..., Any]:
        """The operation, in which one call is of an edited function."""
        caller = Candidate(self.root, (self.call,), self.base)
        function = self.changes[0].page.function
        within = reached(function).functions  # a dialect may edit what lies outside as well
        sources = {f: source for f, source in self.sources().items() if f in within}
        return caller.knowing(**{self.call.new: assembled(function, sources, {"np": NUMPY})})

    @property
    def diff(self) -> str:
        """The call, and the function that it calls."""
        return f"{Candidate(self.root, (self.call,), self.base).diff}\n{super().diff}"
