"""A page opened in a browser: what it lacks, asks of others or says on the console is found."""

from __future__ import annotations

import shutil

import pytest

from tests.tools.browser import BROWSERS, LOOKS, problems

GOOD = '<!doctype html><meta name="viewport" content="width=device-width"><article>{}</article>'
BAD = {
    '<div style="width: 500px">x</div>': "pixels wider than the window",
    '<img src="gone.png" alt="x">': "shows no picture",
    '<img src="https://cdn.example/x.png" alt="x">': "asks for https://cdn.example/x.png",
    "<script>console.error('no')</script>": "logs",
    "<script>gone()</script>": "throws",
    "<math></math>": "shows no formula",
    '<svg class="plot" width="0" height="0"></svg>': "shows no plot",
    '<pre style="white-space: pre; width: 9em">a line that is longer than that</pre>': "cuts off",
    '<a href="#" tabindex="2">x</a>': "changes the order of the Tab key",
}


FRAMES = '<div class="frame">1</div><div class="frame">2</div>'
DIGIT = '<svg class="plot" width="40" height="40"><text y="30" fill="#fff">1</text></svg>'
BAD[f"<style>svg.plot text {{ fill: red }}</style>{DIGIT}"] = "in another ink"
FAR = '<div class="sidebar-tree" style="padding-top: 9em"><p class="current-page">x</p></div>'
BAD[f'<div class="sidebar-scroll" style="height: 3em; overflow: auto">{FAR}</div>'] = "hides"
SLIDER = '<label class="slider"><input type="range" max="1"><output></output></label>'
BAD[f'<figure class="drawing moving">{FRAMES}{SLIDER}</figure>'] = "does not move"
BAD['<details class="edit" id="fold"><summary>x</summary></details>'] = "does not open fold"


@pytest.mark.skipif(not any(map(shutil.which, BROWSERS)), reason="Chromium is not installed")
def test_what_a_browser_sees_wrong_is_found(tmp_path):
    (tmp_path / "good.html").write_text(GOOD.format("<math><mi>x</mi></math><p>words</p>"))
    for place, bad in enumerate(BAD):
        (tmp_path / f"bad{place}.html").write_text(GOOD.format(bad))
    found = problems(tmp_path)
    assert not any(problem.startswith("good") for problem in found)
    for place, says in enumerate(BAD.values()):
        mine = [x for x in found if x.startswith(f"bad{place}.html, 360 ") and says in x]
        assert len(mine) == len(LOOKS) // 2, f"{says}: {found}"
    still = [x for x in found if "without scripts" in x]
    assert [x for x in still if "has no still picture" in x] == still
    assert len(still) == 1
