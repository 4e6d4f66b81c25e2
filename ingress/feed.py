"""A provider's calendar for calendar programs: an address nobody can guess, made and withdrawn by the clinic.

Calendar programs send no header, so the secret is in the address; no address is ever logged here.
"""

from __future__ import annotations

import asyncio
import secrets
from hashlib import sha256
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from ingress import problems
from ingress.answers import json_answer
from ingress.calendar_of import ETAG, PROVIDER_ID, PROVIDERS, clinic_calendar, unchanged
from ingress.operation import STRING, Answer, Operation, Parameter, answering
from ingress.parts import Parts
from ingress.refusal import Refused
from waiting_room.access import Scope
from waiting_room.ics import write_feed
from waiting_room.store import calendars
from waiting_room.store.calendars import FeedEntry
from waiting_room.store.pool import Connection

FEEDS: Final = "/v1/feeds"
KEEP_SECONDS: Final = 60
_TOKEN_BYTES: Final = 32


class FeedAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """``address`` holds the secret and is shown this once."""

    address: str


async def make_feed(parts: Parts, request: Request) -> Response:
    provider_id, _ = clinic_calendar(parts, request, Scope.CLINIC_WRITE)
    token = secrets.token_urlsafe(_TOKEN_BYTES)
    await parts.writes.run(lambda connection: calendars.new_feed(connection, provider_id, _hash(token)))
    return json_answer(FeedAnswer(address=f"{FEEDS}/{token}.ics"), 201)


async def withdraw_feed(parts: Parts, request: Request) -> Response:
    provider_id, _ = clinic_calendar(parts, request, Scope.CLINIC_WRITE)
    if not await parts.writes.run(lambda connection: calendars.delete_feed(connection, provider_id)):
        raise Refused(problems.UNKNOWN_ENTRY, "The provider has no feed.")
    return Response(status_code=204)


async def read_feed(parts: Parts, request: Request) -> Response:
    token: str = request.path_params["token"]
    found = await parts.reads.run(lambda connection: _read(parts, connection, token))
    if found is None:
        raise Refused(problems.NOT_FOUND, "There is no such feed.")
    provider_id, entries = found
    tag = f'W/"{sha256(repr((provider_id, entries)).encode()).hexdigest()[:24]}"'
    headers = {"ETag": tag, "Cache-Control": f"private, max-age={KEEP_SECONDS}"}
    if unchanged(request, tag):
        return Response(status_code=304, headers=headers)
    calendar = await asyncio.to_thread(write_feed, provider_id, entries)
    return Response(calendar, headers=headers, media_type="text/calendar")


async def _read(parts: Parts, connection: Connection, token: str) -> tuple[str, list[FeedEntry]] | None:
    provider_id = await calendars.provider_of_feed(connection, _hash(token))
    site = parts.directory.of_provider(provider_id) if provider_id is not None else None
    if provider_id is None or site is None:
        return None
    return provider_id, await calendars.feed(connection, site.clinic.clinic_id, provider_id)


def _hash(token: str) -> bytes:
    """A slow one would add nothing: nobody guesses 256 random bits."""
    return sha256(token.encode()).digest()


PATH: Final = f"{PROVIDERS}/{{id}}/feed"
MAKE_FEED: Final = Operation(
    name="make_feed",
    method="POST",
    path=PATH,
    summary="Make the address of a provider's calendar feed; the one before opens nothing any more",
    endpoint=answering(make_feed),
    parameters=(PROVIDER_ID,),
    answers=(Answer(status=201, description="Keep the address secret.", body=FeedAnswer),),
    problems=(problems.NOT_FOUND, problems.NOT_CHANGED),
)
WITHDRAW_FEED: Final = Operation(
    name="withdraw_feed",
    method="DELETE",
    path=PATH,
    summary="Withdraw a provider's calendar feed",
    endpoint=answering(withdraw_feed),
    parameters=(PROVIDER_ID,),
    answers=(Answer(status=204, description="Its address opens nothing any more.", media_type=""),),
    problems=(problems.NOT_FOUND, problems.UNKNOWN_ENTRY, problems.NOT_CHANGED),
)
READ_FEED: Final = Operation(
    name="feed",
    method="GET",
    path=f"{FEEDS}/{{token}}.ics",
    summary="A provider's bookings as iCalendar, without anybody's name",
    endpoint=answering(read_feed),
    parameters=(
        Parameter(
            name="token", where="path", schema=STRING, description="As the address was made with.", required=True
        ),
        Parameter(name="If-None-Match", where="header", schema=STRING, description="An `ETag` seen before."),
    ),
    answers=(
        Answer(
            status=200,
            description="From a week ago on.",
            media_type="text/calendar",
            headers=ETAG,
            always=("ETag",),
        ),
        Answer(status=304, description="Nothing has changed.", media_type="", headers=ETAG, always=("ETag",)),
    ),
    problems=(problems.NOT_FOUND, problems.READS_AWAY),
    secured=False,
)
