"""Many clinics in one transaction, and each by itself where one is in the way: locked, or with a row that fails.

A row that fails whenever it is tried is a fault of ours. It is left out, and said to be: every other booking, at its
clinic too, is swept as if it were not there.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import structlog

from waiting_room.store.faults import is_contention, passes
from waiting_room.telemetry import metrics

log = structlog.get_logger(__name__)
Key = tuple[str, str]
"""A clinic_id and something of that clinic."""
Work = Callable[[Sequence[Key]], Awaitable[int]]


async def by_clinic(keys: Sequence[Key], work: Work) -> int:
    """The sum of what ``work`` answers; a clinic that stays locked waits for the next round. Raises what passes."""
    if not keys:
        return 0
    try:
        return await work(keys)
    except Exception as error:
        if passes(error) and not is_contention(error):
            raise
    clinics = sorted({clinic_id for clinic_id, _ in keys})
    return sum([await _one_clinic([key for key in keys if key[0] == clinic_id], work) for clinic_id in clinics])


async def _one_clinic(keys: Sequence[Key], work: Work) -> int:
    try:
        return await work(keys)
    except Exception as error:
        if is_contention(error):
            log.info("clinic_busy", clinic_id=keys[0][0])
            return 0
        if passes(error):
            raise
        if len(keys) == 1:
            leave_out(*keys[0], error)
            return 0
    return sum([await _one_clinic([key], work) for key in keys])


def leave_out(clinic_id: str, what: str, error: Exception) -> None:
    """Say that this could not be swept, whatever is tried."""
    metrics.SWEPT.labels("left_out").inc()
    log.error("left_out", clinic_id=clinic_id, what=what, exc_info=error)
