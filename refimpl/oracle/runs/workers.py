"""Operations judged side by side: each worker is a process with sessions of its own.

A worker is a copy of this process (a fork), so that it knows every operation that was brought. It
asks for the next operation when it has judged one. What it found comes back through a pipe, also
where an interruption ended it in the midst of one.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection, wait
from typing import Any

import numpy as np

from refimpl.exceptions import RefimplError
from refimpl.op import Op
from refimpl.oracle.cases.drawn import Case
from refimpl.oracle.findings import Finding
from refimpl.oracle.runs.judges import Judges, Keep, Plan

MOST = 8  # workers by default: each holds the libraries that are judged
WORTH = 8  # operations for each worker; fewer are judged before it has loaded its libraries
PATIENCE = 10.0  # seconds for what an interrupted worker has found
THREADS = "OPENBLAS_NUM_THREADS"  # of a target: beside other workers', more only wait for a turn
ENDINGS = {signal.SIGINT, signal.SIGTERM}


class WorkerLost(RefimplError, RuntimeError):
    """A process that judged an operation has ended without a word."""


def sensible(ops: int) -> int:
    """How many workers so many operations want on this machine.

    >>> sensible(3)
    1
    """
    if not sys.platform.startswith("linux"):  # elsewhere system libraries do not bear a fork
        return 1
    return max(1, min(len(os.sched_getaffinity(0)), MOST, ops // WORTH))


class Worker:
    """One of the processes, and the pipe to it."""

    def __init__(self, plan: Plan, count: int, others: Sequence[Worker]) -> None:
        context = multiprocessing.get_context("fork")
        self.pipe, theirs = context.Pipe()
        ours = [self.pipe, *(other.pipe for other in others)]
        self.process = context.Process(target=_work, args=(plan, count, theirs, ours))
        self.judges = ""  # the operation that it is at
        with warnings.catch_warnings():  # threads of NumPy's products know of forks
            warnings.simplefilter("ignore", DeprecationWarning)
            before = signal.pthread_sigmask(signal.SIG_BLOCK, ENDINGS)  # until it can hear them
            self.process.start()
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        theirs.close()

    def take(self, op: Op | None) -> None:
        """Give it the next operation, or none, after which it ends."""
        self.judges = op.name if op else ""
        with contextlib.suppress(BrokenPipeError):  # its last words are still to be read
            self.pipe.send(self.judges)

    def interrupt(self) -> None:
        """Have it say what it has found so far."""
        if self.process.pid and self.process.is_alive():
            os.kill(self.process.pid, signal.SIGINT)

    def end(self) -> None:
        """End it whatever it does; the targets end with the pipes that only it holds."""
        self.pipe.close()
        self.process.terminate()
        self.process.join(PATIENCE)
        self.process.kill()
        self.process.join()


def side_by_side(
    plan: Plan,
    ops: Sequence[Op],
    count: int,
    opened: Callable[[list[str]], None],
    keep: Keep,
    progress: Callable[[str], None],
) -> None:
    """Judge operations in so many processes; `opened` hears the versions of the targets."""
    waiting = list(reversed(ops))
    workers: list[Worker] = []
    known = False
    try:
        for _ in range(count):
            workers.append(Worker(plan, count, workers))
        progress("loading " + ", ".join(plan.targets))
        for worker, said in _messages(workers):
            if isinstance(said, list) and not known:
                known = True
                opened(said)
            elif isinstance(said, dict):
                _keep(said, keep)
            if waiting:
                progress(waiting[-1].name)
            worker.take(waiting.pop() if waiting else None)
    except KeyboardInterrupt:
        for worker in workers:
            worker.interrupt()
        for _, said in _messages(workers, PATIENCE):
            if isinstance(said, dict):
                _keep(said, keep)
        raise
    finally:
        for worker in workers:
            worker.end()


def _keep(said: dict[str, Any], keep: Keep) -> None:
    for place, *words in said["found"]:
        keep(place, _finding(*words))


def _messages(workers: Sequence[Worker], patience: float | None = None) -> Any:
    """What workers say, as (worker, words), until all have ended; what one raised is raised."""
    open_ = {worker.pipe: worker for worker in workers}
    while open_:
        ready = wait(list(open_), patience)
        if not ready:
            return
        for pipe in ready:
            worker = open_[pipe]  # type: ignore[index]
            try:
                said = worker.pipe.recv()
            except (EOFError, ConnectionResetError):
                del open_[worker.pipe]
                worker.process.join()
                if worker.judges and patience is None:
                    raise WorkerLost(
                        f"{worker.judges}: the process that judged it ended with code "
                        f"{worker.process.exitcode}; what the others found is kept"
                    ) from None
                continue
            if isinstance(said, BaseException):
                if patience is None:
                    raise said
                continue
            yield worker, said


def _work(plan: Plan, count: int, pipe: Connection, others: Sequence[Connection]) -> None:
    """What a worker does: says what it has loaded, then judges what it is given."""
    for other in others:  # whose ends must close when those that hold them are gone
        other.close()
    os.environ.setdefault(THREADS, str(max(len(os.sched_getaffinity(0)) // count, 1)))
    signal.signal(signal.SIGINT, _once)
    # who has heard another worker's error interrupts this one, in the midst of its own error too
    with contextlib.suppress(EOFError, BrokenPipeError, KeyboardInterrupt):
        try:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDINGS)
            _judge_all(plan, pipe)
        finally:  # what is left to do has no place to raise
            signal.pthread_sigmask(signal.SIG_BLOCK, ENDINGS)
        pipe.close()


def _judge_all(plan: Plan, pipe: Connection) -> None:
    try:
        with Judges(plan) as judges:
            pipe.send(judges.versions)
            while name := pipe.recv():
                _judge(judges, name, pipe)
    except (EOFError, BrokenPipeError, KeyboardInterrupt):
        raise
    except BaseException as error:
        pipe.send(_portable(error))


def _judge(judges: Judges, name: str, pipe: Connection) -> None:
    from refimpl.registry import OPS

    found: list[tuple[int, Finding]] = []
    try:
        judges.judge(OPS[name], lambda place, finding: found.append((place, finding)))
    finally:
        pipe.send({"found": [(place, *_words(finding)) for place, finding in found]})


def _words(finding: Finding) -> tuple:
    """A finding as a report holds it, and what no report holds but whoever writes one needs."""
    return finding.as_json(), finding.ratios, finding.smallest and finding.smallest.case


def _finding(entry: dict[str, Any], ratios: np.ndarray | None, case: Case | None) -> Finding:
    finding = Finding.read(entry)
    finding.ratios = ratios
    if finding.smallest:
        finding.smallest.case = case
    return finding


def _once(*_: object) -> None:
    """The first interruption counts; a second must not take what the first left to say."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise KeyboardInterrupt


def _portable(error: BaseException) -> BaseException:
    """The error, or its words where it cannot be sent."""
    try:
        pickle.loads(pickle.dumps(error))  # our own process's words
    except Exception:
        return WorkerLost("".join(traceback.format_exception(error)))
    error.add_note("".join(traceback.format_exception(error)))
    return error
