"""What ingress says of a booking: the bodies of its answers, and how they go out."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from math import ceil
from typing import Any, Final, Literal

import msgspec
from msgspec import UNSET, UnsetType
from starlette.responses import Response

from ingress.links import JOIN_WAITLIST, BookingLinks, Link, OfferLinks, booking_links, offer_links
from ingress.refusal import MEDIA_TYPE, Alternative, Refused
from ingress.remembered import Accepted
from waiting_room.domain.appointment import By, EventType, Reason, Stage, Status
from waiting_room.domain.eta import Eta
from waiting_room.domain.notifications import Channel
from waiting_room.domain.waitlist import Ended
from waiting_room.store.bookings import BookingRow, WaitRow, WishRow
from waiting_room.store.notifications import Told

encode: Final = msgspec.json.Encoder().encode
POLL_SECONDS, POLL_SECONDS_MAX = 5, 60


class Notification(msgspec.Struct, frozen=True, kw_only=True):
    """One message to the patient by one channel. ``failed``: not sent after all attempts; the patient's next channel,
    if there is one, has a message of its own then. ``dropped``: no longer true when it was due.
    """

    kind: str
    channel: Channel
    state: Literal["due", "sent", "failed", "dropped"]
    revision: int
    due_at: datetime
    attempts: int
    ended_at: datetime | None
    reason: str | None
    """Why its last attempt failed or it was dropped."""


class RescheduleState(msgspec.Struct, frozen=True, kw_only=True):
    """What has become of a wish for another time. While it is pending, and if it fails, the booking keeps its own."""

    status: Literal["pending", "rescheduled", "failed", "refused", "dropped"]
    requested_at: datetime
    provider_id: str | None
    start_at: datetime | None
    end_at: datetime | None
    by: By
    reason: Reason | UnsetType = UNSET
    next_step: str | UnsetType = UNSET


class OfferAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A seat that is held until ``expires_at``: for this booking, or for the first of several (``to_all``)."""

    offer_id: str
    expires_at: datetime
    to_all: bool
    links: OfferLinks


class WaitlistState(msgspec.Struct, frozen=True, kw_only=True):
    """What it waits for, or did: a start in [from, to). ``offer``: what it was offered, until it answers."""

    from_at: datetime = msgspec.field(name="from")
    to_at: datetime = msgspec.field(name="to")
    provider_id: str | None
    offer: OfferAnswer | UnsetType = UNSET
    last_offer: Ended | UnsetType = UNSET
    """What came of the last one."""


class BookingAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A booking as its app may see it. Times are UTC; ``timezone`` is the clinic's.

    ``place`` and ``eta`` (seconds) are there while it is pending and somebody can tell them; of one that is waitlisted
    ``place`` is that among those who wait at its clinic for the same service. ``accepted_at`` is null while only its
    reference is known.
    """

    booking_ref: str
    status: Status
    stage: Stage | None
    place: int | None
    eta: Eta | None
    accepted_at: datetime | None
    links: BookingLinks
    clinic_id: str | UnsetType = UNSET
    provider_id: str | UnsetType | None = UNSET
    service_type: str | UnsetType | None = UNSET
    start_at: datetime | UnsetType | None = UNSET
    end_at: datetime | UnsetType | None = UNSET
    timezone: str | UnsetType = UNSET
    decided_at: datetime | UnsetType | None = UNSET
    reason: Reason | UnsetType = UNSET
    by: By | UnsetType = UNSET
    next_step: str | UnsetType = UNSET
    """Why it was rejected or cancelled, by whom, and what a person can do now."""
    alternatives: tuple[Alternative, ...] | UnsetType = UNSET
    """Where others were first: times near it that were free a moment ago."""
    notifications: tuple[Notification, ...] | UnsetType = UNSET
    """What its patient is told about it, where one booking is read and there is any. Confirmed means that the clinic
    confirmed; whether that reached the patient stands here.
    """
    reschedule: RescheduleState | UnsetType = UNSET
    """The last wish for another time."""
    waitlist: WaitlistState | UnsetType = UNSET
    """Of a booking that waits for a seat, or did."""
    join_waitlist: Link | UnsetType = UNSET
    """Where nothing was free: how to wait for what comes free."""
    patient_erased_at: datetime | UnsetType = UNSET
    """Since then nothing is known of its patient, nobody is told anything about it, and no list of a patient has it."""


class BookingList(msgspec.Struct, frozen=True, kw_only=True):
    """One page; ``next`` is the address of the page after it, null on the last."""

    appointments: list[BookingAnswer]
    next: str | None


class CancelAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The cancel was accepted; the booking says so as soon as it is carried out."""

    booking_ref: str
    status: Literal["cancelling"] = "cancelling"
    requested_at: datetime
    links: BookingLinks


class RescheduleAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The wish was accepted; the booking says what becomes of it."""

    booking_ref: str
    status: Literal["rescheduling"] = "rescheduling"
    requested_at: datetime
    links: BookingLinks


class HistoryEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that happened, and the state it left. ``seq`` counts the clinic's events."""

    seq: int
    event: EventType
    at: datetime
    status: Status
    stage: Stage | None
    revision: int
    start_at: datetime | None
    reason: Reason | None
    by: By | None


class History(msgspec.Struct, frozen=True, kw_only=True):
    """All of a booking's events, oldest first, and what its patient was or will be told, if anything."""

    booking_ref: str
    events: list[HistoryEvent]
    notifications: list[Notification] | UnsetType = UNSET


NEXT_STEP: Final[Mapping[Reason, str]] = {
    Reason.PATIENT: "Nothing is left to do. To come after all, book anew.",
    Reason.PROVIDER: "The provider cannot take this appointment. Choose another time or provider.",
    Reason.SLOT_TAKEN: "Somebody else has this time. Choose another one, or send a range to get the first that fits.",
    Reason.NO_FREE_SLOT: "Nothing is free in that range. Ask for another range, provider or clinic.",
    Reason.OUT_OF_STOCK: "What it needs has run out there. Choose another clinic, or ask this one when it has more.",
    Reason.TOO_MANY_PENDING: "This patient waits for too many clinics. Book again once one has decided, or cancel one.",
    Reason.ALREADY_BOOKED: "This patient has such an appointment already. Cancel it first, or keep it.",
    Reason.TOO_SOON: "It is too close to another of the patient's. Choose a day further away, or move that one first.",
    Reason.NOTICE_PASSED: "It is too late to change this appointment here. Call the clinic.",
    Reason.NOT_BOOKABLE: "This cannot be booked there. Choose another time, service or provider.",
    Reason.OUTSIDE_HOURS: "No appointment starts then. Choose one of the provider's free slots.",
    Reason.TOO_SHORT_NOTICE: "It is too late to book this time. Choose a later one, or call the clinic.",
    Reason.TOO_FAR_AHEAD: "This time cannot be booked yet. Choose an earlier one, or book later.",
    Reason.CLINIC_CLOSED: "The clinic is closed then. Choose another time or clinic.",
    Reason.CLINIC_REFUSED: "The clinic did not take this appointment. Choose another time, or call the clinic.",
    Reason.ALREADY_MOVING: "An earlier wish for another time is not decided yet. Wait for it, then ask again.",
    Reason.NOT_ACTIVE: "It is over, was given up, or has no time yet that could be moved. Book anew, or wait.",
    Reason.CHANGED_MEANWHILE: "This booking was changed since you read it. Read it again, then ask again if you wish.",
    Reason.NOT_ELIGIBLE: "This patient is not entitled to this service. Ask whoever pays for it, or choose another.",
    Reason.ELIGIBILITY_UNKNOWN: "We could not find out in time whether this patient may have it. Book again later.",
    Reason.CLINIC_UNAVAILABLE: "The clinic's system could not be reached in time. Book again later, or elsewhere.",
    Reason.UNPROCESSABLE: "We could not process this booking. Check what was sent and book anew; if it stays, tell us.",
}
"""What a person can do about each reason."""


COMES_FREE: Final = frozenset({Reason.SLOT_TAKEN, Reason.NO_FREE_SLOT, Reason.OUT_OF_STOCK})
"""What was not to be had may be had yet, by who waits."""


def accepted_answer(accepted: Accepted) -> BookingAnswer:
    """What POST answers, and GET until the booking can be read."""
    return BookingAnswer(
        booking_ref=accepted.booking_ref,
        status=Status.PENDING,
        stage=Stage.ACCEPTED,
        place=accepted.place,
        eta=accepted.eta,
        accepted_at=accepted.accepted_at,
        links=booking_links(accepted.booking_ref),
    )


def row_answer(row: BookingRow, eta: Eta | None, alternatives: tuple[Alternative, ...] = ()) -> BookingAnswer:
    """What is read of a booking that is in PostgreSQL."""
    return BookingAnswer(
        booking_ref=row.booking_ref,
        status=row.status,
        stage=row.stage,
        place=row.place,
        eta=eta if row.status is Status.PENDING else None,
        accepted_at=row.accepted_at,
        links=booking_links(row.booking_ref),
        clinic_id=row.clinic_id,
        provider_id=row.provider_id,
        service_type=row.service_type,
        start_at=row.start_at,
        end_at=row.end_at,
        timezone=row.timezone,
        decided_at=row.decided_at,
        reason=row.reason or UNSET,
        by=row.by or UNSET,
        next_step=NEXT_STEP[row.reason] if row.reason else UNSET,
        alternatives=alternatives or UNSET,
        reschedule=_reschedule(row.wish) if row.wish else UNSET,
        waitlist=_waitlist(row, row.wait) if row.wait else UNSET,
        join_waitlist=JOIN_WAITLIST if row.reason in COMES_FREE else UNSET,
        patient_erased_at=row.patient_erased_at or UNSET,
    )


def _waitlist(row: BookingRow, wait: WaitRow) -> WaitlistState:
    offer: OfferAnswer | UnsetType = UNSET
    last: Ended | UnsetType = UNSET
    if wait.offer_id is not None and wait.expires_at is not None:
        if wait.outcome is None:
            links = offer_links(wait.offer_id)
            offer = OfferAnswer(
                offer_id=wait.offer_id, expires_at=wait.expires_at, to_all=bool(wait.to_all), links=links
            )
        else:
            last = wait.outcome
    return WaitlistState(
        from_at=wait.from_at,
        to_at=wait.to_at,
        provider_id=wait.provider_id,
        offer=offer,
        last_offer=last,
    )


def _reschedule(wish: WishRow) -> RescheduleState:
    return RescheduleState(
        status=wish.outcome or "pending",
        requested_at=wish.requested_at,
        provider_id=wish.provider_id,
        start_at=wish.start_at,
        end_at=wish.end_at,
        by=wish.by,
        reason=wish.reason or UNSET,
        next_step=NEXT_STEP[wish.reason] if wish.reason else UNSET,
    )


def notification_answer(told: Told) -> Notification:
    """A message as it is shown: that it was sent, never where to."""
    return Notification(
        kind=told.kind,
        channel=Channel(told.channel),
        state=told.state,
        revision=told.revision,
        due_at=told.due_at,
        attempts=told.attempts,
        ended_at=told.ended_at,
        reason=told.last_error,
    )


def poll_after_seconds(eta: Eta | None) -> int:
    """When it is worth to ask again."""
    return POLL_SECONDS if eta is None else min(POLL_SECONDS_MAX, max(1, ceil(eta.p50)))


def json_answer(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """``body`` as JSON that nobody may keep."""
    return Response(
        encode(body), status, {"Cache-Control": "no-store", **(headers or {})}, media_type="application/json"
    )


def problem_answer(refusal: Refused) -> Response:
    return Response(
        refusal.body, refusal.kind.status, {"Cache-Control": "no-store", **refusal.headers}, media_type=MEDIA_TYPE
    )
