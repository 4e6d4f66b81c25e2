"""A worker that has claimed calls and is heard of no more, and whether those after it waited for its leases."""

from __future__ import annotations

from typing import Final

from tests.support.confirming import Site
from waiting_room.domain.clinic_call import CallKind
from waiting_room.store import calls
from waiting_room.store.calls import Claim
from waiting_room.store.journal import Booking

DEAD: Final = "the dead worker"


async def claim_and_die(site: Site, booking: Booking, lease_seconds: float) -> None:
    """A worker claims the call, perhaps makes it, and is heard of no more."""
    async with site.database.owner() as conn, conn.transaction():
        systems = await calls.load_systems(conn, [booking.clinic_id])
        found, _ = await calls.claim(conn, {booking.key: DEAD}, systems, lease_seconds)
    claim = found[booking.key]
    assert isinstance(claim, Claim)
    assert claim.kind is CallKind.CONFIRM


async def check_leases_were_waited_for(site: Site) -> None:
    """Nobody has claimed a call at this clinic before the first lease of the dead worker's was over."""
    async with site.database.owner() as owner:
        rows = await owner.fetch("SELECT * FROM call_attempts WHERE clinic_id = $1", site.spec.clinic_id)
    over_at = min(row["lease_until"] for row in rows if row["worker_id"] == DEAD)
    assert min(row["claimed_at"] for row in rows if row["worker_id"] != DEAD) >= over_at
