"""What ties a worker to the supervisor that started it: it does not outlive it, not even its kill -9.

An orphan would keep its partitions, and nobody would ask it what its clinics need. The worker asks the kernel for
this itself, first thing: between fork and exec it would have to be asked by Python code, where a lock held by another
thread hangs the child.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def die_with(parent: int) -> None:
    """Have the kernel kill this process when the one that started it, ``parent``, ends (on Linux only).

    Raises SystemExit if it has ended already, OSError if the kernel refuses.
    """
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        padding = (ctypes.c_ulong(0),) * 3
        if libc.prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGKILL), *padding) != 0:
            raise OSError(ctypes.get_errno(), "prctl")
    if os.getppid() != parent:
        raise SystemExit("the supervisor is gone")
