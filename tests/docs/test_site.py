"""The check of the built textbook finds what is wrong with a page."""

from __future__ import annotations

import pytest

from refimpl.registry import OPS
from tests.tools.site import problems

GOOD = '<h1 id="top">A page</h1><a href="#top">up</a><img src="a.svg" alt="a line">'


@pytest.fixture
def place(tmp_path):
    (tmp_path / "ops").mkdir()
    for name in OPS:
        (tmp_path / "ops" / f"{name}.html").write_text("")
    (tmp_path / "a.svg").write_text("")
    (tmp_path / "index.html").write_text(GOOD)
    return tmp_path


def test_a_good_page_has_no_problems(place):
    assert problems(place) == []


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        ('<script src="https://cdn.example/x.js"></script>', "loads https://cdn.example/x.js"),
        ('<a href="gone.html">x</a>', "gone.html leads nowhere"),
        ('<a href="#gone">x</a>', "#gone has no such place"),
        ('<img src="a.svg" alt="">', "a.svg has no words"),
        ('<svg role="img" aria-label=""></svg>', "a plot has no words"),
        (r"<p>\frac{1}{2}</p>", r"raw TeX \frac"),
    ],
)
def test_what_is_wrong_is_found(place, bad, says):
    (place / "index.html").write_text(GOOD + bad)
    assert problems(place) == [f"index.html: {says}"]


def test_a_missing_page_is_found(place):
    (place / "ops" / "softmax.html").unlink()
    assert problems(place) == ["ops/softmax: no page"]
