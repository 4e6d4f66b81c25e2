"""A product's stock at one clinic as people change it: counted, received, broken, given from another lot. Pure.

Every change is a movement; a lot's figures are the sum of its movements. Where a change leaves less than is reserved,
``settle`` finds who keeps a dose and who goes short.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Final, NamedTuple

import msgspec

from waiting_room.domain.stock import Counted, LotKey, MovementKind, Need, resettle

MOST: Final = 2**31 - 1
"""Doses of a lot, used ones included: so each of its figures fits its column, whatever becomes of them."""


class NotInStock(ValueError):
    """There is no such lot, or not so much in it; one sentence for whoever entered it."""


class TooMany(ValueError):
    """The lot would have had more than MOST; one sentence for whoever entered it, and how many more it takes."""

    def __init__(self, key: LotKey, room: int) -> None:
        super().__init__(f"Lot {key[1]} in the pool {key[0]} has {MOST} doses at the most, used ones included.")
        self.key = key
        self.room = room


class CountedLot(msgspec.Struct, frozen=True):
    """What was found of a lot."""

    pool: str
    lot: str
    expires_on: date
    on_hand: int


@dataclass(slots=True)
class Lot:
    """A lot's figures; ``on_hand`` includes what is reserved."""

    expires_on: date
    on_hand: int = 0
    reserved: int = 0
    administered: int = 0
    wasted: int = 0


class Movement(NamedTuple):
    """What happened to a lot and by how much each of its figures changed."""

    kind: MovementKind
    pool: str
    lot: str
    on_hand: int = 0
    reserved: int = 0
    administered: int = 0
    wasted: int = 0
    booking_ref: str | None = None


@dataclass(slots=True)
class Stocktake:
    """``needs``: every booking that has, or should have, doses of the product."""

    lots: dict[LotKey, Lot]
    needs: list[Need]
    movements: list[Movement] = field(default_factory=list)
    released: list[Need] = field(default_factory=list)
    """Needs that there are no more."""
    is_count: bool = False
    """Whether it says all there is."""

    def count(self, found: Iterable[CountedLot]) -> None:
        """What was found is all there is: a lot that is not named has nothing left. It is without what those were given
        whose appointments are over: they have had theirs, or never came. Raises TooMany.
        """
        self.is_count = True
        for need in [each for each in self.needs if each.is_over]:
            self.release(need.booking_ref)
        there = {(each.pool, each.lot): each for each in found}
        for key in self.lots.keys() - there.keys():
            self._move(MovementKind.RECOUNTED, key, on_hand=-self.lots[key].on_hand)
        for key, each in there.items():
            kind = MovementKind.RECOUNTED if key in self.lots else MovementKind.RECEIVED
            lot = self.lots.setdefault(key, Lot(each.expires_on))
            lot.expires_on = each.expires_on
            self._move(kind, key, on_hand=each.on_hand - lot.on_hand)

    def receive(self, key: LotKey, expires_on: date, doses: int) -> None:
        """Raises NotInStock where the lot is known with another expiry date, and TooMany."""
        lot = self.lots.setdefault(key, Lot(expires_on))
        if lot.expires_on != expires_on:
            raise NotInStock(f"Lot {key[1]} expires on {lot.expires_on}, not on {expires_on}.")
        self._move(MovementKind.RECEIVED, key, on_hand=doses)

    def waste(self, key: LotKey, doses: int) -> None:
        """A broken vial, a fridge that failed. Raises NotInStock."""
        self._require(key, doses)
        self._move(MovementKind.WASTED, key, on_hand=-doses, wasted=doses)

    def transfer(self, key: LotKey, to_pool: str, doses: int) -> None:
        """Keep them for others from now on. Raises NotInStock, and TooMany."""
        lot = self._require(key, doses)
        other = to_pool, key[1]
        self.lots.setdefault(other, Lot(lot.expires_on))
        self._move(MovementKind.TRANSFERRED, key, on_hand=-doses)
        self._move(MovementKind.TRANSFERRED, other, on_hand=doses)

    def administer(self, key: LotKey, doses: int) -> None:
        """Used for somebody without a booking. Raises NotInStock."""
        self._require(key, doses)
        self._move(MovementKind.ADMINISTERED, key, on_hand=-doses, administered=doses)

    def give(self, key: LotKey, doses: int, booking_ref: str, said: Mapping[LotKey, int], *, counted: bool) -> None:
        """The booking was given these, and not what was ``said`` before, which goes back to where it came from.
        ``counted``: all of it was counted since, so what is on hand is right whatever the booking was given. Raises
        NotInStock, and TooMany.
        """
        if counted:
            self._known(key)
        for was, each in said.items():
            self._corrected(was, -each, booking_ref, counted)
        if not counted:
            self._require(key, doses)
        self._corrected(key, doses, booking_ref, counted)

    def _corrected(self, key: LotKey, doses: int, booking_ref: str, counted: bool) -> None:
        if counted:  # what was found to be missing then, or too much, is this
            self._move(MovementKind.RECOUNTED, key, on_hand=doses)
        self._move(MovementKind.ADMINISTERED, key, on_hand=-doses, administered=doses, booking_ref=booking_ref)

    def release(self, booking_ref: str) -> None:
        """The booking needs none any more."""
        for need in [each for each in self.needs if each.booking_ref == booking_ref]:
            self.needs.remove(need)
            self.released.append(need)
            if need.served_from is not None:
                self._reserve(MovementKind.RELEASED, need.served_from, -need.doses, booking_ref)

    def settle(self) -> list[Need]:
        """Make what is reserved fit what is there; the needs that are now served from elsewhere, or not at all."""
        before = {need.order: need.served_from for need in self.needs}
        counted = {key: Counted(lot.expires_on, lot.on_hand) for key, lot in self.lots.items()}
        changed = resettle(counted, self.needs)
        for need in changed:
            if (was := before[need.order]) is not None:
                self._reserve(MovementKind.RELEASED, was, -need.doses, need.booking_ref)
        for need in changed:
            if need.served_from is not None:
                self._reserve(MovementKind.RESERVED, need.served_from, need.doses, need.booking_ref)
        return changed

    def _known(self, key: LotKey) -> Lot:
        lot = self.lots.get(key)
        if lot is None:
            raise NotInStock(f"There is no lot {key[1]} in the pool {key[0]}.")
        return lot

    def _require(self, key: LotKey, doses: int) -> Lot:
        lot = self._known(key)
        if lot.on_hand < doses:
            raise NotInStock(f"Of lot {key[1]} {lot.on_hand} doses are in the pool {key[0]}, not {doses}.")
        return lot

    def _reserve(self, kind: MovementKind, key: LotKey, doses: int, booking_ref: str) -> None:
        self.lots[key].reserved += doses
        self.movements.append(Movement(kind, *key, reserved=doses, booking_ref=booking_ref))

    def _move(
        self,
        kind: MovementKind,
        key: LotKey,
        *,
        on_hand: int,
        administered: int = 0,
        wasted: int = 0,
        booking_ref: str | None = None,
    ) -> None:
        if on_hand == 0:
            return
        lot = self.lots[key]
        room = max(MOST - (lot.on_hand + lot.administered + lot.wasted), 0)
        if on_hand + administered + wasted > room:
            raise TooMany(key, room)
        lot.on_hand += on_hand
        lot.administered += administered
        lot.wasted += wasted
        self.movements.append(
            Movement(kind, *key, on_hand=on_hand, administered=administered, wasted=wasted, booking_ref=booking_ref)
        )
