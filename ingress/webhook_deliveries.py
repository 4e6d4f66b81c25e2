"""GET and replay of /v1/webhook-endpoints/{id}/deliveries: what was sent, what came back, and sending it again."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

import msgspec
from msgspec import UNSET, UnsetType
from starlette.requests import Request
from starlette.responses import Response

from ingress import problems
from ingress.answers import json_answer
from ingress.body import BODY_PROBLEMS, Instant, read_as
from ingress.operation import STRING, Answer, Operation, Parameter, answering
from ingress.pages import PAGE_PARAMETERS, cursor_of, limit_of, next_page, one
from ingress.parts import Parts
from ingress.refusal import Refused, wrong_field, wrong_parameter
from ingress.requests import json_body
from ingress.webhook_answers import (
    ENDPOINT_ID,
    PATH,
    DeliveryAnswer,
    delivery_told,
    managing,
    own_endpoint,
)
from waiting_room.domain.delivery import DeliveryState
from waiting_room.messages import AccessKey
from waiting_room.store import webhook_endpoints
from waiting_room.store.pool import Connection
from waiting_room.store.webhook_endpoints import DeliveryRow, Position
from waiting_room.webhook_events import parse_webhook_id


class DeliveryList(msgspec.Struct, frozen=True, kw_only=True):
    """One page, newest event first; ``next`` is the address of the page after it, null on the last."""

    deliveries: list[DeliveryAnswer]
    next: str | None


class AttemptAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """One POST: where to, how long until it was over, and the answer's ``status`` and beginning, or why none came."""

    started_at: datetime
    seconds: float
    url: str
    status: int | None
    error: str | None
    response: str | None


class DeliveryDetail(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery with its attempts, oldest first. ``request_body``: what was posted, but without the patient where full
    payloads were chosen.
    """

    delivery: DeliveryAnswer
    request_headers: dict[str, str]
    request_body: str | None
    attempts: list[AttemptAnswer]


class ReplayRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Events of [since, until) that the endpoint asks for; until now unless said. ``only_failed``: of these, the ones
    that have failed for good.
    """

    since: Instant
    until: Instant | UnsetType = UNSET
    only_failed: bool = False


class ReplayAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """``replayed``: deliveries now due. ``next_since``: there are more; ask again from there. Null: that was all.
    ``archived``: bookings that had events then may be archived by now. Theirs are not sent again: read those bookings.
    """

    replayed: int
    next_since: datetime | None
    archived: bool


_decode: Final = msgspec.json.Decoder(ReplayRequest).decode


async def list_deliveries(parts: Parts, request: Request) -> Response:
    key, endpoint_id = managing(parts, request), request.path_params["endpoint_id"]
    query = request.query_params
    state, limit, after = _state(one(query, "state")), limit_of(query), cursor_of(query, Position)

    async def run(conn: Connection) -> list[DeliveryRow]:
        await own_endpoint(conn, key, endpoint_id)
        return await webhook_endpoints.deliveries(conn, endpoint_id, state, after, limit + 1)

    rows = await parts.reads.run(run)
    asked = {"state": state.value} if state else {}
    path = f"{PATH}/{endpoint_id}/deliveries"
    more = next_page(path, asked, limit, rows[limit - 1].position) if len(rows) > limit else None
    return json_answer(DeliveryList(deliveries=[delivery_told(endpoint_id, row) for row in rows[:limit]], next=more))


def _state(text: str | None) -> DeliveryState | None:
    try:
        return None if text is None else DeliveryState(text)
    except ValueError as error:
        fix = f"Send one of {', '.join(DeliveryState)}."
        raise wrong_parameter("state", "There is no such state.", fix, problems.BAD_PARAMETER) from error


async def read(parts: Parts, request: Request) -> Response:
    key, endpoint_id = managing(parts, request), request.path_params["endpoint_id"]
    which = _which(endpoint_id, request.path_params["webhook_id"])

    async def run(conn: Connection) -> DeliveryDetail:
        await own_endpoint(conn, key, endpoint_id)
        row = await _delivery(conn, endpoint_id, which)
        answer = delivery_told(endpoint_id, row)
        return DeliveryDetail(
            delivery=answer,
            request_headers={"content-type": "application/json", "webhook-id": answer.webhook_id},
            request_body=await webhook_endpoints.body(conn, endpoint_id, *which),
            attempts=[
                AttemptAnswer(**attempt._asdict())
                for attempt in await webhook_endpoints.attempts(conn, endpoint_id, *which)
            ],
        )

    return json_answer(await parts.reads.run(run))


async def replay_one(parts: Parts, request: Request) -> Response:
    key, endpoint_id = managing(parts, request), request.path_params["endpoint_id"]
    which = _which(endpoint_id, request.path_params["webhook_id"])

    async def work(conn: Connection) -> DeliveryAnswer:
        await _require_on(conn, key, endpoint_id)
        await webhook_endpoints.replay(conn, endpoint_id, [which])
        return delivery_told(endpoint_id, await _delivery(conn, endpoint_id, which))

    return json_answer(await parts.writes.run(work), 202)


async def replay_between(parts: Parts, request: Request) -> Response:
    key, endpoint_id = managing(parts, request), request.path_params["endpoint_id"]
    wanted = read_as(await json_body(request, parts.settings.ingress_body_max_bytes), _decode)
    since = _utc("/since", wanted.since)
    until = datetime.now(UTC) if wanted.until is UNSET else _utc("/until", wanted.until)

    async def work(conn: Connection) -> ReplayAnswer:
        await _require_on(conn, key, endpoint_id)
        replayed, next_since = await webhook_endpoints.replay_between(
            conn, endpoint_id, since, until, only_failed=wanted.only_failed
        )
        archived = await webhook_endpoints.archived_between(
            conn, endpoint_id, since, until, parts.settings.archive_after_days
        )
        return ReplayAnswer(replayed=replayed, next_since=next_since, archived=archived)

    return json_answer(await parts.writes.run(work), 202)


async def _require_on(conn: Connection, key: AccessKey, endpoint_id: str) -> None:
    """Raises Refused: 404, or 409 while it is sent nothing."""
    if not (await own_endpoint(conn, key, endpoint_id)).active:
        raise Refused(problems.ENDPOINT_DISABLED, "What was made due now would only fail.")


def _utc(pointer: str, moment: datetime) -> datetime:
    """Raises Refused (422) at the ends of the calendar."""
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:
        detail = "Nothing happened then."
        raise wrong_field(pointer, detail, "Send a time of this age.", problems.WRONG_VALUE) from error


def _which(endpoint_id: str, webhook_id: str) -> tuple[str, int]:
    """(clinic_id, seq). Raises Refused (404)."""
    found = parse_webhook_id(webhook_id)
    if found is None or found[0] != endpoint_id or "\0" in webhook_id:
        raise _unknown()
    return found[1:]


async def _delivery(conn: Connection, endpoint_id: str, which: tuple[str, int]) -> DeliveryRow:
    row = await webhook_endpoints.delivery(conn, endpoint_id, *which)
    if row is not None:
        return row
    if await webhook_endpoints.is_archived(conn, endpoint_id, *which):
        raise Refused(problems.DELIVERY_ARCHIVED, "Its deliveries are not kept: only what became of them is.")
    raise _unknown()


def _unknown() -> Refused:
    return Refused(problems.UNKNOWN_DELIVERY, "There is none by this webhook-id at this endpoint.")


_WEBHOOK_ID: Final = Parameter(
    name="webhook_id", where="path", schema=STRING, description="The header of that name.", required=True
)
DELIVERIES: Final = (
    Operation(
        name="webhook_deliveries",
        method="GET",
        path=f"{PATH}/{{endpoint_id}}/deliveries",
        summary="List what a webhook endpoint was sent or is to be sent",
        endpoint=answering(list_deliveries),
        parameters=(
            ENDPOINT_ID,
            Parameter(
                name="state",
                where="query",
                schema={"type": "string", "enum": [state.value for state in DeliveryState]},
                description="Only those; `failed` are the dead letters.",
            ),
            *PAGE_PARAMETERS,
        ),
        answers=(Answer(status=200, description="One page.", body=DeliveryList),),
        problems=(
            problems.UNKNOWN_ENDPOINT,
            problems.BAD_PARAMETER,
            problems.BAD_CURSOR,
            problems.READS_AWAY,
        ),
    ),
    Operation(
        name="webhook_delivery",
        method="GET",
        path=f"{PATH}/{{endpoint_id}}/deliveries/{{webhook_id}}",
        summary="Read a delivery: request, responses and timing of every attempt",
        endpoint=answering(read),
        parameters=(ENDPOINT_ID, _WEBHOOK_ID),
        answers=(Answer(status=200, description="All there is to know.", body=DeliveryDetail),),
        problems=(
            problems.UNKNOWN_ENDPOINT,
            problems.UNKNOWN_DELIVERY,
            problems.DELIVERY_ARCHIVED,
            problems.READS_AWAY,
        ),
    ),
    Operation(
        name="replay_webhook_delivery",
        method="POST",
        path=f"{PATH}/{{endpoint_id}}/deliveries/{{webhook_id}}/replay",
        summary="Send a delivery again, under the same webhook-id",
        endpoint=answering(replay_one),
        parameters=(ENDPOINT_ID, _WEBHOOK_ID),
        answers=(Answer(status=202, description="It is due now.", body=DeliveryAnswer),),
        problems=(
            problems.UNKNOWN_ENDPOINT,
            problems.UNKNOWN_DELIVERY,
            problems.DELIVERY_ARCHIVED,
            problems.ENDPOINT_DISABLED,
            problems.NOT_CHANGED,
        ),
    ),
    Operation(
        name="replay_webhook_deliveries",
        method="POST",
        path=f"{PATH}/{{endpoint_id}}/replay",
        summary="Send everything of a stretch of time again, also what was missed while the endpoint was off",
        endpoint=answering(replay_between),
        parameters=(ENDPOINT_ID,),
        body=ReplayRequest,
        answers=(Answer(status=202, description="So many are due now.", body=ReplayAnswer),),
        problems=(
            problems.UNKNOWN_ENDPOINT,
            problems.ENDPOINT_DISABLED,
            *BODY_PROBLEMS,
            problems.NOT_CHANGED,
        ),
    ),
)
