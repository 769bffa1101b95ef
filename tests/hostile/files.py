"""files"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from refimpl.models import weights
from refimpl.oracle.runs import baseline
from refimpl.oracle.runs.foreign_outputs import read_folder, verify_recorded
from refimpl.oracle.targets.sessions import TargetError
from refimpl.oracle.vectors.golden import VectorError, read_array, read_json


def _safetensors(path: Path, dtype: str, data: bytes, name: str = "silu/probe0/result") -> None:
    entry = {"dtype": dtype, "shape": [len(data) // 2], "data_offsets": [0, len(data)]}
    header = json.dumps({name: entry}).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + data)


def bfloat16_outputs_are_read(place: Path) -> None:
    bits = (np.float32([1.0, -2.5]).view(np.uint32) >> 16).astype("<u2")
    _safetensors(place / "out.safetensors", "BF16", bits.tobytes())
    assert read_folder(place)["silu/probe0"]["result"]["data"] == [1.0, -2.5]


def eight_bits_are_a_sentence(place: Path) -> None:
    _safetensors(place / "out.safetensors", "F8_E4M3", b"1234")
    with pytest.raises(VectorError, match="F8_E4M3, expected one of"):
        read_folder(place)


def a_name_of_a_megabyte_is_a_short_sentence(place: Path) -> None:
    _safetensors(place / "out.safetensors", "F8_E4M3", b"1234", "a" * 2**20)
    with pytest.raises(VectorError) as found:
        read_folder(place)
    assert len(str(found.value)) < 1000


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


def a_baseline_with_a_typing_error_is_a_sentence(place: Path) -> None:
    path = place / "known.toml"
    for line in ('precision = "fp32"', 'presicion = "float32"', "target = 3"):
        entry = f'op = "silu"\nreason = "r"\nexpires = 2030-01-01\n{line}\n'
        path.write_text(f"[[known]]\n{entry}")
        with pytest.raises(TargetError, match="entry 1"):
            baseline.read(path)
