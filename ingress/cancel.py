"""DELETE /v1/appointments/{ref}: asks for a cancel, by the patient's app, the patient with a pass, or the clinic.

An app's needs no database and works straight after the 202 of POST; where the database can tell at once that it comes
too late, the app is told at once. Clinics and patients cancel what they can see.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Final, NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from ingress import problems
from ingress.access import require_scope
from ingress.answers import POLL_SECONDS, CancelAnswer, json_answer
from ingress.command import fence, hand_over, overloaded, require_producing
from ingress.directory import Site
from ingress.found import glance, own_ref, read, unknown, version_seen
from ingress.limiting import RATE_LIMIT, require_rate
from ingress.links import booking_links
from ingress.operation import IDEMPOTENCY_KEY, IF_UNCHANGED, REF, RETRY_AFTER, STRING, Answer, Operation, answering
from ingress.parts import Parts
from ingress.passes.cookie import caller
from ingress.refusal import Refused
from ingress.remembered import Cancelling
from ingress.requests import idempotency_key
from waiting_room.access import OwnerKind, Scope
from waiting_room.domain.appointment import CANCELLABLE, By, Reason, Status
from waiting_room.domain.booking_ref import clinic_of
from waiting_room.domain.visits import too_late_to_cancel
from waiting_room.messages import Cancel


async def cancel(parts: Parts, request: Request, *, only_waiting: bool = False) -> Response:
    """``only_waiting``: a booking that does not wait for a seat is left as it is."""
    if (busy := overloaded(parts)) is not None:
        return busy
    headers = dict(request.scope["headers"])
    key = await caller(parts, request)
    require_scope(key, Scope.APPOINTMENTS_WRITE, Scope.CLINIC_WRITE)
    idempotency = idempotency_key(headers)
    ref = own_ref(parts, key, request.path_params["ref"])
    clinic_id = clinic_of(ref)
    site = parts.directory.clinic(clinic_id)
    if site is None:
        raise unknown()
    rate = require_rate(parts, key.owner_id, ref if key.owner_kind == OwnerKind.PASS else None)
    if key.owner_kind in (OwnerKind.APP, OwnerKind.PASS):
        await _require_cancellable(parts, site, ref, only_waiting)
        app_id = key.owner_id if key.owner_kind == OwnerKind.APP else await _app_of(parts, ref)
        whose = _Whose(app_id, By.PATIENT, Reason.PATIENT)
    else:
        whose = _Whose(await _app_of(parts, ref), By.CLINIC, Reason.PROVIDER)

    async def produce() -> Cancelling:
        accepted_at, accept_by, accept_by_ms = fence(parts.settings)
        site = parts.directory.clinic(clinic_id)
        if site is None:
            raise unknown()
        partition = site.clinic.partition
        require_producing(parts, partition, ref)
        seen = await version_seen(parts, request, ref)
        command = Cancel(
            booking_ref=ref,
            clinic_id=clinic_id,
            app_id=whose.app_id,
            requested_at=accepted_at,
            accept_by=accept_by,
            by=whose.by,
            reason=whose.reason,
            only_waiting=only_waiting,
            if_version=seen,
        )
        await hand_over(parts, partition, command, accept_by_ms)
        return Cancelling(ref, accepted_at)

    ref_of_key = parts.refs.derive(clinic_id, key.owner_id, idempotency)
    what = b"leave " if only_waiting else b"cancel "
    told = await parts.remembered.once(ref_of_key, sha256(what + ref.encode()).digest(), produce)
    answer = CancelAnswer(booking_ref=ref, requested_at=told.requested_at, links=booking_links(ref))
    return json_answer(answer, 202, {"Location": answer.links.self_, "Retry-After": str(POLL_SECONDS), **rate})


class _Whose(NamedTuple):
    """Who made the booking, and who cancels it why."""

    app_id: str
    by: By
    reason: Reason


async def _app_of(parts: Parts, ref: str) -> str:
    """The app that the patient of a clinic, or with a pass, has booked with.

    Raises Refused: 404, 409 where nothing is left to cancel.
    """
    row = await read(parts, ref)
    if row is None or row.booking_ref != ref:
        raise unknown()
    if row.status not in (*CANCELLABLE, Status.CANCELLED):
        raise Refused(problems.WRONG_STATUS, f"The booking is {row.status}.")
    return row.app_id


async def _require_cancellable(parts: Parts, site: Site, ref: str, only_waiting: bool) -> None:
    """Raises Refused (409) where it is too late, or waits no more, if that can be seen at once. Hold sees it in any
    case.
    """
    row = await glance(parts, ref)
    if row is None:
        return
    if only_waiting and row.status not in (Status.PENDING, Status.WAITLISTED, Status.CANCELLED):
        more = {"outcome": "none", "booking_ref": ref, "booking_status": row.status, "links": booking_links(ref)}
        raise Refused(problems.NOT_WAITING, f"The booking is {row.status}.", more=more)
    if row.archived and row.status is not Status.CANCELLED:
        raise Refused(problems.WRONG_STATUS, f"The booking is {row.status}.")
    if row.start_at is None:
        return
    notice = site.cancel_notice(row.service_type)
    if too_late_to_cancel(
        by=By.PATIENT,
        status=row.status,
        start_at=row.start_at,
        made_at=row.asked_at,
        moved_by_clinic=row.is_moved_by_clinic,
        notice=notice,
        asked_at=datetime.now(UTC),
    ):
        hours = notice / timedelta(hours=1)
        raise Refused(
            problems.NOTICE_PASSED,
            f"It can be cancelled up to {hours:g} hours before it starts.",
            more={"outcome": "none", "booking_ref": ref},
        )


CANCEL: Final = Operation(
    name="cancel",
    method="DELETE",
    path="/v1/appointments/{ref}",
    summary="Cancel a booking",
    endpoint=answering(cancel),
    parameters=(REF, IDEMPOTENCY_KEY, IF_UNCHANGED),
    answers=(
        Answer(
            status=202,
            description="The cancel was accepted; read the booking to see it carried out.",
            body=CancelAnswer,
            headers={"Location": STRING, "Retry-After": RETRY_AFTER, **RATE_LIMIT},
            always=("Location", "Retry-After", *RATE_LIMIT),
        ),
    ),
    problems=(
        problems.BAD_HEADER,
        problems.UNKNOWN_BOOKING,
        problems.NOTICE_PASSED,
        problems.WRONG_STATUS,
        problems.CHANGED_MEANWHILE,
        problems.KEY_REUSED,
        problems.RATE_LIMITED,
        problems.BUSY,
        problems.NOT_ACCEPTING,
        problems.OUTCOME_UNKNOWN,
        problems.READS_AWAY,
    ),
    by_pass=True,
)
