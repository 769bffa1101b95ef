"""Edits that are made only on some inputs, or only for some samples of an input."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from refimpl.oracle.diagnosis.conditions import Condition, Sampled
from refimpl.oracle.diagnosis.search.pages import Candidate


@dataclass(frozen=True)
class Conditioned(Candidate):
    """An edit that is made only where a condition holds."""

    condition: Condition = field(kw_only=True)

    @property
    def id(self) -> str:
        """What is changed, and where."""
        return f"{super().id}, only where {self.condition.says}"

    @property
    def text(self) -> Callable[..., Any]:
        """The operation, edited where the condition holds."""
        edited, holds = super().text, self.condition.holds
        right = self.base.text if self.base else self.root
        return lambda **inputs: (edited if holds(inputs) else right)(**inputs)


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
