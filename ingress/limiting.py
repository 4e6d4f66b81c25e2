"""Whether a caller may send another command now, and what its answer says of it."""

from __future__ import annotations

import time
from typing import Final

from ingress import problems
from ingress.operation import STRING, Schema
from ingress.parts import Parts
from ingress.refusal import Refused
from waiting_room.telemetry import metrics

RATE_LIMIT: Final[dict[str, Schema]] = {
    "RateLimit": {**STRING, "description": "What is left: `r` requests, all of them again in `t` seconds."},
    "RateLimit-Policy": {**STRING, "description": "What is allowed: `q` requests in `w` seconds."},
}
_BY: Final = {"app": "this app's key", "patient": "this patient"}


def require_rate(parts: Parts, app_id: str, patient_id: str | None = None) -> dict[str, str]:
    """The header fields of the answer. Raises Refused (429)."""
    limits = parts.rate_limits
    told, by, retry_seconds = limits.take(app_id, patient_id, time.monotonic())
    headers = {"RateLimit": told, "RateLimit-Policy": limits.policy}
    if by is not None:
        metrics.REFUSED.labels(problems.RATE_LIMITED.name).inc()
        raise Refused(
            problems.RATE_LIMITED,
            f"More was sent for {_BY[by]} than is allowed.",
            headers={"Retry-After": str(retry_seconds), **headers},
            more={"outcome": "none"},
        )
    return headers
