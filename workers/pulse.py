"""What a worker tells every ingress about its clinics: one record a worker, on change, at most once a second."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import structlog
from aiokafka.errors import KafkaError

from waiting_room.kafka import Producer
from waiting_room.messages import ClinicPulse, Pulse, encode
from waiting_room.topics import CLINIC_PULSE

log = structlog.get_logger(__name__)
EVERY_SECONDS = 1.0
REPEAT_SECONDS = 5.0
"""A pulse is repeated unchanged this often, so that a reader can tell a quiet worker from a dead one."""


class PulseWriter:
    """Collects what one worker sees and writes it to ``clinic.pulse`` under the worker's id."""

    def __init__(self, worker_id: str, producer: Producer) -> None:
        self._worker_id = worker_id
        self._producer = producer
        self._clinics: dict[str, ClinicPulse] = {}
        self._held_offsets: dict[int, int] = {}
        self._changed = False

    def saw_clinic(self, clinic_id: str, pulse: ClinicPulse) -> None:
        self._changed = self._changed or self._clinics.get(clinic_id) != pulse
        self._clinics[clinic_id] = pulse

    def saw_held(self, partition: int, next_offset: int) -> None:
        self._changed = self._changed or self._held_offsets.get(partition) != next_offset
        self._held_offsets[partition] = next_offset

    def forget_partitions(self, partitions: set[int]) -> None:
        """These are another worker's now."""
        for partition in partitions:
            self._changed = self._held_offsets.pop(partition, None) is not None or self._changed

    def forget_clinics(self, clinic_ids: set[str]) -> None:
        """These are another worker's now."""
        for clinic_id in clinic_ids:
            self._changed = self._clinics.pop(clinic_id, None) is not None or self._changed

    async def run(self, finish: asyncio.Event) -> None:
        """Write until told to finish; the last word is written on the way out. A failed write is tried again."""
        loop = asyncio.get_running_loop()
        written_at = float("-inf")
        while not finish.is_set():
            if self._changed or loop.time() - written_at >= REPEAT_SECONDS:
                await self._write()
                written_at = loop.time()
            try:
                await asyncio.wait_for(finish.wait(), EVERY_SECONDS)
            except TimeoutError:
                continue
        await self._write()

    async def _write(self) -> None:
        self._changed = False
        pulse = Pulse(
            worker_id=self._worker_id,
            at=datetime.now(UTC),
            clinics=dict(self._clinics),
            held_offsets=dict(self._held_offsets),
        )
        try:
            await self._producer.send(CLINIC_PULSE, 0, self._worker_id, encode(pulse))
        except KafkaError as error:
            self._changed = True
            log.warning("pulse_not_written", error=type(error).__name__)
