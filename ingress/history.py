"""GET /v1/appointments/{ref}/history: everything that happened to a booking."""

from __future__ import annotations

from typing import Final

from msgspec import UNSET
from starlette.requests import Request
from starlette.responses import Response

from ingress import problems
from ingress.answers import History, HistoryEvent, json_answer, notification_answer
from ingress.found import find, own_ref
from ingress.get import notifications_of, reader
from ingress.operation import REF, Answer, Operation, answering
from ingress.parts import Parts
from ingress.remembered import Accepted
from waiting_room.messages import BookingEvent
from waiting_room.store import bookings


async def history(parts: Parts, request: Request) -> Response:
    key = await reader(parts, request)
    state = await find(parts, key, own_ref(parts, key, request.path_params["ref"]))
    if isinstance(state, Accepted):
        return json_answer(History(booking_ref=state.booking_ref, events=[]))
    clinic_id, ref = state.clinic_id, state.booking_ref
    events = await parts.reads.run(lambda connection: bookings.history(connection, clinic_id, ref))
    told = await notifications_of(parts, state)
    return json_answer(
        History(
            booking_ref=ref,
            events=[_told(event) for event in events],
            notifications=[notification_answer(each) for each in told] or UNSET,
        )
    )


def _told(event: BookingEvent) -> HistoryEvent:
    return HistoryEvent(
        seq=event.seq,
        event=event.event,
        at=event.at,
        status=event.status,
        stage=event.stage,
        revision=event.revision,
        start_at=event.start_at,
        reason=event.reason,
        by=event.by,
    )


HISTORY: Final = Operation(
    name="history",
    method="GET",
    path="/v1/appointments/{ref}/history",
    summary="Read a booking's history",
    endpoint=answering(history),
    parameters=(REF,),
    answers=(Answer(status=200, description="Its events; none yet if it is accepted and not held.", body=History),),
    problems=(problems.UNKNOWN_BOOKING, problems.READS_AWAY),
    by_pass=True,
)
