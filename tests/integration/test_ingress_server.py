"""Callers are let in as fast as they come, however busy the process is, and wait outside while there is no room."""

from __future__ import annotations

import asyncio
import socket
import sys
from pathlib import Path

import pytest

from devstack.ports import free_port
from devstack.processes import Process
from ingress.server import listen
from tests.stack import server_folder

ROOT = Path(__file__).parents[2]
TURN_SECONDS = 0.02
CALLERS = 500
SERVE = """
import asyncio, resource, sys, time, uvicorn
from ingress.server import Server

port, files, turn_seconds = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))

async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})

def busy():
    time.sleep(turn_seconds)
    asyncio.get_running_loop().call_later(0.001, busy)

async def main():
    config = uvicorn.Config(app, port=port, loop="uvloop", http="httptools", lifespan="off", log_config=None)
    if turn_seconds:
        busy()
    await Server(config, asyncio.Event()).serve()

import uvloop
uvloop.run(main())
"""


def server(name: str, port: int, *, files: int, turn_seconds: float) -> Process:
    return Process(
        name,
        [sys.executable, "-c", SERVE, str(port), str(files), str(turn_seconds)],
        log_file=server_folder("ingress-server") / f"{name}.log",
        cwd=ROOT,
        ready_url=f"http://127.0.0.1:{port}/",
    )


async def ask(port: int) -> bytes:
    """The status line of an answer over a connection of its own."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(b"GET / HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n")
        return await reader.readline()
    finally:
        writer.close()


async def test_a_rush_of_new_callers_is_let_in_within_a_few_turns() -> None:
    """One connection a turn would take CALLERS turns: 10 s."""
    port = free_port()
    process = server("busy", port, files=4_096, turn_seconds=TURN_SECONDS)
    await process.start()
    try:
        clock = asyncio.get_running_loop().time
        began = clock()
        answers = await asyncio.gather(*(ask(port) for _ in range(CALLERS)))
        assert set(answers) == {b"HTTP/1.1 200 OK\r\n"}
        assert clock() - began < CALLERS * TURN_SECONDS / 2
    finally:
        await process.stop()


async def test_without_room_callers_wait_outside_and_get_in_when_others_have_left() -> None:
    port = free_port()
    process = server("full", port, files=64, turn_seconds=0)
    await process.start()
    try:
        holding = [socket.create_connection(("127.0.0.1", port)) for _ in range(100)]
        waiting = asyncio.create_task(ask(port))
        await asyncio.sleep(1.0)
        assert process.running, process.log_tail()
        assert "no_room_for_connections" in process.log_file.read_text()
        for each in holding:
            each.close()
        assert await asyncio.wait_for(waiting, 10) == b"HTTP/1.1 200 OK\r\n"
    finally:
        await process.stop()


async def test_an_address_that_is_taken_ends_the_process_with_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process = server("taken", port, files=1_024, turn_seconds=0)
        process.spawn()
        assert await process.wait(10) == 1
        assert process.log_tail() == f"cannot listen on 127.0.0.1 port {port}: Address already in use"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_every_address_of_a_name_is_listened_on(host: str) -> None:
    doors = listen(host, 0)
    assert doors
    for door in doors:
        assert not door.getblocking()
        with socket.create_connection(door.getsockname()[:2]):
            door.close()


def test_a_name_nobody_knows_ends_the_process_with_one_line() -> None:
    with pytest.raises(SystemExit, match=r"^cannot listen on nowhere\.invalid port 80: \S+"):
        listen("nowhere.invalid", 80)
