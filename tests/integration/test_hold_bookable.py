"""How much a clinic has left: hold says it in its pulse, and never says less than there is."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from tests.stack import Kafka
from tests.support.commands import book
from tests.support.database import Database
from tests.support.ingress import Caller, ingress, open_clinics, wish
from tests.support.log import append, everything_in, until
from tests.support.running import running
from tests.support.world import clinics, settings_for
from waiting_room.messages import Pulse, Reader, TimeRange, encode
from waiting_room.topics import BOOKING_REQUESTS, CLINIC_PULSE
from workers.assemble import Role

DAYS = 2
_pulse: Reader[Pulse] = Reader(Pulse)


async def test_what_is_left_is_told_until_nothing_is_and_then_refused_at_the_door(
    database: Database, fresh_kafka: Kafka
) -> None:
    spec, other = clinics(2)
    token = await open_clinics(fresh_kafka, database, [spec, other])
    now = datetime.now(UTC)
    whole = TimeRange(now, now + timedelta(days=DAYS, hours=1))
    most = 48 * DAYS + 2  # half-hour starts within it, and more than there are: the last half hour of a day is closed

    async def left() -> int | None:
        for record in reversed(await everything_in(fresh_kafka, CLINIC_PULSE)):
            if record.key == b"hold-test" and spec.clinic_id in (clinics_told := _pulse(record.value).clinics):
                return clinics_told[spec.clinic_id].bookable
        return None

    async def take(first: int, count: int) -> None:
        for number in range(first, first + count):
            command = book(spec, f"booking {number}", range=whole)
            await append(fresh_kafka, BOOKING_REQUESTS, spec.partition, spec.clinic_id, encode(command))

    settings = settings_for(database, fresh_kafka, book_ahead_max_days=DAYS)
    async with running(Role.HOLD, settings), database.owner() as owner:
        await take(0, 5)

        async def told() -> bool:
            await take(1_000 + int(asyncio.get_running_loop().time() * 1_000), 1)
            return await left() is not None

        await until(told)
        first = await left()
        assert first is not None
        assert first <= most
        await take(2_000_000, most)

        async def nothing_left() -> bool:
            return await left() == 0

        await until(nothing_left)
        assert await owner.fetchval(
            "SELECT count(*) > 0 FROM appointments WHERE status = 'rejected' AND reason = 'no_free_slot'"
        )
        async with ingress(fresh_kafka, database) as base, Caller(base, token) as app:
            refused = await app.book(str(uuid4()), wish(f"{spec.clinic_id}-1"))
            assert (refused.status, refused.body["type"]) == (429, "/problems/nothing-free")
            assert int(refused.headers["Retry-After"]) >= 60
            assert (await app.book(str(uuid4()), wish(f"{other.clinic_id}-1"))).status == 202
