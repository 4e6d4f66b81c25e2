"""GET /v1/appointments: a patient's bookings for the app that made them, or a clinic's of one day for the clinic.

A patient's are found by ``search`` too, which keeps the app's id of them out of addresses.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response

from ingress import problems
from ingress.access import require_app, require_scope
from ingress.answers import BookingList, json_answer, row_answer
from ingress.get import eta
from ingress.links import APPOINTMENTS
from ingress.operation import STRING, Answer, Operation, Parameter, answering
from ingress.pages import PAGE_PARAMETERS, cursor_of, limit_of, next_page, one
from ingress.parts import Parts
from ingress.refusal import Refused, wrong_parameter, wrong_query
from waiting_room.access import OwnerKind, Scope
from waiting_room.messages import AccessKey
from waiting_room.store import bookings
from waiting_room.store.bookings import BookingRow, Position
from waiting_room.store.pool import Connection

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
Page = Callable[[Connection, Position | None, int], Awaitable[list[Position]]]
"""At most so many bookings after a position, in their order."""


async def list_bookings(parts: Parts, request: Request) -> Response:
    key = parts.authenticate(dict(request.scope["headers"]))
    query = request.query_params
    patient, clinic, day = (one(query, name) for name in ("patient", "clinic", "day"))
    if patient is not None and clinic is None and day is None:
        return await page_of(parts, query, APPOINTMENTS, {"patient": patient}, of_patient(parts, key, patient))
    if patient is None and clinic is not None and day is not None:
        page = _of_day(parts, key, clinic, day)
        return await page_of(parts, query, APPOINTMENTS, {"clinic": clinic, "day": day}, page)
    lacks = "day" if clinic is not None and patient is None else "clinic" if day is not None else "patient"
    raise wrong_query(problems.WHOSE_BOOKINGS, lacks, "The query has neither `patient` alone nor `clinic` and `day`.")


def of_patient(parts: Parts, key: AccessKey, patient_id: str) -> Page:
    """This app's bookings for them, newest first. Raises Refused: 403."""
    require_app(key)
    require_scope(key, Scope.APPOINTMENTS_READ)
    tag = parts.tags.of(key.owner_id, patient_id)
    return lambda connection, after, limit: bookings.of_patient(connection, key.owner_id, tag, after, limit)


def _of_day(parts: Parts, key: AccessKey, clinic_id: str, text: str) -> Page:
    require_scope(key, Scope.CLINIC_READ)
    if key.owner_kind == OwnerKind.CLINIC and key.owner_id != clinic_id:
        raise Refused(problems.FORBIDDEN, "A clinic's key lists its own clinic only.")
    site = parts.directory.clinic(clinic_id)
    if site is None:
        raise wrong_query(problems.UNKNOWN_CLINIC, "clinic", f"There is no clinic {clinic_id}.")
    from_at, to_at = _bounds(text, ZoneInfo(site.clinic.timezone))
    return lambda connection, after, limit: bookings.of_day(connection, clinic_id, from_at, to_at, after, limit)


def _bounds(text: str, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """The day's first instant and the next day's, by the clinic's clock. Raises Refused (400)."""
    try:
        if not _DAY.fullmatch(text):
            raise ValueError(text)
        day = date.fromisoformat(text)
        ends = (datetime.combine(each, time.min, zone).astimezone(UTC) for each in (day, day + timedelta(days=1)))
        from_at, to_at = ends
    except (ValueError, OverflowError) as error:
        detail = "That is no day anybody books."
        raise wrong_parameter("day", detail, "Send a day as YYYY-MM-DD.", problems.BAD_PARAMETER) from error
    return from_at, to_at


async def page_of(parts: Parts, query: QueryParams, path: str, asked: dict[str, str], page: Page) -> Response:
    """One page, whose `next` is at ``path`` with ``asked`` in its query. Raises Refused: 400, 422, 503."""
    limit, after = limit_of(query), cursor_of(query, Position)

    async def run(connection: Connection) -> tuple[list[Position], list[BookingRow]]:
        found = await page(connection, after, limit + 1)
        return found, await bookings.bookings(connection, [position.booking_ref for position in found[:limit]])

    found, rows = await parts.reads.run(run)
    more = next_page(path, asked, limit, found[limit - 1]) if len(found) > limit else None
    told = [row_answer(row, eta(parts, row)) for row in rows]
    return json_answer(BookingList(appointments=told, next=more))


LIST: Final = Operation(
    name="list",
    method="GET",
    path=APPOINTMENTS,
    summary="List a patient's bookings, or a clinic's of one day",
    endpoint=answering(list_bookings),
    parameters=(
        Parameter(
            name="patient",
            where="query",
            schema=STRING,
            description="The app's id of the patient: this app's bookings for them, newest first. Not with `clinic`. "
            "Whose addresses are logged on their way sends it in a body: POST /v1/appointments/search.",
        ),
        Parameter(
            name="clinic",
            where="query",
            schema=STRING,
            description="With `day`: the clinic's bookings that start on that day, earliest first.",
        ),
        Parameter(
            name="day",
            where="query",
            schema={"type": "string", "format": "date"},
            description="A day in the clinic's time zone.",
        ),
        *PAGE_PARAMETERS,
    ),
    answers=(Answer(status=200, description="One page.", body=BookingList),),
    problems=(
        problems.BAD_PARAMETER,
        problems.BAD_CURSOR,
        problems.WHOSE_BOOKINGS,
        problems.UNKNOWN_CLINIC,
        problems.READS_AWAY,
    ),
)
