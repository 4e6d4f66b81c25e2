"""Copies of calendars, a provider's day each, that are never older than the question.

Every question first asks PostgreSQL, in one look-up by key, which bookings of the clinic something has happened to
since, and what they claim now; the days in which they had or have a claim are read again. So a slot whose booking is
decided is never told free, whoever decided it and whether or not Kafka has told us; the copy saves the reading and the
reckoning. What another ingress has read is used on the same terms. No day is used for longer than KEPT_SECONDS, in case
somebody changed the tables by hand. Stock is looked up each time: any booking may have taken the last dose.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from ingress.in_stock import InStock
from ingress.reads import Reads
from ingress.shared_days import KEPT_SECONDS, DayKey, Lent, LentDay, SharedDays, since_of
from waiting_room.domain.availability.wall import instant
from waiting_room.domain.candidates import day_candidates
from waiting_room.domain.directory import ClinicStatus, Provider, ServiceType
from waiting_room.domain.seats import Candidate
from waiting_room.domain.slots import DayTaken, Slot, out_of_stock
from waiting_room.store import holds, slots
from waiting_room.store.holds import Rules, Window
from waiting_room.store.pool import Connection
from waiting_room.store.slots import NEVER, News, TakenRow, Touched
from waiting_room.telemetry import metrics

_DAY_MINUTES: Final = 1_440
LENGTHS_MAX: Final = 16
"""Of appointments, for each of which a day is kept reckoned; callers may ask for any."""


class Ask(NamedTuple):
    """A day of a provider, by the clinic's calendar, for appointments of this service's length."""

    clinic_id: str
    provider_id: str
    service: ServiceType
    day: date


class Told(NamedTuple):
    """The slots of each day asked for, in that order, as they were at ``as_of`` or later."""

    as_of: datetime
    days: list[tuple[Slot, ...]]
    rules: dict[str, Rules]


@dataclass(slots=True)
class _Day:
    """What was taken from ``from_at`` to ``until`` when it was read, and what has been reckoned of it since."""

    from_at: datetime
    until: datetime
    taken: DayTaken
    booking_refs: frozenset[str | None]
    read_at: float
    slots: dict[tuple[int, int], tuple[Slot, ...]] = field(default_factory=dict)

    def touched_by(self, booking: Touched, *, same_provider: bool) -> bool:
        """Whether the booking has claimed something of this day, or does now."""
        if booking.booking_ref in self.booking_refs:
            return True
        if not same_provider or booking.start_at is None or booking.busy_until is None:
            return False
        return booking.start_at < self.until and self.from_at < booking.busy_until


@dataclass(slots=True)
class _Copy:
    """Days of one clinic, all of them right as of ``seq`` and the two versions."""

    rules: Rules
    seq: int
    busy_version: int
    days: dict[tuple[str, date], _Day] = field(default_factory=dict)

    def hear(self, news: News) -> None:
        """Drop what has been touched. Older news than what is known already changes nothing."""
        if news.busy_version > self.busy_version:
            self.busy_version = news.busy_version
            self.days.clear()
        if news.seq <= self.seq:
            return
        self.seq = news.seq
        if news.touched is None:
            self.days.clear()
            return
        gone = [
            key
            for key, day in self.days.items()
            if any(day.touched_by(each, same_provider=each.provider_id == key[0]) for each in news.touched)
        ]
        for key in gone:
            del self.days[key]

    def take(self, ask: Ask, day: _Day, heard: News) -> None:
        """Keep it, right as of what was ``heard``, unless another question has heard of more meanwhile: that may have
        touched it.
        """
        if self.seq <= heard.seq and self.busy_version <= heard.busy_version:
            self.days[ask.provider_id, ask.day] = day


class Calendars:
    """Copies of at most ``days_max`` days; of clinics not asked for lately none are kept."""

    def __init__(self, reads: Reads, days_max: int, shared: SharedDays) -> None:
        self._reads = reads
        self._shared = shared
        self._days_max = days_max
        self._copies: OrderedDict[str, _Copy] = OrderedDict()
        self._read_since = 0

    async def rules(self, clinic_ids: Sequence[str]) -> Told:
        """These clinics as they are now; no day is asked for. Raises Refused (503)."""
        return await self._tell(clinic_ids, [])

    async def ask(self, clinic_ids: Sequence[str], asks: Sequence[Ask]) -> Told:
        """All ``asks`` are of these clinics. Clinics that are closed, or gone, have no slots. Raises Refused (503)."""
        with metrics.SLOTS_SECONDS.time():
            return await self._tell(clinic_ids, asks)

    async def _tell(self, clinic_ids: Sequence[str], asks: Sequence[Ask]) -> Told:
        lent = await self._shared.borrow(self._lacking(asks))  # before PostgreSQL is asked, so that it judges them
        told = await self._reads.run(lambda connection: self._ask(connection, clinic_ids, asks, lent))
        if self._read_since >= self._days_max // 16:
            self._make_room()
        return told

    def _lacking(self, asks: Sequence[Ask]) -> list[DayKey]:
        """Days of which there is no copy here that could do."""
        now = asyncio.get_running_loop().time()
        lacking = []
        for ask in asks:
            copy = self._copies.get(ask.clinic_id)
            day = copy.days.get((ask.provider_id, ask.day)) if copy is not None else None
            if day is None or now - day.read_at > KEPT_SECONDS:
                lacking.append(DayKey(ask.clinic_id, ask.provider_id, ask.day))
        return lacking

    async def _ask(self, connection: Connection, clinic_ids: Sequence[str], asks: Sequence[Ask], lent: Lent) -> Told:
        known = {each: self._since(each, lent) for each in clinic_ids}
        news = {each.clinic_id: each for each in await slots.news(connection, list(known.items()))}
        copies = await self._copies_of(connection, news)
        days: list[_Day | None] = []
        missing: list[tuple[int, Provider, Window]] = []
        shared = 0
        now = asyncio.get_running_loop().time()
        for ask in asks:
            copy = copies.get(ask.clinic_id)
            provider = copy.rules.providers.get(ask.provider_id) if copy is not None else None
            day = None
            if copy is not None and provider is not None and copy.rules.status is ClinicStatus.OPEN:
                window = _window(ask, provider, copy.rules.timezone)
                day = copy.days.get((ask.provider_id, ask.day))
                if day is None or day.until < window.to_at or now - day.read_at > KEPT_SECONDS:
                    heard = news[ask.clinic_id]
                    borrowed = lent.get(DayKey(ask.clinic_id, ask.provider_id, ask.day))
                    day = _judged(borrowed, provider, window, known[ask.clinic_id], heard)
                    if day is None:
                        missing.append((len(days), provider, window))
                    else:
                        shared += 1
                        copy.take(ask, day, heard)
            days.append(day)
        if missing:
            await self._fill(connection, asks, days, missing, copies, news)
        self._read_since += len(missing) + shared
        metrics.SLOT_DAYS.labels("read").inc(len(missing))
        metrics.SLOT_DAYS.labels("shared").inc(shared)
        metrics.SLOT_DAYS.labels("kept").inc(len(asks) - len(missing) - shared)
        return Told(
            as_of=max((each.now for each in news.values()), default=datetime.min),  # noqa: DTZ901 - no clinic, no time
            days=await _shown(connection, asks, days, copies),
            rules={clinic_id: copy.rules for clinic_id, copy in copies.items()},
        )

    def _since(self, clinic_id: str, lent: Lent) -> int:
        copy = self._copies.get(clinic_id)
        own = copy.seq if copy is not None else NEVER
        return since_of(own, [day for key, day in lent.items() if key.clinic_id == clinic_id]) if lent else own

    async def _copies_of(self, connection: Connection, news: dict[str, News]) -> dict[str, _Copy]:
        """Each as new as the news; rules are read again where they were replaced."""
        stale = [
            clinic_id
            for clinic_id, each in news.items()
            if clinic_id not in self._copies or self._copies[clinic_id].rules.version < each.rules_version
        ]
        for clinic_id, rules in (await holds.load_rules(connection, stale) if stale else {}).items():
            copy = self._copies.get(clinic_id)
            if copy is None or copy.rules.version < rules.version:
                self._copies[clinic_id] = _Copy(rules, news[clinic_id].seq, news[clinic_id].busy_version)
        found = {}
        for clinic_id, each in news.items():
            copy = self._copies.get(clinic_id)
            if copy is not None:
                copy.hear(each)
                self._copies.move_to_end(clinic_id)
                found[clinic_id] = copy
        return found

    async def _fill(
        self,
        connection: Connection,
        asks: Sequence[Ask],
        days: list[_Day | None],
        missing: Sequence[tuple[int, Provider, Window]],
        copies: dict[str, _Copy],
        news: dict[str, News],
    ) -> None:
        """Read what is missing. It is right as of the news, which was read before it, or later."""
        read_at = asyncio.get_running_loop().time()
        rows = await slots.taken(connection, [window for _, _, window in missing])
        for (at, provider, window), taken in zip(missing, rows, strict=True):
            day = days[at] = _day(provider, window.from_at, window.to_at, taken, read_at)
            heard = news[window.clinic_id]
            copies[window.clinic_id].take(asks[at], day, heard)
            lent = LentDay(heard.seq, heard.busy_version, heard.now, window.from_at, window.to_at, tuple(taken))
            self._shared.lend(DayKey(window.clinic_id, provider.provider_id, asks[at].day), lent)

    def _make_room(self) -> None:
        """Forget the clinics that were asked for least lately."""
        self._read_since = 0
        kept = sum(len(copy.days) + 1 for copy in self._copies.values())
        while kept > self._days_max and len(self._copies) > 1:
            _, copy = self._copies.popitem(last=False)
            kept -= len(copy.days) + 1


async def _shown(
    connection: Connection, asks: Sequence[Ask], days: Sequence[_Day | None], copies: Mapping[str, _Copy]
) -> list[tuple[Slot, ...]]:
    """The slots of these days; none is free where a booking would not get what its service consumes."""
    wanted = [(ask.clinic_id, _as_ruled(ask, copies)) for ask in asks]
    stock = await InStock.read(connection, wanted)
    shown = []
    for ask, day, (clinic_id, service) in zip(asks, days, wanted, strict=True):
        found = _slots(ask, day, copies)
        shown.append(found if stock.has(clinic_id, service, ask.day) else out_of_stock(found))
    return shown


def _as_ruled(ask: Ask, copies: Mapping[str, _Copy]) -> ServiceType:
    """The service asked for, as the clinic's rules have it now: what it consumes may have been changed."""
    copy = copies.get(ask.clinic_id)
    return ask.service if copy is None else copy.rules.service_types.get(ask.service.service_type, ask.service)


def _window(ask: Ask, provider: Provider, timezone: str) -> Window:
    """All that could be in the way of that day's starts."""
    zone = ZoneInfo(timezone)
    from_at, to_at = instant(ask.day, 0, zone), instant(ask.day, _DAY_MINUTES, zone)
    last = max((each.busy_until for each in _candidates(ask, provider, timezone)), default=to_at)
    return Window(ask.clinic_id, ask.provider_id, from_at, max(to_at, last))


def _candidates(ask: Ask, provider: Provider, timezone: str) -> tuple[Candidate, ...]:
    return day_candidates((provider,), ask.service, timezone, ask.day)


def _judged(lent: LentDay | None, provider: Provider, window: Window, since: int, news: News) -> _Day | None:
    """The day that was lent, if it is right as of the news."""
    if lent is None or not lent.may_be_right(since, news):
        return None
    if window.from_at < lent.from_at or lent.until < window.to_at:
        return None
    read_at = asyncio.get_running_loop().time() - lent.age_seconds(news)
    day = _day(provider, lent.from_at, lent.until, lent.rows, read_at)
    touched = news.touched or ()
    if any(day.touched_by(each, same_provider=each.provider_id == provider.provider_id) for each in touched):
        return None
    return day


def _day(provider: Provider, from_at: datetime, until: datetime, rows: Sequence[TakenRow], read_at: float) -> _Day:
    refs = frozenset(row.booking_ref for row in rows)
    return _Day(from_at, until, _taken(provider, rows), refs, read_at)


def _taken(provider: Provider, rows: Sequence[TakenRow]) -> DayTaken:
    taken = DayTaken(provider.provider_id)
    for row in rows:
        if row.seat is None:
            taken.block(row.start_at, row.busy_until, row.seats)
        else:
            taken.claim(row.seat, row.start_at, row.busy_until, tentative=row.tentative)
    return taken


def _slots(ask: Ask, day: _Day | None, copies: Mapping[str, _Copy]) -> tuple[Slot, ...]:
    if day is None:
        return ()
    key = ask.service.duration_minutes, ask.service.buffer_minutes
    found = day.slots.get(key)
    if found is None:
        if len(day.slots) >= LENGTHS_MAX:
            day.slots.clear()
        rules = copies[ask.clinic_id].rules
        found = day.slots[key] = day.taken.slots(_candidates(ask, rules.providers[ask.provider_id], rules.timezone))
    return found
