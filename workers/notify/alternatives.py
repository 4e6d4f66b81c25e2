"""Times that are free instead of one that could not be had: nearest to what was wanted.

At the same clinic first; at others of its business where that one is away or has nothing left.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final
from zlib import crc32

from waiting_room.domain.candidates import OTHER_CLINICS, SAME_CLINIC, candidates, spans_of
from waiting_room.domain.schedule import busy_for
from waiting_room.store import holds, notifications
from waiting_room.store.holds import Window
from waiting_room.store.notifications import Begun
from waiting_room.store.pool import Connection
from workers.notify.words import Free

OFFERED: Final = 3
_CLINICS: Final = 3
_NEAREST: Final = 24
_SEARCHED: Final = timedelta(days=7)


async def free_instead(conn: Connection, begun: Begun, now: datetime) -> tuple[Free, ...]:
    """At most OFFERED; losers of one race are told of different ones. Raises database errors."""
    service_type, clinic_id = begun.service_type, begun.key.clinic_id
    if begun.reason not in OTHER_CLINICS or service_type is None:
        return ()
    free: list[Free] = []
    if begun.reason in SAME_CLINIC:
        free = await _free(conn, {clinic_id: begun.clinic_name}, service_type, begun.start_at, now)
    if not free:
        others = await notifications.other_clinics(conn, clinic_id, service_type, _CLINICS)
        free = await _free(conn, others, service_type, begun.start_at, now)
    if not free:
        return ()
    first = crc32(begun.key.booking_ref.encode()) % len(free)
    picked = [free[(first + step) % len(free)] for step in range(min(OFFERED, len(free)))]
    return tuple(sorted(picked, key=lambda each: (each.start_at, each.clinic, each.provider)))


async def _free(
    conn: Connection, names: Mapping[str, str], service_type: str, wanted_at: datetime | None, now: datetime
) -> list[Free]:
    """The nearest to what was wanted, at these clinics (names by id)."""
    from_at = max(now, wanted_at - _SEARCHED / 2) if wanted_at else now
    until, near = from_at + _SEARCHED, wanted_at or from_at
    offers = []
    windows = []
    for rules in (await holds.load_rules(conn, names)).values():
        service = rules.service_types.get(service_type)
        providers = tuple(each for each in rules.providers.values() if service_type in each.service_types)
        if service is None or not providers:
            continue
        offers.append((rules, service, providers))
        windows += [
            Window(rules.clinic_id, each.provider_id, from_at, until + busy_for(each, service)) for each in providers
        ]
    if not offers:
        return []
    taken = await holds.taken(conn, windows)
    free = [
        Free(each.start_at, rules.providers[each.provider_id].name, names[rules.clinic_id], rules.timezone)
        for rules, service, providers in offers
        for each in candidates(
            providers, service, rules.timezone, from_at, until, spans_of(providers, rules.timezone, now)
        )
        if next(taken.free_seats(each), None) is not None
    ]
    return sorted(free, key=lambda each: abs(each.start_at - near))[:_NEAREST]
