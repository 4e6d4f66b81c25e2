"""Marks in the hot tier: starts of which hold has seen that no seat is left. A mark says where it is worth looking, and
proves nothing: only PostgreSQL knows whether a seat came free meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Final

from waiting_room.hot_tier import HotTier

MARKED_SECONDS: Final = 120.0
Start = tuple[str, datetime]
"""(provider_id, start_at)"""


def key_of(start: Start) -> str:
    provider_id, start_at = start
    return f"taken:1:{provider_id}:{int(start_at.timestamp())}"


def mark(tier: HotTier, starts: Iterable[Start]) -> None:
    """Say that these are taken; to be called once that is committed."""
    for start in starts:
        tier.put(key_of(start), b"", MARKED_SECONDS)
