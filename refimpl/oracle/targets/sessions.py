"""Targets: implementations to judge, each in a process of its own with a time limit."""

from __future__ import annotations

import importlib.util
import itertools
import json
import os
import shlex
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from refimpl import registry
from refimpl.exceptions import RefimplError
from refimpl.op import Op
from refimpl.oracle.cases.drawn import Case
from refimpl.oracle.targets import wire
from refimpl.oracle.targets.processes import Child, plain

BACKENDS = {  # and the packages or devices each needs
    "fast": ("numba",),
    "onnxruntime": ("onnxruntime", "onnx"),
    "torch": ("torch",),
    "jax": ("jax",),
}
CUDA = "/dev/nvidiactl"  # there wherever a driver is
LIBRARIES = {  # made of the frameworks above, and judged where named
    "diffusers": ("diffusers", "torch"),
    "keras": ("keras",),
    "mlx": ("mlx",),
    "onnx_reference": ("onnx",),
    "open_clip": ("open_clip", "torch", "torchvision"),
    "openvino": ("openvino",),
    "tensorflow": ("tensorflow",),
    "timm": ("timm", "torch", "torchvision"),
    "tinygrad": ("tinygrad",),
    "torch_compile": ("torch",),
    "torch_cuda": ("torch", CUDA),
    "torch_cuda_cudnn": ("torch", CUDA),
    "torch_cuda_efficient": ("torch", CUDA),
    "torch_cuda_flash": ("torch", CUDA),
    "torch_cuda_tf32": ("torch", CUDA),
    "torch_math": ("torch",),
    "transformers": ("transformers", "torch"),
}
KERNELS = {  # for accelerators, interpreted on the CPU, and judged where named
    "fla": ("fla", "triton", "torch"),
    "liger": ("liger_kernel", "triton", "torch"),
    "pallas": ("jax",),
    "pallas_decode": ("jax",),
    "pallas_paged": ("jax",),
    "pallas_splash": ("jax",),
    "pallas_tpu": ("jax",),
}
KNOWN = BACKENDS | LIBRARIES | KERNELS
LOAD_LIMIT = 180.0  # seconds to import a framework on a busy machine
WORKER = "refimpl.oracle.targets.worker"
ANSWERS = ("returned", "refused", "raised")
LONGEST_VERSION = 200  # characters
TOGETHER = 16  # calls that are sent at once, at most
PIPE = 1 << 20  # bytes that a pipe should hold
HEADER = 1 << 10  # bytes of a call beside its arrays, about
LARGEST_LEFT = 1 << 24  # bytes of an answer that nobody asks for any more


class TargetError(RefimplError, RuntimeError):
    """The target cannot be found or loaded."""


@dataclass(frozen=True)
class Outcome:
    """What one call came to: `returned`, `refused`, `raised`, `died` or `hung`."""

    status: str
    outputs: list[np.ndarray] = field(default_factory=list)
    says: str = ""
    steps: dict[str, np.ndarray] = field(default_factory=dict)  # intermediate values by name
    code: int = 0  # the exit code of a target that died


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
        self.child: Child | None = None
        self.about: dict[str, Any] = {}
        self.calls = 0
        self.interrupted = False
        self._start()

    @property
    def ops(self) -> list[str]:
        """The names of the operations that the target offers."""
        return self.about["ops"]

    def precisions(self, op: str, wanted: tuple[str, ...]) -> tuple[str, ...]:
        """The precisions to judge an operation in; by default float32, and float64 where known."""
        known = tuple(self.about["supports"].get(op) or self.about["precisions"])
        if wanted:
            return tuple(p for p in wanted if not known or p in known)
        usual = tuple(p for p in ("float32", "float64") if p in (known or ("float32",)))
        return usual or known

    def only(self, op: str) -> list[str]:
        """What the target says that it is made for, of all operations and of one."""
        return [*self.about["only"].get("", ()), *self.about["only"].get(op, ())]

    def _start(self) -> None:
        there, back = os.pipe(), os.pipe()
        self.to, self.back = there[1], wire.Reader(back[0])
        try:
            self.child = Child(
                *(WORKER, self.target, str(there[0]), str(back[1])),
                fds=(there[0], back[1]),
                environment={"REFIMPL_OFFERED": json.dumps(registry.offered())},
            )
        finally:
            os.close(there[0])
            os.close(back[1])
        os.set_blocking(self.to, False)
        os.set_blocking(self.back.fd, False)
        self.room = min(wire.capacity(fd, PIPE) for fd in (self.to, self.back.fd)) // 2
        try:
            about, _ = self.back.receive(time.monotonic() + LOAD_LIMIT, 0)
            self.about = _read_about(about)
        except (wire.Closed, wire.Garbled) as error:
            says = str(error) if isinstance(error, wire.Garbled) else self._epitaph()[1]
            self.close()
            raise TargetError(f"{self.target}: cannot be loaded: {says}") from None
        except wire.Late:
            self.close()
            raise TargetError(f"{self.target}: not loaded after {LOAD_LIMIT:.0f} s") from None
        except BaseException:  # an interruption leaves nothing behind
            self.close()
            raise

    def call(
        self, op: Op, case: Case, answer_bytes: int, limit: float = np.inf, steps: bool = False
    ) -> Outcome:
        """Make one call; `answer_bytes` is how many bytes of output could be right.

        `limit` may shorten the time for a call; `steps` asks for intermediate values as well.
        """
        asked = op, case, answer_bytes, min(limit, self.limit), steps
        return self._spared(self._call(*asked), *asked)

    def in_a_row(self, op: Op, asked: Iterable[tuple[Case, int]]) -> Iterator[Outcome]:
        """What many calls come to: ever more of them are sent before their answers are read."""
        waiting, together = iter(asked), 1
        known: dict[int, tuple[Case, wire.Content]] = {}  # a case is often asked several times
        while group := list(itertools.islice(waiting, together)):
            for part in self._fitting(group):
                if len(part) == 1:
                    yield self.call(op, *part[0])
                    continue
                for case, _ in part:
                    if id(case) not in known:
                        known[id(case)] = case, _content(op, case)
                contents = [known[id(case)][1] for case, _ in part]
                yield from self._together(op, part, contents)
            together = min(2 * together, TOGETHER)

    def _fitting(self, group: list[tuple[Case, int]]) -> Iterator[list[tuple[Case, int]]]:
        """Calls in parts that a pipe holds; one that is too large for it is a part alone."""
        part: list[tuple[Case, int]] = []
        free = self.room
        for case, most in group:
            size = case.nbytes + HEADER
            if part and size > free:
                yield part
                part, free = [], self.room
            part.append((case, most))
            free -= size
        yield part

    def _together(
        self, op: Op, group: list[tuple[Case, int]], contents: list[wire.Content]
    ) -> Iterator[Outcome]:
        """Calls that are sent at once, which a pipe must hold: nobody reads it meanwhile."""
        failed, first = self._begin(), self.calls + 1
        self.calls += len(group)
        frames = [content.frame(number) for number, content in enumerate(contents, first)]
        sent = [b"".join(itertools.chain.from_iterable(frames))]
        failed = failed or self._attempt(self.limit, lambda end: wire.write(self.to, sent, end))
        asked, unread = self.child, list(range(first, first + len(group)))
        try:
            for case, most in group:
                number = unread.pop(0)
                if failed is not None:
                    outcome, failed = failed, None
                elif self.child is None or self.child is not asked:  # these went with another
                    outcome = self._call(op, case, most, self.limit)
                else:
                    outcome = self._awaited(number, most, self.limit)
                yield self._spared(outcome, op, case, most, self.limit, False)
        finally:  # whoever stops early leaves no answer that would be taken for another's
            for number in unread:
                if self.child is not None and self.child is asked:
                    self._awaited(number, LARGEST_LEFT, self.limit)

    def _spared(self, outcome: Outcome, *asked: Any) -> Outcome:
        """The outcome; of another call where the system took the memory: it does from anybody."""
        if outcome.status != "died" or outcome.code != -signal.SIGKILL:
            return outcome
        again = self._call(*asked)
        return replace(again, says=f"{again.says}, twice") if again.code else again

    def _call(
        self, op: Op, case: Case, answer_bytes: int, limit: float, steps: bool = False
    ) -> Outcome:
        failed = self._begin()
        self.calls += 1
        number, frame = self.calls, _content(op, case, steps).frame(self.calls)
        failed = failed or self._attempt(limit, lambda end: wire.write(self.to, frame, end))
        return failed or self._awaited(number, answer_bytes, limit)

    def _begin(self) -> Outcome | None:
        """Have a process to call; how the last one ended, where nothing was asked."""
        if self.interrupted:
            raise KeyboardInterrupt
        if self.child is not None and self.back.ready():
            code, says = self._epitaph(0.5)
            self.close()
            if code:
                return Outcome("died", says=f"{says}, after its last answer", code=code)
        if self.child is None:
            self._start()
        return None

    def _awaited(self, number: int, answer_bytes: int, limit: float) -> Outcome:
        """The answer to a call that was sent."""

        def read(end: float) -> Outcome:
            reply, outputs = self.back.receive(end, 16 * answer_bytes + (1 << 20))
            return _read_reply(reply, outputs, number)

        outcome = self._attempt(limit, read)
        assert outcome is not None
        return outcome

    def _attempt(self, limit: float, step: Callable[[float], Outcome | None]) -> Outcome | None:
        """What a step of a call comes to, within its time."""
        try:
            return step(time.monotonic() + limit)
        except wire.Late:
            self.close()
            return Outcome("hung", says=f"did not answer within {limit:g} s")
        except wire.Closed:
            code, says = self._epitaph()
            self.close()
            if self.interrupted:  # by us, which says nothing about the target
                raise KeyboardInterrupt from None
            return Outcome("died", says=says, code=code or 0)
        except wire.Garbled as error:
            self.close()
            return Outcome("raised", says=plain(f"returned something unreadable: {error}"))
        except BaseException:  # half a frame may be on its way
            self.close()
            raise

    def replay(self, case: Case) -> str:
        """The command that runs a case again."""
        return shlex.join(["refimpl", "replay", case.id, self.target, *registry.whence(case.op)])

    def _epitaph(self, seconds: float = 5.0) -> tuple[int | None, str]:
        """The exit code, None if it lives on; and how the process ended, in words."""
        assert self.child is not None
        code = self.child.wait(seconds)
        return code, plain(self.child.epitaph(code))

    def interrupt(self) -> None:
        """End the process from another thread, so that a call under way ends at once."""
        self.interrupted = True
        child = self.child
        if child is not None:
            child.kill()

    def close(self) -> None:
        """End the process and everything it started."""
        if self.child is None:
            return
        child, self.child = self.child, None
        os.close(self.to)
        os.close(self.back.fd)
        child.close()

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _content(op: Op, case: Case, steps: bool = False) -> wire.Content:
    """A call as it is sent."""
    inputs = case.typed(op)
    arrays = {name: x for name, x in inputs.items() if isinstance(x, np.ndarray)}
    header = {
        "op": op.name,
        "steps": steps,
        "names": list(arrays),
        "layout": case.layout,
        "scalars": {name: x for name, x in inputs.items() if name not in arrays},
    }
    return wire.Content(header, list(arrays.values()))


def _read_about(about: dict[str, Any]) -> dict[str, Any]:
    """Check what a target says about itself: whatever it imports could have sent it."""
    if about.get("status") != "ready":
        raise wire.Garbled(plain(about.get("says", "says nothing about itself")))
    names = [*_strings(about.get("ops")), *_strings(about.get("precisions"))]
    names += _strings(about.get("without"))
    for what in ("supports", "only"):
        said = about.get(what)
        if not isinstance(said, dict):
            raise wire.Garbled(f"{what.upper()} is not a dict")
        for known in said.values():
            names += _strings(known)
    about["version"] = plain(about.get("version", ""))[:LONGEST_VERSION]
    return about


def _strings(value: Any) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(x, str) for x in value):
        raise wire.Garbled("says something unreadable about itself")
    return value


def _read_reply(reply: dict[str, Any], outputs: list[np.ndarray], call: int) -> Outcome:
    """Check a reply to a call, which anything in the target's process could have sent."""
    if reply.get("id") != call:
        raise wire.Garbled("a reply to another call")
    status, says = reply.get("status"), reply.get("says", "")
    named = _strings(reply.get("steps", []))
    if status not in ANSWERS or not isinstance(says, str) or len(named) > len(outputs):
        raise wire.Garbled("a reply of no known kind")
    count = len(outputs) - len(named)
    steps = {plain(name): x for name, x in zip(named, outputs[count:], strict=True)}
    return Outcome(status, outputs[:count], plain(says), steps)
