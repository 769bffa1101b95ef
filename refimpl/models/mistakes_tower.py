"""What goes wrong in an image tower that shows all its tokens to another model."""

from dataclasses import replace

from refimpl.models.mistakes import VIT, elsewhere
from refimpl.op import Edit

EVERY_HEAD = ("split", "join")  # which blocks of words share
PATCHES = tuple(e for e in VIT if e.where not in ("vit", "layer_scale", *EVERY_HEAD) and not e.also)


def of_tower(family: str, where: str = "") -> tuple[Edit, ...]:
    """The mistakes of blocks and of what goes before them, for a family that has such a tower.

    where: is added to what each says, in a family whose other blocks make the same mistakes.
    """
    return tuple(replace(elsewhere(edit, family), says=f"{edit.says}{where}") for edit in PATCHES)
