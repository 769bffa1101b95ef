"""The table of a whole model says which layers were not judged, and why."""

from __future__ import annotations

import io

from refimpl.oracle.findings import Finding, Report
from refimpl.oracle.reports.models import show


def shown(*findings):
    report, stream = Report("mine.py sd-unet"), io.StringIO()
    report.findings += findings
    show([report], stream)
    return stream.getvalue().splitlines()


def test_a_layer_that_is_not_judged_is_counted_and_has_its_reason():
    wide = Finding("attentions.0", "float32", 0, status="unsupported", says="too wide a bound")
    lines = shown(Finding("conv_in", "float32", 1, worst=0.5), wide)
    assert lines[0] == "mine.py sd-unet: conforms, 1 layers, 1 not judged"
    assert "  not judged: attentions.0: too wide a bound" in lines


def test_where_all_is_judged_nothing_is_said_of_it():
    lines = shown(Finding("conv_in", "float32", 1, worst=0.5))
    assert lines[0] == "mine.py sd-unet: conforms, 1 layers"
    assert not any("not judged" in line for line in lines)


def test_a_library_without_such_a_model_is_not_said_to_conform():
    lines = shown(Finding("adm", "float32", 0, status="unsupported", says="has no ADM"))
    assert lines[0] == "mine.py sd-unet: not judged, has no ADM"
