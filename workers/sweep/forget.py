"""Forgets patients whose last appointment ended long ago: the key of their data, and which bookings were theirs."""

from __future__ import annotations

from waiting_room.store import erasure
from waiting_room.store.erasure import StillWanted, Unused
from waiting_room.store.faults import is_contention
from waiting_room.store.pool import Pool

BATCH_MAX = 50


async def forget(pool: Pool, keep_days: int) -> int:
    """How many patients were forgotten, of up to BATCH_MAX whose keys nobody has seen used for so long."""
    async with pool.acquire() as conn:
        found = await erasure.unused(conn, keep_days, BATCH_MAX)
    forgotten = 0
    used: list[Unused] = []
    for each in found:
        if each.still_used:
            used.append(each)
        elif await _forget(pool, each):
            forgotten += 1
        else:
            used.append(each)
    if used:
        async with pool.acquire() as conn:
            await erasure.look_again(conn, used, keep_days)
    return forgotten


async def _forget(pool: Pool, each: Unused) -> bool:
    """False where something is still to be done for a booking, or somebody holds its clinic."""
    try:
        async with pool.acquire() as conn, conn.transaction():
            await erasure.erase(conn, (each.app_id, each.patient_id))
    except StillWanted:
        return False
    except Exception as error:
        if not is_contention(error):
            raise
        return False
    return True
