"""How the process starts and what ends it."""

from __future__ import annotations

import asyncio
import signal
from types import SimpleNamespace
from typing import Any, cast

import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from ingress.__main__ import main, ref_secrets, require_keys
from ingress.app import running
from ingress.parts import Parts
from waiting_room.domain.booking_ref import RefSecrets
from waiting_room.settings import BadSettings, Settings
from waiting_room.supervise import TaskDied

CURRENT, RETIRED = "c" * 32, "r" * 32


def test_refs_of_retired_secrets_stay_ours() -> None:
    secrets = ref_secrets(
        Settings(ref_secret=SecretStr(CURRENT), ref_secrets_retired=SecretStr(f" {RETIRED} ,{'s' * 40}"))
    )
    assert secrets.current == CURRENT.encode()
    old = RefSecrets(RETIRED.encode()).derive("0001", "app", "key")
    assert secrets.belongs_to(old, "app")


def test_who_asks_it_for_help_is_shown_where_settings_are(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["ingress", "--help"])
    with pytest.raises(SystemExit):
        main()
    assert "python -m waiting_room config" in capsys.readouterr().err


def test_without_a_secret_it_does_not_start(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(BadSettings):
        ref_secrets(Settings(ref_secret=None))
    assert capsys.readouterr().err.startswith("bad setting: WAITING_ROOM_REF_SECRET:")


@pytest.mark.parametrize("name", ["master_key", "patient_secret"])
def test_without_what_patients_are_sealed_and_found_with_it_does_not_start(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    given: dict[str, Any] = {"master_key": SecretStr(CURRENT), "patient_secret": SecretStr(CURRENT)}
    require_keys(Settings(**given))
    with pytest.raises(BadSettings):
        require_keys(Settings(**{**given, name: None}))
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(f"bad setting: WAITING_ROOM_{name.upper()}: ingress ")


def parts_with(task: Any) -> Parts:
    return cast(Parts, SimpleNamespace(tasks={"a task": task}, settings=Settings(shutdown_seconds=1)))


async def test_what_runs_beside_requests_ends_after_them() -> None:
    ended = asyncio.Event()

    async def work(finish: asyncio.Event) -> None:
        await finish.wait()
        ended.set()

    async with running(parts_with(work)):
        await asyncio.sleep(0)
        assert not ended.is_set()
    assert ended.is_set()


async def test_if_any_of_it_dies_so_does_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    raised: list[int] = []
    monkeypatch.setattr(signal, "raise_signal", raised.append)

    async def die(finish: asyncio.Event) -> None:
        raise ValueError("broken")

    async def serve() -> None:
        async with running(parts_with(die)):
            while not raised:
                await asyncio.sleep(0.01)

    with capture_logs() as logs, pytest.raises(TaskDied):
        await serve()
    assert raised == [signal.SIGTERM]
    assert logs[0]["log_level"] == "critical"
