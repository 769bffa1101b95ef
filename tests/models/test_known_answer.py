"""Whole guided trajectories: right samplers give the known answer, wrong ones are found out."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest

import refimpl
from refimpl.axes import AxesError
from refimpl.models import gaussian_mixture as gm
from refimpl.models import sampling
from refimpl.op import DomainError
from refimpl.registry import OPS
from tests.audit import known_answer as ka

TEXT = SimpleNamespace(**{name: op.text for name, op in OPS.items()})
PAIRS = ka.pairs()


def wrong(**replaced):
    """The textbook functions, some of them replaced."""
    return SimpleNamespace(**{**vars(TEXT), **replaced})


def row(sampler, guidance, task, ops=TEXT):
    try:
        with np.errstate(all="ignore"):
            laws = ka.read_laws(sampler, guidance, task, ops)
    except DomainError:  # the samples were not numbers any more
        return math.inf
    return ka.error(sampler, laws, ka.expected_moments(sampler, guidance, task))


def rejected(form, ops=TEXT, samplers=ka.SAMPLERS):
    """Whether a row of the exact table with this guidance is more than rounding away."""
    return any(
        row(sampler, guidance, ka.TASKS[0], ops) > 1
        for sampler, guidance in PAIRS
        if sampler in samplers and guidance.form == form
    )


@pytest.mark.parametrize("task", ka.TASKS, ids=lambda task: task.name)
@pytest.mark.parametrize(("sampler", "guidance"), PAIRS, ids=lambda x: getattr(x, "name", str(x)))
def test_every_step_has_the_mean_and_covariance_of_the_witness(sampler, guidance, task):
    assert row(sampler, guidance, task) <= 1


@pytest.mark.parametrize("sampler", [ka.SAMPLERS[2], ka.SAMPLERS[4]], ids=lambda s: s.name)
@pytest.mark.parametrize("ops", [refimpl, refimpl.fast], ids=("checked", "twins"))
def test_checked_and_compiled_operations_make_the_same_samplers(sampler, ops):
    for guidance in ka.GUIDANCES:
        if (sampler, guidance) in PAIRS:
            assert row(sampler, guidance, ka.TASKS[0], ops) <= 1


# Theorems that need no recursion.


def marginals(sampler, law, begin=None):
    task = ka.Task("", law, law)
    return ka.read_laws(sampler, ka.GUIDANCES[0], task, begin=begin).moments


def test_the_large_variance_keeps_standard_normal_data_standard_normal():
    law = gm.mixture([1], [[0.0, 0.0]], [np.eye(2)])
    *kept, last = marginals(ka.SAMPLERS[1], law)
    for mean, covariance in kept:
        np.testing.assert_allclose(mean, [0, 0], atol=1e-13)
        np.testing.assert_allclose(covariance, np.eye(2), atol=1e-13)
    beta = ka.SAMPLERS[1].betas[0]
    np.testing.assert_allclose(last[1], (1 - beta) * np.eye(2), atol=1e-13)  # no noise at the end


@pytest.mark.parametrize("sampler", [ka.SAMPLERS[0], ka.SAMPLERS[2]], ids=lambda s: s.name)
def test_the_small_variance_undoes_the_noise_on_a_single_point_exactly(sampler):
    point = np.array([0.7, -0.4])
    law = gm.mixture([1], [point], np.zeros((1, 2, 2)))
    shares = sampler.shares()
    begin = math.sqrt(shares[-1]) * point, (1 - shares[-1]) * np.eye(2)
    found = marginals(sampler, law, begin)
    for share, (mean, covariance) in zip([*shares[-2::-1], 1.0], found, strict=True):
        np.testing.assert_allclose(mean, math.sqrt(share) * point, atol=1e-13)
        np.testing.assert_allclose(covariance, (1 - share) * np.eye(2), atol=1e-13)


def test_without_fresh_noise_standard_normal_data_shrink_by_the_cosine_of_each_turn():
    law = gm.mixture([1], [[0.0, 0.0]], [np.eye(2)])
    angles = np.arccos(np.sqrt([1.0, *ka.SAMPLERS[3].shares()]))
    factors = np.cumprod(np.cos(np.diff(angles)[::-1]))
    for factor, (_, covariance) in zip(factors, marginals(ka.SAMPLERS[3], law), strict=True):
        np.testing.assert_allclose(covariance, factor**2 * np.eye(2), atol=1e-13)


def test_without_clipping_ddim_with_eta_1_is_ddpm_with_the_small_variance():
    generator = np.random.default_rng(1)
    x, noise = generator.normal(size=(5, 2)), generator.normal(size=(ka.KEPT, 5, 2))
    both = [
        ka.sample(sampler, ka.Guidance("classifier-free", 3.0), ka.mixture_task(), x, noise, TEXT)
        for sampler in (ka.SAMPLERS[2], ka.SAMPLERS[5])
    ]
    for one, other in zip(*both, strict=True):
        assert one.t == other.t
        np.testing.assert_allclose(one.x, other.x, atol=1e-10)
        np.testing.assert_allclose(one.x_start, other.x_start, atol=1e-10)


# Many steps, and the bias of guidance.

SCORE_3 = ka.Guidance("classifier, score", 3.0)


@pytest.mark.parametrize(("kind", "setting"), [("ddpm", 0), ("ddpm", 1), ("ddim", 0.0)])
def test_twice_the_steps_halve_the_error_where_the_log_probability_is_linear(kind, setting):
    errors = [ka.discretisation(kind, setting, SCORE_3, ka.TASKS[0], n) for n in (80, 160)]
    assert 1.7 < errors[0] / errors[1] < 2.2


@pytest.mark.parametrize(("kind", "setting"), [("ddpm", 0), ("ddpm", 1), ("ddim", 0.0)])
def test_more_steps_do_not_remove_the_bias_of_guidance_otherwise(kind, setting):
    errors = [ka.discretisation(kind, setting, SCORE_3, ka.TASKS[1], n) for n in (80, 160)]
    assert 0.9 < errors[1] / errors[0] < 1.1
    assert errors[1] > 0.2


# Wrong samplers are rejected.

GUIDED_BY = {
    "alpha_bar": "none",
    "respaced_betas": "none",
    "fixed_small_log_variance": "classifier, mean",
    "fixed_large_log_variance": "classifier, mean",
    "p_sample": "none",
    "ddim_step": "none",
    "classifier_guidance": "classifier, mean",
    "classifier_guidance_score": "classifier, score",
    "classifier_free_guidance": "classifier-free",
}
MISTAKES = [edit for name in GUIDED_BY for edit in OPS[name].mistakes]
INVISIBLE = {
    "p_sample/noise-asked-of-the-first-sample": "a sampler's batch has one time",
    "p_sample/mean-clipped": "nothing is clipped",
    "p_sample/clipped-above-only": "nothing is clipped",
    "ddim_step/time-of-the-first-sample": "a sampler's batch has one time",
    "classifier_guidance/one-variance-for-all": "a sampler's batch has one variance",
    "classifier_guidance_score/one-time-for-all": "a sampler's batch has one time",
}


@pytest.mark.parametrize("edit", MISTAKES, ids=lambda edit: edit.id)
def test_a_sampler_with_a_known_mistake_in_a_step_is_rejected(edit):
    name = edit.id.partition("/")[0]
    found = rejected(GUIDED_BY[name], wrong(**{name: OPS[name].edited(edit)}))
    assert found == (edit.id not in INVISIBLE)


def walk(mistake):
    """The sampler's own walk over the kept times, with a mistake in it."""

    def steps(timesteps):
        for k in reversed(range(len(timesteps))):
            yield mistake(k, int(timesteps[k]), int(timesteps[k - 1]) if k else -1)

    return steps


WALKS = {
    "goes to the neighbouring time, not to the kept one": lambda k, t, p: (k, t, t - 1),
    "ends at the first time, not at the clean sample": lambda k, t, p: (k, t, max(p, 0)),
    "asks the network about the place, not the time": lambda k, t, p: (k, k, p),
    "asks the network about the time before": lambda k, t, p: (k, max(t - 1, 0), p),
    "takes the place before": lambda k, t, p: (max(k - 1, 0), t, p),
}


@pytest.mark.parametrize("mistake", WALKS.values(), ids=WALKS)
def test_a_sampler_that_walks_wrongly_is_rejected(mistake, monkeypatch):
    monkeypatch.setattr(sampling, "_walk", walk(mistake))
    assert rejected("none", samplers=ka.SAMPLERS[2:4])


def test_the_walk_of_those_tests_is_right_without_a_mistake(monkeypatch):
    monkeypatch.setattr(sampling, "_walk", walk(lambda k, t, p: (k, t, p)))
    assert not rejected("none", samplers=ka.SAMPLERS[2:4])


# A mixture, by statistics.

ROWS = (
    (ka.SAMPLERS[1], ka.Guidance("none", 0.0)),
    (ka.SAMPLERS[2], ka.Guidance("classifier, mean", 3.0)),
    (ka.SAMPLERS[3], ka.Guidance("classifier-free", 3.0)),
    (ka.SAMPLERS[3], ka.Guidance("classifier, score", 1.0)),
)
SAMPLES = 4000
LIMIT = ka.limit(len(ROWS) * len(ka.QUANTITIES))


@pytest.fixture(scope="module")
def laws():
    return {pair: ka.exact_law(*pair) for pair in ROWS}


def worst(pair, laws, ops=TEXT):
    errors = ka.deviations(ka.draw(*pair, SAMPLES, ops), laws[pair])
    return np.max(np.abs(list(errors.values())))


@pytest.mark.parametrize("pair", ROWS, ids=lambda pair: f"{pair[0].name}, {pair[1]}")
def test_samples_of_a_mixture_have_the_moments_and_the_share_of_their_exact_law(pair, laws):
    assert worst(pair, laws) <= LIMIT


@pytest.mark.parametrize(
    ("pair", "mistake"),
    [
        (ROWS[0], "p_sample/coefficients-exchanged"),
        (ROWS[0], "fixed_large_log_variance/posterior-variance"),
        (ROWS[1], "classifier_guidance/loss-gradient"),
        (ROWS[1], "fixed_small_log_variance/forward-variance"),
        (ROWS[2], "ddim_step/clean-sample-not-divided"),
        (ROWS[2], "classifier_free_guidance/weight-for-scale"),
        (ROWS[3], "classifier_guidance_score/sign-flipped"),
        (ROWS[3], "ddim_step/direction-of-the-current-share"),
    ],
    ids=lambda x: x if isinstance(x, str) else "",
)
def test_samples_of_a_wrong_sampler_have_not(pair, mistake, laws):
    name = mistake.partition("/")[0]
    (edit,) = (edit for edit in OPS[name].mistakes if edit.id == mistake)
    assert not worst(pair, laws, wrong(**{name: OPS[name].edited(edit)})) <= LIMIT


def test_the_quadrature_has_converged(laws):
    for law in laws.values():
        assert abs(law.expect(np.ones_like(law.points)) - 1) < 1e-9
    pair = ROWS[1]
    finer = ka.exact_law(*pair, points=1500)
    for values in (np.asarray, np.square, ka.labelled):
        assert (
            abs(finer.expect(values(finer.points)) - laws[pair].expect(values(laws[pair].points)))
            < 1e-9
        )


# The samplers' own arguments.


def begin(sampler, noise, timesteps):
    x, betas = np.zeros((2, 3)), ka.linear(40)
    walk_of = {
        "ddpm": (refimpl.fixed_small_log_variance, math.inf),
        "ddim": (0.0,),
    }
    next(getattr(sampling, sampler)(lambda x, t: x, x, noise, betas, timesteps, *walk_of[sampler]))


@pytest.mark.parametrize("sampler", ["ddpm", "ddim"])
@pytest.mark.parametrize(
    ("noise", "timesteps", "says"),
    [
        (np.zeros((3, 2, 3)), np.arange(2), r"noise has shape \(3, 2, 3\), expected"),
        (np.zeros((2, 2)), np.arange(2), r"noise has shape \(2, 2\), expected"),
        (np.zeros((2, 2, 3)), np.array([4, 2]), "increasing"),
        (np.zeros((2, 2, 3)), np.array([-1, 2]), "increasing"),
        (np.zeros((2, 2, 3)), np.array([0.0, 2.0]), "float64"),
        (np.zeros((0, 2, 3)), np.array([], dtype=int), "at least one"),
        (np.zeros((2, 2, 3)), np.array([0, 40]), "T=40"),
    ],
)
def test_a_walk_that_makes_no_sense_is_refused(sampler, noise, timesteps, says):
    with pytest.raises(AxesError, match=says):
        begin(sampler, noise, timesteps)


@pytest.mark.parametrize("sampler", ka.SAMPLERS, ids=lambda s: s.name)
def test_every_sample_on_the_way_is_seen_at_its_time(sampler):
    x, noise = np.zeros((1, 2)), np.zeros((len(sampler.timesteps), 1, 2))
    steps = ka.sample(sampler, ka.GUIDANCES[0], ka.TASKS[0], x, noise, TEXT)
    assert [step.t for step in steps] == [*sampler.timesteps[-2::-1], -1]


def test_the_clip_of_ddpm_is_that_of_a_changed_denoiser():
    generator = np.random.default_rng(2)
    x, noise = generator.normal(size=(4, 2)), generator.normal(size=(40, 4, 2))
    betas, all_times = ka.linear(40), np.arange(40)
    plain = gm.denoiser(ka.mixture_task().base, refimpl.alpha_bar(betas))
    bounded = sampling.with_clean_sample(plain, lambda x: np.clip(x, -1, 1), betas)
    small = refimpl.fixed_small_log_variance
    one = sampling.ddpm(plain, x, noise, betas, all_times, small, 1.0)
    other = sampling.ddpm(bounded, x, noise, betas, all_times, small, math.inf)
    clipped = 0
    for a, b in zip(one, other, strict=True):
        np.testing.assert_allclose(a.x, b.x, atol=1e-11)
        np.testing.assert_allclose(a.x_start, b.x_start, atol=1e-11)
        clipped += np.sum(np.abs(a.x_start) == 1)
    assert clipped
