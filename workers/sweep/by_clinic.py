"""Many clinics in one transaction, and each by itself where somebody else holds one of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import structlog

from waiting_room.store.faults import is_contention

log = structlog.get_logger(__name__)
Key = tuple[str, str]
"""A clinic_id and something of that clinic."""


async def by_clinic(keys: Sequence[Key], work: Callable[[Sequence[Key]], Awaitable[int]]) -> int:
    """The sum of what ``work`` answers; a clinic that stays locked waits for the next round. Raises database errors."""
    if not keys:
        return 0
    try:
        return await work(keys)
    except Exception as error:
        if not is_contention(error):
            raise
    done = 0
    for clinic_id in sorted({clinic_id for clinic_id, _ in keys}):
        try:
            done += await work([key for key in keys if key[0] == clinic_id])
        except Exception as error:
            if not is_contention(error):
                raise
            log.info("clinic_busy", clinic_id=clinic_id)
    return done
