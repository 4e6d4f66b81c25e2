"""A clinic's stock as people count, enter and read it; what bookings do to it is in ``doses``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from waiting_room.domain.appointment import WANTS_SEAT, Status
from waiting_room.domain.directory import Consumes
from waiting_room.domain.stock import LotKey, Need
from waiting_room.domain.stocktake import Lot, Stocktake
from waiting_room.store import sql
from waiting_room.store.pool import Connection

_SQL = sql.load("stock")
_CLAIM_COLUMNS = ("clinic_id", "booking_ref", "product", "pool", "lot", "doses", "asked_pool")
_SHORT_COLUMNS = ("clinic_id", "booking_ref", "product", "doses", "asked_pool")
_MOVEMENT_COLUMNS = (
    "clinic_id", "product", "kind", "pool", "lot", "on_hand", "reserved", "administered", "wasted", "booking_ref",
    "entered_by",
)  # fmt: skip
_LAST = 1 << 62


class Short(NamedTuple):
    """A booking whose dose is not there. Whoever moves bookings takes the one with the highest ticket first."""

    clinic_id: str
    booking_ref: str
    product: str
    doses: int
    since: datetime
    start_at: datetime
    ticket: int


class Rebooked(NamedTuple):
    """A booking that was moved, or is being moved, for want of a product. ``outcome`` None: its clinic has not decided;
    ``failed``: it would not, so the booking is off.
    """

    clinic_id: str
    booking_ref: str
    product: str
    requested_at: datetime
    start_at: datetime
    outcome: str | None


class LotReport(NamedTuple):
    """A lot's figures and what came of it in its ledger; ``balanced``: they agree, and with the claims on it."""

    clinic_id: str
    product: str
    pool: str
    lot: str
    expires_on: date
    on_hand: int
    reserved: int
    administered: int
    wasted: int
    received: int
    recounted: int
    transferred: int
    balanced: bool


class Given(NamedTuple):
    """What a booking was given of a product, by lot, and when that was said first, be it of another lot."""

    lots: dict[LotKey, int]
    said_at: datetime | None


class Product(NamedTuple):
    """``version``: 0 until something was entered at the clinic."""

    product: str
    name: str
    version: int


@dataclass(slots=True)
class OpenStock:
    """A stocktake inside a transaction that has locked its clinic. ``write`` it; the caller commits."""

    conn: Connection
    clinic_id: str
    product: str
    version: int
    counted_at: datetime | None
    """When people have last counted it."""
    take: Stocktake
    _wanting: frozenset[str]

    @property
    def short(self) -> int:
        """How many have no dose."""
        return sum(need.served_from is None for need in self.take.needs)

    async def write(self, entered_by: str | None) -> list[str]:
        """Settle and store; the refs of bookings that are short from now on, in order.

        ``entered_by``: a key's id; without one nobody has entered anything and the version stays.
        """
        changed = self.take.settle()
        if entered_by is None and not (self.take.movements or self.take.released):
            return []
        touched = [need.booking_ref for need in (*self.take.released, *changed)]
        whose = self.clinic_id, self.product
        if touched:
            await self.conn.execute(_SQL["free_claims"], *whose, touched)
            await self.conn.execute(_SQL["end_shortages"], *whose, touched)
        await self.conn.execute(_SQL["save_lots"], *whose, *_lot_columns(self.take.lots.items()))
        await self._write_claims([need for need in changed if need.served_from is not None])
        short = [each for each in changed if each.served_from is None and each.booking_ref in self._wanting]
        short.sort(key=lambda need: need.order)
        await self.conn.copy_records_to_table(
            "dose_shortages",
            columns=_SHORT_COLUMNS,
            records=[(self.clinic_id, each.booking_ref, self.product, each.doses, each.asked_pool) for each in short],
        )
        await self.conn.copy_records_to_table(
            "stock_movements",
            columns=_MOVEMENT_COLUMNS,
            records=[(*whose, *movement, entered_by) for movement in self.take.movements],
        )
        if entered_by is not None:
            await self.conn.execute(_SQL["save_version"], *whose, self.take.is_count)
            self.version += 1
        return [need.booking_ref for need in short]

    async def _write_claims(self, served: Sequence[Need]) -> None:
        await self.conn.copy_records_to_table(
            "dose_claims",
            columns=_CLAIM_COLUMNS,
            records=[
                (
                    self.clinic_id,
                    need.booking_ref,
                    self.product,
                    *(need.served_from or ()),
                    need.doses,
                    need.asked_pool,
                )
                for need in served
            ],
        )


async def open_stock(conn: Connection, clinic_id: str, product: str) -> OpenStock | None:
    """Under the clinic's lock, which the caller has; None where its business has no such product."""
    head = await conn.fetchrow(_SQL["of_product"], clinic_id, product)
    if head is None:
        return None
    zone = ZoneInfo(head["timezone"])
    lots = {
        (row["pool"], row["lot"]): Lot(
            row["expires_on"], row["on_hand"], row["reserved"], row["administered"], row["wasted"]
        )
        for row in await conn.fetch(_SQL["lots"], clinic_id, product)
    }
    rows = await conn.fetch(_SQL["needs"], clinic_id, product)
    needs = [_need(row, zone) for row in rows]
    return OpenStock(
        conn,
        clinic_id,
        product,
        head["version"],
        head["counted_at"],
        Stocktake(
            lots,
            [need for need in needs if not _too_late(need)],
            released=[need for need in needs if _too_late(need)],
        ),
        frozenset(row["booking_ref"] for row in rows if Status(row["status"]) in WANTS_SEAT and not row["is_over"]),
    )


async def given(conn: Connection, clinic_id: str, product: str, booking_ref: str) -> Given:
    """Also of a booking that is archived."""
    rows = await conn.fetch(_SQL["given"], clinic_id, product, booking_ref)
    lots = {(row["pool"], row["lot"]): row["doses"] for row in rows if row["doses"]}
    return Given(lots, min((row["said_at"] for row in rows), default=None))


async def fillable(conn: Connection) -> list[tuple[str, str]]:
    """(clinic_id, product) where bookings are short of something of which anything is free."""
    return [(row["clinic_id"], row["product"]) for row in await conn.fetch(_SQL["fillable"])]


async def to_rebook(conn: Connection, again_seconds: float) -> list[tuple[str, str, int]]:
    """(clinic_id, product, partition) where who is short is to be rebooked; the same after ``again_seconds``, if any
    still are.
    """
    rows = await conn.fetch(_SQL["to_rebook"], again_seconds)
    return [(row["clinic_id"], row["product"], row["partition"]) for row in rows]


async def movable(
    conn: Connection, clinic_id: str, product: str, limit: int
) -> dict[tuple[str, str], tuple[Consumes, ...]]:
    """By (clinic_id, booking_ref), all that up to ``limit`` bookings are short of that want this product and can be
    moved; the last to have booked first.
    """
    found: dict[tuple[str, str], tuple[Consumes, ...]] = {}
    for booking_ref, *missing in await conn.fetch(_SQL["movable"], clinic_id, product, limit):
        wanted, doses, pool = missing
        key = clinic_id, booking_ref
        found[key] = (*found.get(key, ()), Consumes(product=wanted, doses=doses, pool=pool))
    return found


async def rebooked(conn: Connection, clinic_id: str | None = None) -> list[Rebooked]:
    """Who was moved for want of a product, in the order in which they were."""
    return [Rebooked(*row) for row in await conn.fetch(_SQL["rebooked"], clinic_id)]


async def products(conn: Connection, clinic_id: str) -> list[Product]:
    """All that the clinic may have in stock."""
    return [Product(*row) for row in await conn.fetch(_SQL["products"], clinic_id)]


async def knows(conn: Connection, clinic_id: str) -> bool:
    """Whether there is such a clinic."""
    return await conn.fetchval(_SQL["knows"], clinic_id) is not None


async def report(conn: Connection, clinic_id: str | None = None, product: str | None = None) -> list[LotReport]:
    """Every lot, of one clinic and product or of all, reconciled with its ledger."""
    return [LotReport(*row) for row in await conn.fetch(_SQL["report"], clinic_id, product)]


async def short(conn: Connection, clinic_id: str | None = None, product: str | None = None) -> list[Short]:
    """Bookings without their dose, by clinic, the last to have booked first: to be moved in this order."""
    return [Short(*row) for row in await conn.fetch(_SQL["short"], clinic_id, product)]


def _too_late(need: Need) -> bool:
    return need.is_over and need.served_from is None


def _need(row: Any, zone: ZoneInfo) -> Need:
    """Who is there keeps the dose. Whose appointment is over loses it first: they were given it, or never came, though
    nobody has said so; then who is only waiting for the clinic to take note of a cancel.
    """
    status = Status(row["status"])
    group = 3 if row["is_over"] else 2 if status not in WANTS_SEAT else 0 if status is Status.ARRIVED else 1
    return Need(
        row["booking_ref"],
        (group, row["ticket"] if row["ticket"] is not None else _LAST),
        row["start_at"].astimezone(zone).date(),
        row["doses"],
        row["asked_pool"],
        None if row["lot"] is None else (row["pool"], row["lot"]),
        row["is_over"],
    )


def _lot_columns(lots: Iterable[tuple[tuple[str, str], Lot]]) -> list[list[Any]]:
    rows = [
        (*key, lot.expires_on, lot.on_hand, lot.reserved, lot.administered, lot.wasted) for key, lot in lots
    ]  # fmt: skip
    return [list(column) for column in zip(*rows, strict=True)] if rows else [[] for _ in range(7)]
