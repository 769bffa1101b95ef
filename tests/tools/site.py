"""`python -m tests.tools.site DIR` checks the built textbook: no dead link, nothing remote."""

from __future__ import annotations

import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

from refimpl.registry import OPS

LOADS = {"script": "src", "img": "src", "link": "href", "iframe": "src", "source": "src"}
RAW = re.compile(r"\$\$|\\(?:frac|sqrt|begin|bar|hat|mathrm|left|right)\b")


class Page(HTMLParser):
    """What a page loads, where it links, what it calls itself, and what it shows."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.links: list[str] = []
        self.names: set[str] = set()
        self.mute: list[str] = []
        self.code = 0
        self.shown = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list) -> None:
        given = dict(attrs)
        self.names |= {given[key] for key in ("id", "name") if given.get(key)}
        if tag == "a" and given.get("href"):
            self.links.append(given["href"])
        if given.get(LOADS.get(tag, "")) and given.get("rel") not in ("canonical", "search"):
            self.loads.append(given[LOADS[tag]])
        if tag == "img" and not given.get("alt"):
            self.mute.append(given["src"])
        if tag == "svg" and given.get("role") == "img" and not given.get("aria-label"):
            self.mute.append("a plot")
        self.code += tag in ("pre", "code", "script", "style")

    def handle_endtag(self, tag: str) -> None:
        self.code -= tag in ("pre", "code", "script", "style")

    def handle_data(self, data: str) -> None:
        if not self.code:
            self.shown += data


def problems(place: Path) -> list[str]:
    """Everything that is wrong with the pages of a folder."""
    paths = [p for p in place.rglob("*.html") if "_static" not in p.parts]
    pages = {path: Page(path.read_text()) for path in paths}

    def names(path: Path) -> set[str]:
        return pages[path].names if path in pages else set()

    found = [f"ops/{name}: no page" for name in OPS if place / "ops" / f"{name}.html" not in pages]
    for path, page in pages.items():
        name = path.relative_to(place)
        found += [f"{name}: loads {url}" for url in page.loads if urlsplit(url).netloc]
        found += [f"{name}: {url} has no words" for url in page.mute]
        found += [f"{name}: raw TeX {match}" for match in RAW.findall(page.shown)]
        for link in page.links + page.loads:
            url = urlsplit(link)
            if url.scheme or url.netloc:
                continue
            target = (path.parent / unquote(url.path)).resolve() if url.path else path
            if not target.exists():
                found.append(f"{name}: {link} leads nowhere")
            elif url.fragment and unquote(url.fragment) not in names(target):
                found.append(f"{name}: {link} has no such place")
    return found


if __name__ == "__main__":
    folder = Path(sys.argv[1]).resolve()
    wrong = problems(folder)
    print(*wrong, f"{len(list(folder.rglob('*.html')))} pages, {len(wrong)} problems", sep="\n")
    sys.exit(bool(wrong))
