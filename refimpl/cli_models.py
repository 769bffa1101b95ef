"""The commands that run whole models: `refimpl sample` and `refimpl zero-shot`."""

from __future__ import annotations

import argparse
import functools
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

GUIDANCE = ("clip", "classifier", "cfg", "none")
STRIPS, MOMENTS = 3, 12  # samples whose way is shown, and how many moments of it


def add(commands: Any) -> None:
    """The two commands and their options."""
    sample = commands.add_parser("sample", help="guided sampling with the shipped weights")
    sample.add_argument("text", help='such as "a handwritten seven"')
    sample.add_argument("--guidance", choices=GUIDANCE, default="clip")
    sample.add_argument("--scale", type=float, help="strength; each guidance has its own default")
    sample.add_argument(
        "--sweep", type=float, nargs="+", metavar="SCALE", help="one picture, a row for each scale"
    )
    sample.add_argument("--steps", type=int, default=50, help="2 to 1000, default 50")
    sample.add_argument("--sampler", choices=("ddim", "ddpm"), default="ddim")
    sample.add_argument("--seed", type=int, default=0)
    sample.add_argument("--count", type=int, help="pictures, default 16, or 8 for each scale")
    sample.add_argument("--out", type=Path, default=Path("sample.png"), metavar="PNG")
    sample.set_defaults(run=run_sample)

    shot = commands.add_parser("zero-shot", help="how well each text fits an image")
    shot.add_argument("image", type=Path, metavar="IMAGE")
    shot.add_argument("texts", nargs="+", metavar="TEXT")
    shot.add_argument(
        "--weights", type=Path, metavar="FILE", help="a CLIP as safetensors; default: the small one"
    )
    shot.add_argument("--plot", type=Path, metavar="PNG", help="the probabilities as bars")
    shot.set_defaults(run=run_zero_shot)


def said_in_a_line(run: Callable[[argparse.Namespace], int]) -> Callable[..., int]:
    """What is wrong with arguments and files is said in a line, not as a traceback."""

    @functools.wraps(run)
    def command(options: argparse.Namespace) -> int:
        from refimpl.oracle.targets import TargetError

        try:
            return run(options)
        except ImportError as error:
            if "refimpl[" not in str(error):
                raise
            raise TargetError(str(error)) from None
        except (ValueError, OSError) as error:
            if not type(error).__module__.startswith("refimpl") and not isinstance(error, OSError):
                raise
            raise TargetError(str(error)) from None

    return command


@said_in_a_line
def run_sample(options: argparse.Namespace) -> int:
    """Sample, and write a picture of the samples and of the way to them."""
    from refimpl.models import generate, picture
    from refimpl.op import DomainError

    _writable(options.out)
    scales = options.sweep or [options.scale]
    if options.sweep and options.scale is not None:
        raise DomainError("sample: give --scale or --sweep")
    if options.scale is None and not options.sweep:
        scales = [generate.SCALES[options.guidance]]
    count = options.count or (8 if options.sweep else 16)
    walks = [
        generate.generate(
            options.text,
            options.guidance,
            scale,
            options.steps,
            options.sampler,
            options.seed,
            count,
        )
        for scale in scales
    ]
    what = f"{options.text}, {options.guidance}"
    panels = []
    for scale, walk in zip(scales, walks, strict=True):
        steps = list(_shown(walk, options.steps, f"scale {scale:g}"))
        final = steps[-1].x[:, 0]  # B height width
        if options.sweep:
            panels.append((f"{what} {scale:g}", final[None]))
            continue
        panels.append((f"{what} {scale:g}, seed {options.seed}", picture.in_rows(final)))
        moments = np.linspace(0, len(steps) - 1, min(MOMENTS, len(steps))).round().astype(int)
        way = [steps[i].x_start[:STRIPS, 0] for i in moments]
        panels.append(("the clean image as predicted on the way", np.stack(way, axis=1)))
    picture.write(options.out, panels)
    print(f"{options.out}: {count} samples at each of {len(scales)} scales, {options.steps} steps")
    return 0


def _writable(path: Path) -> None:
    if not path.resolve().parent.is_dir():
        raise NotADirectoryError(f"{path}: there is no such folder")


def _shown(steps: Iterable[Any], total: int, what: str) -> Iterator[Any]:
    """The same steps; on a terminal a line tells how far they are, after two seconds."""
    started, terminal = time.monotonic(), sys.stderr.isatty()
    for number, step in enumerate(steps, start=1):
        if terminal and time.monotonic() - started > 2:
            print(f"\r\033[K{what}: step {number}/{total}", end="", file=sys.stderr, flush=True)
        yield step
    if terminal:
        print("\r\033[K", end="", file=sys.stderr, flush=True)


@said_in_a_line
def run_zero_shot(options: argparse.Namespace) -> int:
    """Print how probable each text is for the image, the most probable one first."""
    from refimpl.models import classify

    probabilities = classify.zero_shot(options.image, options.texts, options.weights)
    order = np.argsort(-probabilities, kind="stable")
    for i in order:
        print(f"{probabilities[i]:.4f}  {options.texts[i]}")
    if options.plot:
        _writable(options.plot)
        _plot(options.plot, [options.texts[i] for i in order], probabilities[order])
    return 0


def _plot(path: Path, texts: list[str], probabilities: np.ndarray) -> None:
    """Bars, the most probable text at the top."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ImportError(
            '--plot needs matplotlib; pip install "refimpl[plot]" brings it'
        ) from None
    figure = Figure(figsize=(7, 1 + 0.35 * len(texts)), layout="constrained")
    axes = figure.subplots()
    axes.barh(texts, probabilities)
    axes.invert_yaxis()
    axes.set(xlim=(0, 1), xlabel="probability")
    figure.savefig(path, format="png")
