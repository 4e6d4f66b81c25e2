"""Doses as bookings take them and give them back. One function a statement; every caller has locked the clinics."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from waiting_room.domain.stock import FreeLot, Holder, Portion, Shelf
from waiting_room.store import sql
from waiting_room.store.pool import Connection

_SQL = sql.load("doses")


class DoseClaim(NamedTuple):
    clinic_id: str
    booking_ref: str
    product: str
    pool: str
    lot: str
    doses: int
    asked_pool: str

    @classmethod
    def of(cls, key: tuple[str, str], portion: Portion) -> DoseClaim:
        """(clinic_id, booking_ref) takes this portion."""
        return cls(*key, portion.product, portion.pool, portion.lot, portion.doses, portion.asked_pool)


async def shelves(
    conn: Connection, wanted: Iterable[tuple[str, str]], *, for_the_short: bool = False
) -> dict[str, Shelf]:
    """What is free of these (clinic_id, product), by clinic. Where bookings are short of it, that is theirs alone."""
    clinic_ids, products = zip(*wanted, strict=True)
    found = {clinic_id: Shelf() for clinic_id in clinic_ids}
    for row in await conn.fetch(_SQL["free_lots"], clinic_ids, products, for_the_short):
        lot = FreeLot(row["pool"], row["lot"], row["expires_on"], row["free"])
        found[row["clinic_id"]].add(row["product"], lot)
    return found


async def claims_of(conn: Connection, keys: Collection[tuple[str, str]]) -> dict[tuple[str, str], tuple[Portion, ...]]:
    """What these (clinic_id, booking_ref) have, of those that have anything."""
    found: dict[tuple[str, str], tuple[Portion, ...]] = {}
    for clinic_id, booking_ref, *portion in await conn.fetch(_SQL["claims_of"], *zip(*keys, strict=True)):
        key = clinic_id, booking_ref
        found[key] = (*found.get(key, ()), Portion(*portion))
    return found


async def holders(conn: Connection, clinic_id: str, products: Collection[str]) -> list[Holder]:
    """Who has doses of these products for an appointment to come, the last to have booked first."""
    rows = await conn.fetch(_SQL["holders"], clinic_id, list(products))
    return [Holder(booking_ref, day, Portion(*portion)) for booking_ref, *portion, day in rows]


async def claim(conn: Connection, claims: Sequence[DoseClaim]) -> None:
    """Reserve them. Raises asyncpg.CheckViolationError where a lot has not that much."""
    await conn.execute(_SQL["claim"], *zip(*claims, strict=True))


async def exchange(conn: Connection, products: Sequence[tuple[str, str, str]]) -> None:
    """(clinic_id, booking_ref, product) of which these bookings are about to claim others, or some that they were short
    of: what they have of it comes free. Of what else they take nothing changes.
    """
    await conn.execute(_SQL["exchange"], *zip(*products, strict=True))


async def settle(conn: Connection, ended: Sequence[tuple[str, str, bool]]) -> None:
    """(clinic_id, booking_ref, administered) of bookings whose doses were used, or are nobody's any more.

    What a booking does not have is not settled twice.
    """
    await conn.execute(_SQL["settle"], *zip(*ended, strict=True))
