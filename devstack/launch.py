"""Becomes another program that dies when its parent does, even by kill -9.

    python -I -S launch.py PARENT_PID USER NICE PROGRAM [ARGUMENT ...]

A program of its own rather than a `preexec_fn`, because that runs Python between fork and exec, where a lock
held by another thread hangs the child. USER is `-` or, for root, the name of the account to become.

Standard library only, and nothing of ours: it starts in some 15 ms without `site`.
"""

import contextlib
import ctypes
import os
import pwd
import resource
import signal
import sys

_PR_SET_PDEATHSIG = 1
_PR_SET_KEEPCAPS = 8
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_RAISE = 2
_CAPABILITY_VERSION_3 = 0x20080522
_CAP_DAC_OVERRIDE = 1
_CAP_DAC_READ_SEARCH = 2


def become(user: str) -> None:
    """Drops root for `user`, who may still pass through folders only root can enter.

    The checkout of somebody who works as root is often below a private home. Keeping one capability, to
    search folders, spares us opening that home to everyone on the machine.
    """
    account = pwd.getpwnam(user)
    kept = _searching_capability()
    if kept is not None:
        _prctl(_PR_SET_KEEPCAPS, 1)
    os.setgroups([])
    os.setgid(account.pw_gid)
    os.setuid(account.pw_uid)
    if kept is not None:
        with contextlib.suppress(OSError):  # without it the program itself says which folder it cannot enter
            _keep_only(kept)


def die_with(parent: int) -> None:
    """Has the kernel kill this process when the thread that started it ends; `parent` guards the gap before."""
    if sys.platform == "linux":
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit("the parent is gone")


def _searching_capability() -> int | None:
    """The weaker of the two capabilities that let us enter any folder; containers often grant the other only."""
    if sys.platform != "linux":
        return None
    with open("/proc/self/status") as status:
        held = next(int(line.split()[1], 16) for line in status if line.startswith("CapPrm:"))
    for capability in (_CAP_DAC_READ_SEARCH, _CAP_DAC_OVERRIDE):
        if held >> capability & 1:
            return capability
    return None


def _keep_only(capability: int) -> None:
    bits = 1 << capability
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    data = (ctypes.c_uint32 * 6)(bits, bits, bits, 0, 0, 0)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.capset(header, data) != 0:
        raise OSError(ctypes.get_errno(), "capset")
    _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, capability)


def _prctl(option: int, *arguments: int) -> None:
    padded = [ctypes.c_ulong(argument) for argument in (*arguments, 0, 0, 0, 0)[:4]]
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, *padded) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


def nice_of_session(nice: int) -> None:
    """Gives the whole session that niceness: where Linux groups processes by session it looks at nothing else."""
    with contextlib.suppress(OSError), open("/proc/self/autogroup", "w") as autogroup:
        autogroup.write(str(nice))


def main(arguments: list[str]) -> None:
    """Does not return: either the program takes over, or the interpreter ends with a message."""
    parent, user, nice, *program = arguments
    os.nice(int(nice))
    nice_of_session(int(nice))
    _, most_files = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most_files, most_files))
    if user != "-":
        become(user)
    die_with(int(parent))  # last: changing the account would clear it
    try:
        os.execvp(program[0], program)  # noqa: S606 - no shell, on purpose
    except OSError as error:
        sys.exit(f"cannot start {program[0]}: {error.strerror}")


if __name__ == "__main__":
    main(sys.argv[1:])
