"""`python -m loadtest COMMAND` finds every command, and loads no more than it needs."""

import subprocess
import sys

import pytest
from typer.testing import CliRunner

from loadtest.__main__ import COMMANDS, app_for


def test_every_command_is_offered() -> None:
    offered = CliRunner().invoke(app_for([]), ["--help"])
    assert offered.exit_code == 0
    assert all(name in offered.output for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_stands_under_its_own_name(name: str) -> None:
    assert CliRunner().invoke(app_for([name]), [name, "--help"]).exit_code == 0


def test_clinics_start_without_what_a_bench_needs() -> None:
    code = "import sys; from loadtest.__main__ import app_for; app_for(['clinics']); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "loadtest.clinics.server" in loaded
    assert not {"aiokafka", "asyncpg", "loadtest.bench.command"} & set(loaded)
