"""POST /v1/appointments: takes a booking in under 200 ms. No database, no clinic; one record to Kafka.

The hot path: a plain ASGI endpoint that does what it must and nothing twice.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import datetime
from functools import partial
from typing import Final

import msgspec
from msgspec import UNSET
from starlette.types import Receive, Scope, Send

from ingress import admission, problems
from ingress.access import require_app, require_scope
from ingress.admission import Refusal
from ingress.answers import (
    NEXT_STEP,
    BookingAnswer,
    accepted_answer,
    encode,
    poll_after_seconds,
    row_answer,
)
from ingress.body import BODY_PROBLEMS, BookingRequest, read
from ingress.command import fence, hand_over, overloaded, refused, require_producing, require_sealing
from ingress.contact import require_readable
from ingress.contested import Wish
from ingress.directory import Site
from ingress.follow import decided_within
from ingress.limiting import RATE_LIMIT, require_rate
from ingress.links import JOIN_WAITLIST
from ingress.operation import IDEMPOTENCY_KEY, PREFER, RETRY_AFTER, STRING, Answer, Operation, parts_of
from ingress.parts import Parts
from ingress.refusal import OtherClinic, Refused
from ingress.remembered import Accepted
from ingress.requests import Headers, body, idempotency_key, require_json, wait_seconds
from ingress.wanted import when, where
from waiting_room.access import Scope as KeyScope
from waiting_room.domain.appointment import HONOURED, Status
from waiting_room.domain.booking_ref import key_hash
from waiting_room.messages import Book, Patient
from waiting_room.store.bookings import BookingRow
from waiting_room.store.holds import Key
from waiting_room.telemetry import metrics, tracing

_OTHER_CLINICS: Final = 3
_encode_patient: Final = msgspec.json.Encoder().encode
_canonical: Final = msgspec.json.Encoder(order="deterministic").encode
_SECONDS: Final = {
    outcome: metrics.ACCEPT_SECONDS.labels(outcome)
    for outcome in ("accepted", "refused", "none", "unknown", "invalid", "error")
}
_FOR_LOAD: Final = 429


async def book(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers 202; 201 or 409 where the caller waits and the booking is decided meanwhile."""
    await take(scope, receive, send, or_wait=False)


async def take(scope: Scope, receive: Receive, send: Send, *, or_wait: bool) -> None:
    """``or_wait``: where nothing is free it is to wait for what comes free; that is a decision too."""
    started = time.perf_counter()
    parts = parts_of(scope)
    if (busy := overloaded(parts)) is not None:
        _SECONDS["none"].observe(time.perf_counter() - started)
        await busy(scope, receive, send)
        return
    headers, outcome, exemplar = dict(scope["headers"]), "error", None
    try:
        accepted, rate = await _accept(parts, headers, receive, or_wait)
        outcome = "accepted"
        exemplar = tracing.exemplar(accepted.booking_ref)
    except Refused as refusal:
        told = refusal.kind.status == _FOR_LOAD or refusal.kind is problems.SLOT_TAKEN
        outcome = "refused" if told else refusal.more.get("outcome", "invalid")
        raise
    finally:
        _SECONDS[outcome].observe(time.perf_counter() - started, exemplar)
    row = None
    if seconds := wait_seconds(headers):
        row = await decided_within(parts, accepted.booking_ref, accepted, seconds)
    if row is None:
        await _send(send, 202, accepted_answer(accepted), rate)
    else:
        await _send(send, 201, await _as_wished(parts, row), rate)


async def _accept(parts: Parts, headers: Headers, receive: Receive, or_wait: bool) -> tuple[Accepted, dict[str, str]]:
    """With what the answer says of rate limits."""
    key = parts.authenticate(headers)
    require_app(key)
    require_scope(key, KeyScope.APPOINTMENTS_WRITE)
    idempotency = idempotency_key(headers)
    require_json(headers)
    request = read(await body(headers, receive, parts.settings.ingress_body_max_bytes))
    if request.patient.contact:
        require_readable(request.patient.contact)
    rate = require_rate(parts, key.owner_id, request.patient.id)
    site = where(request, parts.directory)
    hashed = key_hash(key.owner_id, idempotency)
    ref = parts.refs.of_hash(site.clinic.clinic_id, key.owner_id, hashed)
    body_hash = parts.tags.of_request((b"wait " if or_wait else b"") + _canonical(request))
    caller = headers[b"traceparent"].decode("latin-1") if tracing.on() and b"traceparent" in headers else None
    produce = partial(_produce, parts, request, site, Key(ref, key.owner_id, hashed), body_hash, caller, or_wait)
    return await parts.remembered.once(ref, body_hash, produce), rate


async def _produce(
    parts: Parts,
    request: BookingRequest,
    site: Site,
    key: Key,
    body_hash: bytes,
    caller: str | None,
    or_wait: bool,
) -> Accepted:
    """``caller``: the trace context of its request."""
    accepted_at, accept_by, accept_by_ms = fence(parts.settings)
    site = parts.directory.clinic(site.clinic.clinic_id) or site  # moved perhaps, while another try was waited for
    start_at, range_ = when(request, site, accepted_at, parts.settings.book_ahead_max_days)
    if start_at is not None and parts.contested.on and not or_wait:
        await _refuse_if_taken(parts, request, site, start_at, key)
        accepted_at, accept_by, accept_by_ms = fence(parts.settings)  # anew: it was looked at meanwhile
        site = parts.directory.clinic(site.clinic.clinic_id) or site
    clinic = site.clinic
    ref = key.ref
    require_producing(parts, clinic.partition, ref)
    intake_key = require_sealing(parts, ref)
    place_before = _require_room(parts, site, ref, request.service_type, or_wait)
    eta = parts.lines.eta(clinic, place_before, accepted_at, request.service_type)
    asked = request.patient
    patient = Patient(id=asked.id, contact=asked.contact, locale=asked.locale)
    command = Book(
        booking_ref=ref,
        clinic_id=clinic.clinic_id,
        app_id=key.app_id,
        key_hash=key.key_hash,
        body_hash=body_hash,
        service_type=request.service_type,
        sealed=intake_key.seal(_encode_patient(patient), ref),
        intake_key=intake_key.key_id,
        accepted_at=accepted_at,
        accept_by=accept_by,
        provider_id=request.provider_id or None,
        start_at=start_at,
        range=range_,
        eta_p50=eta.p50 if eta else None,
        eta_p90=eta.p90 if eta else None,
        or_wait=or_wait,
    )
    with tracing.first_span("book", ref, caller) as span:
        offset = await hand_over(parts, clinic.partition, command, accept_by_ms, tracing.context_of(span))
    parts.lines.saw_appended(clinic.partition, offset)
    return Accepted(ref, accepted_at, parts.lines.place(clinic, offset), eta)


async def _refuse_if_taken(parts: Parts, request: BookingRequest, site: Site, start_at: datetime, key: Key) -> None:
    """Raises Refused (409). Not where an earlier try may have been accepted, nor while Kafka is not to be asked."""
    if parts.remembered.is_second(key.ref) or not parts.handover.takes(site.clinic.partition):
        return
    provider_id = request.provider_id or None
    await parts.contested.refuse_if_taken(Wish(site, provider_id, request.service_type, start_at, *key))


def _require_room(parts: Parts, site: Site, ref: str, service_type: str, or_wait: bool) -> int:
    """The place the booking would get. Raises Refused (429) where the clinic or its partition is too far behind, or,
    unless it would wait for that, nothing is left to give.
    """
    lines, clinic = parts.lines, site.clinic
    unheld = lines.unheld(clinic.partition)
    refusal = admission.backlog(unheld=unheld, unheld_max=parts.settings.unheld_max, held=lines.held(clinic.partition))
    if refusal is None and not or_wait:
        refusal = admission.bookable(free=lines.bookable(clinic.clinic_id), ahead=unheld)
    place = lines.next_place(clinic)
    if refusal is not None:
        waitlist = JOIN_WAITLIST if refusal is admission.NOTHING_FREE else UNSET
        raise refused(refusal, ref, other_clinics=_shorter(parts, site, service_type, place), waitlist=waitlist)
    now, promises = time.monotonic(), parts.promises
    is_due = promises.is_due(clinic.clinic_id, ref, now)
    too_long = admission.line(
        place=place,
        promised=promises.standing(clinic.clinic_id, now),
        is_due=is_due,
        pace=lines.pace(clinic.clinic_id),
        wait_ceiling_seconds=clinic.wait_ceiling_seconds,
    )
    if too_long is not None:
        come_back_in = promises.give(clinic.clinic_id, ref, now, **too_long._asdict())
        refusal = Refusal(problems.LINE_TOO_LONG, come_back_in)
        raise refused(refusal, ref, other_clinics=_shorter(parts, site, service_type, place))
    if is_due:
        promises.kept(clinic.clinic_id, ref)
    return place


def _shorter(parts: Parts, site: Site, service_type: str, place: int) -> tuple[OtherClinic, ...]:
    """Clinics of the same business that could take it sooner, the soonest first."""
    places = [
        (parts.lines.next_place(other.clinic), other.clinic) for other in parts.directory.others(site, service_type)
    ]
    return tuple(
        OtherClinic(clinic_id=clinic.clinic_id, name=clinic.name, place=theirs, link=f"/v1/clinics/{clinic.clinic_id}")
        for theirs, clinic in sorted(places, key=lambda found: found[0])[:_OTHER_CLINICS]
        if theirs < place
    )


async def _as_wished(parts: Parts, row: BookingRow) -> BookingAnswer:
    """Confirmed, whatever became of the appointment since, or waitlisted as it was to be then. Raises Refused (409)
    where the booking was decided otherwise.
    """
    answer = row_answer(row, None)
    if row.status in HONOURED or row.status is Status.WAITLISTED:
        return answer
    more = {"booking_ref": row.booking_ref, "booking_status": row.status, "links": answer.links}
    if row.reason is not None:
        more |= {
            "reason": row.reason,
            "next_step": NEXT_STEP[row.reason],
            "alternatives": await parts.alternatives.near(row),
            "waitlist": answer.join_waitlist,
        }
    raise Refused(problems.NOT_BOOKED, f"The booking was {row.status}: {row.reason}.", more=more)


async def _send(send: Send, status: int, answer: BookingAnswer, rate: Mapping[str, str]) -> None:
    content = encode(answer)
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(content)),
        (b"cache-control", b"no-store"),
        (b"location", answer.links.self_.encode()),
        *((name.lower().encode(), value.encode()) for name, value in rate.items()),
    ]
    if status == 202:
        headers.append((b"retry-after", b"%d" % poll_after_seconds(answer.eta)))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content})


LOCATION: Final = {"Location": {**STRING, "description": "Where the booking is read."}, **RATE_LIMIT}
LEADS_TO: Final = ("get", "history", "events", "cancel")
PROBLEMS: Final = (
    problems.BAD_HEADER,
    *BODY_PROBLEMS,
    problems.START_OR_RANGE,
    problems.PROVIDER_OR_CLINIC,
    problems.UNKNOWN_PROVIDER,
    problems.UNKNOWN_CLINIC,
    problems.PROVIDER_ELSEWHERE,
    problems.UNKNOWN_SERVICE,
    problems.SERVICE_NOT_OFFERED,
    problems.CLINIC_CLOSED,
    problems.START_IN_PAST,
    problems.TOO_FAR_AHEAD,
    problems.TOO_SHORT_NOTICE,
    problems.RANGE_EMPTY,
    problems.RANGE_TOO_LONG,
    problems.START_NOT_OFFERED,
    problems.KEY_REUSED,
    problems.NOT_BOOKED,
    problems.LINE_TOO_LONG,
    problems.BACKLOG,
    problems.RATE_LIMITED,
    problems.BUSY,
    problems.NOT_ACCEPTING,
    problems.OUTCOME_UNKNOWN,
)
BOOK: Final = Operation(
    name="book",
    method="POST",
    path="/v1/appointments",
    summary="Book an appointment",
    endpoint=book,
    body=BookingRequest,
    parameters=(IDEMPOTENCY_KEY, PREFER),
    answers=(
        Answer(
            status=201,
            description="Confirmed while the caller waited.",
            body=BookingAnswer,
            headers=LOCATION,
            always=("Location", *RATE_LIMIT),
            leads_to=LEADS_TO,
        ),
        Answer(
            status=202,
            description="Accepted: it will be decided, and never refused for load.",
            body=BookingAnswer,
            headers={**LOCATION, "Retry-After": RETRY_AFTER},
            always=("Location", "Retry-After", *RATE_LIMIT),
            leads_to=LEADS_TO,
        ),
    ),
    problems=(*PROBLEMS, problems.NOTHING_FREE, problems.SLOT_TAKEN),
)
