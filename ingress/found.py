"""Finding a booking for somebody who may see it: its row, or the truth about why there is none."""

from __future__ import annotations

import asyncio
from typing import Final

from aiokafka.errors import KafkaError
from starlette.requests import Request

from ingress import problems
from ingress.calendar_of import require_version
from ingress.parts import Parts
from ingress.reads import RETRY_SECONDS
from ingress.refusal import Refused
from ingress.remembered import Accepted
from waiting_room.access import OwnerKind
from waiting_room.domain.booking_ref import NotARef, clinic_of, normalise
from waiting_room.messages import AccessKey
from waiting_room.store import bookings
from waiting_room.store.bookings import BookingRow
from waiting_room.topics import BOOKING_REQUESTS

State = BookingRow | Accepted

_ASK_WITHIN_SECONDS: Final = 1.0
_HELD_WITHIN_SECONDS: Final = 1.5
_LOOK_EVERY_SECONDS: Final = 0.1
_GLANCE_SECONDS: Final = 0.25


def own_ref(parts: Parts, key: AccessKey, text: str) -> str:
    """The canonical ref, if it can be this key's. Raises Refused (404), the same for all that it is not."""
    try:
        ref = normalise(text)
    except NotARef as error:
        raise unknown() from error
    match key.owner_kind:
        case OwnerKind.APP:
            own = parts.refs.belongs_to(ref, key.owner_id)
        case OwnerKind.CLINIC:
            own = clinic_of(ref) == key.owner_id
        case OwnerKind.PASS:
            own = ref == key.owner_id
        case _:
            own = True
    if not own:
        raise unknown()
    return ref


async def find(parts: Parts, key: AccessKey, ref: str) -> State:
    """The booking of an ``own_ref``.

    Without a row: Accepted, where this process accepted it or hold has not read everything that was appended before
    this question; else Refused (404). Raises Refused (503) while PostgreSQL, or Kafka where it matters, is away.
    """
    row = await read(parts, ref)
    if row is None:
        return await _without_row(parts, key, ref)
    return _seen_by(key, row)


async def read(parts: Parts, ref: str) -> BookingRow | None:
    """The row this ref leads to. Raises Refused (503)."""
    return await parts.reads.run(lambda connection: bookings.booking(connection, ref))


async def glance(parts: Parts, ref: str) -> BookingRow | None:
    """The row this ref leads to, if it can be read in a moment: for commands that need none."""
    try:
        return await asyncio.wait_for(read(parts, ref), _GLANCE_SECONDS)
    except (Refused, TimeoutError):
        return None


async def _without_row(parts: Parts, key: AccessKey, ref: str) -> State:
    site = parts.directory.clinic(clinic_of(ref))
    if key.owner_kind != OwnerKind.APP or site is None:
        raise unknown()  # nothing but its app's key proves that the ref is one of ours
    if (accepted := parts.remembered.accepted(ref)) is not None:
        return accepted
    # What was accepted before its clinic moved may still have to be read where the clinic was.
    partitions = (site.clinic.partition, site.clinic.moved_from)
    ends = {partition: await _end_offset(parts, partition) for partition in partitions if partition is not None}
    clock = asyncio.get_running_loop().time
    deadline = clock() + _HELD_WITHIN_SECONDS
    while True:
        all_held = all(_is_held(parts, partition, end) for partition, end in ends.items())
        if (row := await read(parts, ref)) is not None:
            return _seen_by(key, row)
        if all_held:
            raise unknown()
        if clock() >= deadline:
            return Accepted(ref, None, None, None)
        await asyncio.sleep(_LOOK_EVERY_SECONDS)


def _is_held(parts: Parts, partition: int, end: int) -> bool:
    held = parts.lines.held(partition)
    return end == 0 or (held is not None and held.next_offset >= end)


async def _end_offset(parts: Parts, partition: int) -> int:
    try:
        async with asyncio.timeout(_ASK_WITHIN_SECONDS):
            return await parts.follower.end_offset(BOOKING_REQUESTS, partition)
    except (KafkaError, TimeoutError) as error:
        raise Refused(
            problems.READS_AWAY,
            "Whether this booking was accepted cannot be told while Kafka does not answer.",
            headers={"Retry-After": str(RETRY_SECONDS)},
        ) from error


async def version_seen(parts: Parts, request: Request, ref: str) -> int | None:
    """The version that If-Match names, if it names one and the booking still has it; hold compares it once more. None
    where the caller does not mind. Raises Refused: 412, 404 without a booking, 503.
    """
    if request.headers.get("if-match", "*").strip() == "*":
        return None
    row = await read(parts, ref)
    if row is None or row.booking_ref != ref:
        raise unknown()
    require_version(request, row.row_version)
    return row.row_version


def _seen_by(key: AccessKey, row: BookingRow) -> BookingRow:
    """An alias may lead to a booking at another clinic."""
    match key.owner_kind:
        case OwnerKind.APP:
            own = row.app_id == key.owner_id
        case OwnerKind.CLINIC:
            own = row.clinic_id == key.owner_id
        case OwnerKind.PASS:
            own = row.booking_ref == key.owner_id
        case _:
            own = True
    if not own:
        raise unknown()
    return row


def unknown() -> Refused:
    return Refused(problems.UNKNOWN_BOOKING, "There is no booking with this reference.")
