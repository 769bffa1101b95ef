"""What a target's process gives up before it runs, where Linux allows it.

`start.py` runs this by its file name, before anything is imported that starts threads: each rule
holds for the thread that takes it and for whatever that thread starts. Nothing here is needed to
judge: where the system refuses a rule the target runs without it, and the report says so.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import struct
import sys
import sysconfig
from pathlib import Path

HOME = Path(__file__).resolve().parents[3]
PACKAGE = HOME / "refimpl"
SWITCH = "REFIMPL_OPEN"  # any value in the environment leaves a target all that it has

NEW_MOUNTS, NEW_USER = 0x00020000, 0x10000000  # of unshare
BIND, RECURSIVE, SLAVE = 0x1000, 0x4000, 0x80000  # of mount
HERE, EVERYTHING_BELOW = -100, 0x8000  # of mount_setattr
MOUNT_SETATTR, CREATE_RULES, ADD_RULE, RESTRICT = 442, 444, 445, 446  # the same on every machine
MOVE_FILES = 1 << 13  # of Landlock
SIGNALS = 1 << 1
READABLE, DROP_BOUND, NO_NEW_PRIVILEGES, AMBIENT, CLEAR = 4, 24, 38, 47, 4  # of prctl
READ_AND_WRITE = 1 << 1 | 1 << 2  # capabilities: files of any owner, as root has them
CAPABILITIES = 0x20080522  # the version of the layout
KNOWN = 40  # an exit code that nothing else has: what is open is added


def isolate() -> None:
    """Take every rule that this system has."""
    if sys.platform != "linux" or os.environ.get(SWITCH):
        return
    import resource

    libc = ctypes.CDLL(None, use_errno=True)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if _works_in_a_child(libc):
        _see_read_only(libc)
    libc.prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    _give_up_capabilities(libc)
    _leave_other_processes_alone(libc)
    libc.prctl(READABLE, 1, 0, 0, 0)  # by its own user, as before


def read_only() -> list[str]:
    """Where the oracle and what it stands on are installed, and where Linux itself is set up."""
    paths = sysconfig.get_paths()
    places = {paths[name] for name in ("stdlib", "platstdlib", "purelib", "platlib", "scripts")}
    places |= {path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")}
    places |= {str(PACKAGE), str(HOME / "golden"), "/proc/sys", "/sys"}
    return sorted(os.path.realpath(place) for place in places if os.path.isdir(place))


def _works_in_a_child(libc: ctypes.CDLL) -> bool:
    """Try it first where nothing is lost: half of it would leave a process without its name."""
    child = os.fork()
    if not child:
        done = False
        with contextlib.suppress(BaseException):
            done = _see_read_only(libc)
        os._exit(not done)
    return os.waitpid(child, 0)[1] == 0


def _see_read_only(libc: ctypes.CDLL) -> bool:
    """Give this process a view of its own of the files, in which what is installed is read-only."""
    user, group = os.getuid(), os.getgid()
    if libc.unshare(NEW_MOUNTS):
        if libc.unshare(NEW_MOUNTS | NEW_USER):
            return False
        for name, line in (
            ("setgroups", "deny"),
            ("uid_map", f"{user} {user} 1"),
            ("gid_map", f"{group} {group} 1"),
        ):
            Path("/proc/self", name).write_text(line)
    if libc.mount(b"none", b"/", None, RECURSIVE | SLAVE, None):
        return False
    return not any(_bind(libc, os.fsencode(place)) for place in read_only())


def _bind(libc: ctypes.CDLL, place: bytes) -> int:
    """Cover a folder by itself, read-only; 0 if that was done."""
    attributes = struct.pack("4Q", 1, 0, 0, 0)  # set: read-only
    return libc.mount(place, place, None, BIND | RECURSIVE, None) or libc.syscall(
        MOUNT_SETATTR, HERE, place, EVERYTHING_BELOW, attributes, ctypes.c_size_t(len(attributes))
    )


def _give_up_capabilities(libc: ctypes.CDLL) -> None:
    """Keep of root's rights those on files: without the others no process of root's can be read."""
    kept = READ_AND_WRITE if os.getuid() == 0 else 0
    for number in range(64):
        if not kept >> number & 1:
            libc.prctl(DROP_BOUND, number, 0, 0, 0)
    libc.prctl(AMBIENT, CLEAR, 0, 0, 0)
    header = struct.pack("Ii", CAPABILITIES, 0)
    held = ctypes.create_string_buffer(24)
    libc.capget(header, held)
    permitted = struct.unpack("6I", held.raw)[1] & kept
    libc.capset(header, struct.pack("6I", permitted, permitted, 0, 0, 0, 0))


def _leave_other_processes_alone(libc: ctypes.CDLL) -> None:
    """Enter a domain of Landlock: no memory and, in newer ones, no signals across its border.

    The domain needs a rule on files; the one that is taken is granted everywhere.
    """
    version = libc.syscall(CREATE_RULES, None, ctypes.c_size_t(0), 1)
    if version < 2:
        return
    handled = struct.pack("Q", MOVE_FILES)
    if version >= 6:
        handled = struct.pack("3Q", MOVE_FILES, 0, SIGNALS)
    rules = libc.syscall(CREATE_RULES, handled, ctypes.c_size_t(len(handled)), 0)
    root = os.open("/", os.O_PATH)
    if not libc.syscall(ADD_RULE, rules, 1, struct.pack("=Qi", MOVE_FILES, root), 0):
        libc.syscall(RESTRICT, rules, 0)
    os.close(root)
    os.close(rules)


def open_to_targets(oracle: int) -> int:
    """What this process could do to the oracle, whose process has the number `oracle`.

    The sum of 1, if it can change the installed package, and 2, if it can change its memory.
    """
    return os.access(PACKAGE, os.W_OK) + 2 * _may_trace(oracle)


def _may_trace(process: int) -> bool:
    """Whether another process's memory can be opened; without /proc nobody knows."""
    if not Path("/proc/self/mem").exists():
        return True
    try:
        os.close(os.open(f"/proc/{process}/mem", os.O_RDWR))
    except OSError:
        return False
    return True


if __name__ == "__main__":
    sys.exit(KNOWN + open_to_targets(int(sys.argv[1])))
