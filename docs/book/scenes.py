"""Steps of samplers in the plane: five bumps, a noised sample, and where an operation takes it.

Arguments are known by their names: `x_t` or `x` is the noised sample, `denoised` and `eps` are what
a perfect network predicts there, `noise` is fresh, and so on. An operation all of whose arrays have
such names is drawn without a record.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

import refimpl
from docs.book.drawn_diffusion import LABEL, five
from docs.book.kinds import Drawing, reals, results
from docs.book.plots import Mark, Picture, plane
from refimpl.models import gaussian_mixture as gm
from refimpl.op import Op

STEPS, NOW, BEFORE = 20, 13, 9  # of a coarse chain
SIGMA, NEXT, EARLIER = 2.0, 0.9, 3.0
DIRECTIONS = {"eps", "noise", "v", "score", "gradient", "velocity"}
DIRECTIONS |= {"eps_uncond", "eps_cond", "eps_none", "eps_image", "eps_both"}
POINTED = ("eps_from_", "score_from_", "velocity")
FROM = ("x_t", "x", "x_start", "x_prev", "mean")  # where a step begins, the first that is there


def row(*numbers: float) -> np.ndarray:
    """A batch of one point."""
    return np.array([numbers])


@functools.cache
def chain() -> dict[str, Any]:
    """A sample on a coarse chain, by the names of the arguments."""
    mix, betas = five(), refimpl.linear_schedule(STEPS, 5e-3, 0.5)
    share, t = refimpl.alpha_bar(betas), np.array([NOW])
    start, noise = row(1.5, 0.4), row(-0.4, 1.0)
    x_t = refimpl.q_sample(start, t, row(0.5, 0.9), share)
    eps = gm.predicted_noise(mix, x_t, share[NOW])
    mean, variance, _ = refimpl.q_posterior(start, x_t, t, betas)
    gradient = gm.classifier(mix, share, np.array(LABEL))(x_t, NOW)
    found = {"x_start": start, "x_t": x_t, "x": x_t, "x_prev": start, "t": t, "noise": noise}
    found |= {"t_prev": np.array([BEFORE]), "t_next": np.array([BEFORE]), "eps": eps}
    found |= {"alpha_bar": share, "betas": betas, "mean": mean, "variance": variance}
    found |= {"log_variance": np.log(variance), "gradient": gradient, "scale": 2.0}
    found |= {"score": gm.score(mix, x_t, share[NOW]), "eta": 0.5, "clip": np.inf}
    found |= {"v": refimpl.velocity(start, t, row(0.5, 0.9), share), "eps_uncond": eps}
    found |= {"eps_cond": eps + row(-0.5, 0.4), "eps_none": eps, "image_scale": 1.5}
    return found | {
        "eps_image": eps + row(-0.6, -0.1),
        "eps_both": eps + row(-0.8, 0.4),
        "text_scale": 3.0,
    }


@functools.cache
def levels() -> dict[str, Any]:
    """A sample at a noise level of its own, by the names of the arguments."""
    mix, x = five(), np.array([0.9, 2.6])

    def denoised(where: np.ndarray, sigma: float) -> np.ndarray:
        share = 1 / (1 + sigma**2)
        return gm.posterior_mean(mix, np.sqrt(share) * where[None], share)[0]

    here = denoised(x, SIGMA)
    next_x = refimpl.euler_step(x, here, SIGMA, NEXT)
    found = {"x": x, "denoised": here, "denoised_next": denoised(next_x, NEXT)}
    found |= {"denoised_before": denoised(x + np.array([0.8, 0.9]), EARLIER), "eta": 1.0}
    found |= {"noise": np.array([-0.7, 0.6]), "sigma": SIGMA, "sigma_next": NEXT}
    return found | {"sigma_before": EARLIER, "amount": 0.5, "low": 0.0, "high": 10.0}


@functools.cache
def straight(single: bool) -> dict[str, Any]:
    """A sample on the straight way to noise, at a time for each sample or a single one."""
    start, noise = row(1.5, 0.4), row(-0.9, 1.6)
    x_t, velocity = refimpl.flow_sample(start, np.array([0.6]), noise)
    found = {"x_start": start, "noise": noise, "x_t": x_t, "x": x_t, "velocity": velocity}
    return found | {"t": 0.6 if single else np.array([0.6]), "t_next": 0.25, "eta": 0.6}


def scene(op: Op) -> dict[str, Any]:
    """What the names of an operation's arguments stand for; nothing where none has them all."""
    for known in (levels(), straight(True), straight(False), chain()):
        if all(n in known and same_kind(spec, known[n]) for n, spec in op.specs.items()):
            return known
    return {}


def on_samples(op: Op) -> bool:
    """Whether an operation takes a sample, whose axes are dots, and knows only such names."""
    elsewhere = any(spec.axes.replace("B ", "") not in ("", "...") for spec in op.returns)
    sample = any(spec.axes.endswith("...") for spec in op.specs.values())
    moves = any(name in ("t", "sigma") or name.endswith("scale") for name in op.specs)
    return sample and moves and not elsewhere and bool(scene(op))


def same_kind(spec: Any, value: Any) -> bool:
    """Whether an annotation and a value are both a single number or not, both whole or not."""
    array = np.asarray(value)
    return spec.scalar == (array.ndim == 0) and spec.kind.integer == (array.dtype.kind == "i")


def in_the_plane(says: str = "", **given: Any) -> Drawing:
    """An operation's arguments as dots and thin arrows, and its result as a thick one."""

    def draw(op: Op) -> Picture:
        known = (scene(op) or chain()) | given
        inputs = drawn_case_of(op, known)
        marks, origin = [], next((inputs[n] for n in FROM if n in inputs), np.zeros(2))
        start = point(origin)
        for name in reals(op):
            if not op.specs[name].axes.endswith("...") or name in ("variance", "log_variance"):
                continue
            place = point(inputs[name])
            if name in DIRECTIONS:
                marks.append(Mark(name, (start[0] + place[0], start[1] + place[1]), start))
            else:
                marks.append(Mark(name, place))
        result = point(results(op, inputs)[0])
        pointed = op.name.startswith(POINTED) or all(mark.start is not None for mark in marks)
        to = (start[0] + result[0], start[1] + result[1]) if pointed else result
        marks.append(Mark(op.name, to, start, strong=True))
        panel = plane(op.name, marks, shadow)
        return Picture((panel,), says or told(op, pointed))

    return draw


def told(op: Op, pointed: bool) -> str:
    """What the picture of a step shows."""
    what = "the direction that results from" if pointed else "the step of"
    return (
        "Samples in the plane. Clean samples come from the five grey bumps. The thick arrow is "
        f"{what} `{op.name}`, computed from exact predictions (thin arrows and dots)."
    )


def shadow(points: np.ndarray) -> np.ndarray:
    """The density of clean samples."""
    return np.exp(gm.log_density(five(), points, 1.0))


def point(value: Any) -> tuple[float, float]:
    """An array as a place in the plane."""
    x, y = np.ravel(value)[:2]
    return float(x), float(y)


def drawn_case_of(op: Op, known: dict[str, Any]) -> dict[str, Any]:
    """All arguments by their names."""
    return op.read(**{name: known[name] for name in op.specs})
