"""What a clinic does to its calendar while others book: it closes for half an hour, and books and cancels by phone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from tests.support.commands import IN_TIME, record
from tests.support.world import ClinicSpec, tomorrow
from waiting_room.domain.availability.rules import Override, OverrideKind
from waiting_room.domain.clinic_changes import BusyThere, CancelledThere, Changes
from waiting_room.messages import Closure
from waiting_room.store import calendars, clinic_changes
from waiting_room.store.clinic_changes import Due
from waiting_room.store.pool import Pool
from workers.hold.read import Item, item_of

HALF_AN_HOUR = timedelta(minutes=30)


async def phoned(pool: Pool, spec: ClinicSpec, booking_ref: str, amount: int) -> None:
    """Its system says that it has booked somebody itself, and has this booking of ours no more."""
    at = tomorrow(8 + amount % 3)
    busy = BusyThere(
        busy_id=f"tel-{amount % 2}",
        provider_id=spec.provider_id,
        from_at=at,
        to_at=at + HALF_AN_HOUR,
        seats=1 + amount % 2,
    )
    async with pool.acquire() as conn, conn.transaction():
        revision = await conn.fetchval("SELECT revision FROM appointments WHERE booking_ref = $1", booking_ref)
        off = CancelledThere(booking_ref=booking_ref, revision=revision or 0)
        changes = Changes(cursor="1", busy=(busy,) if amount % 4 else (), cancelled=(off,))
        await clinic_changes.apply(conn, Due(spec.clinic_id, None), changes, 60.0)


async def shut(pool: Pool, spec: ClinicSpec, name: str, amount: int) -> None:
    """As ingress does before it answers."""
    from_at = _from(amount)
    block = Override(
        override_id=name, kind=OverrideKind.BLOCK, from_at=from_at, to_at=from_at + HALF_AN_HOUR, slot_minutes=None
    )
    async with pool.acquire() as conn, conn.transaction():
        await calendars.lock(conn, spec.clinic_id)
        await calendars.put_override(conn, spec.provider_id, block)
        await calendars.publish(conn, spec.clinic_id)


def closed(spec: ClinicSpec, name: str, amount: int, *, offset: int) -> list[Item]:
    """The command that moves who is booked then."""
    now = datetime.now(UTC)
    command = Closure(
        clinic_id=spec.clinic_id,
        closure_id=name,
        provider_ids=(spec.provider_id,),
        from_at=_from(amount),
        to_at=_from(amount) + HALF_AN_HOUR,
        requested_at=now,
        accept_by=now + IN_TIME,
    )
    item = item_of(record(command, offset=offset))
    assert item is not None
    return [item]


def _from(amount: int) -> datetime:
    return tomorrow(8) + HALF_AN_HOUR * (amount % 6)
