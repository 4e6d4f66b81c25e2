"""Doses: which lot a booking gets, and who goes short when less is there than was thought. Pure.

A service consumes doses of products, each from a pool: ``general``, or one that is kept for it, such as second doses.
Whoever names a pool is served from it and then from the general one; nobody is served from another's. Among the lots
of a pool the first to expire goes first, but none that expires before the day of the appointment.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from heapq import heappop, heappush
from typing import NamedTuple

import msgspec

from waiting_room.domain.directory import GENERAL_POOL, Consumes


class MovementKind(StrEnum):
    """Why a lot's figures changed."""

    RECEIVED = "received"
    RECOUNTED = "recounted"
    WASTED = "wasted"
    TRANSFERRED = "transferred"
    RESERVED = "reserved"
    RELEASED = "released"
    ADMINISTERED = "administered"


class Portion(msgspec.Struct, frozen=True, gc=False):
    """Doses of one lot that a booking has. ``asked_pool``: the pool its service names."""

    product: str
    pool: str
    lot: str
    doses: int
    asked_pool: str


class FreeLot(msgspec.Struct, gc=False):
    """What nobody has a claim on."""

    pool: str
    lot: str
    expires_on: date
    free: int


class Holder(NamedTuple):
    """Who has a portion, and when it is to be used."""

    booking_ref: str
    day: date
    portion: Portion


def pools_for(asked: str) -> tuple[str, ...]:
    """The pools that serve whoever asks for this one, in this order."""
    return (GENERAL_POOL,) if asked == GENERAL_POOL else (asked, GENERAL_POOL)


@dataclass(slots=True)
class Shelf:
    """What is free at one clinic: as it was read, less what this batch has taken since."""

    _lots: dict[tuple[str, str], list[FreeLot]] = field(default_factory=dict)

    def add(self, product: str, lot: FreeLot) -> None:
        lots = self._lots.setdefault((product, lot.pool), [])
        lots.append(lot)
        lots.sort(key=lambda each: (each.expires_on, each.lot))

    def join(self, other: Shelf) -> None:
        """What is free of other products at the same clinic."""
        self._lots.update(other._lots)

    def take(self, consumes: Iterable[Consumes], day: date) -> tuple[Portion, ...] | None:
        """Doses of everything that is consumed on ``day``, each product's of one lot; None if anything is not there."""
        taken: list[Portion] = []
        for wanted in consumes:
            portion = self._take(wanted, day)
            if portion is None:
                self.give_back(taken)
                return None
            taken.append(portion)
        return tuple(taken)

    def has(self, consumes: Iterable[Consumes], day: date) -> bool:
        """Whether ``take`` would get all of it now."""
        taken = self.take(consumes, day)
        self.give_back(taken or ())
        return taken is not None

    def _take(self, wanted: Consumes, day: date) -> Portion | None:
        for pool in pools_for(wanted.pool):
            for lot in self._lots.get((wanted.product, pool), ()):
                if lot.free >= wanted.doses and lot.expires_on >= day:
                    lot.free -= wanted.doses
                    return Portion(wanted.product, pool, lot.lot, wanted.doses, wanted.pool)
        return None

    def swap(self, portions: Sequence[Portion], day: date) -> tuple[Portion, ...] | None:
        """Doses for those that are held, of the same lots where these serve ``day`` too; None if there are none."""
        kept: list[Portion] = []
        for had in portions:
            lots = self._lots.get((had.product, had.pool), ())
            serves = any(lot.lot == had.lot and lot.expires_on >= day for lot in lots)
            wanted = Consumes(product=had.product, doses=had.doses, pool=had.asked_pool)
            portion = had if serves else self._take(wanted, day)
            if portion is None:
                self.give_back(new for new in kept if new not in portions)
                return None
            kept.append(portion)
        self.give_back(had for had in portions if had not in kept)
        return tuple(kept)

    def exchange(self, had: Portion, day: date, holders: Iterable[Holder]) -> tuple[Portion, Holder, Portion] | None:
        """Doses for ``day`` of who can do with ``had`` instead, of the first lot to expire of those; who that is, and
        what they get. None where there is nobody.
        """
        own = self._lot(had)
        if own is None:
            return None
        pools = pools_for(had.asked_pool)
        found: tuple[tuple[int, date, str], Holder, FreeLot] | None = None
        for holder in holders:
            has, lot = holder.portion, self._lot(holder.portion)
            if lot is None or has.product != had.product or has.pool not in pools or lot.expires_on < day:
                continue
            if own.expires_on < holder.day or had.pool not in pools_for(has.asked_pool):
                continue
            if lot.free + has.doses < had.doses or own.free + had.doses < has.doses:
                continue
            rank = pools.index(has.pool), lot.expires_on, lot.lot
            if found is None or rank < found[0]:
                found = rank, holder, lot
        if found is None:
            return None
        _, holder, lot = found
        has = holder.portion
        lot.free += has.doses - had.doses
        own.free += had.doses - has.doses
        gets = Portion(had.product, had.pool, had.lot, has.doses, has.asked_pool)
        return Portion(has.product, has.pool, has.lot, had.doses, had.asked_pool), holder, gets

    def _lot(self, portion: Portion) -> FreeLot | None:
        lots = self._lots.get((portion.product, portion.pool), ())
        return next((each for each in lots if each.lot == portion.lot), None)

    def expire_before(self, portions: Iterable[Portion], day: date) -> set[str]:
        """The products of which these are of lots that do, or are not known."""
        lots = ((each.product, self._lot(each)) for each in portions)
        return {product for product, lot in lots if lot is None or lot.expires_on < day}

    def give_back(self, portions: Iterable[Portion]) -> None:
        """What is no longer claimed. Of a lot that was not read nothing comes back: it may have been kept from us."""
        for portion in portions:
            for lot in self._lots.get((portion.product, portion.pool), ()):
                if lot.lot == portion.lot:
                    lot.free += portion.doses


LotKey = tuple[str, str]
"""(pool, lot) of one product at one clinic."""
Order = tuple[int, int, str]


@dataclass(slots=True)
class Need:
    """A booking that has, or should have, doses of a product. The lowest ``rank`` keeps its dose longest."""

    booking_ref: str
    rank: tuple[int, int]
    day: date
    doses: int
    asked_pool: str
    served_from: LotKey | None
    is_over: bool = False
    """The appointment is, and nobody has said what became of it."""

    @property
    def order(self) -> Order:
        return (*self.rank, self.booking_ref)


class Counted(msgspec.Struct, frozen=True):
    """How much of a lot there is."""

    expires_on: date
    on_hand: int


def resettle(lots: Mapping[LotKey, Counted], needs: Sequence[Need]) -> list[Need]:
    """Serve these needs from what there is, changing as few as possible; those whose ``served_from`` has changed.

    A lot that has too little loses its last to book. Whoever has lost a dose is served from what is free, or else
    from a booking that came later, so that those who go short are the last of all.
    """
    before = [need.served_from for need in needs]
    served: dict[LotKey, list[Need]] = {key: [] for key in lots}
    by_order = {need.order: need for need in needs}
    unserved: list[Order] = []
    for order in sorted(by_order):
        need = by_order[order]
        at = need.served_from
        if at is not None and at in lots and _fits(need, lots[at], served[at]):
            served[at].append(need)
        else:
            need.served_from = None
            unserved.append(order)
    while unserved:  # those who are pushed out come later than whoever pushes: nobody is looked at for ever
        for evicted in _serve(by_order[heappop(unserved)], lots, served):
            heappush(unserved, evicted.order)
    return [need for need, was in zip(needs, before, strict=True) if need.served_from != was]


def _fits(need: Need, lot: Counted, there: Iterable[Need]) -> bool:
    return lot.expires_on >= need.day and sum(each.doses for each in there) + need.doses <= lot.on_hand


def _serve(need: Need, lots: Mapping[LotKey, Counted], served: dict[LotKey, list[Need]]) -> Sequence[Need]:
    """Give ``need`` its doses if any way leads to them; whoever had to give up theirs for it, the latest there are."""
    usable = [key for key in _first_expiring(need.asked_pool, lots) if lots[key].expires_on >= need.day]
    ways = [(key, giving) for key in usable if (giving := _giving_way(need, lots[key], served[key])) is not None]
    if not ways:
        return ()
    key, giving = next((way for way in ways if not way[1]), None) or max(
        ways, key=lambda way: min(each.order for each in way[1])
    )
    for each in giving:
        served[key].remove(each)
        each.served_from = None
    need.served_from = key
    served[key].append(need)
    return giving


def _giving_way(need: Need, lot: Counted, there: Sequence[Need]) -> list[Need] | None:
    """Who of a lot's later bookings must go for ``need`` to fit; None if it does not fit even then."""
    staying = sorted(there, key=lambda each: each.order)
    giving: list[Need] = []
    while not _fits(need, lot, staying):
        if not staying or staying[-1].order < need.order:
            return None
        giving.append(staying.pop())
    return giving


def _first_expiring(asked_pool: str, lots: Mapping[LotKey, Counted]) -> Iterator[LotKey]:
    for pool in pools_for(asked_pool):
        yield from sorted((key for key in lots if key[0] == pool), key=lambda key: (lots[key].expires_on, key[1]))
