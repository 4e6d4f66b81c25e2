"""What a booking could get: its candidate seats by the clinic's rules, or why it can get none. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta
from typing import Protocol
from zoneinfo import ZoneInfo

import msgspec

from waiting_room.domain.appointment import By, Reason
from waiting_room.domain.candidates import Spans, candidates, spans_of, why_not_now
from waiting_room.domain.directory import ClinicStatus, Provider, ServiceType
from waiting_room.domain.schedule import busy_for, offers
from waiting_room.domain.seats import Candidate
from waiting_room.domain.visits import too_late_to_cancel
from waiting_room.messages import Book, Cancel, Moment, TimeRange
from waiting_room.store.holds import Rules
from waiting_room.store.journal import Booking


class Wanted(Protocol):
    """What is asked for: exactly one of start_at and range is given."""

    @property
    def service_type(self) -> str: ...
    @property
    def provider_id(self) -> str | None: ...
    @property
    def start_at(self) -> Moment | None: ...
    @property
    def range(self) -> TimeRange | None: ...


class Bookable(msgspec.Struct, frozen=True):
    """A command that the clinic's rules allow: where it may land and what must be known to tell."""

    providers: tuple[Provider, ...]
    service: ServiceType
    timezone: str
    from_at: datetime
    to_at: datetime
    if_none_free: Reason
    spans: Spans

    def candidates(self) -> Iterator[Candidate]:
        """Earliest first."""
        return candidates(self.providers, self.service, self.timezone, self.from_at, self.to_at, self.spans)

    def days(self) -> Iterator[Bookable]:
        """The same, day by day."""
        zone, from_at = ZoneInfo(self.timezone), self.from_at
        while from_at < self.to_at:
            midnight = datetime.combine(from_at.astimezone(zone).date() + timedelta(days=1), time.min, zone)
            to_at = min(midnight.astimezone(UTC), self.to_at)
            yield msgspec.structs.replace(self, from_at=from_at, to_at=to_at)
            from_at = to_at

    def windows(self) -> Iterator[tuple[str, datetime, datetime]]:
        """(provider_id, from, to) of every claim that could be in the way."""
        for provider in self.providers:
            yield provider.provider_id, self.from_at, self.to_at + busy_for(provider, self.service)


def bookable(command: Wanted, rules: Rules, now: datetime) -> Bookable | Reason:
    """The command's candidates, earliest first, or the reason to reject it whatever is free."""
    if rules.status is ClinicStatus.CLOSED:
        return Reason.CLINIC_CLOSED
    service = rules.service_types.get(command.service_type)
    providers = [
        provider
        for provider in rules.providers.values()
        if command.service_type in provider.service_types and command.provider_id in (None, provider.provider_id)
    ]
    if service is None or not providers:
        return Reason.NOT_BOOKABLE
    span = _span(command, now)
    if span is None:
        return Reason.NOT_BOOKABLE
    from_at, to_at = span[0], min(span[1], rules.bookable_until)
    if from_at >= to_at:
        return Reason.TOO_FAR_AHEAD
    spans = spans_of(tuple(providers), rules.timezone, now)
    if command.start_at is not None:
        providers = [each for each in providers if offers(each, service, rules.timezone, command.start_at)]
        if not providers:
            return Reason.OUTSIDE_HOURS
        if (too := why_not_now(providers, spans, command.start_at)) is not None:
            return too
    return Bookable(
        tuple(providers),
        service,
        rules.timezone,
        from_at,
        to_at,
        Reason.SLOT_TAKEN if command.start_at is not None else Reason.NO_FREE_SLOT,
        spans,
    )


def _span(command: Wanted, now: datetime) -> tuple[datetime, datetime] | None:
    """Half-open range of starts, never in the past; None when nothing of it is left."""
    if command.start_at is not None:
        return (command.start_at, command.start_at + timedelta(microseconds=1)) if command.start_at > now else None
    if command.range is None:
        return None
    from_at = max(command.range.from_at, now)
    return (from_at, command.range.to_at) if from_at < command.range.to_at else None


def changed_meanwhile(booking: Booking, if_version: int | None) -> bool:
    """Whether it is not as it was when its caller saw it; None is whoever does not mind."""
    return if_version not in (None, booking.row_version)


def notice_passed(booking: Booking, rules: Rules, by: By, asked_at: datetime) -> bool:
    """Whether it comes too late to cancel the booking, or to move it."""
    return booking.start_at is not None and too_late_to_cancel(
        by=by,
        status=booking.known_state.status,
        start_at=booking.start_at,
        made_at=booking.asked_at,
        moved_by_clinic=booking.is_moved_by_clinic,
        notice=rules.cancel_notice(booking.service_type),
        asked_at=asked_at,
    )


def cancel_refused(booking: Booking, rules: Rules, command: Cancel) -> bool:
    """Whether it comes too late, or the booking is not as its caller saw it."""
    too_late = notice_passed(booking, rules, command.by, command.requested_at)
    return too_late or changed_meanwhile(booking, command.if_version)


def booking_for(command: Book, *, storable: bool) -> Booking:
    """The booking that the command asks for, without its patient and without an event yet. Where it is not ``storable``
    what was asked for is left out: it may be what cannot be stored.
    """
    booking = Booking(
        clinic_id=command.clinic_id,
        booking_ref=command.booking_ref,
        app_id=command.app_id,
        accepted_at=command.accepted_at,
        body_hash=command.body_hash,
        eta_p50=command.eta_p50,
        eta_p90=command.eta_p90,
    )
    if storable:
        booking.provider_id = command.provider_id
        booking.service_type = command.service_type
        booking.start_at = command.start_at
        booking.range_to = command.range.to_at if command.range else None
    return booking
