"""The load sender beside a bench: a process of its own, so that neither slows the other's loop."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import msgspec

from devstack.roles import ROOT
from loadtest.measure import LedgerRow, SendResult


async def send(folder: Path, plan: dict[str, Any]) -> tuple[SendResult, list[LedgerRow]]:
    """Carry out a plan (``loadtest.plan.Plan``) for the clinics in ``folder``; its ledger by ends."""
    file, ledger = folder / "plan.json", folder / "ledger.jsonl"
    file.write_bytes(msgspec.json.encode({"clinics": str(folder / "stack.json"), **plan}))
    sender = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "loadtest", "send", str(file), "--ledger", str(ledger)),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await sender.communicate()
    if sender.returncode:
        raise RuntimeError(f"the sender ended with {sender.returncode}")
    rows = [msgspec.json.decode(line, type=LedgerRow) for line in ledger.read_bytes().splitlines()]
    return msgspec.json.decode(output, type=SendResult), rows
