"""files"""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import tracemalloc
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from refimpl.models import weights
from refimpl.models.preprocess import ImageError, load_image, preprocess, resize_and_crop
from refimpl.oracle.runs import baseline, own_shape
from refimpl.oracle.runs.foreign_outputs import read_folder, verify_recorded
from refimpl.oracle.targets.sessions import Session, TargetError
from refimpl.oracle.vectors.golden import VectorError, read_array, read_json
from refimpl.own import OperationError, page
from refimpl.registry import OPS


def _safetensors(path: Path, dtype: str, data: bytes, name: str = "silu/probe0/result") -> None:
    entry = {"dtype": dtype, "shape": [len(data) // 2], "data_offsets": [0, len(data)]}
    header = json.dumps({name: entry}).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + data)


def bfloat16_outputs_are_read(place: Path) -> None:
    bits = (np.float32([1.0, -2.5]).view(np.uint32) >> 16).astype("<u2")
    _safetensors(place / "out.safetensors", "BF16", bits.tobytes())
    assert read_folder(place)["silu/probe0"]["result"]["data"] == [1.0, -2.5]


def bytes_without_a_library_are_read_back(place: Path) -> None:
    (place / "silu" / "probe0").mkdir(parents=True)
    path = place / "silu" / "probe0" / "result.bin"
    path.write_bytes(np.array([1.0, -2.5], "<f4").tobytes())
    right = {"file": "silu/probe0/result.bin", "dtype": "float32", "shape": [2]}
    (place / "index.json").write_text(json.dumps([right]))
    assert read_folder(place)["silu/probe0"]["result"] == {"shape": [2], "data": [1.0, -2.5]}
    wrong: list[Any] = [{"file": "/dev/zero"}, {"dtype": "object"}, {"shape": [3]}, {"shape": [-2]}]
    for change in (*wrong, {"file": 1}):
        (place / "index.json").write_text(json.dumps([right | change]))
        with pytest.raises(VectorError, match="entry 0"):
            read_folder(place)


def eight_bits_are_a_sentence(place: Path) -> None:
    _safetensors(place / "out.safetensors", "F8_E4M3", b"1234")
    with pytest.raises(VectorError, match="F8_E4M3, expected one of"):
        read_folder(place)


def a_name_of_a_megabyte_is_a_short_sentence(place: Path) -> None:
    _safetensors(place / "out.safetensors", "F8_E4M3", b"1234", "a" * 2**20)
    with pytest.raises(VectorError) as found:
        read_folder(place)
    assert len(str(found.value)) < 1000
    assert "a name of 1048576 characters" in str(found.value)


def numbers_beyond_float64_are_a_sentence(place: Path) -> None:
    for written in ("1e999", "-1e999", "1" + 400 * "0", "1" + 5000 * "0", "NaN", "[]", '"x"'):
        text = '{"outputs": {"silu/probe0": {"result": {"shape": [1], "data": [NUMBER]}}}}'
        (place / "out.json").write_text(text.replace("NUMBER", written))
        try:
            (report,) = verify_recorded(place=place, ops=["silu"])
            assert report.findings[0].status == "crashes"
        except VectorError:
            pass


def absurd_shapes_and_dtypes_are_sentences(place: Path) -> None:
    entries: list[Any] = [
        {"shape": [0, 10**30], "data": []},
        {"shape": [-1], "data": []},
        {"shape": [1] * 40, "data": [1.0]},
        {"shape": [1], "data": [1.0], "dtype": ["float64"]},
        {"shape": [1], "data": [1.0], "dtype": "object"},
        {"shape": [True], "data": [1.0]},
        [],
    ]
    for entry in entries:
        with pytest.raises(VectorError):
            read_array(entry, "out.json")


def pipes_and_devices_are_no_files(place: Path) -> None:
    pipe = place / "pipe"
    os.mkfifo(pipe)
    for path in (pipe, Path("/dev/zero")):
        with pytest.raises(VectorError, match="no regular file"):
            read_json(path)
        with pytest.raises(weights.WeightsError, match="no regular file"):
            weights.load(path)
        with pytest.raises(TargetError, match="no regular file"):
            baseline.read(path)
        with pytest.raises(TargetError, match="no regular file"):
            own_shape.read(OPS["silu"], path, "float32")
        with pytest.raises(ImageError, match="no regular file"):
            load_image(path)
        with pytest.raises(OperationError, match="no such page"):
            page(path)
        with pytest.raises(TargetError, match=r"no such file|not a target"):
            Session(str(path.rename(place / "pipe.py") if path == pipe else path))


def thin_pictures_are_sentences(place: Path) -> None:
    for mode in ("L", "P", "RGBA", "CMYK"):
        path = place / f"{mode}.tiff"
        Image.new(mode, (3_000_000, 1)).save(path, compression="tiff_lzw")
        with pytest.raises(ImageError, match="1 by 3000000 becomes 224 by"):
            preprocess(load_image(path))


def pictures_that_claim_to_be_larger_than_memory_are_sentences(place: Path) -> None:
    claimed = struct.pack(">IIBBBBB", 2**31 - 1, 1, 8, 0, 0, 0, 0)
    path = place / "wide.png"
    with path.open("wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n")
        for kind, data in (
            (b"IHDR", claimed),
            (b"IDAT", zlib.compress(bytes(100))),
            (b"IEND", b""),
        ):
            file.write(struct.pack(">I", len(data)) + kind + data)
            file.write(struct.pack(">I", zlib.crc32(kind + data)))
    with pytest.raises(ImageError, match="too large"):
        load_image(path)


def long_pictures_are_resized_in_little_memory(place: Path) -> None:
    path = place / "panorama.png"
    Image.effect_noise((2_000, 40), 50).convert("RGB").save(path)
    tracemalloc.start()
    try:
        picture = load_image(path)
        ours = resize_and_crop(picture, 224)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 2**28
    with Image.open(path) as file:
        wide = np.asarray(file.resize((11_200, 224), Image.Resampling.BICUBIC))
    assert np.array_equal(ours, wide[:, (11_200 - 224) // 2 : (11_200 + 224) // 2])


def damaged_code_in_the_cache_is_named_and_compiled_again(place: Path) -> None:
    cache = place / "cache"
    call = "refimpl.fast.rms_norm(numpy.ones((1, 1)), numpy.ones(1), 0.0)"
    program = f"import numpy, refimpl; print(*{call})"
    words = [sys.executable, "-c", program]
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(cache)}
    subprocess.run(words, env=environment, check=True, capture_output=True)
    kept = sorted(cache.rglob("*.nb?"))
    assert kept
    for number, path in enumerate(kept):
        content = path.read_bytes()
        path.write_bytes((b"", b"no code", content[: len(content) // 2])[number % 3])
    ended = subprocess.run(words, env=environment, check=True, capture_output=True, text=True)
    assert ended.stdout == "[1.]\n"
    assert str(cache) in ended.stderr
    assert "is damaged and compiled again" in ended.stderr


def a_baseline_with_a_typing_error_is_a_sentence(place: Path) -> None:
    path = place / "known.toml"
    for line in ('precision = "fp32"', 'presicion = "float32"', "target = 3"):
        entry = f'op = "silu"\nreason = "r"\nexpires = 2030-01-01\n{line}\n'
        path.write_text(f"[[known]]\n{entry}")
        with pytest.raises(TargetError, match="entry 1"):
            baseline.read(path)
