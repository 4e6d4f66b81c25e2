"""What the patients of a batch have already and may have beside it, and the keys that their data is sealed under."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import date, datetime, time, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

import msgspec

from waiting_room.domain import limits
from waiting_room.domain.appointment import Reason
from waiting_room.domain.limits import PENDING_MAX, PatientClaim
from waiting_room.messages import Book
from waiting_room.patient_keys import PatientKey, PatientTags, Vault
from waiting_room.store import patient_keys, patients
from waiting_room.store.holds import Rules
from waiting_room.store.journal import Booking
from waiting_room.store.patient_keys import NewKey
from waiting_room.store.patients import Key, NewClaim, Patient
from waiting_room.store.pool import Connection
from workers.hold.wishes import Bookable


class Known(NamedTuple):
    """What hold knows patients by, and opens and makes their keys with. ``pending_max``: how many pending bookings a
    patient of an app may have, at all clinics together.
    """

    tags: PatientTags
    vault: Vault
    pending_max: int = PENDING_MAX


class Patients:
    """Of one batch. Whoever is read is locked until the transaction ends, so that no key is forgotten meanwhile."""

    def __init__(self, conn: Connection, known: Known) -> None:
        self._conn = conn
        self.known = known
        self._tags, self._vault, self._pending_max = known
        self._of_ref: dict[str, Patient] = {}
        self._has: dict[Patient, dict[Key, PatientClaim]] = {}
        self._keys: dict[Patient, PatientKey] = {}
        self._new_keys: list[NewKey] = []
        self._new: dict[Key, NewClaim] = {}

    async def read(self, books: Iterable[Book], moving: Iterable[Booking]) -> None:
        """Lock the patients of these commands, and of bookings that are to be moved; read what they have, and the keys
        of the former. Raises CannotOpen.
        """
        for book in books:
            if book.patient is not None and book.booking_ref not in self._of_ref:  # the first body counts
                self._of_ref[book.booking_ref] = book.app_id, self._tags.of(book.app_id, book.patient.id)
        booking = set(self._of_ref.values())
        wanted = booking | {(each.app_id, each.patient_id) for each in moving if each.patient_id is not None}
        if wanted:
            self._has = await patients.lock_and_read(self._conn, wanted)
        if booking:
            found = await patient_keys.find(self._conn, booking)
            self._keys = {patient: self._vault.key(wrapped) for patient, wrapped in found.items()}

    def seal(self, booking: Booking, book: Book) -> None:
        """Put the patient on the booking, under their key; a new one if they have none. Not where it was not read."""
        patient = self._of_ref.get(book.booking_ref)
        if book.patient is None or patient is None:
            return
        key = self._keys.get(patient)
        if key is None:
            key, wrapped = self._vault.new_key()
            self._keys[patient] = key
            self._new_keys.append(NewKey(*patient, wrapped))
        booking.patient_id, booking.patient = patient[1], key.seal(book.patient)

    def allow(self, book: Book, plan: Bookable, rules: Rules) -> Bookable | Reason:
        """The plan, begun later or ended earlier where an interval must pass; or why the patient may not have it."""
        has = self._has[self._of_ref[book.booking_ref]].values()
        reason = limits.refusal(plan.service, rules.business_id, has, self._pending_max)
        if reason is not None:
            return reason
        return self._in_interval(plan, rules, has)

    def when_moved(self, booking: Booking, plan: Bookable, rules: Rules) -> Bookable | Reason:
        """The same for a booking that the patient has and wants at another time."""
        return self._in_interval(plan, rules, self._others(booking))

    async def read_apart(self, moving: Iterable[Booking], rules: Rules) -> None:
        """As ``read``, of bookings at one clinic whose service asks for a distance to others."""
        services = rules.service_types
        spaced = {name for name, service in services.items() if limits.is_spaced(service, services.values())}
        await self.read((), [each for each in moving if each.service_type in spaced])

    def has_more(self, booking: Booking) -> bool:
        """Whether its patient is known to have anything beside it."""
        return bool(self._others(booking))

    def _others(self, booking: Booking) -> list[PatientClaim]:
        has = self._has.get((booking.app_id, booking.patient_id or ""), {})
        return [claim for key, claim in has.items() if key != booking.key]

    def apart(self, booking: Booking, plan: Bookable, rules: Rules) -> list[Bookable]:
        """The parts of the plan, earliest first, that keep the booking's distance to what else its patient has."""
        others = self._others(booking)
        if not others or booking.start_at is None:
            return [plan]
        zone = ZoneInfo(plan.timezone)
        was, first, last = (at.astimezone(zone).date() for at in (booking.start_at, plan.from_at, plan.to_at))
        days = limits.days_apart(
            plan.service, rules.service_types.values(), rules.business_id, others, was, (first, last)
        )
        parts = (
            msgspec.structs.replace(
                plan,
                from_at=max(plan.from_at, datetime.combine(begins, time.min, zone)),
                to_at=min(plan.to_at, datetime.combine(ends + timedelta(days=1), time.min, zone)),
            )
            for begins, ends in sorted(days)
        )
        return [part for part in parts if part.from_at < part.to_at]

    def goes_to(self, booking: Booking, start_at: datetime, rules: Rules) -> None:
        """The booking is to be then: what else its patient has keeps its distance to that."""
        has = self._has.get((booking.app_id, booking.patient_id or ""), {})
        if (claim := has.get(booking.key)) is not None:
            day = start_at.astimezone(ZoneInfo(rules.timezone)).date()
            has[booking.key] = msgspec.structs.replace(claim, day=day)

    @staticmethod
    def _in_interval(plan: Bookable, rules: Rules, has: Collection[PatientClaim]) -> Bookable | Reason:
        zone, from_at, to_at = ZoneInfo(plan.timezone), plan.from_at, plan.to_at
        if (day := limits.earliest_day(plan.service, rules.business_id, has)) is not None:
            from_at = max(from_at, datetime.combine(day, time.min, zone))
        day = from_at.astimezone(zone).date()
        last = limits.latest_day(plan.service, rules.service_types.values(), rules.business_id, has, day)
        if last is not None:
            to_at = min(to_at, datetime.combine(last + timedelta(days=1), time.min, zone))
        if to_at <= from_at:
            return Reason.TOO_SOON
        return msgspec.structs.replace(plan, from_at=from_at, to_at=to_at)

    def take(self, booking: Booking, rules: Rules, *, decided: bool, day: date | None = None) -> None:
        """The booking is the patient's from now on. ``day``: the first on which one that has no time yet may be."""
        if booking.start_at is not None:
            day = booking.start_at.astimezone(ZoneInfo(rules.timezone)).date()
        if booking.patient_id is None or booking.service_type is None or day is None:
            return
        service = rules.service_types[booking.service_type]
        lasting = limits.lasts(service, rules.service_types.values())
        if decided and not lasting:
            return
        patient = booking.app_id, booking.patient_id
        has = self._has.setdefault(patient, {})
        place = None if decided else limits.free_place(has.values(), self._pending_max)
        has[booking.key] = PatientClaim(rules.business_id, service.service_type, day, place, service.one_active)
        self._new[booking.key] = NewClaim(
            *booking.key,
            *patient,
            place,
            rules.business_id,
            service.service_type,
            day,
            service.one_active,
            lasting,
        )

    def moved(self, booking: Booking, rules: Rules) -> None:
        """The booking is at another time now; if it was there before this batch, its journal says so."""
        if booking.key in self._new and booking.start_at is not None:
            day = booking.start_at.astimezone(ZoneInfo(rules.timezone)).date()
            self._new[booking.key] = self._new[booking.key]._replace(day=day)

    def drop(self, booking: Booking) -> None:
        """The booking is off."""
        self._new.pop(booking.key, None)
        if booking.patient_id is not None:
            self._has.get((booking.app_id, booking.patient_id), {}).pop(booking.key, None)

    async def write(self) -> None:
        """What is new: keys, and what bookings take."""
        if self._new_keys:
            await patient_keys.add(self._conn, self._new_keys)
        if self._new:
            await patients.claim(self._conn, list(self._new.values()))
