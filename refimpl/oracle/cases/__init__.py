"""Inputs that are drawn."""

from refimpl.oracle.cases.drawn import Case, generate, long_case, random_case, rounded

__all__ = ["Case", "generate", "long_case", "random_case", "rounded"]
