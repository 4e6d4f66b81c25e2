"""What `make env` prints: for a shell, and what commands read."""

from __future__ import annotations

import shlex
from pathlib import Path

import msgspec
import pytest

from devstack import __main__ as devstack
from devstack.stack import Stack
from devstack.world import Shape
from waiting_room.settings import PREFIX, Settings


def test_a_shell_reads_what_the_stack_wrote(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stack = Stack(Shape(), tmp_path, kafka_address="127.0.0.1:9", owner_dsn="postgresql://a:it's@127.0.0.1:9/x?a=b&c=d")
    file = tmp_path / "stack.json"
    file.write_bytes(msgspec.json.encode({"env": stack.owner_env()}))
    monkeypatch.setattr(devstack, "STACK_FILE", file)
    monkeypatch.setattr(devstack, "_running_stack", lambda: 1)
    devstack.env()
    lines = [shlex.split(line) for line in capsys.readouterr().out.splitlines()]
    assert [word for word, _ in lines] == ["export"] * len(lines)
    told = dict(assignment.split("=", 1) for _, assignment in lines)
    assert told == stack.owner_env()
    assert {name.removeprefix(PREFIX).lower() for name in told} <= set(Settings.model_fields)


def test_without_a_stack_it_says_how_to_start_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devstack, "_running_stack", lambda: None)
    with pytest.raises(SystemExit, match="make up"):
        devstack.env()
