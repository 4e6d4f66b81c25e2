"""`secrets` makes what compose.yaml asks for, new each time, and never over what is in use."""

from __future__ import annotations

import stat
from pathlib import Path

from pydantic import SecretStr
from typer.testing import CliRunner

from waiting_room.cli.app import app
from waiting_room.cli.secrets import NAMES
from waiting_room.settings import Settings


def made(text: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in text.splitlines())


def test_each_is_new_each_time_and_needs_no_escaping() -> None:
    one, other = (made(CliRunner().invoke(app, ["secrets"]).output) for _ in range(2))
    assert tuple(one) == NAMES
    assert not set(one.values()) & set(other.values())
    assert all(value.replace("-", "").replace("_", "").isalnum() for value in one.values())


def test_secrets_are_such_as_processes_take() -> None:
    text = CliRunner().invoke(app, ["secrets"]).output
    assert Settings(ref_secret=SecretStr(made(text)["WAITING_ROOM_REF_SECRET"])).ref_secret
    assert Settings(master_key=SecretStr(made(text)["WAITING_ROOM_MASTER_KEY"])).master_key
    assert Settings(patient_secret=SecretStr(made(text)["WAITING_ROOM_PATIENT_SECRET"])).patient_secret


def test_the_file_is_its_owners_and_is_not_written_twice(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    assert CliRunner().invoke(app, ["secrets", "--out", str(file)]).exit_code == 0
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    before = file.read_text()
    again = CliRunner().invoke(app, ["secrets", "--out", str(file)])
    assert again.exit_code == 1
    assert "is there already" in again.output
    assert file.read_text() == before


def test_a_folder_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    refused = CliRunner().invoke(app, ["secrets", "--out", str(tmp_path / "no" / ".env")])
    assert refused.exit_code == 2
    assert refused.output.count("\n") == 1
