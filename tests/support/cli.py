"""``python -m waiting_room`` as a user runs it: another process, an environment, an exit status."""

from __future__ import annotations

import asyncio
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.stack import Kafka
from tests.support.database import Database
from tests.support.world import MASTER_KEY, PARTITIONS, PATIENT_SECRET

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Said:
    status: int
    out: str
    err: str


async def waiting_room(
    *arguments: str,
    database: Database | None = None,
    kafka: Kafka | None = None,
    stdin: str | None = None,
    **settings: str,
) -> Said:
    """Run the command as the schema's owner; a server that is not given does not answer. Cancelled, it is killed."""
    values = {
        "KAFKA_BOOTSTRAP": kafka.bootstrap_servers if kafka else "127.0.0.1:9",
        "POSTGRES_DSN": database.owner_dsn if database else "postgresql://127.0.0.1:9/nowhere",
        "KAFKA_CLINIC_PARTITIONS": str(PARTITIONS),
        "MASTER_KEY": MASTER_KEY,
        "PATIENT_SECRET": PATIENT_SECRET,
        **{name.upper(): value for name, value in settings.items()},
    }
    clean = {name: value for name, value in os.environ.items() if not name.startswith("WAITING_ROOM_")}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "waiting_room",
        *arguments,
        cwd=ROOT,
        env={**clean, **{f"WAITING_ROOM_{name}": value for name, value in values.items()}},
        stdin=None if stdin is None else asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, err = await process.communicate(None if stdin is None else stdin.encode())
    except asyncio.CancelledError:
        process.kill()
        await process.wait()
        raise
    return Said(process.returncode or 0, out.decode(), err.decode())
