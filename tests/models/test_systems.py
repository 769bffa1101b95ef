"""Systems that make pictures of words, one found by its name like another."""

from __future__ import annotations

import pytest

from refimpl.commands.models import GUIDANCE, SYSTEMS
from refimpl.models import systems
from refimpl.op import DomainError


def test_the_command_offers_the_systems_and_guidances_that_there_are():
    assert tuple(systems.MODULES) == SYSTEMS
    assert {way for name in SYSTEMS for way in systems.system(name).scales} == set(GUIDANCE)


@pytest.mark.parametrize("name", SYSTEMS)
def test_a_system_that_is_told_nothing_takes_its_own_choices(name):
    chosen, made = systems.system(name), systems.asked(name, "a seven")
    assert made.sampler in chosen.samplers
    assert (made.scale, made.steps) == (chosen.scales[made.guidance], chosen.steps)


@pytest.mark.parametrize(
    "wrong",
    [
        {"guidance": "hope"},
        {"sampler": "luck"},
        {"scale": -1.0},
        {"scale": float("nan")},
        {"steps": 1},
        {"seed": -1},
        {"count": 0},
    ],
)
@pytest.mark.parametrize("name", SYSTEMS)
def test_a_choice_that_a_system_does_not_have_is_refused_with_those_it_has(name, wrong):
    with pytest.raises(DomainError, match=f"sample: {next(iter(wrong))} is .*, expected"):
        systems.asked(name, "a seven", **wrong)


def test_a_system_of_another_name_is_refused():
    with pytest.raises(DomainError, match="system is 'brush', expected one of guided-diffusion, "):
        systems.system("brush")
