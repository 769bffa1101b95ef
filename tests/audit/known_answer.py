"""`python -m tests.audit.known_answer`: whole guided trajectories against a known answer.

Data are Gaussians, where every step is affine and the law of the samples follows exactly, and a
mixture on a line, where it follows by quadrature. Nothing here is trained.
"""

from __future__ import annotations

import argparse
import itertools
import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import refimpl
from refimpl.models import gaussian_mixture as gm
from refimpl.models import sampling
from tests.audit.known_answer_page import PAGE
from tests.witnesses import chains

FALSE_ALARM = 1e-3  # of a whole table, not of one entry
STEPS = 40
KEPT = 25
SAMPLES = 20_000
SEED = 0
RARE = 100  # samples times variance of the share


@dataclass(frozen=True, eq=False)
class Sampler:
    """A walk: which steps, and over which times of which chain."""

    name: str
    kind: str
    setting: float  # 1 for the large variance of DDPM, 0 for the small one; eta of DDIM
    betas: np.ndarray
    timesteps: np.ndarray

    def shares(self) -> np.ndarray:
        return np.array([math.prod(1 - self.betas[: t + 1]) for t in self.timesteps])

    def steps(self) -> list[chains.Coefficients]:
        """What the witness says about the same walk."""
        return getattr(chains, self.kind)(self.shares(), self.setting)


def linear(steps: int) -> np.ndarray:
    """The linear schedule, its ends scaled so that chains of all lengths lose the same signal."""
    return refimpl.linear_schedule(steps, 0.1 / steps, 20 / steps)


def whole(name: str, kind: str, setting: float, steps: int = STEPS) -> Sampler:
    return Sampler(name, kind, setting, linear(steps), np.arange(steps))


def shortened(name: str, kind: str, setting: float) -> Sampler:
    kept = refimpl.respaced_timesteps(1000, np.array([KEPT]))
    return Sampler(name, kind, setting, linear(1000), kept)


SAMPLERS = (
    whole(f"DDPM, small variance, {STEPS} steps", "ddpm", 0),
    whole(f"DDPM, large variance, {STEPS} steps", "ddpm", 1),
    shortened(f"DDPM, small variance, {KEPT} of 1000", "ddpm", 0),
    shortened(f"DDIM, η = 0, {KEPT} of 1000", "ddim", 0.0),
    shortened(f"DDIM, η = 0.5, {KEPT} of 1000", "ddim", 0.5),
    shortened(f"DDIM, η = 1, {KEPT} of 1000", "ddim", 1.0),
)


class Guidance(NamedTuple):
    """How a walk is guided, and how much."""

    form: str
    scale: float

    def __str__(self) -> str:
        return self.form if self.form == "none" else f"{self.form}, s = {self.scale:g}"


GUIDANCES = (
    Guidance("none", 0.0),
    *(Guidance("classifier, mean", s) for s in (1.0, 3.0)),
    *(Guidance("classifier, score", s) for s in (1.0, 3.0)),
    *(Guidance("classifier-free", s) for s in (1.0, 3.0)),
)


def pairs() -> list[tuple[Sampler, Guidance]]:
    """Every sampler with every guidance it can have: the mean is moved in DDPM alone."""
    return [
        (sampler, guidance)
        for sampler, guidance in itertools.product(SAMPLERS, GUIDANCES)
        if sampler.kind == "ddpm" or guidance.form != "classifier, mean"
    ]


class Task(NamedTuple):
    """The law of the data, and the law of those that bear the label."""

    name: str
    base: gm.Mixture
    wanted: gm.Mixture
    label: tuple[int, ...] = ()  # the components, where the wanted law is some of the base's

    def gradient(self, share: np.ndarray) -> sampling.Gradient:
        """Of log p(y | x_t), which is log p(x_t | y) - log p(x_t) up to a constant."""
        if self.label:
            return gm.classifier(self.base, share, self.label)
        return lambda x, t: gm.score(self.wanted, x, share[t]) - gm.score(self.base, x, share[t])


def sample(
    sampler: Sampler,
    guidance: Guidance,
    task: Task,
    x: np.ndarray,
    noise: np.ndarray,
    ops: Any = refimpl,
) -> list[sampling.Step]:
    """The steps of one walk."""
    share = np.cumprod(1 - sampler.betas)
    denoiser, steer = gm.denoiser(task.base, share), None
    if guidance.form == "classifier, mean":
        steer = sampling.steered(task.gradient(share), guidance.scale, ops)
    if guidance.form == "classifier, score":
        denoiser = sampling.guided_by_classifier(
            denoiser, task.gradient(share), sampler.betas, guidance.scale, ops
        )
    if guidance.form == "classifier-free":
        wanted = gm.denoiser(task.wanted, share)
        denoiser = sampling.guided_without_classifier(denoiser, wanted, guidance.scale, ops)
    walk = (x, noise, sampler.betas, sampler.timesteps)
    if sampler.kind == "ddim":
        return list(sampling.ddim(denoiser, *walk, sampler.setting, ops))
    table = ops.fixed_large_log_variance if sampler.setting else ops.fixed_small_log_variance
    return list(sampling.ddpm(denoiser, *walk, table, math.inf, steer, ops))


# Gaussians: exact.

GAUSSIAN = gm.mixture([1], [[0.7, -0.4]], [[[1.0, 0.6], [0.6, 0.8]]])
SLOPE = np.array([0.8, -0.5])
TASKS = (
    Task("exponential tilt", GAUSSIAN, gm.tilted(GAUSSIAN, SLOPE)),
    Task("other covariance", GAUSSIAN, gm.mixture([1], [[-1, 0.5]], [[[0.5, 0.1], [0.1, 0.3]]])),
)


@dataclass(frozen=True)
class Laws:
    """Mean and covariance after each step, read off a sampler."""

    moments: list[tuple[np.ndarray, np.ndarray]]
    not_affine: list[float]  # a random trajectory against the map read off, after each step


def read_laws(
    sampler: Sampler,
    guidance: Guidance,
    task: Task,
    ops: Any = refimpl,
    begin: tuple[np.ndarray, np.ndarray] | None = None,
) -> Laws:
    """Feed a sampler the basis vectors and unit noises: its affine map, hence its marginals."""
    D, K = task.base.means.shape[1], len(sampler.timesteps)
    units = D + K * D
    generator = np.random.default_rng(SEED)
    x, noise = np.zeros((units + 2, D)), np.zeros((K, units + 2, D))
    x[1 : D + 1] = np.eye(D)
    noise[:, D + 1 : units + 1] = np.eye(K * D).reshape(K * D, K, D).swapaxes(0, 1)
    x[-1], noise[:, -1] = generator.normal(size=D), generator.normal(size=(K, D))
    steps = sample(sampler, guidance, task, x, noise, ops)
    mean, covariance = begin or (np.zeros(D), np.eye(D))
    moments, not_affine = [], []
    for step in steps:
        shift = step.x[0]
        maps = (step.x[1:-1] - shift).T  # D units
        from_x, from_noise = maps[:, :D], maps[:, D:]
        moments.append(
            (
                from_x @ mean + shift,
                from_x @ covariance @ from_x.T + from_noise @ from_noise.T,
            )
        )
        predicted = shift + from_x @ x[-1] + from_noise @ noise[:, -1].ravel()
        not_affine.append(float(np.abs(predicted - step.x[-1]).max()))
    return Laws(moments, not_affine)


def expected_moments(
    sampler: Sampler,
    guidance: Guidance,
    task: Task,
    begin: tuple[np.ndarray, np.ndarray] | None = None,
) -> list[tuple[np.ndarray, np.ndarray]]:
    """The same marginals from the witness."""
    base, wanted = ((gm.moments(m, 1.0)) for m in (task.base, task.wanted))
    s, in_mean = guidance.scale, guidance.form == "classifier, mean"

    def difference(share):
        apart = chains.gaussian_score(*base, share).scaled(-1)
        return chains.gaussian_score(*wanted, share).plus(apart).scaled(s)

    def score(share):
        plain = chains.gaussian_score(*base, share)
        return plain if in_mean else plain.plus(difference(share))

    def gradient(share):
        return difference(share).scaled(float(in_mean))

    begin = begin or (np.zeros(len(base[0])), np.eye(len(base[0])))
    return list(chains.carry_gaussian(sampler.steps(), score, gradient, *begin))


def error(sampler: Sampler, laws: Laws, expected: list[tuple[np.ndarray, np.ndarray]]) -> float:
    """The worst error over all steps, in multiples of what rounding may do; above 1 is wrong."""
    errors = laws.not_affine + [
        distance(*both) for both in zip(laws.moments, expected, strict=True)
    ]
    worst = float(np.max(errors))  # not a number, if any is
    return worst / rounding(sampler, expected) if math.isfinite(worst) else math.inf


def rounding(sampler: Sampler, expected: list[tuple[np.ndarray, np.ndarray]]) -> float:
    """Fewer than 64 roundings a step, of numbers no larger than a clean sample predicted early.

    Its size is that of the samples over the root of the last share; a covariance is a product of
    such errors with entries of the size of the samples.
    """
    largest = max(np.abs(m).max() + math.sqrt(C.max()) for m, C in expected)
    last_root = math.sqrt(sampler.shares()[-1])
    return 64 * len(sampler.timesteps) * 2.0**-53 * max(largest, 1.0) ** 2 / last_root


def target(guidance: Guidance, task: Task) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance of p(x) p(y | x)^s, for Gaussians: precisions add."""
    (m, C), (n, W) = (gm.moments(law, 1.0) for law in (task.base, task.wanted))
    s = guidance.scale
    P, R = np.linalg.inv(C), np.linalg.inv(W)
    covariance = np.linalg.inv((1 - s) * P + s * R)
    return covariance @ ((1 - s) * P @ m + s * R @ n), covariance


def distance(found: tuple[np.ndarray, np.ndarray], want: tuple[np.ndarray, np.ndarray]) -> float:
    """The largest error of a mean or covariance."""
    return float(np.max([np.abs(a - b).max() for a, b in zip(found, want, strict=True)]))


def discretisation(kind: str, setting: float, guidance: Guidance, task: Task, steps: int) -> float:
    """How far the last law is from the wanted one, begun in the exact law at the last time."""
    sampler = whole("", kind, setting, steps)
    wanted = target(guidance, task)
    share = sampler.shares()[-1]
    begin = math.sqrt(share) * wanted[0], share * wanted[1] + (1 - share) * np.eye(len(wanted[0]))
    return distance(read_laws(sampler, guidance, task, begin=begin).moments[-1], wanted)


# A mixture on a line in the plane: quadrature and statistics.

WEIGHTS, MEANS, DEVIATIONS = (0.5, 0.3, 0.2), (-2.0, 0.5, 2.0), (0.5, 0.4, 0.6)
LABEL = 2
ACROSS_MEAN, ACROSS_DEVIATION = 0.3, 0.8
TURN = np.array([[0.8, -0.6], [0.6, 0.8]])  # its columns: along the line, across it
QUANTITIES = ("mean", "variance", "share", "mean across", "variance across", "covariance")


def mixture_task() -> Task:
    """Three components on a line, the rest of the plane Gaussian, all of it turned."""
    means = np.array([TURN @ (mean, ACROSS_MEAN) for mean in MEANS])
    covariances = [TURN @ np.diag([d**2, ACROSS_DEVIATION**2]) @ TURN.T for d in DEVIATIONS]
    base = gm.mixture(WEIGHTS, means, covariances)
    return Task("mixture", base, gm.given(base, [LABEL]), (LABEL,))


@dataclass(frozen=True)
class Law:
    """The exact law of a sampler's results: along the line by quadrature, across it Gaussian."""

    points: np.ndarray
    weights: np.ndarray
    across: tuple[float, float]  # mean, variance

    def expect(self, values: np.ndarray) -> float:
        return float(np.sum(self.weights * values))


def labelled(x: np.ndarray) -> np.ndarray:
    """The probability of the label, for clean samples at these places on the line."""
    parts, _ = chains.line_density(x, 1.0, WEIGHTS, MEANS, DEVIATIONS)
    return parts[LABEL] / parts.sum(axis=0)


def exact_law(sampler: Sampler, guidance: Guidance, points: int = 1000) -> Law:
    """What the sampler makes of standard normal noise, without a single draw."""
    every = (WEIGHTS, MEANS, DEVIATIONS)
    some = tuple((values[LABEL],) for values in every)
    s, in_mean = guidance.scale, guidance.form == "classifier, mean"

    def difference(x, share):
        return s * (chains.line_score(x, share, *some) - chains.line_score(x, share, *every))

    def score(x, share):
        plain = chains.line_score(x, share, *every)
        return plain if in_mean else plain + difference(x, share)

    def gradient(x, share):
        return difference(x, share) if in_mean else 0 * x

    steps = sampler.steps()
    if not any(step.sigma for step in steps):
        points *= 100  # nothing spreads: a point costs one number, not a row
    x, weights = chains.carry_line(steps, score, gradient, 8.0, points)
    mean, variance = np.array([ACROSS_MEAN]), np.array([[ACROSS_DEVIATION**2]])
    nothing = chains.Affine(np.zeros((1, 1)), np.zeros(1))
    *_, (m, v) = chains.carry_gaussian(
        steps,
        lambda share: chains.gaussian_score(mean, variance, share),
        lambda share: nothing,
        np.zeros(1),
        np.eye(1),
    )
    return Law(x, weights, (float(m[0]), float(v[0, 0])))


def wanted_law(guidance: Guidance) -> Law:
    """The law that guidance is meant to sample: p(x) p(y | x)^s."""
    x = np.linspace(-8, 8, 4001)
    parts, _ = chains.line_density(x, 1.0, WEIGHTS, MEANS, DEVIATIONS)
    density = parts.sum(axis=0) * labelled(x) ** guidance.scale
    return Law(x, density / density.sum(), (ACROSS_MEAN, ACROSS_DEVIATION**2))


def draw(
    sampler: Sampler, guidance: Guidance, samples: int, ops: Any = refimpl, seed: int = SEED
) -> np.ndarray:
    """Samples, as places along and across the line."""
    generator = np.random.default_rng(seed)
    x = generator.normal(size=(samples, 2))
    noise = generator.normal(size=(len(sampler.timesteps), samples, 2))
    return sample(sampler, guidance, mixture_task(), x, noise, ops)[-1].x @ TURN


def deviations(samples: np.ndarray, law: Law) -> dict[str, float]:
    """Each quantity's error in standard errors; these follow from the exact law as well.

    A share so near 0 or 1 that samples of the other kind are rare has no normal error, and is
    left out.
    """
    along, across = samples.T
    mean = law.expect(law.points)
    away = law.points - mean
    variance = law.expect(away**2)
    share = law.expect(labelled(law.points))
    across_mean, across_variance = law.across
    beside = across - across_mean
    observed = (
        (along - mean, variance),
        ((along - mean) ** 2 - variance, law.expect(away**4) - variance**2),
        (labelled(along) - share, law.expect((labelled(law.points) - share) ** 2)),
        (beside, across_variance),
        (beside**2 - across_variance, 2 * across_variance**2),
        ((along - mean) * beside, variance * across_variance),
    )
    return {
        quantity: float(np.mean(x) / math.sqrt(v / len(x)))
        for quantity, (x, v) in zip(QUANTITIES, observed, strict=True)
        if quantity != "share" or len(x) * v > RARE
    }


def limit(entries: int) -> float:
    """The number of standard errors that no entry of a table may pass, by Bonferroni."""
    from scipy.stats import norm

    return float(norm.isf(FALSE_ALARM / entries / 2))


# The page.

LENGTHS = (40, 80, 160)
ORDERS = (
    ("DDPM, small variance", "ddpm", 0),
    ("DDPM, large variance", "ddpm", 1),
    ("DDIM, η = 0", "ddim", 0.0),
    ("DDIM, η = 0.5", "ddim", 0.5),
    ("DDIM, η = 1", "ddim", 1.0),
)


def exact_row(sampler: Sampler, guidance: Guidance) -> tuple[float, str]:
    cells, worst = [], 0.0
    for task in TASKS:
        laws = read_laws(sampler, guidance, task)
        found = error(sampler, laws, expected_moments(sampler, guidance, task))
        away = distance(laws.moments[-1], target(guidance, task))
        worst = max(worst, found)
        cells.append(f"{found:.0e} | {away:.3f}")
    return worst, f"| {sampler.name} | {guidance} | {' | '.join(cells)} |"


def order_row(name: str, kind: str, setting: float, guidance: Guidance, task: Task) -> str:
    errors = [discretisation(kind, setting, guidance, task, steps) for steps in LENGTHS]
    order = math.log2(errors[-2] / errors[-1])
    cells = ", ".join(f"{e:.4f}" for e in errors)
    return f"| {name} | {guidance} | {task.name} | {cells} | {order:.2f} |"


def statistical_row(
    sampler: Sampler, guidance: Guidance, samples: int, seed: int
) -> tuple[dict[str, float], str]:
    law, wanted = exact_law(sampler, guidance), wanted_law(guidance)
    errors = deviations(draw(sampler, guidance, samples, seed=seed), law)
    shown = ", ".join(f"{errors[q]:+.1f}" if q in errors else "–" for q in QUANTITIES)
    laws = [
        f"{one.expect(of(one.points)):.3f}"
        for of in (labelled, np.asarray)
        for one in (law, wanted)
    ]
    return errors, f"| {sampler.name} | {guidance} | {shown} | {' | '.join(laws)} |"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.audit.known_answer", description=__doc__)
    parser.add_argument("--samples", type=int, default=SAMPLES)
    parser.add_argument("--page", type=Path, help="write the tables to this file")
    options = parser.parse_args()
    exact = [exact_row(*pair) for pair in pairs()]
    orders = [
        order_row(*walk, guidance, task)
        for walk in ORDERS
        for guidance in GUIDANCES
        if walk[1] == "ddpm" or guidance.form != "classifier, mean"
        if guidance.form != "classifier-free"  # the same walk as the classifier's, in the score
        for task in (TASKS if guidance.form != "none" else TASKS[:1])
    ]
    statistical = [
        statistical_row(*pair, options.samples, SEED + i) for i, pair in enumerate(pairs())
    ]
    errors = [z for row, _ in statistical for z in row.values()]
    entries, largest = len(errors), float(np.max(np.abs(errors)))
    page = PAGE.format(
        exact="\n".join(row for _, row in exact),
        orders="\n".join(orders),
        statistical="\n".join(row for _, row in statistical),
        lengths=", ".join(map(str, LENGTHS)),
        samples=f"{options.samples:,}",
        seed=SEED,
        rare=RARE,
        entries=entries,
        limit=limit(entries),
        sure=1 - FALSE_ALARM,
        largest=largest,
    )
    print(page)
    if options.page:
        options.page.write_text(page)
    right = largest <= limit(entries) and all(worst <= 1 for worst, _ in exact)
    return int(not right)


if __name__ == "__main__":
    sys.exit(main())
