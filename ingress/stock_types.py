"""What is sent and told of a clinic's stock."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from ingress.body import Id
from waiting_room.domain.directory import GENERAL_POOL
from waiting_room.store.stock import LotReport, Product, Short

Amount = Annotated[int, Meta(ge=0, le=1_000_000)]
Doses = Annotated[int, Meta(ge=1, le=1_000_000)]
LotName = Annotated[str, Meta(pattern=r"^[!-~]{1,64}$(?!\n)", description="As it is printed on the box.")]


class LotCount(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many doses of a lot there are, those that are reserved included."""

    lot: LotName
    expires_on: date
    on_hand: Amount
    pool: Id = GENERAL_POOL


class StockCount(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All there is of a product: a lot that is left out counts as used up."""

    lots: Annotated[tuple[LotCount, ...], Meta(max_length=200)]


class StockMovement(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``expires_on`` goes with received, ``to_pool`` with transferred. ``administered`` is for whoever has no booking:
    what a booking is given is told with its completion.
    """

    kind: Literal["received", "wasted", "transferred", "administered"]
    lot: LotName
    doses: Doses
    pool: Id = GENERAL_POOL
    expires_on: date | None = None
    to_pool: Id | None = None


class LotAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """``free`` may be booked. ``balanced``: the figures are what the lot's movements and the bookings' claims say."""

    pool: str
    lot: str
    expires_on: date
    on_hand: int
    reserved: int
    free: int
    administered: int
    wasted: int
    received: int
    recounted: int
    transferred: int
    balanced: bool


class ShortAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A booking whose dose is not there any more: to be moved, unless more comes in."""

    booking_ref: str
    doses: int
    since: datetime
    start_at: datetime


class StockAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """``short``: those to be moved, in this order, the last to have booked first."""

    product: str
    name: str
    lots: list[LotAnswer]
    short: list[ShortAnswer]


class StockReport(msgspec.Struct, frozen=True, kw_only=True):
    clinic_id: str
    products: list[StockAnswer]


def stock_answer(product: Product, lots: Iterable[LotReport], short: Iterable[Short]) -> StockAnswer:
    """A product's part of what was read of a clinic."""
    return StockAnswer(
        product=product.product,
        name=product.name,
        lots=[
            LotAnswer(
                pool=each.pool,
                lot=each.lot,
                expires_on=each.expires_on,
                on_hand=each.on_hand,
                reserved=each.reserved,
                free=each.on_hand - each.reserved,
                administered=each.administered,
                wasted=each.wasted,
                received=each.received,
                recounted=each.recounted,
                transferred=each.transferred,
                balanced=each.balanced,
            )
            for each in lots
            if each.product == product.product
        ],
        short=[
            ShortAnswer(booking_ref=each.booking_ref, doses=each.doses, since=each.since, start_at=each.start_at)
            for each in short
            if each.product == product.product
        ],
    )
