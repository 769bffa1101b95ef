"""The commands that run whole models: `refimpl sample` and `refimpl zero-shot`."""

from __future__ import annotations

import argparse
import functools
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

SYSTEMS = ("guided-diffusion", "stable-diffusion", "vqgan-clip", "dalle2", "imagen")
GUIDANCE = ("clip", "classifier", "cfg", "none", "cfg-static")
STRIPS, MOMENTS = 3, 12  # samples whose way is shown, and how many moments of it


def add(commands: Any) -> None:
    """The two commands and their options."""
    sample = commands.add_parser("sample", help="guided sampling with the shipped weights")
    sample.add_argument("text", help='such as "a handwritten seven"')
    sample.add_argument(
        "--system", choices=SYSTEMS, default=SYSTEMS[0], help="what makes the pictures"
    )
    sample.add_argument("--guidance", choices=GUIDANCE, help="default: the system's first")
    sample.add_argument("--scale", type=float, help="strength; each guidance has its own default")
    sample.add_argument(
        "--sweep", type=float, nargs="+", metavar="SCALE", help="one picture, a row for each scale"
    )
    sample.add_argument("--steps", type=int, help="from 2 on; each system has its own default")
    sample.add_argument(
        "--sampler", help="ddim, ddpm, plms, euler, heun, dpm++, flow, adam; each system has some"
    )
    sample.add_argument(
        "--config", type=Path, metavar="FILE", help="a scheduler_config.json, for the sampler"
    )
    sample.add_argument("--seed", type=int, default=0)
    sample.add_argument("--count", type=int, help="pictures, default 16, or 8 for each scale")
    sample.add_argument("--out", type=Path, default=Path("sample.png"), metavar="PNG")
    sample.add_argument(
        "--tiles", type=Path, metavar="DIR", help="each sample as a picture of its own as well"
    )
    sample.add_argument(
        "--explain", type=Path, metavar="HTML", help="a page on the vectors behind the pictures"
    )
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
        from refimpl.oracle.targets.sessions import TargetError

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
    from refimpl.models import picture, systems
    from refimpl.op import DomainError

    if not options.text.strip():
        raise DomainError('sample: the text is empty, expected one such as "a handwritten seven"')
    picture_to_write("sample: --out", options.out)
    if options.tiles and options.sweep:
        raise DomainError("sample: give --tiles or --sweep")
    if options.sweep and options.scale is not None:
        raise DomainError("sample: give --scale or --sweep")
    wanted = _asked(options)
    explain = _explaining(options)
    walks = [systems.sample(options.system, each) for each in wanted]
    what = f"{options.text}, {wanted[0].guidance}"
    panels: list[tuple[str, np.ndarray]] = []
    for each, walk in zip(wanted, walks, strict=True):
        steps = list(_shown(walk, each.steps, f"scale {each.scale:g}"))
        words = f"{what} {each.scale:g}, seed {options.seed}"
        panels += [(words, steps[-1].x[None, :, 0])] if options.sweep else _way(words, steps)
        if options.tiles:
            picture.write_tiles(options.tiles, steps[-1].x[:, 0], words)
        if explain:
            page = explain(each, steps[-1].x[:, 0], words)
            options.explain.write_text(page, encoding="utf-8")
    picture.write(options.out, panels)
    strengths = ", ".join(f"{each.scale:g}" for each in wanted)
    walked = f"{wanted[0].sampler}, {wanted[0].steps} steps, seed {options.seed}"
    print(f"{options.out}: {wanted[0].count} samples of {what}, scale {strengths}; {walked}")
    return 0


def _explaining(options: argparse.Namespace) -> Any:
    """What writes the page that was asked for, if one was."""
    from refimpl.models import systems
    from refimpl.op import DomainError

    if not options.explain:
        return None
    writable(options.explain)
    if options.sweep:
        raise DomainError("sample: give --explain or --sweep")
    found = systems.system(options.system).explain
    if found is None:
        raise DomainError(f"sample: --explain is for dalle2, not for {options.system}")
    return found


def _asked(options: argparse.Namespace) -> list[Any]:
    """What the system is asked for, once for each scale."""
    from refimpl.models import schedules, systems

    count = options.count
    if count is None:
        count = 8 if options.sweep else 16
    schedule = schedules.read(options.config) if options.config else None
    for says in schedules.conflicts(schedule) if schedule else ():
        print(f"refimpl: {options.config.name}: {says}", file=sys.stderr)
    given = options.steps, options.sampler, options.seed, count, schedule
    scales = options.sweep or [options.scale]
    return [
        systems.asked(options.system, options.text, options.guidance, scale, *given)
        for scale in scales
    ]


def _way(words: str, steps: list[Any]) -> list[tuple[str, np.ndarray]]:
    """Two panels: the samples, and the clean images predicted on the way to some of them."""
    from refimpl.models import picture

    moments = np.linspace(0, len(steps) - 1, min(MOMENTS, len(steps))).round().astype(int)
    way = np.stack([steps[i].x_start[:STRIPS, 0] for i in moments], axis=1)
    return [
        (words, picture.in_rows(steps[-1].x[:, 0])),
        ("the clean image as predicted on the way", way),
    ]


def picture_to_write(argument: str, path: Path) -> None:
    """Raise what is wrong with the name of a picture to be written."""
    from refimpl.op import DomainError

    writable(path)
    if path.suffix.lower() != ".png":
        raise DomainError(f"{argument} is {path}, expected a name that ends in .png")


def writable(path: Path) -> None:
    """Raise OSError where no file can be written."""
    if not path.resolve().parent.is_dir():
        raise NotADirectoryError(f"{path}: there is no such folder")
    if path.is_dir():
        raise IsADirectoryError(f"{path}: is a folder")


def _shown(steps: Iterable[Any], total: int, what: str) -> Iterator[Any]:
    """The same steps; on a terminal a line tells how far they are."""

    def line(says: str) -> None:
        if sys.stderr.isatty():
            print(f"\r\033[K{says}", end="", file=sys.stderr, flush=True)

    try:
        line(f"{what}: step 0/{total}")  # the first one may have to compile
        for number, step in enumerate(steps, start=1):
            line(f"{what}: step {number}/{total}")
            yield step
    finally:
        line("")


@said_in_a_line
def run_zero_shot(options: argparse.Namespace) -> int:
    """Print how probable each text is for the image, the most probable one first."""
    from refimpl.models import classify, picture
    from refimpl.op import DomainError

    if not all(text.strip() for text in options.texts):
        raise DomainError('zero-shot: a text is empty, expected each such as "a photo of a dog"')
    if options.plot:
        picture_to_write("zero-shot: --plot", options.plot)
    probabilities = classify.zero_shot(options.image, options.texts, options.weights)
    if many := picture.sheet(options.image):
        print(
            f"refimpl: {options.image} is a sheet of {many}, read as one picture; "
            "refimpl sample --tiles DIR writes each by itself",
            file=sys.stderr,
        )
    order = np.argsort(-probabilities, kind="stable")
    for i in order:
        print(f"{probabilities[i]:.4f}  {options.texts[i]}")
    if options.plot:
        bars(options.plot, [options.texts[i] for i in order], probabilities[order])
    return 0


def bars(path: Path, texts: list[str], numbers: Any, what: str = "probability") -> None:
    """Bars, the first text at the top."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ImportError(
            '--plot needs matplotlib; pip install "refimpl[plot]" brings it'
        ) from None
    figure = Figure(figsize=(7, 1 + 0.35 * len(texts)), layout="constrained")
    axes = figure.subplots()
    axes.barh(range(len(texts)), numbers, tick_label=texts)
    axes.invert_yaxis()
    axes.set(xlim=(min(0, *numbers), 1), xlabel=what)
    figure.savefig(path, format="png")
