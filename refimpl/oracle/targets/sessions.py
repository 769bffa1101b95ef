"""Targets: implementations to judge, each in a process of its own with a time limit."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from refimpl.op import Op
from refimpl.oracle.cases.drawn import Case
from refimpl.oracle.targets import wire

BACKENDS = {  # and the packages or devices each needs
    "fast": ("numba",),
    "onnxruntime": ("onnxruntime", "onnx"),
    "torch": ("torch",),
    "jax": ("jax",),
}
CUDA = "/dev/nvidiactl"  # there wherever a driver is
LIBRARIES = {  # made of the frameworks above, and judged where named
    "diffusers": ("diffusers", "torch"),
    "onnx_reference": ("onnx",),
    "open_clip": ("open_clip", "torch", "torchvision"),
    "timm": ("timm", "torch", "torchvision"),
    "torch_compile": ("torch",),
    "torch_cuda": ("torch", CUDA),
    "torch_cuda_cudnn": ("torch", CUDA),
    "torch_cuda_efficient": ("torch", CUDA),
    "torch_cuda_flash": ("torch", CUDA),
    "torch_cuda_tf32": ("torch", CUDA),
    "torch_math": ("torch",),
    "transformers": ("transformers", "torch"),
}
KNOWN = BACKENDS | LIBRARIES
LOAD_LIMIT = 180.0  # seconds to import a framework on a busy machine


class TargetError(RuntimeError):
    """The target cannot be found or loaded."""


@dataclass(frozen=True)
class Outcome:
    """What one call came to: `returned`, `refused`, `raised`, `died` or `hung`."""

    status: str
    outputs: list[np.ndarray] = field(default_factory=list)
    says: str = ""
    steps: dict[str, np.ndarray] = field(default_factory=dict)  # intermediate values by name


def installed(among: dict[str, tuple[str, ...]] = BACKENDS) -> list[str]:
    """The implementations found on this machine."""
    return [
        name
        for name, needs in among.items()
        if all(
            Path(need).exists() if need.startswith("/") else importlib.util.find_spec(need)
            for need in needs
        )
    ]


class Session:
    """One target's process, started again whenever it has died."""

    def __init__(self, target: str, limit: float = 30.0) -> None:
        if target.endswith(".py"):
            if not Path(target).is_file():
                raise TargetError(f"{target}: no such file")
        elif target not in KNOWN:
            raise TargetError(
                f"{target}: not a target; give a file ending in .py or one of {', '.join(KNOWN)}"
            )
        elif target not in installed(KNOWN):
            needs = " and ".join(n.replace(CUDA, "an NVIDIA driver") for n in KNOWN[target])
            raise TargetError(f"{target}: not installed, needs {needs}")
        self.target = target
        self.limit = limit
        self.process: subprocess.Popen | None = None
        self.about: dict[str, Any] = {}
        self.noise = tempfile.TemporaryFile()  # noqa: SIM115  closed with the session
        try:
            self._start()
        except TargetError:
            self.noise.close()
            raise

    @property
    def ops(self) -> list[str]:
        """The names of the operations that the target offers."""
        return self.about["ops"]

    def precisions(self, op: str, wanted: tuple[str, ...]) -> tuple[str, ...]:
        """The precisions to judge an operation in; by default float32, and float64 where known."""
        known = self.about["supports"].get(op) or self.about["precisions"]
        if wanted:
            return tuple(p for p in wanted if not known or p in known)
        return tuple(p for p in ("float32", "float64") if p in (known or ("float32",)))

    def _start(self) -> None:
        there, back = os.pipe(), os.pipe()
        environment = {**os.environ, "PYTHONFAULTHANDLER": "1"}
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "refimpl.oracle.targets.worker",
                self.target,
                str(there[0]),
                str(back[1]),
            ],
            pass_fds=(there[0], back[1]),
            stdin=subprocess.DEVNULL,
            stdout=self.noise,
            stderr=self.noise,
            env=environment,
            start_new_session=True,
        )
        os.close(there[0])
        os.close(back[1])
        self.to, self.back = there[1], back[0]
        with contextlib.suppress(OSError):  # if memory runs out, the target goes first
            Path(f"/proc/{self.process.pid}/oom_score_adj").write_text("1000")
        try:
            self.about, _ = wire.receive(self.back, time.monotonic() + LOAD_LIMIT, 0)
        except (wire.Closed, wire.Garbled):
            says = self._epitaph()
            self.close()
            raise TargetError(f"{self.target}: cannot be loaded: {says}") from None
        except wire.Late:
            self.close()
            raise TargetError(f"{self.target}: not loaded after {LOAD_LIMIT:.0f} s") from None
        if self.about["status"] != "ready":
            self.close()
            raise TargetError(f"{self.target}: cannot be loaded: {self.about['says']}")

    def call(
        self, op: Op, case: Case, room: int, limit: float = np.inf, steps: bool = False
    ) -> Outcome:
        """Make one call; `room` is how many bytes of output could be right.

        `limit` may shorten the time for a call; `steps` asks for intermediate values as well.
        """
        limit = min(limit, self.limit)
        if self.process is None:
            self._start()
        inputs = case.typed(op)
        arrays = {name: x for name, x in inputs.items() if isinstance(x, np.ndarray)}
        header = {
            "op": op.name,
            "steps": steps,
            "names": list(arrays),
            "layout": case.layout,
            "scalars": {name: x for name, x in inputs.items() if name not in arrays},
        }
        try:
            wire.send(self.to, header, list(arrays.values()))
            reply, outputs = wire.receive(
                self.back, time.monotonic() + limit, 16 * room + (1 << 20)
            )
            named = reply.get("steps", [])
            count = len(outputs) - len(named)
            steps_found = dict(zip(named, outputs[count:]))
            return Outcome(reply["status"], outputs[:count], reply.get("says", ""), steps_found)
        except wire.Late:
            self.close()
            return Outcome("hung", says=f"did not answer within {limit:g} s")
        except wire.Closed:
            says = self._epitaph()
            self.close()
            return Outcome("died", says=says)
        except (wire.Garbled, KeyError, TypeError) as error:
            self.close()
            return Outcome("raised", says=f"returned something unreadable: {error}")

    def replay(self, case: Case) -> str:
        """The command that runs a case again."""
        return f"refimpl replay {case.id} {self.target}"

    def _epitaph(self) -> str:
        """How the process ended, in words."""
        assert self.process is not None
        try:
            code = self.process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            return "closed its pipe"
        if code >= 0:
            return f"ended its process with exit code {code}"
        return f"was killed by {signal.Signals(-code).name}"

    def close(self) -> None:
        """End the process and everything it started."""
        if self.process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        os.close(self.to)
        os.close(self.back)
        self.process = None

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
        self.noise.close()
