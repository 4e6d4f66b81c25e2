"""Times that are free instead of one that could not be had: at the same clinic, nearest to what was wanted."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final
from zlib import crc32

from waiting_room.domain.appointment import Reason
from waiting_room.domain.candidates import candidates, spans_of
from waiting_room.domain.schedule import busy_for
from waiting_room.store import holds
from waiting_room.store.holds import Window
from waiting_room.store.notifications import Begun
from waiting_room.store.pool import Connection
from workers.notify.words import Free

OFFERED: Final = 3
MAY_BE_HAD: Final = frozenset({Reason.SLOT_TAKEN, Reason.NO_FREE_SLOT, Reason.CLINIC_REFUSED, Reason.PROVIDER})
"""Who was rejected for one of these may still book at that clinic."""
_NEAREST: Final = 24
_SEARCHED: Final = timedelta(days=7)


async def free_instead(conn: Connection, begun: Begun, now: datetime) -> tuple[Free, ...]:
    """At most OFFERED; losers of one race are told of different ones. Raises database errors."""
    if begun.reason not in MAY_BE_HAD or begun.service_type is None:
        return ()
    clinic_id = begun.key.clinic_id
    rules = (await holds.load_rules(conn, [clinic_id])).get(clinic_id)
    service = rules.service_types.get(begun.service_type) if rules else None
    if rules is None or service is None:
        return ()
    offering = tuple(each for each in rules.providers.values() if begun.service_type in each.service_types)
    from_at = max(now, begun.start_at - _SEARCHED / 2) if begun.start_at else now
    until, near = from_at + _SEARCHED, begun.start_at or from_at
    windows = [Window(clinic_id, each.provider_id, from_at, until + busy_for(each, service)) for each in offering]
    taken = await holds.taken(conn, windows)
    spans = spans_of(offering, rules.timezone, now)
    free = sorted(
        (
            each
            for each in candidates(offering, service, rules.timezone, from_at, until, spans)
            if next(taken.free_seats(each), None) is not None
        ),
        key=lambda each: abs(each.start_at - near),
    )[:_NEAREST]
    if not free:
        return ()
    first = crc32(begun.key.booking_ref.encode()) % len(free)
    picked = [free[(first + step) % len(free)] for step in range(min(OFFERED, len(free)))]
    return tuple(
        Free(each.start_at, rules.providers[each.provider_id].name, begun.clinic_name, begun.timezone)
        for each in sorted(picked, key=lambda each: (each.start_at, each.provider_id))
    )
