"""The appointment as a calendar file (iCalendar, RFC 5545), in the clinic's own time zone."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from icalendar import Calendar, Event, Timezone

from workers.notify.letter import Attachment


def calendar_file(
    *,
    booking_ref: str,
    revision: int,
    start_at: datetime,
    end_at: datetime,
    timezone: str,
    summary: str,
    place: str,
    text: str,
    cancelled: bool,
    made_at: datetime,
) -> Attachment:
    """A booking has one event in a calendar: a later file of its UID and a higher SEQUENCE changes or removes it."""
    zone = ZoneInfo(timezone)
    event = Event()
    event.add("uid", f"{booking_ref}@waiting-room")
    event.add("sequence", 2 * revision + cancelled)
    event.add("dtstamp", made_at.astimezone(UTC))
    event.add("dtstart", start_at.astimezone(zone))
    event.add("dtend", end_at.astimezone(zone))
    event.add("summary", summary)
    event.add("location", place)
    event.add("description", text)
    event.add("status", "CANCELLED" if cancelled else "CONFIRMED")
    method = "CANCEL" if cancelled else "PUBLISH"
    calendar = Calendar()
    calendar.add("prodid", "-//Waiting Room//EN")
    calendar.add("version", "2.0")
    calendar.add("method", method)
    if timezone not in ("UTC", "Etc/UTC"):
        calendar.add_component(_zone(timezone, start_at.year))
    calendar.add_component(event)
    return Attachment(calendar.to_ical(), method)


@lru_cache(maxsize=512)
def _zone(name: str, year: int) -> Timezone:
    """The zone's rules around that year; worked out once, since it takes some milliseconds."""
    return Timezone.from_tzid(name, first_date=date(year - 1, 1, 1), last_date=date(year + 2, 1, 1) - timedelta(days=1))
