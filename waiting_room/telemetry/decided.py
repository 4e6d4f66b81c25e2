"""What every part that decides bookings says of a decision."""

from __future__ import annotations

from waiting_room.telemetry import metrics, tracing

PROMISE_SECONDS = 900.0
"""DESIGN: decided within the p90 told at accept or 15 minutes, whichever is longer."""

for _outcome in ("within", "later"):
    metrics.PROCESSED.labels(_outcome)  # a ratio needs both from the start


def observe(booking_ref: str, status: str, waited_seconds: float, eta_p90: float | None) -> None:
    """This booking was decided to be ``status``, so long after it was accepted."""
    waited_seconds = max(waited_seconds, 0.0)
    metrics.DECIDE_SECONDS.labels(status).observe(waited_seconds, tracing.exemplar(booking_ref))
    within = waited_seconds <= max(eta_p90 or 0.0, PROMISE_SECONDS)
    metrics.PROCESSED.labels("within" if within else "later").inc()
