"""`python -m tests.tools.browser DIR` opens every page of the textbook in Chromium, offline.

At the width of a desk and of a telephone, light and dark: nothing is asked of another machine, the
console stays silent, formulas and figures have a size, no page is wider than its window, and the
contents show the entry of the page. What moves is moved, and stands still without scripts; a link
to a folded mistake opens it.
`--shots OUT PAGE…` leaves pictures of pages instead.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
SILENT = "--headless --no-sandbox --disable-gpu --hide-scrollbars --remote-debugging-pipe"
OFFLINE = "--host-resolver-rules=MAP * ~NOTFOUND"  # every name is unknown
LOOKS = tuple((width, theme) for width in (1280, 360) for theme in ("light", "dark"))

SEEN = """(() => {
  const found = [], root = document.documentElement, wide = root.scrollWidth - root.clientWidth;
  if (wide > 0) found.push(`is ${wide} pixels wider than the window`);
  const name = e => e.textContent.trim().slice(0, 40) || e.src || e.tagName;
  const shown = e => e.getClientRects().length && getComputedStyle(e).visibility == 'visible';
  for (const e of document.querySelectorAll('article math')) {
    const box = e.getBoundingClientRect();
    if (shown(e) && (box.width < 2 || box.height < 4)) found.push(`shows no formula ${name(e)}`);
  }
  for (const e of document.querySelectorAll('article svg.plot')) {
    const box = e.getBoundingClientRect();
    if (shown(e) && (box.width < 20 || box.height < 20)) found.push(`shows no plot ${name(e)}`);
  }
  const inks = { '#000': 'rgb(0, 0, 0)', '#fff': 'rgb(255, 255, 255)' };
  for (const e of document.querySelectorAll('article svg.plot text[fill]'))
    if (getComputedStyle(e).fill != inks[e.getAttribute('fill')]) {
      found.push(`writes ${name(e)} in another ink than its own`);
      break;
    }
  for (const e of document.querySelectorAll('article img'))
    if (shown(e) && (!e.complete || !e.naturalWidth)) found.push(`shows no picture ${e.src}`);
  for (const e of document.querySelectorAll('.formula, .table-wrapper, pre, figure.wide'))
    if (e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).overflowX == 'visible')
      found.push(`cuts off ${name(e)}`);
  for (const e of document.querySelectorAll('[tabindex]'))
    if (e.tabIndex > 0) found.push(`changes the order of the Tab key at ${name(e)}`);
  const entry = document.querySelector('.sidebar-tree .current-page');
  const frame = entry && entry.closest('.sidebar-scroll').getBoundingClientRect();
  if (frame && frame.height) {
    const place = entry.getBoundingClientRect().top;
    if (place < frame.top || place > frame.bottom) found.push('hides its entry in the contents');
  }
  return found;
})()"""


MOVED = """(() => {
  const found = [];
  for (const figure of document.querySelectorAll('figure.moving')) {
    const input = figure.querySelector('input'), say = figure.querySelector('output');
    const seen = new Set();
    for (const place of [input.min, input.max]) {
      input.value = place;
      input.dispatchEvent(new Event('input', { bubbles: true }));
      const shown = [...figure.querySelectorAll('.frame')].filter(e => e.getClientRects().length);
      if (shown.length == 1 && input.getClientRects().length)
        seen.add(shown[0].innerHTML + say.textContent);
    }
    if (seen.size < 2) found.push(`does not move ${input.parentNode.textContent.trim()}`);
  }
  for (const fold of [...document.querySelectorAll('details.edit')].slice(0, 1)) {
    location.hash = fold.id;
    dispatchEvent(new HashChangeEvent('hashchange'));
    if (!fold.open) found.push(`does not open ${fold.id}`);
  }
  return found;
})()"""
STILL = """[...document.querySelectorAll('figure.moving')].filter(figure =>
  [...figure.querySelectorAll('.frame')].filter(e => e.getClientRects().length).length != 1
  || figure.querySelector('input').getClientRects().length
).map(figure => `has no still picture ${figure.textContent.trim().slice(0, 40)}`)"""


class Browser:
    """A Chromium that is spoken to through a pipe; `said` holds what it reported by itself."""

    def __init__(self) -> None:
        program = next(filter(None, map(shutil.which, BROWSERS)), None)
        if program is None:
            raise SystemExit(f"needs one of {', '.join(BROWSERS)}")
        self.home = tempfile.TemporaryDirectory()
        read_ours, self.ours = os.pipe()
        self.theirs, write_theirs = os.pipe()
        command = [program, *SILENT.split(), OFFLINE, f"--user-data-dir={self.home.name}"]
        self.process = subprocess.Popen(
            [sys.executable, "-c", BRIDGE, str(read_ours), str(write_theirs), *command],
            pass_fds=(read_ours, write_theirs),
            stderr=subprocess.DEVNULL,
        )
        os.close(read_ours)
        os.close(write_theirs)
        self.session, self.rest, self.count = "", b"", 0
        self.said: list[dict[str, Any]] = []
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.ask(f"{domain}.enable")

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, kind: type | None, error: object, trace: TracebackType | None) -> None:
        self.session = ""
        self.ask("Browser.close")
        self.process.wait()
        os.close(self.ours)
        os.close(self.theirs)
        self.home.cleanup()

    def hear(self) -> dict[str, Any]:
        """The next message."""
        while b"\0" not in self.rest:
            piece = os.read(self.theirs, 1 << 20)
            if not piece:
                raise SystemExit("the browser has gone")
            self.rest += piece
        message, _, self.rest = self.rest.partition(b"\0")
        return json.loads(message)

    def ask(self, method: str, **params: Any) -> dict[str, Any]:
        """Call a method and wait for its answer."""
        self.count += 1
        message = {"id": self.count, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.ours, json.dumps(message).encode() + b"\0")
        while True:
            answer = self.hear()
            if answer.get("id") == self.count:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']['message']}")
                return answer["result"]
            self.said.append(answer)

    def wait(self, method: str) -> None:
        """Wait until the browser reports something."""
        while not any(m.get("method") == method for m in self.said):
            self.said.append(self.hear())

    def look(self, width: int, theme: str) -> None:
        """Be a window of a width, in light or dark."""
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
        self.ask("Emulation.setDeviceMetricsOverride", **size)
        wish = [{"name": "prefers-color-scheme", "value": theme}]
        self.ask("Emulation.setEmulatedMedia", features=wish)

    def open(self, path: Path) -> None:
        """Show a page, with all of its pictures."""
        self.said.clear()
        self.ask("Page.navigate", url=path.as_uri())
        self.wait("Page.loadEventFired")

    def run(self, script: str) -> Any:
        """The value of a script."""
        return self.ask("Runtime.evaluate", expression=script, returnByValue=True)["result"].get(
            "value"
        )

    def complaints(self) -> list[str]:
        """What the page asked of others, or said on the console, while it was opened."""
        found = []
        for message in self.said:
            method, params = message.get("method"), message.get("params", {})
            if method == "Network.requestWillBeSent":
                url = params["request"]["url"]
                if not url.startswith(("file:", "data:")):
                    found.append(f"asks for {url}")
            elif method == "Runtime.exceptionThrown":
                found.append(f"throws {params['exceptionDetails']['text']}")
            elif method == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
                found.append(f"logs {params['entry']['text']}")
            elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning"):
                found.append(f"logs {params['args']}")
        return found

    def shot(self) -> bytes:
        """The whole page as a PNG."""
        size = self.ask("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        answer = self.ask("Page.captureScreenshot", clip=clip, captureBeyondViewport=True)
        return base64.b64decode(answer["data"])


# Chromium reads its orders from descriptor 3 and answers on 4
BRIDGE = """
import os, sys
read, write = int(sys.argv[1]), int(sys.argv[2])
read, write = os.dup(read), os.dup(write)
read, write = (os.dup2(read, 10), os.dup2(write, 11))
os.dup2(10, 3)
os.dup2(11, 4)
os.execvp(sys.argv[3], sys.argv[3:])
"""


def problems(place: Path) -> list[str]:
    """What is wrong with the pages of a folder, as a browser shows them."""
    found = []
    paths = sorted(p for p in place.rglob("*.html") if "_static" not in p.parts)
    with Browser() as browser:
        for width, theme in LOOKS:
            browser.look(width, theme)
            for path in paths:
                browser.open(path)
                where = f"{path.relative_to(place)}, {width} pixels, {theme}:"
                seen = browser.run(SEEN) + browser.run(MOVED)
                found += [f"{where} {x}" for x in seen + browser.complaints()]
        browser.ask("Emulation.setScriptExecutionDisabled", value=True)
        for path in (path for path in paths if 'class="drawing moving' in path.read_text()):
            browser.open(path)
            where = f"{path.relative_to(place)}, without scripts:"
            found += [f"{where} {x}" for x in browser.run(STILL)]
    return found


def shots(place: Path, out: Path, pages: list[str]) -> None:
    """Pictures of pages in all looks."""
    out.mkdir(parents=True, exist_ok=True)
    with Browser() as browser:
        for width, theme in LOOKS:
            browser.look(width, theme)
            for name in pages:
                browser.open(place / f"{name}.html")
                picture = out / f"{name.replace('/', '-')}-{width}-{theme}.png"
                picture.write_bytes(browser.shot())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("place", type=Path)
    parser.add_argument("--shots", nargs="+", metavar=("OUT", "PAGE"))
    given = parser.parse_args()
    if given.shots:
        shots(given.place.resolve(), Path(given.shots[0]), given.shots[1:])
    else:
        wrong = problems(given.place.resolve())
        print(*wrong, f"{len(wrong)} problems", sep="\n")
        sys.exit(bool(wrong))
