"""Tells in ``clinic.pulse`` which map of partitions this process knows, and keeps its lease by that."""

from __future__ import annotations

import asyncio
import secrets
import time
from datetime import UTC, datetime
from typing import Final

import structlog
from aiokafka.errors import KafkaError

from ingress.handover import Handover
from ingress.map_lease import MapLease
from waiting_room.announcements import PARTITION
from waiting_room.follower import Follower
from waiting_room.messages import MapReport, encode
from waiting_room.supervise import pause
from waiting_room.topics import CLINIC_DIRECTORY, CLINIC_PULSE

log = structlog.get_logger(__name__)

_LOOK_EVERY_SECONDS: Final = 0.1
_ACKNOWLEDGED_WITHIN_SECONDS: Final = 5.0
_READ_WITHIN_SECONDS: Final = 2.0


def boot_seconds() -> float:
    """Seconds that pass while this process is frozen and while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class MapKeeper:
    """``run`` looks several times a second; everything else is ``lease``.

    It reports under a name that no other run has: one that was frozen and the one started in its place know different
    maps.
    """

    def __init__(self, worker_id: str, lease: MapLease, follower: Follower, handover: Handover) -> None:
        self._run_id = f"{worker_id}/{secrets.token_hex(3)}"
        self._lease = lease
        self._follower = follower
        self._handover = handover

    async def run(self, finish: asyncio.Event) -> None:
        """Until ``finish`` is set. What Kafka does not answer is asked again."""
        held = True
        while not finish.is_set():
            try:
                await self._look()
            except (KafkaError, TimeoutError) as error:
                log.info("map_not_reported", error=type(error).__name__)
            if held is not (held := self._lease.holds(boot_seconds())):
                log.info("map_lease", held=held)
            await pause(finish, _LOOK_EVERY_SECONDS)

    async def _look(self) -> None:
        now = self._read()
        if not self._follower.caught_up.is_set() or self._handover.failing:
            return  # nothing is accepted meanwhile, and nothing more is to be handed over
        offset = self._lease.to_report(now)
        if offset is None:
            return
        report = MapReport(worker_id=self._run_id, at=datetime.now(UTC), directory_offset=offset)
        async with asyncio.timeout(_ACKNOWLEDGED_WITHIN_SECONDS):
            await self._handover.tell(CLINIC_PULSE, self._run_id, encode(report))
        self._lease.reported(offset, now, boot_seconds())
        if not self._lease.holds(boot_seconds()):
            await self._check(now)

    async def _check(self, sent_at: float) -> None:
        """Read on to where the directory ends now. Raises KafkaError, TimeoutError."""
        async with asyncio.timeout(_READ_WITHIN_SECONDS):
            end = await self._follower.end_offset(CLINIC_DIRECTORY, PARTITION)
            self._read()
            while not self._lease.checked(end, sent_at):
                await asyncio.sleep(_LOOK_EVERY_SECONDS)
                self._read()

    def _read(self) -> float:
        now = boot_seconds()
        self._lease.read(self._follower.position(CLINIC_DIRECTORY, PARTITION), now)
        return now
