"""What the losses of words have in common."""

import numpy as np

from refimpl.op import Edit
from refimpl.ops.common import sines

MEAN_OF_MEANS = "https://github.com/huggingface/transformers/issues/24725"
SHARES = "grad * keep / np.sum(keep)"  # of each word in the gradient of a mean
PADDING_COUNTED = "https://github.com/eladhoffer/utils.pytorch/issues/4"


def two_texts(**others):
    """Two texts of four words, of which one and three count."""
    return {
        "logits": 3 * sines(2, 4, 5),
        "labels": np.array([[1, 4, 0, 2], [3, 3, 1, 0]]),
        "keep": np.array([[0, 1, 0, 0], [1, 0, 1, 1]]),
        **others,
    }


def reductions(name, total, count):
    """Mistakes of a mean over the words that count."""
    whole = f"{total} / {count}"
    return (
        Edit(
            f"{name}/padding-counted",
            "divides by all words, padding included",
            whole,
            f"{total} / keep.size",
            effect="the loss shrinks as texts are padded",
            source=PADDING_COUNTED,
            invisible_when="every word counts",
        ),
        Edit(
            f"{name}/summed",
            "sums over the words instead of averaging",
            whole,
            total,
            effect="the step size depends on the length of the texts",
            invisible_when="one word counts",
        ),
        Edit(
            f"{name}/mean-of-means",
            "averages the means of the texts",
            whole,
            f"np.mean({total.replace(', 0))', ', 0), axis=1)')} / np.maximum(keep.sum(axis=1), 1))",
            effect="words of short texts weigh more; the loss depends on how a batch is split",
            source=MEAN_OF_MEANS,
            invisible_when="the same number of words counts in each text",
        ),
        Edit(
            f"{name}/keep-inverted",
            "scores the words that do not count",
            "keep > 0",
            "keep == 0",
            effect="the loss is computed on the padding",
            source="https://github.com/QwenAudio/CosyVoice/issues/1449",
        ),
        Edit(
            f"{name}/all-scored",
            "adds up all words and divides by those that count",
            "np.where(keep > 0, nats, 0)",
            "nats",
            effect="words that are easy to copy dominate the loss",
            source="https://github.com/lucidrains/mlm-pytorch/pull/3",
            invisible_when="every word counts",
        ),
    )
