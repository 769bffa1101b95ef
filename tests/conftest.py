"""Hypothesis profiles: quick for the desk, ci for every push, deep for a night."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

from refimpl.oracle.runs.pages import keep_pages
from refimpl.oracle.targets.processes import IDLE
from tests.lacking import (  # noqa: F401  hooks of pytest
    pytest_addoption,
    pytest_collection_modifyitems,
    pytest_configure,
    pytest_unconfigure,
)

keep_pages()
os.environ.pop("GITHUB_STEP_SUMMARY", None)  # what targets do in these tests is no news
for name, value in IDLE.items():  # before workers start, each of which takes it over
    os.environ.setdefault(name, value)

_COMMON = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow], "print_blob": True}
settings.register_profile("quick", max_examples=5, **_COMMON)
settings.register_profile("ci", max_examples=25, derandomize=True, **_COMMON)
settings.register_profile("deep", max_examples=2000, **_COMMON)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))

# targets and forms for the audit: they import the frameworks that they are for
collect_ignore_glob = ["planted/in_*.py", "audit/torch_forms.py"]
