"""`python -m tests.pages` rewrites the generated parts of the README, and its picture."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

from refimpl.registry import OPS
from tests.textbook import DOCS, front

README = Path(__file__).parent.parent / "README.md"
PICTURE = DOCS / "front.svg"


def operations() -> str:
    """The table of operations, from their docstrings."""
    lines = [
        "| operation | what it does | laws | mistakes | dialects |",
        "|---|---|---:|---:|---:|",
    ]
    chapter = ""
    for op in OPS.values():
        if op.chapter != chapter:
            chapter = op.chapter
            link = f"refimpl/ops/{chapter}/reference.py"
            lines.append(f"| **[{chapter.replace('_', ' ')}]({link})** | | | | |")
        first = inspect.getdoc(op.text).splitlines()[0]
        counts = f"{len(op.laws)} | {len(op.mistakes)} | {len(op.dialects)}"
        lines.append(f"| `{op.name}` | {first} | {counts} |")
    return "\n".join(lines)


def page(name: str) -> str:
    """A textbook function without its docstring."""
    source = inspect.getsource(OPS[name].text)
    head, _, rest = source.partition('    r"""')
    return "```python\n" + head + rest.partition('"""\n')[2].rstrip() + "\n```"


def render(text: str) -> str:
    """The page with every generated part made anew."""
    makers = {"page: attention": lambda: page("attention"), "table: operations": operations}
    for mark, make in makers.items():
        pattern = rf"(<!-- {mark} -->\n).*?(<!-- end -->)"
        text = re.sub(pattern, lambda m, make=make: m[1] + make() + "\n" + m[2], text, flags=re.S)
    return text


if __name__ == "__main__":
    README.write_text(render(README.read_text()))
    PICTURE.write_text(front.svg())
