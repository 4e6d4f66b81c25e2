"""The folder that keeps what is downloaded once, shared by every checkout of one user.

Standard library only: `devstack.bootstrap` runs before anything is installed.
"""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


def cache_folder() -> Path:
    """`$WAITING_ROOM_CACHE`, else `waiting-room` in the user's cache folder; created when missing."""
    if chosen := os.environ.get("WAITING_ROOM_CACHE"):
        folder = Path(chosen)
    elif shared := os.environ.get("XDG_CACHE_HOME"):
        folder = Path(shared) / "waiting-room"
    else:
        folder = Path.home() / ".cache" / "waiting-room"
    folder.mkdir(parents=True, exist_ok=True)
    return folder.absolute()


@contextmanager
def exclusive(lock: Path, on_wait: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Holds `lock` against other processes; the kernel frees it however this one ends.

    Calls `on_wait` before waiting for somebody else to let go.
    """
    with lock.open("a") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            on_wait()
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
