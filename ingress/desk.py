"""What a clinic's people do at their desk: written while they wait, in one transaction under their clinic's lock."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from ingress import problems
from ingress.access import require_scope
from ingress.directory import Site
from ingress.operation import STRING, Parameter
from ingress.parts import Parts
from ingress.reads import RETRY_SECONDS
from ingress.refusal import Refused, wrong_header
from ingress.requests import Headers
from waiting_room.access import OwnerKind, Scope
from waiting_room.messages import AccessKey
from waiting_room.store.faults import is_contention
from waiting_room.store.pool import Connection

T = TypeVar("T")
_ATTEMPTS: Final = 5
_PAUSE_SECONDS: Final = 0.05
_VERSION = re.compile(rb'"(\d{1,9})"')

IF_MATCH: Final = Parameter(
    name="If-Match",
    where="header",
    schema={"type": "string", "pattern": '^"[0-9]{1,9}"$'},
    description="The ETag of what is changed, as it was read.",
    required=True,
)
CLINIC_ID: Final = Parameter(name="id", where="path", schema=STRING, description="The clinic.", required=True)


def desk_key(parts: Parts, headers: Headers, scope: Scope = Scope.CLINIC_WRITE) -> AccessKey:
    """Whose key it is: a clinic's or an operator's. Raises Refused."""
    key = parts.authenticate(headers)
    if key.owner_kind == OwnerKind.APP:
        raise Refused(problems.FORBIDDEN, "Only a clinic's key may do that.")
    require_scope(key, scope)
    return key


def own_clinic(parts: Parts, key: AccessKey, clinic_id: str) -> Site:
    """Raises Refused (403), the same for another clinic and for none."""
    site = parts.directory.clinic(clinic_id)
    if site is None or (key.owner_kind == OwnerKind.CLINIC and key.owner_id != clinic_id):
        raise Refused(problems.FORBIDDEN, "A clinic's key is for its own clinic only.")
    return site


def version_of(headers: Headers) -> int:
    """The version that ``If-Match`` names. Raises Refused (428, 400)."""
    told = headers.get(b"if-match")
    if told is None:
        raise Refused(problems.IF_MATCH_MISSING, "The request has no If-Match header.")
    match = _VERSION.fullmatch(told.strip())
    if match is None:
        detail = "The header is no ETag of ours."
        raise wrong_header("If-Match", detail, 'Send the ETag as it was given, such as "3".', problems.BAD_HEADER)
    return int(match[1])


def require_version(asked: int, there: int) -> None:
    """Raises Refused (412)."""
    if asked != there:
        raise Refused(problems.VERSION_CHANGED, f'You have read version "{asked}", and it is at "{there}" now.')


async def write(parts: Parts, work: Callable[[Connection], Awaitable[T]]) -> T:
    """What ``work`` answers, committed. A clinic that others lock is tried again for a moment.

    Raises Refused (503, outcome unknown) where PostgreSQL does not answer in time, and what ``work`` raises.
    """

    async def in_transaction(connection: Connection) -> T:
        attempt = 1
        while True:
            try:
                async with connection.transaction():
                    return await work(connection)
            except Exception as error:
                if attempt == _ATTEMPTS or not is_contention(error):
                    raise
            attempt += 1
            await asyncio.sleep(_PAUSE_SECONDS)

    try:
        return await parts.reads.run(in_transaction)
    except Refused as refusal:
        if refusal.kind is not problems.READS_AWAY:
            raise
        raise Refused(
            problems.NOT_WRITTEN,
            "The database does not answer.",
            headers={"Retry-After": str(RETRY_SECONDS)},
            more={"outcome": "unknown"},
        ) from refusal
