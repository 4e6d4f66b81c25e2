"""The list of problem types (RFC 9457): every way ingress says no, and what a person should do then.

A type is served at its own address, ``/problems/<name>``. ``refusal.py`` makes answers of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class ProblemType:
    """``next_step`` is the general advice; one problem may give a better one."""

    name: str
    status: int
    title: str
    next_step: str

    @property
    def address(self) -> str:
        return f"/problems/{self.name}"


_CORRECT: Final = "Correct the request as `errors` says and send it again."
_AGAIN: Final = "Nothing has come of this request. Send the same request with the same key again after `Retry-After`."

# The request as HTTP
NOT_FOUND: Final = ProblemType(
    "not-found", 404, "There is nothing at this address", "Check the address against /openapi.json."
)
METHOD_NOT_ALLOWED: Final = ProblemType(
    "method-not-allowed", 405, "This address does not take that method", "Use a method that `Allow` names."
)
BODY_TOO_LARGE: Final = ProblemType("body-too-large", 413, "The body is too large", "Send a smaller body.")
WRONG_CONTENT_TYPE: Final = ProblemType(
    "wrong-content-type", 415, "The body must be JSON", "Send JSON with `Content-Type: application/json`."
)
MALFORMED_JSON: Final = ProblemType(
    "malformed-json", 400, "The body is not valid JSON", "Send one JSON object in UTF-8."
)
BAD_HEADER: Final = ProblemType("bad-header", 400, "A header is missing or wrong", _CORRECT)
BAD_PARAMETER: Final = ProblemType("bad-parameter", 400, "A parameter is missing or wrong", _CORRECT)
WHOSE_BOOKINGS: Final = ProblemType(
    "whose-bookings", 422, "Say whose bookings", "Send `patient` alone, or `clinic` and `day`."
)
BAD_CURSOR: Final = ProblemType("bad-cursor", 422, "The cursor is none of ours", _CORRECT)
ERROR: Final = ProblemType(
    "error", 500, "Something went wrong here", "Try again with the same key; if it stays so, tell us the `error_id`."
)

# Who asks
UNAUTHENTICATED: Final = ProblemType(
    "unauthenticated", 401, "No valid API key", "Send `Authorization: Bearer <your key>` with a key that is valid."
)
FORBIDDEN: Final = ProblemType(
    "forbidden", 403, "This key may not do that", "Use a key whose owner and scopes allow it."
)

# What is asked for
UNKNOWN_FIELD: Final = ProblemType("unknown-field", 422, "The body has a field nobody knows", _CORRECT)
MISSING_FIELD: Final = ProblemType("missing-field", 422, "The body lacks a field", _CORRECT)
WRONG_VALUE: Final = ProblemType("wrong-value", 422, "A field has a value of the wrong kind", _CORRECT)
START_OR_RANGE: Final = ProblemType(
    "start-or-range", 422, "Say when: an exact start or a range", "Send exactly one of `start_at` and `range`."
)
PROVIDER_OR_CLINIC: Final = ProblemType(
    "provider-or-clinic", 422, "Say where: a provider or a clinic", "Send `provider_id`, `clinic_id` or both."
)
UNKNOWN_PROVIDER: Final = ProblemType(
    "unknown-provider", 422, "There is no such provider", "Choose a provider from /v1/clinics."
)
UNKNOWN_CLINIC: Final = ProblemType(
    "unknown-clinic", 422, "There is no such clinic", "Choose a clinic from /v1/clinics."
)
PROVIDER_ELSEWHERE: Final = ProblemType(
    "provider-elsewhere", 422, "The provider is not at that clinic", "Correct the one or the other as `errors` says."
)
UNKNOWN_SERVICE: Final = ProblemType(
    "unknown-service", 422, "The clinic does not know that service", "Choose one of the clinic's service types."
)
SERVICE_NOT_OFFERED: Final = ProblemType(
    "service-not-offered", 422, "Nobody asked for offers that service", "Choose another provider or service."
)
CLINIC_CLOSED: Final = ProblemType(
    "clinic-closed", 409, "The clinic takes no bookings", "Choose another clinic, or ask the clinic when it opens."
)
START_IN_PAST: Final = ProblemType("start-in-past", 422, "That time has passed", "Choose a time that lies ahead.")
TOO_FAR_AHEAD: Final = ProblemType(
    "too-far-ahead", 422, "That time is too far ahead", "Choose an earlier time, or book later."
)
TOO_SHORT_NOTICE: Final = ProblemType(
    "too-short-notice", 422, "It is too late to book that time", "Choose a later time, or call the clinic."
)
SERVICE_OR_DURATION: Final = ProblemType(
    "service-or-duration", 422, "Say how long: a service or a duration", "Send exactly one of `service` and `duration`."
)
RANGE_EMPTY: Final = ProblemType(
    "range-empty", 422, "The range has no time in it", "Send a `to` that is later than `from`."
)
RANGE_TOO_LONG: Final = ProblemType("range-too-long", 422, "The range is too long", "Ask for a shorter range.")
START_NOT_OFFERED: Final = ProblemType(
    "start-not-offered", 422, "No appointment starts then", "Choose one of the starts named in `errors`."
)
KEY_REUSED: Final = ProblemType(
    "key-reused", 422, "The idempotency key was used for something else", "Use a new key for a new request."
)

# A clinic's calendar
UNKNOWN_ENTRY: Final = ProblemType("unknown-entry", 404, "There is no such entry", "Read the list for those there are.")
IF_MATCH_MISSING: Final = ProblemType(
    "if-match-missing", 428, "Say which version you have seen", "Read it, and send its `ETag` as `If-Match`."
)
CHANGED_MEANWHILE: Final = ProblemType(
    "changed-meanwhile", 412, "It was changed since you read it", "Read it again, and repeat your change on that."
)
TOO_MANY_ENTRIES: Final = ProblemType(
    "too-many-entries", 409, "The calendar holds no more of these", "Delete some first."
)
NOT_A_CALENDAR: Final = ProblemType(
    "not-a-calendar", 415, "The body must be iCalendar", "Send iCalendar with `Content-Type: text/calendar`."
)
UNREADABLE_CALENDAR: Final = ProblemType(
    "unreadable-calendar", 422, "The body is no calendar we can read", "Send one iCalendar object (RFC 5545)."
)
NOT_CHANGED: Final = ProblemType(
    "not-changed",
    503,
    "Nothing can be changed right now",
    "Read it after `Retry-After`, and send the request again if it is not as you want it.",
)

# What became of a command
LINE_TOO_LONG: Final = ProblemType(
    "line-too-long",
    429,
    "The clinic's line is too long",
    "Try another clinic, or send the same request with the same key again after `Retry-After`.",
)
NOTHING_FREE: Final = ProblemType(
    "nothing-free",
    429,
    "The clinic has no free time left",
    "Try another clinic, or send the same body to `waitlist` to be offered what comes free when others cancel.",
)
RATE_LIMITED: Final = ProblemType("rate-limited", 429, "Too many requests of one caller", _AGAIN)
BACKLOG: Final = ProblemType("backlog", 429, "More was accepted than could be processed yet", _AGAIN)
BUSY: Final = ProblemType("busy", 503, "Too many requests at once", _AGAIN)
NOT_ACCEPTING: Final = ProblemType("not-accepting", 503, "Nothing can be accepted right now", _AGAIN)
OUTCOME_UNKNOWN: Final = ProblemType(
    "outcome-unknown",
    503,
    "It is not known yet whether this was accepted",
    "Send the same request with the same key again, which never books twice; or read `links.self`, or cancel it.",
)
SLOT_TAKEN: Final = ProblemType(
    "slot-taken",
    409,
    "That time is taken",
    "Nothing was booked. Choose one of `alternatives`, or another time or provider, with a new key.",
)
NOT_BOOKED: Final = ProblemType(
    "not-booked", 409, "The booking was not made", "Book another time, provider or clinic, with a new key."
)

# Waiting for a seat
UNKNOWN_OFFER: Final = ProblemType(
    "unknown-offer", 404, "There is no such offer", "Read the booking: its `waitlist.offer` names the offer it has."
)
OFFER_EXPIRED: Final = ProblemType(
    "offer-expired",
    410,
    "The time to answer this offer is over",
    "The seat went to the next one. You wait on, with your place: the next that fits is offered to you in turn.",
)
OFFER_TAKEN: Final = ProblemType(
    "offer-taken",
    409,
    "This seat is not there any more",
    "Somebody was faster, or the clinic needs it. You wait on, with your place: the next that fits is offered to you.",
)
OFFER_ENDED: Final = ProblemType(
    "offer-ended",
    409,
    "This offer was declined",
    "Read the booking to see how it stands. While it is waitlisted the next seat that fits is offered to you in turn.",
)
OFFER_ACCEPTED: Final = ProblemType(
    "offer-accepted",
    409,
    "This offer was accepted",
    "It cannot be declined any more. To give the appointment up, cancel it: DELETE `links.cancel`.",
)
NOT_WAITING: Final = ProblemType(
    "not-waiting",
    409,
    "This booking does not wait for a seat",
    "Read it to see how it stands. An appointment is cancelled by DELETE `links.cancel`.",
)

# Webhooks
UNKNOWN_ENDPOINT: Final = ProblemType(
    "unknown-endpoint", 404, "There is no such webhook endpoint", "Choose one of /v1/webhook-endpoints."
)
UNKNOWN_DELIVERY: Final = ProblemType(
    "unknown-delivery", 404, "There is no such delivery", "Choose one of the endpoint's `links.deliveries`."
)
DELIVERY_ARCHIVED: Final = ProblemType(
    "delivery-archived",
    410,
    "That event's booking is archived",
    "It cannot be sent again. Read the booking and its history instead: both are answered as before.",
)
TOO_MANY_ENDPOINTS: Final = ProblemType(
    "too-many-endpoints", 409, "There are as many webhook endpoints as one owner may have", "Use one that is there."
)
TOO_MANY_SECRETS: Final = ProblemType(
    "too-many-secrets", 409, "The secret was rotated often of late", "Wait until an earlier secret has expired."
)
ENDPOINT_DISABLED: Final = ProblemType(
    "endpoint-disabled", 409, "The webhook endpoint is switched off", "Enable it first."
)
WEBHOOKS_AWAY: Final = ProblemType(
    "webhooks-away",
    503,
    "Webhook endpoints cannot be changed right now",
    "Bookings and deliveries go on. Send the same request again after `Retry-After`.",
)

# Patients
PATIENT_HAS_BOOKINGS: Final = ProblemType(
    "patient-has-bookings",
    409,
    "The patient has bookings that are not over",
    "Cancel those that `bookings` names, or wait until they are over; then ask again.",
)

# At the desk
WRONG_STATUS: Final = ProblemType(
    "wrong-status", 409, "That cannot be said of this booking now", "Read the booking, and see how it stands."
)
NOTICE_PASSED: Final = ProblemType(
    "notice-passed", 409, "It is too late to cancel this booking here", "Call the clinic."
)
UNKNOWN_PRODUCT: Final = ProblemType(
    "unknown-product", 404, "There is no such product", "Choose one from /v1/clinics/{id}/stock."
)
NOT_IN_STOCK: Final = ProblemType(
    "not-in-stock", 409, "There is not so much of that lot", "Count the lot, and enter what was found."
)

# Reading
UNKNOWN_BOOKING: Final = ProblemType(
    "unknown-booking", 404, "There is no such booking", "Check the reference; only its own app can read it."
)
READS_AWAY: Final = ProblemType(
    "reads-away",
    503,
    "Bookings cannot be read right now",
    "Nothing is lost, and new bookings may still be accepted. Read again after `Retry-After`.",
)
TOO_MANY_STREAMS: Final = ProblemType(
    "too-many-streams",
    429,
    "Too many live streams of one caller",
    "Close streams that nobody watches. Until there is room read the booking now and then: GET `links.self`.",
)
STREAMS_FULL: Final = ProblemType(
    "streams-full",
    503,
    "No more live streams can be opened here",
    "Try again after `Retry-After`. Until there is room read the booking now and then: GET `links.self`.",
)
NOT_READY: Final = ProblemType("not-ready", 503, "This ingress is not ready", "Try again after `Retry-After`.")

ALL: Final[Mapping[str, ProblemType]] = {
    kind.name: kind for kind in list(globals().values()) if isinstance(kind, ProblemType)
}
