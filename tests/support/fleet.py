"""Several confirm workers as real processes, hurt in every way, and what must be true of their work afterwards."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from tests.integration.test_worker_process import Worker
from tests.stack import Kafka
from tests.support.confirming import Site, until
from tests.support.log import everything_in
from tests.support.processes import gauges, process_of
from tests.support.world import PARTITIONS
from waiting_room.messages import Confirmation, Reader
from waiting_room.topics import CLINIC_CONFIRMATIONS
from workers.confirm.intake import GROUP

_doorbell: Reader[Confirmation] = Reader(Confirmation)


class Fleet:
    """Workers by name, each with its own claims, log and group membership."""

    def __init__(self, folder: Path, sites: Sequence[Site]) -> None:
        self._folder, self.sites = folder, sites
        self.workers: dict[str, Worker] = {}

    def spawn(self, name: str) -> Worker:
        """Started, perhaps not a member yet."""
        worker = self.workers[name] = process_of(self._folder, "confirm", name, self.sites[0].settings)
        worker.spawn()
        return worker

    async def join(self, *names: str) -> None:
        """Returns when all of them have partitions."""
        for name in names:
            self.spawn(name)
        await until(lambda: all(self.workers[name].said("partitions_assigned") for name in names))

    async def leave(self, name: str) -> None:
        """SIGTERM; returns when it is gone."""
        worker = self.workers.pop(name)
        await worker.stop(60)
        assert worker.returncode == 0

    async def kill(self, *names: str) -> None:
        """SIGKILL, to all at the same moment."""
        for name in names:
            os.killpg(self.workers[name].pid, signal.SIGKILL)
        for name in names:
            await self.workers.pop(name).wait()

    async def any_paused(self) -> bool:
        """Whether a worker does not read a partition of its own for now."""
        found = [await gauges(worker.url) for worker in self.workers.values()]
        return any(each["waiting_room_partitions_paused"] for each in found)

    def done(self) -> int:
        """Bookings the clinics have."""
        return sum(len(site.records()) for site in self.sites)

    async def rush(self, each: int) -> None:
        """So many bookings at each clinic, all rung for."""
        for site in self.sites:
            await site.rush(each)

    async def until_done(self, count: int, seconds: float = 60.0) -> None:
        await until(lambda: self.done() >= count, seconds)

    async def stop(self) -> None:
        for worker in self.workers.values():
            await worker.kill()


@asynccontextmanager
async def fleet(folder: Path, sites: Sequence[Site]) -> AsyncIterator[Fleet]:
    found = Fleet(folder, sites)
    try:
        yield found
    finally:
        await found.stop()


async def undecided(site: Site) -> set[str]:
    """Refs of all clinics that nothing has been decided about."""
    async with site.database.owner() as owner:
        rows = await owner.fetch("SELECT booking_ref FROM appointments WHERE status = 'pending'")
    return {row["booking_ref"] for row in rows}


async def called_by(site: Site, worker: str, since: datetime, until_at: datetime) -> list[Any]:
    """Calls that a worker has claimed between two moments, and made."""
    async with site.database.owner() as owner:
        return await owner.fetch(
            "SELECT booking_ref, kind, claimed_at FROM call_attempts "
            "WHERE split_part(worker_id, '/', 1) = $1 AND claimed_at BETWEEN $2 AND $3 AND outcome <> 'not_sent'",
            worker,
            since,
            until_at,
        )


async def passed_by_commits(kafka: Kafka) -> dict[int, set[str]]:
    """By partition, the refs whose doorbells nobody would read again: all below the committed offset."""
    wheres = [TopicPartition(CLINIC_CONFIRMATIONS, number) for number in range(PARTITIONS)]
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka.bootstrap_servers, group_id=GROUP, enable_auto_commit=False)
    await consumer.start()
    try:
        committed = {where.partition: await consumer.committed(where) or 0 for where in wheres}
    finally:
        await consumer.stop()
    passed: dict[int, set[str]] = {number: set() for number in committed}
    for record in await everything_in(kafka, CLINIC_CONFIRMATIONS):
        if record.offset < committed[record.partition]:
            passed[record.partition].add(_doorbell(record.value).booking_ref)
    return passed


async def all_confirmed_once(sites: Sequence[Site], each: int, seconds: float) -> None:
    """Every booking is confirmed, the clinics have each of them once, were never asked twice for one, and never had
    more calls of ours at once than they declared; nothing is left behind.
    """

    async def rested() -> bool:
        async with sites[0].database.owner() as owner:
            left = await owner.fetchval(
                "SELECT count(*) FROM appointments WHERE (status, clinic_state) <> ('confirmed', 'booked')"
            )
            return bool(left == 0)

    await until(rested, seconds)
    for site in sites:
        records = site.records()
        assert len(records) == each
        assert {record.times_accepted for record in records.values()} == {1}
        stats = site.clinic.stats(0)
        assert (stats.repeats, stats.superseded) == (0, 0)
        assert stats.max_in_flight <= site.spec.concurrency, site.spec
    async with sites[0].database.owner() as owner:
        assert await owner.fetchval("SELECT count(*) FROM call_attempts WHERE ended_at IS NULL") == 0
        assert await owner.fetchval("SELECT sum(line) FROM clinic_counters") == 0


def moment(line: dict[str, Any]) -> datetime:
    """When a log line was written."""
    return datetime.fromisoformat(line["timestamp"]).astimezone(UTC)
