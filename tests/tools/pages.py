"""`python -m tests.tools.pages` rewrites the generated parts of the README, and its picture."""

from __future__ import annotations

import inspect
import re

from refimpl.registry import OPS
from tests import ROOT
from tests.textbook import DOCS, front

README = ROOT / "README.md"
PICTURE = DOCS / "front.svg"
KNOWN = ("laws", "mistakes", "dialects")


def operations() -> str:
    """The table of chapters: a line each, how many operations, and how much is known about them."""
    lines = ["| chapter | operations | laws | mistakes | dialects |", "|---|---:|---:|---:|---:|"]
    for chapter in dict.fromkeys(op.chapter for op in OPS.values()):
        ops = [op for op in OPS.values() if op.chapter == chapter]
        counts = [len(ops), *(sum(len(getattr(op, kind)) for op in ops) for kind in KNOWN)]
        name = chapter.replace("_", " ")
        links = f"[{name}](docs/chapters/{chapter}.md), [code](refimpl/ops/{chapter}/reference.py)"
        lines.append(f"| {links} | {' | '.join(map(str, counts))} |")
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
