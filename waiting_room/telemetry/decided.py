"""What every part that decides bookings says of a decision: the metrics of the promise, and one line with all of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from waiting_room.telemetry import metrics, tracing

if TYPE_CHECKING:
    from waiting_room.store.booking import Booking

log = structlog.get_logger(__name__)

PROMISE_SECONDS = 900.0
"""DESIGN: decided within the p90 told at accept or 15 minutes, whichever is longer."""

for _outcome in ("within", "later"):
    metrics.PROCESSED.labels(_outcome)  # a ratio needs both from the start


def observe(booking: Booking) -> float | None:
    """The seconds from accept until this booking was decided; None, and nothing said, if it is not."""
    if booking.decided_at is None:
        return None
    state = booking.known_state
    waited_seconds = max((booking.decided_at - booking.asked_at).total_seconds(), 0.0)
    metrics.DECIDE_SECONDS.labels(state.status).observe(waited_seconds, tracing.exemplar(booking.booking_ref))
    within = waited_seconds <= max(booking.eta_p90 or 0.0, PROMISE_SECONDS)
    metrics.PROCESSED.labels("within" if within else "later").inc()
    held_seconds = None if booking.held_at is None else (booking.held_at - booking.asked_at).total_seconds()
    log.info(
        "decided",
        booking_ref=booking.booking_ref,
        clinic_id=booking.clinic_id,
        app_id=booking.app_id,
        status=state.status,
        reason=state.reason,
        by=state.by,
        clinic_state=state.clinic_state,
        revision=state.revision,
        ticket=booking.ticket,
        attempts=booking.attempts,
        held_seconds=None if held_seconds is None else round(max(held_seconds, 0.0), 3),
        seconds=round(waited_seconds, 3),
        eta_p50=booking.eta_p50,
        eta_p90=booking.eta_p90,
        in_time=within,
    )
    return waited_seconds
