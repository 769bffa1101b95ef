"""A table of errors becomes a picture, and a long table a line that opens."""

from __future__ import annotations

import doctest

from docutils import nodes
from docutils.core import publish_doctree

from tests.textbook import measured

HEAD = "==== ======= =======\nop   cases   float32\n==== ======= =======\n"
FOOT = "==== ======= =======\n"
WHOLE = {"doctitle_xform": False}  # the title is the first section, as Sphinx has it


def page(*errors):
    rows = "".join(f"op{i:<2} {i:<7} {error}\n" for i, error in enumerate(errors))
    return publish_doctree(HEAD + rows + FOOT)


def test_every_error_is_a_dot_and_what_deviates_is_named():
    tree = page("**3.5**", "2", "∞", "refused", *["0.5"] * 12)
    (table,) = tree.findall(nodes.table)
    found = measured.errors(table)["float32"]
    assert found[0] == (3.5, 1, "op0")
    assert found[1][:2] == (2.0, 2)
    assert found[2][0] == float("inf")
    assert len(found) == 15  # what was refused has no error
    picture = measured.pictured(table)
    assert picture.astext().endswith("in orange: op0.")
    assert picture.children[0].astext().count("<circle") == 15


def test_a_long_table_is_folded_and_a_short_one_is_not():
    for count, folded in ((5, 0), (30, 1)):
        tree = page(*["words"] * count)
        measured.fold_tables(None, tree)
        assert len(list(tree.findall(measured.fold))) == folded
        assert len(list(tree.findall(nodes.table))) == 1


FOUND = """
Found
=====

One library
-----------

a mistake
~~~~~~~~~

words

Two, Three
----------

Two: a mistake
~~~~~~~~~~~~~~

words

Three: a mistake
~~~~~~~~~~~~~~~~

words

Conventions
-----------

words
"""


def test_what_was_found_is_counted_by_library():
    picture = measured.found_by_library(publish_doctree(FOUND, settings_overrides=WHOLE))
    assert 'aria-label="One library 1, Two 1, Three 1"' in picture.astext()


def test_small_errors_are_spread_out_and_columns_keep_different_names():
    assert doctest.testmod(measured).failed == 0
