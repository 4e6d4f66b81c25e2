"""Ports on 127.0.0.1 that nobody else will take before the server that needs them, or between its restarts."""

import random
import socket
import sys
from pathlib import Path

_LOWEST = 15_000
_EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")
_DEFAULT_EPHEMERAL_START = 32_768
_ATTEMPTS = 1_000

_handed_out: set[int] = set()


def free_port() -> int:
    """A port nobody listens on, never handed out twice by this process, nor by another that runs beside it.

    Below the range that outgoing connections draw from: a client elsewhere on the machine must not sit on
    the port of a server that is just being restarted.
    """
    for _ in range(_ATTEMPTS):
        port = random.randrange(_LOWEST, _ephemeral_start())
        if port not in _handed_out and _is_free(port) and _reserve(port):
            return port
    raise RuntimeError("no free port on 127.0.0.1")


def _ephemeral_start() -> int:
    try:
        start = int(_EPHEMERAL.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        start = _DEFAULT_EPHEMERAL_START
    return start if start > _LOWEST + 1_000 else _DEFAULT_EPHEMERAL_START


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _reserve(port: int) -> bool:
    """Takes the port's name among Linux's abstract sockets, which only one process can hold.

    Held until this process ends, however that happens: the descriptor is never closed.
    """
    if sys.platform == "linux":
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as name:
            try:
                name.bind(f"\0waiting-room-port-{port}")
            except OSError:
                return False
            name.detach()
    _handed_out.add(port)
    return True
