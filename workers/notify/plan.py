"""Which messages an event asks for, by which channel and when: pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from waiting_room.domain.appointment import CHANGEABLE, By, Status
from waiting_room.domain.notifications import LOUD, NOT_MOVED, REMINDER, TOLD_OF, Channel, reach_of
from waiting_room.domain.quiet_hours import QuietHours, news_at, quiet_hours_of, reminder_at
from waiting_room.domain.reminders import Lead, leads_of, remind_at
from waiting_room.messages import BookingEvent, Patient
from waiting_room.settings import Settings
from waiting_room.store.notifications import Planned, Subject

STALE: Final = timedelta(hours=24)
"""News older than this is told to nobody: events that are read anew after a loss of offsets, or by a first worker."""


class Rules(NamedTuple):
    """What holds for patients and service types that say nothing else."""

    gateways: frozenset[Channel]
    leads: tuple[Lead, ...]
    quiet_hours: QuietHours | None


def rules_of(settings: Settings) -> Rules:
    """A channel whose gateway is not set is not used."""
    gateways = {
        Channel.EMAIL: settings.notify_smtp_url,
        Channel.SMS: settings.notify_sms_url,
        Channel.PUSH: settings.notify_push_url,
    }
    return Rules(
        frozenset(channel for channel, url in gateways.items() if url),
        leads_of(filter(None, settings.notify_reminders.split(","))),
        quiet_hours_of(settings.notify_quiet_hours) if settings.notify_quiet_hours else None,
    )


def plan(event: BookingEvent, subject: Subject, patient: Patient, rules: Rules, now: datetime) -> list[Planned]:
    """The messages to store, in the first of the patient's channels; none if the booking has moved on since.

    Reminders are for bookings that were confirmed before they were due: who books an hour ahead is not reminded of it.
    """
    kind = _kind_of(event)
    if kind is None or subject.status != event.status or subject.revision != event.revision:
        return []
    if event.status is Status.CANCELLED and event.start_at is None and event.by is By.PATIENT:
        return []  # who waited for a seat and has left has no appointment that they would have to be told of
    usable = rules.gateways.difference(subject.unsubscribed)
    reach = reach_of(patient.contact, usable, rules.quiet_hours)
    if not reach.channels:
        return []
    channel = reach.channels[0]
    quiet_hours = reach.quiet_hours if channel in LOUD else None
    zone = ZoneInfo(subject.timezone)
    wanted: list[tuple[str, datetime]] = []
    if now - event.at <= STALE:
        quiet = quiet_hours.around(now, zone) if quiet_hours else None
        wanted.append((kind, news_at(event.at, event.start_at, quiet)))
    if event.status is Status.CONFIRMED and event.start_at is not None and not kind.startswith(NOT_MOVED):
        leads = rules.leads if subject.leads is None else leads_of(subject.leads)
        wanted.extend(_reminders(event.at, event.start_at, leads, zone, quiet_hours))
    return [
        Planned(event.clinic_id, event.booking_ref, event.revision, each, channel, due_at) for each, due_at in wanted
    ]


def _kind_of(event: BookingEvent) -> str | None:
    """That it was not moved is told each time, though the revision stays, and only to who has asked for it: of what
    their clinic wished for they never heard.
    """
    kind = TOLD_OF.get(event.event)
    if kind != NOT_MOVED:
        return kind
    return f"{NOT_MOVED}-{event.seq}" if event.by is not By.CLINIC and event.status in CHANGEABLE else None


def _reminders(
    confirmed_at: datetime,
    start_at: datetime,
    leads: tuple[Lead, ...],
    zone: ZoneInfo,
    quiet_hours: QuietHours | None,
) -> Iterator[tuple[str, datetime]]:
    for lead in leads:
        wanted_at = remind_at(lead, start_at, zone)
        if wanted_at <= confirmed_at:
            continue
        quiet = quiet_hours.around(wanted_at, zone) if quiet_hours else None
        due_at = reminder_at(wanted_at, start_at, quiet, confirmed_at)
        if due_at is not None:
            yield f"{REMINDER}-{lead}", due_at
