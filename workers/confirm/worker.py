"""The confirm role: reads doorbells, keeps a lane a clinic, makes the calls that may start, commits behind them."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, Collection, Coroutine
from contextlib import suppress
from functools import partial
from typing import Any, cast

import structlog
from aiokafka import ConsumerRecord

from clinic_adapter.eligibility import EligibilityGateway, open_eligibility
from clinic_adapter.transport import Transport, open_transport
from waiting_room.envelope import envelope_of
from waiting_room.follower import Follower
from waiting_room.kafka import Producer
from waiting_room.patient_keys import Vault
from waiting_room.settings import Settings
from waiting_room.store.pool import Pool, create_pool
from waiting_room.supervise import pause, supervise
from waiting_room.topics import CLINIC_CONFIRMATIONS, CLINIC_PULSE
from workers.confirm.adopting import Adopting
from workers.confirm.changes import AT_ONCE, ClinicChanges
from workers.confirm.clinics import Clinics
from workers.confirm.course import Course
from workers.confirm.doorbell import record_of
from workers.confirm.eligibility import Eligibility
from workers.confirm.filling import Filling
from workers.confirm.intake import Intake
from workers.confirm.ledger import Ledger
from workers.confirm.memory import Memory
from workers.confirm.moves import Moves
from workers.confirm.next_slot import NextSlot
from workers.confirm.outages import Outages
from workers.confirm.report import Report
from workers.confirm.runner import Runner
from workers.confirm.standstill import Standstill
from workers.pacing.adaptive import AdaptiveLimit
from workers.pacing.lanes import Lanes
from workers.pacing.limit import Limit
from workers.pacing.work import Work
from workers.pulse import PulseWriter

log = structlog.get_logger(__name__)
LOOK_EVERY_SECONDS, REFRESH_EVERY_SECONDS = 0.5, 30.0
REMEMBER_SECONDS = 10.0
"""What earlier runs have learnt is worth so much waiting: without it every clinic is searched anew."""
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
        token = settings.eligibility_token
        async with (
            open_transport(
                calls_max=settings.confirm_calls_max, call_seconds=settings.clinic_call_seconds
            ) as transport,
            open_transport(calls_max=AT_ONCE, call_seconds=settings.clinic_call_seconds) as asking,
            open_eligibility(
                settings.eligibility_url,
                token=token.get_secret_value() if token else None,
                calls_max=settings.eligibility_calls_max,
                call_seconds=settings.eligibility_call_seconds,
            ) as eligibility,
        ):
            pulse = PulseWriter(settings.worker_id, producer)
            memory = Memory()
            follower = Follower(settings, {CLINIC_PULSE: memory.apply})
            worker = ConfirmWorker(settings, pool, transport, eligibility, producer, pulse, memory)
            changes = ClinicChanges(pool, asking, settings.clinic_changes_seconds, settings.clinic_call_seconds)

            async def remembered() -> None:
                await _within(REMEMBER_SECONDS, follower.caught_up.wait())

            await supervise(
                finish,
                {
                    "confirm loop": partial(worker.loop, remembered),
                    "confirm upkeep": worker.upkeep,
                    "confirm commits": worker.commits,
                    "pulse": pulse.run,
                    "memory": follower.run,
                    "clinics' changes": changes.run,
                },
                shutdown_seconds=settings.shutdown_seconds,
            )
    finally:
        try:
            await producer.stop()
        finally:
            pool.terminate()


class ConfirmWorker:
    """One run of the role: what it claims is this run's alone."""

    def __init__(
        self,
        settings: Settings,
        pool: Pool,
        transport: Transport,
        eligibility: EligibilityGateway,
        producer: Producer,
        pulse: PulseWriter,
        memory: Memory,
    ) -> None:
        self._memory = memory
        self._drain_seconds = settings.shutdown_seconds * DRAIN_SHARE
        self._clinics = Clinics(pool, transport, self._moved)
        self._report = Report(
            pulse,
            calls_max=settings.confirm_calls_max,
            wait_target_seconds=settings.confirm_wait_target_seconds,
        )
        self._outages = Outages(pool)
        self._down: set[str] = set()
        self.lanes = Lanes(
            calls_max=settings.confirm_calls_max,
            lane_max=settings.confirm_lane_max,
            gap_max=GAP_MAX,
            make_limit=self._limit,
            shared=self._clinics.shares,
        )
        self._filling = Filling(pool, self.lanes, lambda: self._runner.look_again())
        self._adopting = Adopting(pool, self.lanes, self._clinics, lambda: self._runner.look_again())
        self._moves = Moves(pool, self._adopting, self._refresh)
        self._intake = Intake(settings, self.lanes, self._clinics, self._adopting, producer)
        self._standstill = Standstill(settings.kafka_session_timeout_ms / 1_000)
        ledger = Ledger(
            pool,
            self._clinics.systems,
            f"{settings.worker_id}/{secrets.token_hex(4)}",
            settings.clinic_lease_seconds,
            self._report.saw_lines,
        )
        self._eligibility = Eligibility(
            eligibility,
            calls_max=settings.eligibility_calls_max,
            cache_seconds=settings.eligibility_cache_seconds,
            cache_max=settings.eligibility_cache_max,
            times_stood_still=lambda: self._standstill.times,
        )
        course = Course(
            self.lanes,
            ledger,
            self._clinics,
            self._report,
            self._standstill,
            self._put_aside,
            lambda: self._runner.look_again(),
            NextSlot(producer, self._clinics).ask,
            Vault(envelope_of(settings)),
            self._eligibility,
            lease_seconds=settings.clinic_lease_seconds,
            call_seconds=settings.clinic_call_seconds,
        )
        self._runner = Runner(self.lanes, course.run, self._before_a_round, self._after_a_round)

    async def loop(self, begins: Callable[[], Awaitable[None]], finish: asyncio.Event) -> None:
        """Once ``begins`` returns, read and call until told to finish, then drain, commit and leave."""
        try:
            await begins()
            await self._intake.start()
            await self._intake.read(self._runner, finish)
            await self._runner.drain(self._drain_seconds)
        finally:
            try:
                await self._runner.stop()  # it has lanes filled
                await self._filling.stop()
                await self._adopting.stop()
            finally:  # cancelled for being late, too
                await self._intake.stop()

    async def commits(self, finish: asyncio.Event) -> None:
        """Commit behind what is finished. It waits for Kafka as long as that is away, and nobody waits for it."""
        while not finish.is_set():
            await pause(finish, LOOK_EVERY_SECONDS)
            await self._intake.commit()

    async def upkeep(self, finish: asyncio.Event) -> None:
        """Look around; read the clinics again now and then."""
        refreshed_at = time.monotonic()
        while not finish.is_set():
            await pause(finish, LOOK_EVERY_SECONDS)
            await self._moves.look()
            self._adopting.check()
            now = time.monotonic()
            await self._look_around(now)
            if now - refreshed_at >= REFRESH_EVERY_SECONDS:
                refreshed_at = now
                await self._refresh()

    async def _look_around(self, now: float) -> None:
        views = self._report.look(
            self.lanes,
            now,
            paused=self._intake.paused,
            settled=self._intake.settled,
            unverifiable=self._eligibility.checks.away,
        )
        down = {clinic_id for clinic_id, view in views.items() if view.breaker_open}
        await self._outages.look(down, gone=self._down - views.keys())
        self._down = down

    async def _refresh(self) -> bool:
        """Whether PostgreSQL answered."""
        answered = await self._clinics.refresh()
        now = time.monotonic()
        for clinic_id, system in self._clinics.systems.items():
            self.lanes.declare(clinic_id, system.declared_concurrency, now)
        self._runner.look_again()
        return answered

    def _moved(self, clinic_ids: Collection[str], joined: Collection[str]) -> None:
        """Clinics are in other partitions than they were, perhaps other workers'; others were joined in theirs."""
        now = time.monotonic()
        for clinic_id in clinic_ids:
            partition = self._clinics.systems[clinic_id].partition
            log.info("clinic_moved", clinic_id=clinic_id, partition=partition)
            self.lanes.drop(clinic_id, now, to=(CLINIC_CONFIRMATIONS, partition))
        for clinic_id in joined:
            self.lanes.joined(clinic_id, now)
        self._runner.look_again()

    def _before_a_round(self) -> None:
        stood_still_seconds = self._standstill.lost_touch()
        if stood_still_seconds is not None:
            log.warning("stood_still", seconds=round(stood_still_seconds, 1))
            self._intake.join_anew()

    def _after_a_round(self) -> None:
        self._intake.apply_pauses()
        self._filling.look()

    def _limit(self, clinic_id: str) -> Limit:
        return AdaptiveLimit(self._clinics.systems[clinic_id].declared_concurrency, self._memory.of(clinic_id))

    async def _put_aside(self, work: Work, reason: str) -> None:
        """Its records; where none stands for it, the one it was rung for by, or one as hold would write it."""
        rings = work.rings or [work.ring]
        for ring in rings:
            await self._intake.put_aside(cast(ConsumerRecord, ring.record or record_of(ring)), reason)


async def _within(seconds: float, event: Coroutine[Any, Any, Any]) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(event, seconds)
