"""The demo, from the first byte to the verdict."""

from __future__ import annotations

import asyncio
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import msgspec
from rich.console import Console
from rich.live import Live

from devstack.demo.callers import Callers
from devstack.demo.figures import collect, promises_kept
from devstack.demo.view import figures_table, picture
from devstack.demo.watch import Snapshot, look
from devstack.processes import ProcessFailed
from devstack.stack import RUN, Stack
from devstack.world import Shape
from loadtest.measure import SendResult
from waiting_room.follower import Follower
from waiting_room.messages import ClinicPulse, Pulse, PulseRecord, Reader
from waiting_room.supervise import stop_on_signals
from waiting_room.topics import CLINIC_PULSE

SETTLE_SECONDS = 150.0
FOLDER = RUN / "demo"


@dataclass(frozen=True)
class Wanted:
    shape: Shape
    bookings: int
    json: Path | None
    keep: bool


async def demo(wanted: Wanted) -> int:
    """Exit status: 0 when every promise of the spine held."""
    console = Console()
    stop = stop_on_signals()
    stack = Stack(wanted.shape, FOLDER, progress=lambda text: console.print(f"[dim]{text}[/dim]"))
    running = asyncio.create_task(_run(wanted, stack, console))
    asked = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({running, asked}, return_when=asyncio.FIRST_COMPLETED)
        if not running.done():
            running.cancel()
            console.print("stopped on request")
            return 130
        return await running
    except ProcessFailed as error:
        print(error, file=sys.stderr)
        return 1
    finally:
        asked.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await stack.stop(keep=wanted.keep)


async def _run(wanted: Wanted, stack: Stack, console: Console) -> int:
    started = time.monotonic()
    await stack.start()
    callers = Callers(stack.description, wanted.bookings, wanted.shape.seed)
    connection = await asyncpg.connect(stack.description["postgres"])
    try:
        watcher = _Watcher(stack, callers, connection, console)
        sent = await watcher.run()
        figures = await collect(connection, callers, sent, stack.description)
    finally:
        await connection.close()
    callers.write_ledger(FOLDER / "ledger.jsonl")
    figures["audit_ok"], verdict = await stack.audit(FOLDER / "ledger.jsonl")
    figures["seconds"] = round(time.monotonic() - started, 1)
    figures["promises"] = promises_kept(figures)
    console.print(verdict, highlight=False, markup=False, soft_wrap=True)
    console.print(figures_table({name: value for name, value in figures.items() if name != "promises"}))
    for promise, kept in figures["promises"].items():
        console.print(f"[{'green' if kept else 'bold red'}]{'kept  ' if kept else 'BROKEN'}[/] {promise}")
    if wanted.json:
        wanted.json.write_bytes(msgspec.json.format(msgspec.json.encode(figures)))
    return 0 if all(figures["promises"].values()) else 1


class _Watcher:
    """Runs the callers and looks on until everything has come to rest."""

    def __init__(
        self, stack: Stack, callers: Callers, connection: asyncpg.Connection[asyncpg.Record], console: Console
    ) -> None:
        self._stack = stack
        self._callers = callers
        self._connection = connection
        self._console = console
        self._pulses: dict[str, ClinicPulse] = {}
        self._read: Reader[PulseRecord] = Reader(PulseRecord)
        self._printed_at = float("-inf")

    async def run(self) -> SendResult:
        """The callers' figures, once nothing waits any more or SETTLE_SECONDS after the rush."""
        follower = Follower(self._stack.settings(), {CLINIC_PULSE: self._on_pulse})
        following = asyncio.create_task(follower.run(asyncio.Event()))
        calling = asyncio.create_task(self._call())
        began = time.monotonic()
        try:
            with Live(console=self._console, refresh_per_second=4, transient=False) as live:
                while True:
                    snapshot = await look(self._connection)
                    self._show(live, snapshot, time.monotonic() - began)
                    over = time.monotonic() - began > SETTLE_SECONDS
                    if calling.done() and (over or snapshot.settled(len(self._callers.acknowledged))):
                        return await calling
                    await asyncio.sleep(0.5)
        finally:
            for task in (following, calling):
                task.cancel()
            await asyncio.gather(following, calling, return_exceptions=True)

    async def _call(self) -> SendResult:
        sent = await self._callers.run()
        await self._callers.cancel_some()
        return sent

    def _on_pulse(self, worker_id: str, value: bytes | None) -> None:
        told = None if value is None else self._read(value)
        if not isinstance(told, Pulse):
            return
        for clinic_id, pulse in told.clinics.items():
            if pulse.limit is not None:
                self._pulses[clinic_id] = pulse

    def _show(self, live: Live, snapshot: Snapshot, second: float) -> None:
        if self._console.is_terminal:
            live.update(picture(self._stack.description["clinics"], snapshot, self._pulses, self._accepts(), second))
        elif time.monotonic() - self._printed_at >= 5:
            self._printed_at = time.monotonic()
            open_breakers = sum(pulse.breaker_open for pulse in self._pulses.values())
            self._console.print(
                f"{second:4.0f} s  {self._accepts()}; {snapshot.confirmed} confirmed, {snapshot.pending} waiting, "
                f"{snapshot.rejected} rejected; {snapshot.delivered} webhooks; {snapshot.told} told; "
                f"{open_breakers} breakers open",
                highlight=False,
                soft_wrap=True,
            )

    def _accepts(self) -> str:
        waits = sorted(
            (row.answered_at - row.due_at).total_seconds() * 1_000
            for row in self._callers.ledger
            if row.answered_at and row.status == 202
        )
        if not waits:
            return "no answers yet"
        return f"{len(waits)} answers, p50 {waits[len(waits) // 2]:.1f} ms, p99 {waits[int(len(waits) * 0.99)]:.1f} ms"
