"""Ports for servers that are killed and started again on the same port."""

import socket
import subprocess
import sys
from pathlib import Path

from devstack.ports import free_port

_ROOT = Path(__file__).parents[2]


def test_a_port_is_handed_out_once() -> None:
    ports = [free_port() for _ in range(200)]
    assert len(set(ports)) == len(ports)


def test_a_port_can_be_listened_on() -> None:
    with socket.create_server(("127.0.0.1", free_port())) as server:
        assert server.getsockname()[0] == "127.0.0.1"


def test_outgoing_connections_never_draw_it() -> None:
    lowest_ephemeral = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    assert all(free_port() < lowest_ephemeral for _ in range(50))


def test_another_process_does_not_get_it() -> None:
    port = free_port()
    attempt = f"from devstack import ports; print(ports._is_free({port}), ports._reserve({port}))"
    answer = subprocess.run([sys.executable, "-c", attempt], cwd=_ROOT, capture_output=True, text=True, check=True)
    assert answer.stdout.split() == ["True", "False"], "nobody listens there, and yet it is taken"
