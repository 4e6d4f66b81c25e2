"""Days that one ingress has read and others may use: what the copies in ``calendars`` lend each other by the hot tier.

A day is lent with what it is right as of, its clinic's counters. It is borrowed before PostgreSQL is asked what has
happened since, so that the answer judges it like a copy of one's own: nothing is believed because it stands there.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Annotated, Final, NamedTuple

import msgspec
import structlog

from waiting_room.hot_tier import HotTier
from waiting_room.store.slots import NEVER, Aware, News, TakenRow

log = structlog.get_logger(__name__)
KEPT_SECONDS: Final = 30.0
"""No day is used for longer, wherever it was kept, in case somebody changed the tables by hand."""
_BEHIND_MAX: Final = 100
"""Events by which one day may be older than another of its clinic: what has happened since the oldest is looked up
for all of them, and too much of it is not told."""


Counter = Annotated[int, msgspec.Meta(ge=0, le=2**62)]
"""PostgreSQL is asked with it."""


class DayKey(NamedTuple):
    clinic_id: str
    provider_id: str
    day: date
    """By the clinic's calendar."""


class LentDay(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What was taken from ``from_at`` to ``until``, as read at ``read_at`` (the database's clock)."""

    seq: Counter
    busy_version: Counter
    read_at: Aware
    from_at: Aware
    until: Aware
    rows: tuple[TakenRow, ...]

    def age_seconds(self, news: News) -> float:
        """When the news came."""
        return (news.now - self.read_at).total_seconds()

    def may_be_right(self, since: int, news: News) -> bool:
        """Unless a booking in ``news.touched``, of the events after ``since``, has to do with it."""
        return (
            since <= self.seq <= news.seq
            and self.busy_version == news.busy_version
            and news.touched is not None
            and 0 <= self.age_seconds(news) <= KEPT_SECONDS
        )


Lent = dict[DayKey, LentDay]
_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(LentDay).decode


class SharedDays:
    """Without a hot tier nothing is lent nor borrowed."""

    def __init__(self, tier: HotTier | None) -> None:
        self._tier = tier

    async def borrow(self, keys: Sequence[DayKey]) -> Lent:
        """Those of these days that others have lent."""
        if self._tier is None or not keys:
            return {}
        found: Lent = {}
        for key, value in zip(keys, await self._tier.get([_name(key) for key in keys]), strict=True):
            if value is not None:
                try:
                    found[key] = _decode(value)
                except (msgspec.DecodeError, UnicodeDecodeError) as error:
                    log.warning("lent_day_unreadable", provider_id=key.provider_id, error=type(error).__name__)
        return found

    def lend(self, key: DayKey, day: LentDay) -> None:
        if self._tier is not None:
            self._tier.put(_name(key), _encode(day), KEPT_SECONDS)


def since_of(own: int, lent: Sequence[LentDay]) -> int:
    """From which of a clinic's events on to ask, so that one's ``own`` copy and what is lent can be judged. Pure.

    Days that lag far behind the newest are left out: asking for their sake might tell nothing about the others.
    """
    newest = max((each.seq for each in lent), default=NEVER)
    if newest == NEVER or (own != NEVER and newest < own - _BEHIND_MAX):
        return own
    floor = max(newest, own) - _BEHIND_MAX
    usable = [each.seq for each in lent if each.seq >= floor]
    return min(usable) if own == NEVER else min(own, *usable)


def _name(key: DayKey) -> str:
    """With the version of what is written: another version of this program may write something else."""
    return f"day:1:{key.clinic_id}:{key.provider_id}:{key.day.isoformat()}"
