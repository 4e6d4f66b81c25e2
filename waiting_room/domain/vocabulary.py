"""The words in which a booking is spoken of: statuses, stages, reasons, and what may happen to it.

``appointment`` says what follows from what; it is also where everybody else takes these from.
"""

from __future__ import annotations

from enum import StrEnum


class Status(StrEnum):
    PENDING = "pending"
    CONFIRMED = "confirmed"
    REJECTED = "rejected"
    CANCELLED = "cancelled"
    ARRIVED = "arrived"
    COMPLETED = "completed"
    NO_SHOW = "no_show"
    WAITLISTED = "waitlisted"


class Stage(StrEnum):
    """Where a pending booking stands (``saga``), and one that is waitlisted. ``verifying`` waits for eligibility."""

    ACCEPTED = "accepted"
    HELD = "held"
    VERIFYING = "verifying"
    CONFIRMING = "confirming"
    WAITING = "waiting"
    OFFERED = "offered"
    """A seat is held for it until it answers."""
    INVITED = "invited"
    """A seat is held for the first of several to accept; another of them holds it."""


class ClinicState(StrEnum):
    NONE = "none"
    CALLING = "calling"
    UNKNOWN = "unknown"
    BOOKED = "booked"
    WITHDRAWING = "withdrawing"


class Reason(StrEnum):
    """Why a booking was rejected or cancelled: HL7 appointment-cancellation-reason codes, then our own."""

    PATIENT = "pat"
    PROVIDER = "prov"
    SLOT_TAKEN = "slot_taken"
    NO_FREE_SLOT = "no_free_slot"
    OUT_OF_STOCK = "out_of_stock"
    TOO_MANY_PENDING = "too_many_pending"
    ALREADY_BOOKED = "already_booked"
    TOO_SOON = "too_soon"
    NOT_BOOKABLE = "not_bookable"
    OUTSIDE_HOURS = "outside_hours"
    TOO_SHORT_NOTICE = "too_short_notice"
    TOO_FAR_AHEAD = "too_far_ahead"
    CLINIC_CLOSED = "clinic_closed"
    CLINIC_REFUSED = "clinic_refused"
    ALREADY_MOVING = "already_moving"
    NOTICE_PASSED = "notice_passed"
    NOT_ACTIVE = "not_active"
    CHANGED_MEANWHILE = "changed_meanwhile"
    NOT_ELIGIBLE = "not_eligible"
    ELIGIBILITY_UNKNOWN = "eligibility_unknown"
    CLINIC_UNAVAILABLE = "clinic_unavailable"
    UNPROCESSABLE = "unprocessable"


class By(StrEnum):
    PATIENT = "patient"
    CLINIC = "clinic"
    SERVICE = "service"


class EventType(StrEnum):
    """Past tense; the types with a public meaning are in PUBLIC_EVENTS."""

    ACCEPTED = "booking.accepted"
    HELD = "booking.held"
    VERIFYING = "booking.verifying"
    VERIFIED = "booking.verified"
    NOT_VERIFIED = "booking.not_verified"
    CALLING = "booking.calling"
    NOT_BOOKED = "booking.not_booked"
    OUTCOME_UNKNOWN = "booking.outcome_unknown"
    CONFIRMED = "booking.confirmed"
    REJECTED = "booking.rejected"
    CANCELLED = "booking.cancelled"
    CANCEL_REFUSED = "booking.cancel_refused"
    ARRIVED = "booking.arrived"
    COMPLETED = "booking.completed"
    NO_SHOW = "booking.no_show"
    WITHDRAWAL_DUE = "booking.withdrawal_due"
    WITHDRAWN = "booking.withdrawn"
    RESCHEDULE_HELD = "booking.reschedule_held"
    RESCHEDULED = "booking.rescheduled"
    NOT_MOVED = "booking.not_moved"
    RESCHEDULE_FAILED = "booking.reschedule_failed"
    """The clinic would not, or not in time: the appointment stays where it was."""
    RESCHEDULE_REFUSED = "booking.reschedule_refused"
    """Nothing was held for it and nothing changed."""
    REPEATED = "booking.repeated"
    WAITLISTED = "waitlist.joined"
    OFFERED = "waitlist.offered"
    INVITED = "waitlist.invited"
    OFFER_ACCEPTED = "waitlist.accepted"
    OFFER_DECLINED = "waitlist.declined"
    OFFER_EXPIRED = "waitlist.expired"
    OFFER_LOST = "waitlist.lost"
    """Another of those invited was faster, or what was offered is not there any more."""
