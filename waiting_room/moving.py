"""Moves a clinic to another partition while bookings and cancels flow; done again after a crash, it goes on from there.

the map is changed ─▶ relay tells every ingress ─▶ each reports that it knows ─▶ the marker is written where the
clinic was ─▶ hold has read it, and with it all that was accepted before: what waits in the new partition goes on
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Final, TypeVar

from waiting_room import topics_admin
from waiting_room.announcements import PARTITION
from waiting_room.domain.map_reports import Reports
from waiting_room.follower import Follower
from waiting_room.kafka import Producer
from waiting_room.messages import MapReport, PulseRecord, Reader, Unreadable, encode
from waiting_room.settings import Settings
from waiting_room.store import moves
from waiting_room.store.directory import Refused
from waiting_room.store.moves import Move
from waiting_room.store.pool import Connection
from waiting_room.topics import BOOKING_REQUESTS, CLINIC_DIRECTORY, CLINIC_PULSE

_LOOK_EVERY_SECONDS: Final = 0.1
Say = Callable[[str], None]
T = TypeVar("T")


class NotMoved(Exception):
    """It is under way, and what it waits for does not come; one line."""


async def move(
    conn: Connection, settings: Settings, clinic_id: str, partition: int, *, within_seconds: float, say: Say
) -> None:
    """Move the clinic, or finish a move to there that was begun before.

    Nothing happens where it is there. Raises Refused and TopicsWrong before anything is changed, NotMoved after
    ``within_seconds``, KafkaError and database errors.
    """
    if not 0 <= partition < settings.kafka_clinic_partitions:
        raise Refused(f"partition {partition} is not one of 0 to {settings.kafka_clinic_partitions - 1}")
    if await moves.is_there(conn, clinic_id, partition):
        say(f"clinic {clinic_id} is on partition {partition} already")
        return
    await topics_admin.check(settings)
    mover = _Mover(conn, settings, say)
    try:
        async with asyncio.timeout(within_seconds) as limit, mover.listening():
            await mover.move(clinic_id, partition)
    except TimeoutError as error:
        if not limit.expired():
            raise
        raise NotMoved(
            f"clinic {clinic_id} is not moved: {mover.waits_for} for {within_seconds:g} s; "
            f"run the command again, it goes on from there"
        ) from error


class _Mover:
    """``waits_for`` is for a person: what has not happened yet."""

    def __init__(self, conn: Connection, settings: Settings, say: Say) -> None:
        self.waits_for = "Kafka has not answered"
        self._conn = conn
        self._say = say
        self._producer = Producer(settings)
        self._follower = Follower(settings, {CLINIC_PULSE: self._hear})
        self._reports = Reports()
        self._read: Reader[PulseRecord] = Reader(PulseRecord)
        self._unreadable: set[str] = set()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Connected to Kafka, and all that was reported before is known."""
        await self._producer.start()
        finish = asyncio.Event()
        following = asyncio.create_task(self._follower.run(finish), name="follow reports")
        try:
            await self._follower.caught_up.wait()
            yield
        finally:
            finish.set()
            await asyncio.gather(following, return_exceptions=True)
            await self._producer.stop()

    async def move(self, clinic_id: str, partition: int) -> None:
        async with self._conn.transaction():
            move = await moves.begin(self._conn, clinic_id, partition)
        if move is None:
            return  # by somebody beside us
        self._say(
            f"clinic {clinic_id}: partition {move.from_partition} to {move.to_partition}, "
            f"map version {move.map_version}"
        )
        await self._until_known(await self._announced(move))
        await (await self._producer.send(BOOKING_REQUESTS, move.from_partition, move.clinic_id, encode(move.marker)))
        await moves.marker_written(self._conn, move)
        self._say(f"partition {move.from_partition} has its marker")
        self.waits_for = f"hold has not read the marker in partition {move.from_partition}"
        seconds = await _until(lambda: moves.seconds_taken(self._conn, move))
        self._say(f"clinic {clinic_id} is on partition {move.to_partition} ({seconds:.1f} s)")

    async def _announced(self, move: Move) -> int:
        """The offset of clinic.directory before which the new map stands."""
        self.waits_for = "relay has not published the new map"
        await _until(lambda: moves.is_announced(self._conn, move.clinic_id))
        return await self._follower.end_offset(CLINIC_DIRECTORY, PARTITION)

    async def _until_known(self, directory_offset: int) -> None:
        """Until no ingress that may be accepting commands does so by an older map."""
        told: list[str] = []
        while behind := await self._behind(directory_offset):
            who = ", ".join(behind)
            self.waits_for = f"{who} has not reported the new map"
            if behind != told:
                told = behind
                self._say(f"waiting for {who} to know it")
            await asyncio.sleep(_LOOK_EVERY_SECONDS)
        live = self._reports.live(time.monotonic())
        self._say(f"every ingress knows it ({', '.join(live) or 'there is none'})")

    async def _behind(self, directory_offset: int) -> list[str]:
        """By all that was reported until now."""
        end = await self._follower.end_offset(CLINIC_PULSE, PARTITION)

        async def all_heard() -> bool:
            return self._follower.position(CLINIC_PULSE, PARTITION) >= end

        await _until(all_heard)
        if self._unreadable:
            raise NotMoved(
                f"what {', '.join(sorted(self._unreadable))} told in {CLINIC_PULSE} is unreadable to this version; "
                "run the command of the newest version that is running"
            )
        return self._reports.behind(directory_offset, time.monotonic())

    def _hear(self, key: str, value: bytes | None) -> None:
        try:
            told = None if value is None else self._read(value)
        except Unreadable:
            self._unreadable.add(key)
            return
        self._unreadable.discard(key)
        if not isinstance(told, MapReport):
            return
        now = time.monotonic()
        if self._follower.caught_up.is_set():
            self._reports.heard(told, now)
        else:
            self._reports.found(told, now, datetime.now(UTC))


async def _until(ask: Callable[[], Awaitable[T | None]]) -> T:
    """The first answer that is none of None and False."""
    while True:
        answer = await ask()
        if answer is not None and answer is not False:
            return answer
        await asyncio.sleep(_LOOK_EVERY_SECONDS)
