"""What is known about respacing: laws, probes, mistakes and dialects."""

import numpy as np

from refimpl.op import Edit, Law, Op, Probe, values
from refimpl.ops.common import FLOATS
from refimpl.ops.diffusion import reference as text
from refimpl.ops.diffusion.spec.shared import draw_betas, linear_betas, none_below, printed


def sections_of(steps, counts):
    return np.array_split(np.arange(steps), len(counts))


def kept_of(f, steps, counts):
    """The kept times of each section."""
    return np.split(f(steps, counts), np.cumsum(counts)[:-1])


def kept_equation(f, steps, counts):
    for section, count, kept in zip(
        sections_of(steps, counts), counts, kept_of(f, steps, counts), strict=True
    ):
        if count > 1:
            twice = 2 * (count - 1) * (kept - section[0])
            away = np.abs(twice - 2 * np.arange(count) * (len(section) - 1))
            yield none_below(count - 1 - away)  # at most half a time away
            halves = values(away) == count - 1
            yield values(kept - section[0])[halves] % 2, np.zeros(np.sum(halves))


def kept_increase(f, steps, counts):
    kept = f(steps, counts)
    yield none_below(kept[1:] - kept[:-1] - 1)
    yield len(kept), np.sum(counts)


def kept_ends(f, steps, counts):
    for section, count, kept in zip(
        sections_of(steps, counts), counts, kept_of(f, steps, counts), strict=True
    ):
        if count > 0:
            yield kept[0], section[0]
        if count > 1:
            yield kept[-1], section[-1]


def kept_whole(f, steps, counts):
    sizes = np.array([len(section) for section in sections_of(steps, counts)])
    yield f(steps, sizes), np.arange(steps)


def kept_each_section(f, steps, counts):
    for section, count, kept in zip(
        sections_of(steps, counts), counts, kept_of(f, steps, counts), strict=True
    ):
        if len(section):
            yield kept, section[0] + f(len(section), np.array([count]))


def kept_published(f, steps, counts):
    yield f(1000, np.array([10])), np.array([0, 111, 222, 333, 444, 555, 666, 777, 888, 999])
    yield f(1000, np.array([250]))[:6], np.array([0, 4, 8, 12, 16, 20])
    yield f(1000, np.array([250]))[-4:], np.array([987, 991, 995, 999])
    fast = "0 22 44 66 88 111 133 155 177 199 200 222 244 266 288 311 333 355 377 399 400 500"
    expected = np.array([int(time) for time in fast.split()] + [599, 600, 799, 800])
    kept = f(1000, np.array([10, 10, 3, 2, 2]))
    yield kept[:-1], expected  # GLIDE replaces the last time, 999, by 997


RESPACED_TIMESTEPS = Op(
    text.respaced_timesteps,
    laws=(
        Law("each time is its place rounded, halves to even", kept_equation),
        Law("keeps the requested number of times, in increasing order", kept_increase),
        Law("both ends of a section are kept", kept_ends),
        Law("keeps all times if asked for T", kept_whole),
        Law("each section is computed by itself", kept_each_section),
        Law("gives the published lists", kept_published),
    ),
    probes=(
        Probe("250 of 1000", lambda: {"steps": 1000, "counts": np.array([250])}),
        Probe("three sections of 300", lambda: {"steps": 300, "counts": np.array([10, 15, 20])}),
        Probe("a half that goes to even", lambda: {"steps": 6, "counts": np.array([3])}),
        Probe(
            "a half that a running sum misses",
            lambda: {"steps": 16, "counts": np.array([15])},
        ),
        Probe(
            "sections of unequal size, one of them empty",
            lambda: {"steps": 11, "counts": np.array([2, 0, 3, 1])},
        ),
    ),
    mistakes=(
        Edit(
            "respaced_timesteps/cut-off",
            "truncates instead of rounding",
            "np.round(places)",
            "np.floor(places)",
            effect="some times are one too small, and the last may be missed",
            invisible_when="the stride is whole",
        ),
        Edit(
            "respaced_timesteps/halves-up",
            "rounds halves up",
            "np.round(places)",
            "np.floor(places + 0.5)",
            effect="some times are one too large",
            invisible_when="no place is a half",
        ),
        Edit(
            "respaced_timesteps/end-left-out",
            "divides by the count instead of count - 1",
            "(len(section) - 1) / max(count - 1, 1)",
            "len(section) / max(count, 1)",
            effect="sampling starts below the noisiest time",
            invisible_when="one time is kept",
        ),
        Edit(
            "respaced_timesteps/counted-from-one",
            "counts times from one",
            "np.round(places).astype(int)]",
            "np.round(places).astype(int)] + 1",
            effect="the last time is outside the table",
        ),
        Edit(
            "respaced_timesteps/offset-forgotten",
            "forgets to add the start of the section",
            "section[np.round(places).astype(int)]",
            "np.round(places).astype(int)",
            effect="later sections repeat the first",
            invisible_when="one section",
        ),
        Edit(
            "respaced_timesteps/counts-backwards",
            "reads the counts in reverse",
            "len(counts)), counts, strict",
            "len(counts)), counts[::-1], strict",
            effect="the fine steps are spent at the noisy end",
            invisible_when="the counts read the same both ways",
        ),
        Edit(
            "respaced_timesteps/longer-sections-last",
            "gives the remaining times to the last sections instead of the first",
            "np.array_split(np.arange(steps), len(counts))",
            "[steps - 1 - p[::-1] for p in np.array_split(np.arange(steps), len(counts))][::-1]",
            effect="the borders of the sections move",
            invisible_when="T is a multiple of the number of sections",
        ),
    ),
    dialects=(
        Edit(
            "respaced_timesteps/running-sum",
            "adds up the stride, whose rounding errors change some halves: guided-diffusion",
            "np.arange(count) * (len(section) - 1) / max(count - 1, 1)",
            "np.cumsum(np.full(count, (len(section) - 1) / max(count - 1, 1)) * "
            "(np.arange(count) > 0))",
            invisible_when="no place is a half",
        ),
        Edit(
            "respaced_timesteps/whole-stride",
            "uses a whole stride and misses the last time: ddimN, leading spacing",
            "(len(section) - 1) / max(count - 1, 1)",
            "(len(section) // max(count, 1))",
            source="https://github.com/huggingface/diffusers/issues/7401",
        ),
        Edit(
            "respaced_timesteps/trailing",
            "keeps the last time and misses the first: trailing spacing",
            "np.arange(count) * (len(section) - 1) / max(count - 1, 1)",
            "np.round(np.arange(1, count + 1) * len(section) / max(count, 1)) - 1",
            source="https://github.com/huggingface/diffusers/issues/7401",
        ),
    ),
    precisions=FLOATS,
    values={
        "counts": lambda source, sizes: np.array(
            [
                source.integer(0, len(section))
                for section in np.array_split(np.arange(sizes["T"]), sizes["S"])
            ]
        )
    },
)


def respaced_telescopes(f, betas, timesteps):
    share = text.alpha_bar(betas)
    kept = f(betas, timesteps)
    yield text.alpha_bar(kept), share[timesteps]
    yield kept[0], 1 - share[timesteps[0]]


def respaced_steps_multiply(f, betas, timesteps):
    kept = f(betas, timesteps)
    for k in range(1, min(len(timesteps), 12)):
        between = betas[timesteps[k - 1] + 1 : timesteps[k] + 1]
        yield 1 - kept[k], text.alpha_bar(between)[-1]


def respaced_whole(f, betas, timesteps):
    whole = np.arange(len(betas))
    yield f(betas, whole), betas
    yield f(betas, whole[: len(timesteps)]), betas[: len(timesteps)]


def respaced_twice(f, betas, timesteps):
    every = np.arange(len(timesteps))[::2]
    yield f(f(betas, timesteps), every), f(betas, timesteps[every])


def respaced_grows(f, betas, timesteps):
    yield none_below(f(betas, timesteps) - betas[timesteps])


def respaced_published(f, betas, timesteps):
    chain = linear_betas(0 * betas[0])
    spaced = text.respaced_timesteps(1000, np.array([250]))
    yield printed(text.alpha_bar(f(chain, spaced))[-1], "0.0000403582976538")
    coarse = text.alpha_bar(f(chain, np.arange(0, 1000, 40)))
    yield printed(coarse[-1], "0.000087413")


RESPACED_BETAS = Op(
    text.respaced_betas,
    laws=(
        Law("the shortened chain has the kept ᾱ", respaced_telescopes),
        Law("one long step keeps as much signal as its short steps", respaced_steps_multiply),
        Law("keeping the first times keeps their variances", respaced_whole),
        Law("shortening in two stages is shortening once", respaced_twice),
        Law("no variance is smaller than before", respaced_grows),
        Law("has the published last ᾱ", respaced_published),
    ),
    probes=(
        Probe(
            "250 of the linear schedule",
            lambda: {
                "betas": linear_betas(),
                "timesteps": text.respaced_timesteps(1000, np.array([250])),
            },
        ),
        Probe(
            "every 40th time of the linear schedule",
            lambda: {"betas": linear_betas(), "timesteps": np.arange(0, 1000, 40)},
        ),
        Probe(
            "three of five large steps, the last one whole",
            lambda: {
                "betas": np.array([0.1, 0.2, 0.3, 0.4, 1.0]),
                "timesteps": np.array([1, 2, 4]),
            },
        ),
    ),
    mistakes=(
        Edit(
            "respaced_betas/picked",
            "picks the β of the kept times",
            "betas_from_alpha_bar(alpha_bar(betas)[timesteps])",
            "betas[timesteps]",
            effect="the shortened chain never reaches pure noise",
            invisible_when="all times are kept",
        ),
        Edit(
            "respaced_betas/shares-from-variances-picked",
            "computes ᾱ from the kept times' β only",
            "betas_from_alpha_bar(alpha_bar(betas)[timesteps])",
            "1 - alpha_bar(betas[timesteps])",
            effect="the variances belong to no chain",
        ),
        Edit(
            "respaced_betas/scaled-by-the-stride",
            "multiplies the variances by the mean stride",
            "betas_from_alpha_bar(alpha_bar(betas)[timesteps])",
            "np.minimum(betas[timesteps] * (len(betas) / len(timesteps)), 1)",
            effect="close to the right variances, but wrong everywhere",
            invisible_when="all times are kept",
        ),
        Edit(
            "respaced_betas/first-step-from-the-first-kept",
            "starts from the first kept ᾱ instead of 1",
            "np.concatenate((np.ones(1), alpha_bar[:-1]))",
            "np.concatenate((alpha_bar[:1], alpha_bar[:-1]))",
            where="before",
            effect="the first variance is 0",
            invisible_when="the first entry is not compared",
        ),
        Edit(
            "respaced_betas/difference",
            "subtracts neighbouring ᾱ without dividing",
            "1 - alpha_bar / before(alpha_bar)",
            "before(alpha_bar) - alpha_bar",
            where="betas_from_alpha_bar",
            effect="late variances vanish",
            invisible_when="the first entry",
        ),
        Edit(
            "respaced_betas/rooted",
            "takes the ratio of √ᾱ",
            "1 - alpha_bar / before(alpha_bar)",
            "1 - np.sqrt(alpha_bar / before(alpha_bar))",
            where="betas_from_alpha_bar",
            effect="about half the noise in each step",
        ),
    ),
    precisions=FLOATS,
    values={"betas": draw_betas},
)
