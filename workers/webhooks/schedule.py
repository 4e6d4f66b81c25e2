"""When a failed delivery is tried again, and when it is given up: pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

JITTER: Final = 0.2
"""Pauses vary by up to this share, so that what failed together does not come back together."""
RETRY_AFTER_MAX_SECONDS: Final = 24 * 3600.0


def pauses_of(text: str) -> tuple[float, ...]:
    """Seconds between attempts, comma separated. Raises ValueError."""
    return tuple(float(part) for part in text.split(","))


def again_in(
    failed: int, pauses: Sequence[float], *, chance: float, retry_after_seconds: float | None = None
) -> float | None:
    """Seconds until the next attempt after ``failed`` failed ones (1 or more), None when none is left.

    ``chance`` in [0, 1) spreads the pause; an endpoint that asks for a longer one gets it, up to a day.
    """
    if failed > len(pauses):
        return None
    pause = pauses[failed - 1] * (1 + JITTER * (2 * chance - 1))
    return max(pause, min(retry_after_seconds or 0.0, RETRY_AFTER_MAX_SECONDS))


def retry_after_seconds(header: str | None, now: datetime) -> float | None:
    """What a Retry-After header asks for (RFC 9110, 10.2.3: seconds or a date), None if it says nothing usable."""
    if header is None:
        return None
    text = header.strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        at = parsedate_to_datetime(text)
    except ValueError:
        return None
    return max((at.replace(tzinfo=at.tzinfo or UTC) - now).total_seconds(), 0.0)
