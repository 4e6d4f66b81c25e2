"""iCalendar (RFC 5545) in and out: busy times from a clinic's calendar, a provider's calendar for calendar programs.

``python -m waiting_room.ics`` reads a calendar on standard input and writes its busy times as JSON: bytes from
outside, which may take long to expand, are read in a process of their own that can be ended.
"""

from __future__ import annotations

import resource
import sys
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, time, timedelta, tzinfo
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
MEMORY_MAX: Final = 192 * 1024**2
"""Bytes that the process which reads may take for itself. 1.6 MB of events take 75 MB."""
_TOO_OFTEN: Final = frozenset({"SECONDLY", "MINUTELY", "HOURLY"})


class Unreadable(ValueError):
    """The bytes are no calendar we can read; the text says why in one line. ``safe`` says it without quoting them: they
    may name patients, and whoever sent them is not always who is told.
    """

    def __init__(self, why: str, safe: str | None = None) -> None:
        super().__init__(why)
        self.safe = why if safe is None else safe


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
    """Either the spans or why there are none: as in ``Unreadable``."""

    spans: tuple[Span, ...] = ()
    error: str | None = None
    safe: str | None = None


def read_busy(job: Job) -> tuple[Span, ...]:
    """The busy times of all events that are opaque and not cancelled, repetitions expanded, and what is said to be
    busy without an event (VFREEBUSY). Raises Unreadable.
    """
    import icalendar
    import recurring_ical_events

    zone = ZoneInfo(job.timezone)
    try:
        calendar = icalendar.Calendar.from_ical(job.calendar.decode("utf-8-sig"))
        if calendar.name != "VCALENDAR":
            raise Unreadable("it does not begin with BEGIN:VCALENDAR")
        for event in calendar.walk("VEVENT"):
            for rule in _several(event.get("RRULE")):
                _refuse_endless(rule)
                _end_in_the_evening(rule, event)
        events = recurring_ical_events.of(calendar).between(job.from_at, job.to_at)
        found = [*_spans(events, zone), *_periods(calendar, job, zone)]
    except Unreadable:
        raise
    except MemoryError as error:
        raise Unreadable("it takes too much memory to expand") from error
    except Exception as error:  # whatever two libraries raise on bytes from outside
        kind = type(error).__name__
        raise Unreadable(f"{kind}: {error}".splitlines()[0][:300], kind) from error
    if len(found) > ENTRIES_MAX:
        raise Unreadable(f"it has {len(found)} busy times; {ENTRIES_MAX} are the most")
    return tuple(found)


def _several(properties: Any) -> list[Any]:
    """A property that may stand there more than once, or not at all."""
    if properties is None:
        return []
    return properties if isinstance(properties, list) else [properties]


def _refuse_endless(rule: Any) -> None:
    often = {str(each).upper() for each in rule.get("FREQ", [])} & _TOO_OFTEN
    if often:
        raise Unreadable(f"it repeats an event {', '.join(sorted(often)).lower()}")


def _end_in_the_evening(rule: Any, event: Any) -> None:
    """What has a time of day may not be repeated until a day (RFC 5545, 3.3.10). Who writes that means all of it."""
    if "UNTIL" in rule and isinstance(event.start, datetime):
        zone = event.start.tzinfo
        rule["UNTIL"] = [each if isinstance(each, datetime) else _evening(each, zone) for each in rule["UNTIL"]]


def _evening(day: date, zone: tzinfo | None) -> datetime:
    last = datetime.combine(day, time(23, 59, 59), zone)
    return last.astimezone(UTC) if zone else last


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
            from_at, to_at = _zoned(start, zone), _zoned(end, zone)
        if from_at < to_at:
            yield _span(uid, from_at, to_at)


def _periods(calendar: Any, job: Job, zone: ZoneInfo) -> Iterator[Span]:
    """Of programs that publish when somebody is busy, and not with what."""
    for component in calendar.walk("VFREEBUSY"):
        for period in _several(component.get("FREEBUSY")):
            from_at, to_at = _zoned(period.start, zone), _zoned(period.end, zone)
            is_busy = str(period.params.get("FBTYPE", "BUSY")).upper() != "FREE"
            if is_busy and from_at < to_at and from_at < job.to_at and job.from_at < to_at:
                yield _span(str(component.get("UID", "")), from_at, to_at)


def _zoned(at: datetime, zone: ZoneInfo) -> datetime:
    return at if at.tzinfo else at.replace(tzinfo=zone)


def _span(uid: str, from_at: datetime, to_at: datetime) -> Span:
    """The same time of the same event has the same name, whenever it is read."""
    from_at, to_at = from_at.astimezone(UTC), to_at.astimezone(UTC)
    return Span(sha256(f"{uid}\n{from_at}\n{to_at}".encode()).hexdigest()[:32], from_at, to_at)


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
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_MAX, MEMORY_MAX))
    job = msgspec.json.decode(sys.stdin.buffer.read(), type=Job)
    try:
        done = Done(spans=read_busy(job))
    except Unreadable as error:
        done = Done(error=str(error), safe=error.safe)
    sys.stdout.buffer.write(msgspec.json.encode(done))


if __name__ == "__main__":
    main()
