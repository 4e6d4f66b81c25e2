"""Callers are let in as fast as they come, however busy the process is, and wait outside while there is no room."""

from __future__ import annotations

import asyncio
import socket
import sys
from pathlib import Path

import pytest

from devstack.ports import free_port
from devstack.processes import Process
from ingress.server import VANISHED_SECONDS, listen
from tests.stack import server_folder
from tests.support.log import until

ROOT = Path(__file__).parents[2]
TURN_SECONDS = 0.02
CALLERS = 500
SERVE = """
import asyncio, resource, sys, time, uvicorn
from ingress.server import Server

port, files, turn_seconds = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))

turn = 0

async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": [(b"turn", b"%d" % turn)]})
    await send({"type": "http.response.body", "body": b""})

def busy():
    global turn
    turn += 1
    time.sleep(turn_seconds)
    asyncio.get_running_loop().call_soon(busy)

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


async def ask(port: int) -> int:
    """Over a connection of its own; in which turn of the loop it was answered."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(b"GET / HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n")
        status, *headers = (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")
        assert status == b"HTTP/1.1 200 OK"
        [turn] = [int(each.removeprefix(b"turn: ")) for each in headers if each.startswith(b"turn: ")]
        return turn
    finally:
        writer.close()


async def test_a_rush_of_new_callers_is_let_in_within_a_few_turns() -> None:
    """One connection a turn would take CALLERS turns."""
    port = free_port()
    process = server("busy", port, files=4_096, turn_seconds=TURN_SECONDS)
    await process.start()
    try:
        process.freeze()
        asking = [asyncio.create_task(ask(port)) for _ in range(CALLERS)]
        await asyncio.wait(asking, timeout=0.5)  # all of them are at the door when it opens
        process.thaw()
        turns = await asyncio.gather(*asking)
        assert max(turns) - min(turns) < CALLERS / 2
    finally:
        await process.stop()


async def test_without_room_callers_wait_outside_and_get_in_when_others_have_left() -> None:
    port = free_port()
    process = server("full", port, files=64, turn_seconds=0)
    await process.start()
    try:
        holding = [socket.create_connection(("127.0.0.1", port)) for _ in range(100)]
        waiting = asyncio.create_task(ask(port))

        async def there_is_no_room() -> bool:
            assert process.running, process.log_tail()
            return "no_room_for_connections" in process.log_file.read_text()

        await until(there_is_no_room)
        assert not waiting.done()
        for each in holding:
            each.close()
        await asyncio.wait_for(waiting, 60)
    finally:
        await process.stop()


def test_a_caller_whose_machine_is_gone_is_given_up_within_a_minute() -> None:
    """No stream of theirs can end by itself: nothing says that they are gone but that they take nothing."""
    [door] = listen("127.0.0.1", 0)
    with door, socket.create_connection(door.getsockname()):
        served, _ = door.accept()
        with served:
            allowed_ms = served.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
    assert allowed_ms == VANISHED_SECONDS * 1_000 == 60_000


async def test_an_address_that_is_taken_ends_the_process_with_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process = server("taken", port, files=1_024, turn_seconds=0)
        process.spawn()
        assert await process.wait(60) == 1
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
