"""What a supervisor gives the workers that it starts."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Mapping, Sequence
from contextlib import closing

import pytest

from waiting_room.settings import PREFIX
from workers.supervise.child import Child

HOST = "127.0.0.1"


async def test_nobody_can_take_the_port_of_a_worker_that_is_being_started(monkeypatch: pytest.MonkeyPatch) -> None:
    """It ended at once where somebody did, and its supervisor asked a stranger meanwhile."""
    ports: list[int] = []

    async def starts(*_: str, env: Mapping[str, str], pass_fds: Sequence[int], **__: object) -> None:
        ports.append(int(env[PREFIX + "METRICS_PORT"]))
        with closing(socket.socket()) as other:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do
            with pytest.raises(OSError, match="in use"):
                other.bind((HOST, ports[0]))
        with closing(socket.socket(fileno=os.dup(pass_fds[0]))) as given:
            assert given.getsockname() == (HOST, ports[0])
        raise OSError("no more processes")

    monkeypatch.setattr(asyncio, "create_subprocess_exec", starts)
    child = Child("w-1", HOST, leave_seconds=1.0, died=lambda: None)
    with pytest.raises(OSError, match="no more processes"):
        await child._start()
    with closing(socket.socket()) as other:
        other.bind((HOST, ports[0]))  # nothing holds it where the worker could not be started
