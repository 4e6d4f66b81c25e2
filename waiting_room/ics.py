"""iCalendar (RFC 5545) in and out: busy times from a clinic's calendar, a provider's calendar for calendar programs.

``python -m waiting_room.ics`` reads a calendar on standard input and writes its busy times as JSON: bytes from
outside, which may take long to expand, are read in a process of their own that can be ended.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

import msgspec

from waiting_room.domain.availability.wall import instant

if TYPE_CHECKING:  # the process that reads needs no database
    from waiting_room.store.calendars import FeedEntry

OURS: Final = "@waiting-room"
"""Uids of our own events end so: a calendar that subscribes to our feed and is imported again tells us nothing new."""

ENTRIES_MAX: Final = 5_000
_DAY_MINUTES: Final = 1_440
_TENTATIVE: Final = frozenset({"pending", "waitlisted"})
_TOO_OFTEN: Final = frozenset({"SECONDLY", "MINUTELY", "HOURLY"})


class Unreadable(ValueError):
    """The bytes are no calendar we can read; the text says why in one line."""


class Span(msgspec.Struct, frozen=True):
    """A busy time, half-open, in UTC."""

    busy_id: str
    from_at: datetime
    to_at: datetime


class Job(msgspec.Struct, frozen=True):
    """What is to be read: busy times in [from_at, to_at); times without a zone are on the clock of ``timezone``."""

    calendar: bytes
    timezone: str
    from_at: datetime
    to_at: datetime


class Done(msgspec.Struct, frozen=True):
    """Either the spans or why there are none."""

    spans: tuple[Span, ...] = ()
    error: str | None = None


def read_busy(job: Job) -> tuple[Span, ...]:
    """The busy times of all events that are opaque and not cancelled, repetitions expanded. Raises Unreadable."""
    import icalendar
    import recurring_ical_events

    try:
        calendar = icalendar.Calendar.from_ical(job.calendar.decode())
        for event in calendar.walk("VEVENT"):
            _refuse_endless(event)
        events = recurring_ical_events.of(calendar).between(job.from_at, job.to_at)
        found = list(_spans(events, ZoneInfo(job.timezone)))
    except Unreadable:
        raise
    except Exception as error:  # whatever two libraries raise on bytes from outside
        raise Unreadable(f"{type(error).__name__}: {error}".splitlines()[0][:300]) from error
    if len(found) > ENTRIES_MAX:
        raise Unreadable(f"it has {len(found)} busy times; {ENTRIES_MAX} are the most")
    return tuple(found)


def _refuse_endless(event: Any) -> None:
    rules = event.get("RRULE", [])
    for rule in rules if isinstance(rules, list) else [rules]:
        often = {str(each).upper() for each in rule.get("FREQ", [])} & _TOO_OFTEN
        if often:
            raise Unreadable(f"it repeats an event {', '.join(sorted(often)).lower()}")


def _spans(events: Iterable[Any], zone: ZoneInfo) -> Iterator[Span]:
    for event in events:
        uid = str(event.get("UID", ""))
        transparent = str(event.get("TRANSP", "OPAQUE")).upper() == "TRANSPARENT"
        if transparent or str(event.get("STATUS", "")).upper() == "CANCELLED" or uid.endswith(OURS):
            continue
        start, end = event.start, event.end
        if type(start) is date:
            from_at, to_at = instant(start, 0, zone), instant(end - timedelta(days=1), _DAY_MINUTES, zone)
        else:
            from_at, to_at = (each if each.tzinfo else each.replace(tzinfo=zone) for each in (start, end))
        if from_at < to_at:
            name = sha256(f"{uid}\n{from_at.astimezone(UTC)}\n{to_at.astimezone(UTC)}".encode()).hexdigest()[:32]
            yield Span(name, from_at.astimezone(UTC), to_at.astimezone(UTC))


def write_feed(name: str, entries: Iterable[FeedEntry]) -> bytes:
    """A calendar of bookings, without anybody's name."""
    import icalendar

    calendar = icalendar.Calendar()
    calendar.add("prodid", "-//Waiting Room//EN")
    calendar.add("version", "2.0")
    calendar.add("method", "PUBLISH")
    calendar.add("x-wr-calname", name)
    for entry in entries:
        event = icalendar.Event()
        event.add("uid", f"{entry.booking_ref}{OURS}")
        event.add("sequence", entry.revision - 1)
        event.add("dtstamp", entry.changed_at.astimezone(UTC).replace(microsecond=0))
        event.add("dtstart", entry.start_at.astimezone(UTC))
        event.add("dtend", entry.end_at.astimezone(UTC))
        event.add("summary", entry.service_type or "appointment")
        event.add("description", entry.booking_ref)
        event.add("status", "TENTATIVE" if entry.status in _TENTATIVE else "CONFIRMED")
        event.add("class", "PRIVATE")
        calendar.add_component(event)
    written: bytes = calendar.to_ical()
    return written


def main() -> None:
    """Read one Job as JSON, write one Done."""
    job = msgspec.json.decode(sys.stdin.buffer.read(), type=Job)
    try:
        done = Done(spans=read_busy(job))
    except Unreadable as error:
        done = Done(error=str(error))
    sys.stdout.buffer.write(msgspec.json.encode(done))


if __name__ == "__main__":
    main()
