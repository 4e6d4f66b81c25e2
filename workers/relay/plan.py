"""Which events a round publishes: pure, fair between clinics, never past a missing number."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence

from waiting_room.store.outbox import News, Span, StoredEvent


def plan(news: Sequence[News], limit: int, after: str) -> list[Span]:
    """At most ``limit`` events: an equal share for each clinic, what is left over to the first that have more.

    ``news`` is in ascending clinic_id. Clinics take turns: the first is the one that follows ``after``.
    """
    start = bisect_right([each.clinic_id for each in news], after)
    in_turn = [*news[start:], *news[:start]][:limit]
    if not in_turn:
        return []
    share = limit // len(in_turn)
    left = limit - sum(min(_waiting(each), share) for each in in_turn)
    spans = []
    for each in in_turn:
        wanted = min(_waiting(each), share + left)
        left -= max(wanted - share, 0)
        spans.append(Span(each.clinic_id, each.published_seq, wanted))
    return spans


def unbroken(events: Iterable[StoredEvent], published: Mapping[str, int]) -> list[StoredEvent]:
    """Those events, of ascending (clinic_id, seq), that follow what was published without a number missing."""
    at = dict(published)
    follow = []
    for event in events:
        if event.seq == at[event.clinic_id] + 1:
            at[event.clinic_id] = event.seq
            follow.append(event)
    return follow


def _waiting(news: News) -> int:
    return news.last_seq - news.published_seq
