"""Following one booking until it is decided: PostgreSQL for the state, booking.events for what comes after."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import replace
from typing import Final

from ingress.found import State, read
from ingress.parts import Parts
from ingress.refusal import Refused
from ingress.remembered import Accepted
from waiting_room.domain.appointment import DECIDED, Status
from waiting_room.domain.booking_ref import clinic_of
from waiting_room.messages import BookingEvent
from waiting_room.store.bookings import BookingRow

TICK_SECONDS: Final = 1.0
"""A state is given at least this often, changed or not."""

_LIVE_WITHIN_SECONDS: Final = 1.0
_READ_AGAIN_SECONDS: Final = 10.0
"""Even where events come in, PostgreSQL has the last word now and then."""


def decided(state: State) -> bool:
    return isinstance(state, BookingRow) and state.status in DECIDED


def at_rest(state: State) -> bool:
    """Decided, and not waiting for a seat: nothing more is to come."""
    return decided(state) and isinstance(state, BookingRow) and state.status is not Status.WAITLISTED


def after(row: BookingRow, event: BookingEvent) -> BookingRow | None:
    """The row after the clinic's next event; None if the row is too old to tell. Pure.

    An event of another booking moves this one up if it has shortened the line before it, and down where one that had
    waited for a seat has joined the line before it.
    """
    if event.seq <= row.seq:
        return row
    if event.seq != row.seq + 1 or event.line is None:
        return None
    seen = replace(row, seq=event.seq, line=event.line)
    if event.booking_ref != row.booking_ref:
        if row.status is Status.WAITLISTED:
            return seen  # its place is read now and then
        before_it = event.ticket is not None and row.ticket is not None and event.ticket < row.ticket
        if before_it and event.line != row.line and row.place is not None:
            return replace(seen, place=row.place + (1 if event.line > row.line else -1))
        return seen
    if Status.WAITLISTED in (row.status, event.status):
        return None  # what it is offered is in no event of the line
    is_decided = event.status in DECIDED
    return replace(
        seen,
        ticket=event.ticket,
        status=event.status,
        stage=event.stage,
        reason=event.reason,
        by=event.by,
        row_version=event.row_version,
        provider_id=event.provider_id,
        service_type=event.service_type,
        start_at=event.start_at,
        end_at=event.end_at,
        decided_at=(row.decided_at or event.at) if is_decided else None,
        own_seq=event.seq,
        place=None if is_decided else row.place,
    )


async def follow(
    parts: Parts, ref: str, state: State, ends: Callable[[State], bool] = at_rest
) -> AsyncGenerator[State, None]:
    """States of the booking from ``state`` on, at least one every TICK_SECONDS, up to one that ``ends`` it.

    Also ends when the process is told to stop. While PostgreSQL is away the last known state is repeated.
    """
    clinic_id = state.clinic_id if isinstance(state, BookingRow) else clinic_of(ref)
    clock = asyncio.get_running_loop().time
    with parts.tail.watch(clinic_id) as watcher:
        await parts.tail.live(_LIVE_WITHIN_SECONDS)
        stale, read_at = True, clock()
        while not parts.stopping.is_set():
            if stale:
                state, read_at = await _read(parts, ref, state), clock()
            yield state
            if ends(state):
                return
            events, gap = await watcher.news(TICK_SECONDS)
            state, stale = _fold(ref, state, events)
            age = clock() - read_at
            stale = stale or gap or age >= _READ_AGAIN_SECONDS
            stale = stale or (age >= TICK_SECONDS and _late(parts, clinic_id, state))


async def decided_within(parts: Parts, ref: str, state: State, seconds: float) -> BookingRow | None:
    """The booking, if it is decided in time."""
    try:
        async with asyncio.timeout(seconds), aclosing(follow(parts, ref, state, decided)) as states:
            async for state in states:
                if isinstance(state, BookingRow) and decided(state):
                    return state
    except TimeoutError:
        pass
    return None


async def _read(parts: Parts, ref: str, state: State) -> State:
    try:
        return await read(parts, ref) or state
    except Refused:
        return state


def _fold(ref: str, state: State, events: list[BookingEvent]) -> tuple[State, bool]:
    """The state after these events, and whether it has to be read again to know."""
    if isinstance(state, Accepted):
        return state, any(event.booking_ref == ref for event in events)
    for event in events:
        folded = after(state, event)
        if folded is None:
            return state, True
        state = folded
    return state, False


def _late(parts: Parts, clinic_id: str, state: State) -> bool:
    """Whether events cannot be relied on: nothing comes, or workers speak of events that have not come."""
    if isinstance(state, Accepted) or state.clinic_id != clinic_id:
        return True
    return not parts.tail.is_live or parts.handover.failing or parts.lines.seq(clinic_id) > state.seq
