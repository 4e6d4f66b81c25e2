"""What patients are told, and by which channel: pure.

A booking's ``patient.contact`` says how to reach them: an address for each of ``email``, ``sms`` and ``push``, and
beside these, if they have chosen, ``channels`` (which of them, the preferred first: ``push,sms``; ``none`` for nothing
at all) and ``quiet_hours`` (``21:00-08:00`` on the clinic's clock).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from enum import StrEnum
from typing import Final, NamedTuple

from waiting_room.domain.appointment import CHANGEABLE, Status
from waiting_room.domain.quiet_hours import QuietHours, quiet_hours_of


class Channel(StrEnum):
    """In the order in which they are tried where the patient has not chosen."""

    EMAIL = "email"
    SMS = "sms"
    PUSH = "push"


AN_EMAIL: Final = re.compile(r"[^\s@,;:<>()\"\\]+@[^\s@,;:<>()\"\\]+")
"""One bare address: nothing that a relay would read as several, or as more than an address."""

LOUD: Final = frozenset({Channel.SMS, Channel.PUSH})
"""What quiet hours hold back. An email makes no sound."""

REMINDER: Final = "reminder"
NOT_MOVED: Final = "not_moved"
TOLD_OF: Final[Mapping[str, str]] = {
    "booking.confirmed": "confirmed",
    "booking.rejected": "rejected",
    "booking.cancelled": "cancelled",
    "booking.rescheduled": "rescheduled",
    "booking.reschedule_failed": NOT_MOVED,
    "booking.reschedule_refused": NOT_MOVED,
    "waitlist.offered": "offered",
    "waitlist.invited": "offered",
}
"""Event to the kind of message that tells of it."""
KINDS: Final = (*dict.fromkeys(TOLD_OF.values()), REMINDER)
_HOLDS_WHILE: Final[Mapping[str, Collection[Status]]] = {
    "confirmed": {Status.CONFIRMED},
    "rescheduled": {Status.CONFIRMED},
    NOT_MOVED: CHANGEABLE,
    REMINDER: {Status.CONFIRMED},
    "rejected": {Status.REJECTED},
    "cancelled": {Status.CANCELLED},
    "offered": {Status.WAITLISTED},
}


class Reach(NamedTuple):
    """How a patient wants to be told: channels in order of preference, each with an address."""

    channels: tuple[Channel, ...]
    quiet_hours: QuietHours | None


def reach_of(contact: Mapping[str, str] | None, usable: Collection[str], quiet_by_default: QuietHours | None) -> Reach:
    """Those of the patient's channels that are ``usable``. What cannot be read counts as not said."""
    contact = contact or {}
    if "channels" in contact:
        wanted = [word.strip() for word in contact["channels"].split(",")]
        order = [Channel(word) for word in dict.fromkeys(wanted) if word in list(Channel)]
    else:
        order = list(Channel)
    channels = tuple(channel for channel in order if channel in usable and address_of(contact, channel))
    try:
        quiet = quiet_hours_of(contact["quiet_hours"]) if "quiet_hours" in contact else quiet_by_default
    except ValueError:
        quiet = quiet_by_default
    return Reach(channels, quiet)


def address_of(contact: Mapping[str, str] | None, channel: str) -> str | None:
    """Where this patient is reached by this channel; a phone number will do for an SMS."""
    contact = contact or {}
    return contact.get(channel) or (contact.get("phone") if channel == Channel.SMS else None)


def after(channel: str, reach: Reach) -> Channel | None:
    """The channel that steps in where this one failed for good."""
    order = [each.value for each in reach.channels]
    position = order.index(channel) + 1 if channel in order else 0
    return reach.channels[position] if position < len(order) else None


def base_of(kind: str) -> str:
    """``reminder`` of ``reminder-24h``, ``not_moved`` of ``not_moved-17``: the name of its template."""
    return kind.partition("-")[0]


def still_true(kind: str, revision: int, status: Status, revision_now: int) -> bool:
    """Whether a message made of an earlier state of the booking may still be sent."""
    expected = _HOLDS_WHILE.get(base_of(kind))
    return revision == revision_now and (expected is None or status in expected)
