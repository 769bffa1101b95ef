"""The records of whole models: what a family is, as `Op` is of an operation.

A family is added by one `Model` in one file: under `refimpl/models/spec` it ships, in a module of
your own `--chapter` brings it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any

import numpy as np

from refimpl.models.names import Layout, Rules
from refimpl.op import Edit


@dataclass(frozen=True)
class Choice:
    """A field of configurations that libraries settle differently, and the values that they take.

    >>> Choice("eps", (1e-5, 1e-6), "an epsilon of ").says(1e-5, 1e-6)
    'an epsilon of 1e-05 in place of 1e-06'
    """

    field: str
    values: tuple[Any, ...]
    what: str = ""

    def says(self, value: Any, usual: Any) -> str:
        """A value in words."""
        return f"{self.what}{value} in place of {usual}"

    def usual(self, config: Any) -> Any:
        """What a configuration has chosen: the first part of it that has this field."""
        return next(getattr(part, self.field) for part in parts(config) if self.concerns(part))

    def concerns(self, part: Any) -> bool:
        """Whether a configuration has this field itself."""
        return self.field in {f.name for f in fields(part)}


@dataclass(frozen=True)
class Model:
    """A family of whole models: one text, and everything that is known about it.

    `text` takes the inputs by name, then `params`, `config`, `ops` and `tap`, and says the name of
    each intermediate value to the tap. `config` is the class of its configurations; `shapes()` of
    one says the name and shape of every parameter, and `sizes` are those with a name of their own.
    `described` makes one of what a `config.json` of transformers says, by its `model_type`.
    """

    name: str
    text: Callable[..., Any]
    config: type
    inputs: Callable[[Any, np.random.Generator], dict[str, np.ndarray]]
    sizes: Mapping[str, Any] = field(default_factory=dict)
    choices: tuple[Choice, ...] = ()  # where libraries differ on purpose
    mistakes: tuple[Edit, ...] = ()
    gradient: Callable[..., Any] | None = None  # back to the first input
    compiled: str = "refimpl.fast"  # the module whose operations run it soonest
    layouts: tuple[Layout, ...] = ()  # how libraries name its parameters, ours among them
    modules: Rules = ()  # where modules of libraries give a value that has another name in the text
    entering: Rules = ()  # where the value that goes into a module has a name
    sign: str = ""  # a parameter that no other family has
    infer: Callable[[Mapping[str, np.ndarray]], Any] | None = None  # the configuration by shapes
    described: Mapping[str, Callable[[Mapping[str, Any]], Any]] = field(default_factory=dict)
    says: str = ""  # what it is called in a sentence


def parts(config: Any) -> list[Any]:
    """A configuration and the configurations inside it, the outer one first.

    >>> from refimpl.models.configs import CLIP_B_32
    >>> [type(part).__name__ for part in parts(CLIP_B_32)]
    ['Clip', 'Vit', 'Text']
    """
    inner = (getattr(config, f.name) for f in fields(config))
    return [config, *(part for x in inner if is_dataclass(x) for part in parts(x))]


def spoken(config: Any, chosen: Mapping[str, Any]) -> Any:
    """The configuration with other choices, in each of its parts that has all of these fields."""
    own = {f.name: getattr(config, f.name) for f in fields(config)}
    changes = {name: spoken(x, chosen) for name, x in own.items() if is_dataclass(x)}
    return replace(config, **changes, **(chosen if set(chosen) <= set(own) else {}))
