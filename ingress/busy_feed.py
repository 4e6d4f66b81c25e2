"""/v1/providers/{id}/busy-feed: a calendar elsewhere that says when a provider is busy.

Its clinic puts the address, and sweep reads it. The address is a secret: whoever has it reads the calendar. It is kept
sealed, and no answer and no log shows more of it than the host.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Final
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response

from ingress import problems
from ingress.answers import json_answer
from ingress.body import BODY_PROBLEMS, read_as
from ingress.calendar_of import PROVIDER_ID, PROVIDERS, Unfit, clinic_calendar, told
from ingress.directory import Site
from ingress.operation import Answer, Operation, answering
from ingress.parts import Parts
from ingress.refusal import Refused, wrong_field
from ingress.requests import json_body
from ingress.webhook_url import why_not
from waiting_room.access import Scope
from waiting_room.domain.addresses import networks_of
from waiting_room.domain.availability.fit import unfit
from waiting_room.domain.busy_feeds import SOURCE, address_to_read
from waiting_room.store import busy_feeds, calendars
from waiting_room.store.busy_feeds import State
from waiting_room.store.pool import Connection


class BusyFeedBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``webcal:`` is read by https."""

    url: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=2_000,
            description="Of an iCalendar: https, to a public address. It is shown to nobody again.",
            extra_json_schema={"writeOnly": True},
        ),
    ]


class FeedState(StrEnum):
    """New: not read yet. Failing: what was read last stands."""

    NEW = "new"
    READ = "read"
    FAILING = "failing"


class BusyFeedAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """``error``, of the last of so many ``failures`` in a row; ``next_at``, when it is read again. ``count``: the busy
    times there are of it, and ``unfit`` all bookings of the provider that do not fit its calendar.
    """

    host: str
    state: FeedState
    put_at: datetime
    read_at: datetime | None
    next_at: datetime
    failures: int
    error: str | None
    failed_at: datetime | None
    source: str
    count: int
    unfit: list[Unfit]


_decode: Final = msgspec.json.Decoder(BusyFeedBody).decode


async def get_busy_feed(parts: Parts, request: Request) -> Response:
    provider_id, site = clinic_calendar(parts, request, Scope.CLINIC_READ)

    async def run(connection: Connection) -> BusyFeedAnswer:
        return await _answer(connection, site, provider_id, await calendars.now(connection))

    return json_answer(await parts.reads.run(run))


async def put_busy_feed(parts: Parts, request: Request) -> Response:
    provider_id, site = clinic_calendar(parts, request, Scope.CLINIC_WRITE)
    clinic_id, envelope = site.clinic.clinic_id, parts.envelope
    url = address_to_read(read_as(await json_body(request, parts.settings.ingress_body_max_bytes), _decode).url)
    if why := why_not(url, networks_of(parts.settings.webhook_allow_networks)):
        fix = "Send the https address that the calendar is published under, without a login in it."
        raise wrong_field("/url", why, fix, problems.WRONG_VALUE)
    host = urlsplit(url).hostname or ""

    async def run(connection: Connection) -> BusyFeedAnswer:
        now = await calendars.lock_clinic(connection, clinic_id)
        sealed = envelope.seal(url.encode(), busy_feeds.about(provider_id))
        await busy_feeds.put(connection, clinic_id, provider_id, sealed, host)
        return await _answer(connection, site, provider_id, now)

    return json_answer(await parts.writes.run(run))


async def delete_busy_feed(parts: Parts, request: Request) -> Response:
    provider_id, site = clinic_calendar(parts, request, Scope.CLINIC_WRITE)

    async def run(connection: Connection) -> None:
        await calendars.lock_clinic(connection, site.clinic.clinic_id)
        if not await busy_feeds.delete(connection, site.clinic.clinic_id, provider_id):
            raise Refused(problems.UNKNOWN_ENTRY, _NONE)

    await parts.writes.run(run)
    return Response(status_code=204)


async def _answer(connection: Connection, site: Site, provider_id: str, now: datetime) -> BusyFeedAnswer:
    """Raises Refused (404)."""
    state = await busy_feeds.find(connection, provider_id)
    if state is None:
        raise Refused(problems.UNKNOWN_ENTRY, _NONE)
    provider = await calendars.provider(connection, site.clinic.clinic_id, provider_id)
    if provider is None:
        raise Refused(problems.NOT_FOUND, "There is no such provider.")
    booked = await calendars.booked(connection, site.clinic.clinic_id, provider_id, now)
    busy = await calendars.busy(connection, provider_id, now)
    return BusyFeedAnswer(
        host=state.host,
        state=_state(state),
        put_at=state.put_at,
        read_at=state.read_at,
        next_at=state.next_at,
        failures=state.failures,
        error=state.error,
        failed_at=state.failed_at,
        source=SOURCE,
        count=sum(each.source == SOURCE for each in busy),
        unfit=told(unfit(provider, site.clinic.timezone, booked, busy)),
    )


def _state(state: State) -> FeedState:
    if state.failures:
        return FeedState.FAILING
    return FeedState.NEW if state.read_at is None else FeedState.READ


_NONE: Final = "The provider is subscribed to no calendar."
PATH: Final = f"{PROVIDERS}/{{id}}/busy-feed"
GET_BUSY_FEED: Final = Operation(
    name="busy_feed",
    method="GET",
    path=PATH,
    summary="Read how the calendar is doing that a provider is subscribed to",
    endpoint=answering(get_busy_feed),
    parameters=(PROVIDER_ID,),
    answers=(Answer(status=200, description="When it was read, and what became of that.", body=BusyFeedAnswer),),
    problems=(problems.NOT_FOUND, problems.UNKNOWN_ENTRY, problems.READS_AWAY),
)
PUT_BUSY_FEED: Final = Operation(
    name="put_busy_feed",
    method="PUT",
    path=PATH,
    summary="Subscribe a provider to a calendar that says when they are busy",
    endpoint=answering(put_busy_feed),
    parameters=(PROVIDER_ID,),
    body=BusyFeedBody,
    answers=(
        Answer(
            status=200,
            description="It is read within seconds, then every so often. What was read of another stands until then.",
            body=BusyFeedAnswer,
        ),
    ),
    problems=(*BODY_PROBLEMS, problems.NOT_FOUND, problems.NOT_CHANGED),
)
DELETE_BUSY_FEED: Final = Operation(
    name="delete_busy_feed",
    method="DELETE",
    path=PATH,
    summary="End the subscription; what was read of it is busy no longer",
    endpoint=answering(delete_busy_feed),
    parameters=(PROVIDER_ID,),
    answers=(Answer(status=204, description="Ended.", media_type=""),),
    problems=(problems.NOT_FOUND, problems.UNKNOWN_ENTRY, problems.NOT_CHANGED),
)
