"""Clinics whose consultations take a dose, and what is left of it."""

from __future__ import annotations

import json
from datetime import date, timedelta

from tests.support.database import Database
from tests.support.world import BUSINESS, SERVICE, ClinicSpec, tomorrow
from waiting_room.domain.directory import GENERAL_POOL
from waiting_room.domain.stocktake import CountedLot
from waiting_room.store.journal import Journal
from waiting_room.store.pool import Connection
from waiting_room.store.stock import LotReport, open_stock, report

FLU = "flu"
LATER = tomorrow().date() + timedelta(days=300)


async def consuming(owner: Connection, doses: int = 1, pool: str = GENERAL_POOL, service: str = SERVICE) -> None:
    """From now on every appointment for the service takes so many doses."""
    await owner.execute("INSERT INTO products VALUES ($1, $2, 'Flu') ON CONFLICT DO NOTHING", BUSINESS, FLU)
    await owner.execute(
        "INSERT INTO service_types (business_id, service_type, duration_minutes, consumes) VALUES ($1, $2, 30, $3) "
        "ON CONFLICT (business_id, service_type) DO UPDATE SET consumes = excluded.consumes",
        BUSINESS,
        service,
        json.dumps([{"product": FLU, "doses": doses, "pool": pool}]),
    )
    await owner.execute("UPDATE clinic_counters SET rules_version = rules_version + 1")


def lot(name: str, on_hand: int, expires_on: date = LATER, pool: str = GENERAL_POOL) -> CountedLot:
    return CountedLot(pool, name, expires_on, on_hand)


async def counted(owner: Connection, spec: ClinicSpec, *lots: CountedLot) -> list[str]:
    """Enter that this is all there is; the refs of bookings that go short."""
    async with owner.transaction():
        await Journal.open(owner, [spec.clinic_id])
        stock = await open_stock(owner, spec.clinic_id, FLU)
        assert stock is not None
        stock.take.count(lots)
        return await stock.write("a test's key")


async def stocked(database: Database, spec: ClinicSpec, *lots: CountedLot, doses: int = 1) -> None:
    """Consultations take doses, and this is all there is of them."""
    async with database.owner() as owner:
        await consuming(owner, doses)
        await counted(owner, spec, *lots)


async def lots_of(database: Database) -> list[LotReport]:
    """Every lot; all of them balanced, or the test has failed."""
    async with database.owner() as owner:
        found = await report(owner)
    assert all(each.balanced for each in found), found
    return found


async def reserved(database: Database) -> dict[str, int]:
    """How much of each lot is, by its name."""
    return {each.lot: each.reserved for each in await lots_of(database)}
