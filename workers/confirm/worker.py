"""The confirm role: reads doorbells, keeps a lane a clinic, makes the calls that may start, commits behind them."""

from __future__ import annotations

import asyncio
import secrets
import time
from typing import cast

from aiokafka import ConsumerRecord

from clinic_adapter.transport import Transport, open_transport
from waiting_room.kafka import Producer
from waiting_room.settings import Settings
from waiting_room.store.pool import Pool, create_pool
from waiting_room.supervise import pause, supervise
from workers.confirm.clinics import Clinics
from workers.confirm.course import Course
from workers.confirm.intake import Intake
from workers.confirm.ledger import Ledger
from workers.confirm.report import Report
from workers.confirm.runner import Runner
from workers.pacing.lanes import Lanes
from workers.pacing.limit import FixedLimit, Limit
from workers.pacing.work import Work
from workers.pulse import PulseWriter

LOOK_EVERY_SECONDS, REFRESH_EVERY_SECONDS = 0.5, 30.0
DRAIN_SHARE = 0.8
"""Of the time for shutting down: the rest is for storing, committing and leaving."""
GAP_MAX = 2_000
"""Unfinished records of one partition, from the lowest to the last read: what a crash has read again."""


async def run(settings: Settings, finish: asyncio.Event) -> None:
    """Confirm until told to finish; then let calls under way end, store, commit and leave the group."""
    pool = await create_pool(settings, "confirm")
    producer = Producer(settings)
    await producer.start()
    try:
        async with open_transport(
            calls_max=settings.confirm_calls_max, call_seconds=settings.clinic_call_seconds
        ) as transport:
            pulse = PulseWriter(settings.worker_id, producer)
            worker = ConfirmWorker(settings, pool, transport, producer, pulse)
            await supervise(
                finish,
                {"confirm loop": worker.loop, "confirm upkeep": worker.upkeep, "pulse": pulse.run},
                shutdown_seconds=settings.shutdown_seconds,
            )
    finally:
        await producer.stop()
        pool.terminate()


class ConfirmWorker:
    """One run of the role: what it claims is this run's alone."""

    def __init__(
        self, settings: Settings, pool: Pool, transport: Transport, producer: Producer, pulse: PulseWriter
    ) -> None:
        self._drain_seconds = settings.shutdown_seconds * DRAIN_SHARE
        self._clinics = Clinics(pool, transport)
        self._report = Report(pulse)
        self.lanes = Lanes(
            calls_max=settings.confirm_calls_max,
            lane_max=settings.confirm_lane_max,
            gap_max=GAP_MAX,
            make_limit=self._limit,
        )
        self._intake = Intake(settings, self.lanes, self._clinics, producer)
        ledger = Ledger(
            pool,
            self._clinics.systems,
            f"{settings.worker_id}/{secrets.token_hex(4)}",
            settings.clinic_lease_seconds,
            self._report.saw_lines,
        )
        course = Course(
            self.lanes,
            ledger,
            self._clinics,
            self._report,
            self._put_aside,
            lambda: self._runner.look_again(),
            lease_seconds=settings.clinic_lease_seconds,
            call_seconds=settings.clinic_call_seconds,
        )
        self._runner = Runner(self.lanes, course.run, self._intake.apply_pauses)

    async def loop(self, finish: asyncio.Event) -> None:
        """Read and call until told to finish, then drain, commit and leave."""
        await self._intake.start()
        try:
            await self._intake.read(self._runner, finish)
            await self._runner.drain(self._drain_seconds)
        finally:
            await self._runner.stop()
            await self._intake.stop()

    async def upkeep(self, finish: asyncio.Event) -> None:
        """Commit and look around; read the clinics again now and then."""
        refreshed_at = time.monotonic()
        while not finish.is_set():
            await pause(finish, LOOK_EVERY_SECONDS)
            await self._intake.commit()
            self._report.look(self.lanes, self._intake.paused)
            now = time.monotonic()
            if now - refreshed_at >= REFRESH_EVERY_SECONDS:
                refreshed_at = now
                await self._clinics.refresh()
                for clinic_id, system in self._clinics.systems.items():
                    self.lanes.declare(clinic_id, system.declared_concurrency, now)
                self._runner.look_again()

    def _limit(self, clinic_id: str) -> Limit:
        return FixedLimit(self._clinics.systems[clinic_id].declared_concurrency)

    async def _put_aside(self, work: Work, reason: str) -> None:
        for ring in work.rings:
            await self._intake.put_aside(cast(ConsumerRecord, ring.record), reason)
