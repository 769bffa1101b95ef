"""What explains a deviation: one record, from where it is found until a report writes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

UNLISTED = "unlisted"  # the identifier of an edit that no catalogue has


@dataclass(frozen=True)
class Cause:
    """One text that gives everything the target returned, and how it differs from the right one.

    The kind is `mistake`, `dialect`, `precision` (digits are lost), `calls` (answers differ from
    call to call), `condition` (wrong at some sizes, on which no text is known) or `unknown`.

    >>> Cause.read(Cause("mistake", "silu/sign", "has the wrong sign").as_json()).name
    'silu/sign'
    """

    kind: str
    id: str = ""
    says: str = ""
    diff: str = field(default="", repr=False)  # the lines of the text that are different
    text: Callable | None = field(default=None, repr=False, compare=False)  # None: the right one
    confirmed: int = 0  # deviating inputs, asked for, on which it gives what was returned

    @property
    def known(self) -> bool:
        """Whether it is one of the catalogue, which can be allowed by its name."""
        return self.id not in ("", UNLISTED)

    @property
    def name(self) -> str:
        """Its identifier, or what it says where it has none of its own."""
        return self.id if self.known else self.says

    def as_json(self) -> dict[str, Any]:
        """The cause as a JSON report holds it."""
        shown = {"kind": self.kind, "id": self.id, "says": self.says, "diff": self.diff}
        return {**shown, "confirmed": self.confirmed}

    @classmethod
    def read(cls, entry: Mapping[str, Any]) -> Cause:
        """The cause that a JSON report holds; its text is not there any more."""
        told = {name: entry[name] for name in ("kind", "id", "says", "diff")}
        return cls(**told, confirmed=entry.get("confirmed", 0))


UNKNOWN = Cause("unknown", says="no known edit of the text fits")
