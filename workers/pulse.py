"""What a worker tells every ingress and its own kind about its clinics: on change, at most once a second."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import structlog
from aiokafka.errors import KafkaError

from waiting_room.kafka import Producer
from waiting_room.messages import ClinicPulse, Pulse, encode, pulse_key
from waiting_room.supervise import pause
from waiting_room.topics import CLINIC_PULSE

log = structlog.get_logger(__name__)
EVERY_SECONDS = 1.0
REPEAT_SECONDS = 5.0
"""A pulse is repeated unchanged this often, so that a reader can tell a quiet worker from a dead one."""


class PulseWriter:
    """Collects what one worker sees and writes it to ``clinic.pulse`` under the worker's id, what has changed only."""

    def __init__(self, worker_id: str, producer: Producer) -> None:
        self._worker_id = worker_id
        self._producer = producer
        self._clinics: dict[str, dict[str, ClinicPulse]] = {worker_id: {}}
        self._held_offsets: dict[int, int] = {}
        self._eligibility_away = False
        self._changed: set[str] = set()

    def saw_clinic(self, clinic_id: str, pulse: ClinicPulse) -> None:
        key = pulse_key(self._worker_id, clinic_id)
        clinics = self._clinics.setdefault(key, {})
        if clinics.get(clinic_id) != pulse:
            clinics[clinic_id] = pulse
            self._changed.add(key)

    def saw_held(self, partition: int, next_offset: int) -> None:
        if self._held_offsets.get(partition) != next_offset:
            self._held_offsets[partition] = next_offset
            self._changed.add(self._worker_id)

    def saw_eligibility(self, *, away: bool) -> None:
        if self._eligibility_away != away:
            self._eligibility_away = away
            self._changed.add(self._worker_id)

    def forget_partitions(self, partitions: set[int]) -> None:
        """These are another worker's now."""
        for partition in partitions:
            if self._held_offsets.pop(partition, None) is not None:
                self._changed.add(self._worker_id)

    def forget_clinics(self, clinic_ids: set[str]) -> None:
        """These are another worker's now."""
        for clinic_id in clinic_ids:
            key = pulse_key(self._worker_id, clinic_id)
            if self._clinics.get(key, {}).pop(clinic_id, None) is not None:
                self._changed.add(key)

    async def run(self, finish: asyncio.Event) -> None:
        """Write until told to finish; the last word is written on the way out. A failed write is tried again."""
        loop = asyncio.get_running_loop()
        repeated_at = float("-inf")
        while not finish.is_set():
            repeat = loop.time() - repeated_at >= REPEAT_SECONDS
            if repeat:
                repeated_at = loop.time()
            await self._write(set(self._clinics) if repeat else self._changed)
            await pause(finish, EVERY_SECONDS)
        await self._write(set(self._clinics))

    async def write_changes(self) -> None:
        """Now, whatever was seen since the last time."""
        await self._write(self._changed)

    async def _write(self, keys: set[str]) -> None:
        """A record that is to tell nothing any more still replaces what it told."""
        self._changed = set()
        if not keys:
            return
        now = datetime.now(UTC)
        records = [(CLINIC_PULSE, 0, key, encode(self._pulse(key, now))) for key in sorted(keys)]
        try:
            await self._producer.send_all(records)
        except KafkaError as error:
            self._changed |= keys
            log.warning("pulse_not_written", error=type(error).__name__)

    def _pulse(self, key: str, now: datetime) -> Pulse:
        clinics, first = dict(self._clinics[key]), key == self._worker_id
        return Pulse(
            worker_id=self._worker_id,
            at=now,
            clinics=clinics,
            held_offsets=dict(self._held_offsets) if first else {},
            eligibility_away=self._eligibility_away and first,
        )
