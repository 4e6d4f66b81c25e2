"""One clinic's line in this worker: first come first served within a rank, priority first.

A booking that must be tried again keeps its place at the head and the others of its rank wait behind it. One that
stepped aside comes back to its place when its time has come, and holds up nobody until then. One whose call is another
worker's takes a slot; when that call is looked at, its rank goes first, or its slot would be a withdrawal's.
"""

from __future__ import annotations

from bisect import insort
from collections import deque
from heapq import heappop, heappush

from workers.pacing.breaker import Breaker
from workers.pacing.limit import Limit
from workers.pacing.offsets import Partition
from workers.pacing.overflow import Overflow
from workers.pacing.work import Rank, Where, Work


class Lane:
    """Holds works; whether and when the next may start. ``now`` is monotonic seconds."""

    def __init__(self, clinic_id: str, limit: Limit, breaker: Breaker) -> None:
        self.clinic_id = clinic_id
        self.limit = limit
        self.breaker = breaker
        self.in_flight = 0
        """Slots taken of ``limit``: calls, claims, and other workers' calls that are still leased."""
        self.waiting = dict.fromkeys(Rank, 0)
        """Works that are not started, aside or not."""
        self.works = 0
        """Works it is responsible for: those that wait, and those that are started."""
        self.started: set[str] = set()
        """booking_refs of works that are started and not finished."""
        self.sources: dict[Partition, Rank] = {}
        """Where its rings come from."""
        self.overflow = Overflow()
        self._fresh: dict[Rank, deque[Work]] = {rank: deque() for rank in Rank}
        self._returned: dict[Rank, list[Work]] = {rank: [] for rank in Rank}  # ascending turns, all before fresh ones
        self._aside: list[tuple[float, int, Work]] = []
        self._from_elsewhere: list[Work] = []  # to be looked at; in their places among those that returned

    def append(self, work: Work) -> None:
        """A new work, behind all others of its rank."""
        work.where = Where.WAITING
        self._fresh[work.rank].append(work)
        self.waiting[work.rank] += 1

    def put_back(self, work: Work, not_before: float) -> None:
        """A started work takes its place again and may start from ``not_before`` on."""
        work.where, work.not_before = Where.WAITING, not_before
        self._return(work)
        self.waiting[work.rank] += 1

    def put_aside(self, work: Work, until: float, *, elsewhere: bool) -> None:
        """A work that is in no place comes back at ``until``; ``elsewhere``: and takes a slot until then."""
        work.where, work.not_before = (Where.ELSEWHERE if elsewhere else Where.ASIDE), until
        heappush(self._aside, (until, work.turn, work))
        self.waiting[work.rank] += 1
        self.in_flight += elsewhere

    def remove(self, work: Work) -> None:
        """Forget a work that is not started."""
        if work.where is Where.WAITING:
            returned = self._returned[work.rank]
            if work in self._from_elsewhere:
                self._from_elsewhere.remove(work)
            if work in returned:
                returned.remove(work)
            else:
                self._fresh[work.rank].remove(work)
        else:
            self._aside.remove((work.not_before, work.turn, work))
            self._aside.sort()  # a sorted list is a heap
            self.in_flight -= work.where is Where.ELSEWHERE
        self.waiting[work.rank] -= 1

    def start(self, now: float) -> Work:
        """The next work starts and takes a slot. Only after ``ready`` said yes, be it at an earlier moment."""
        self._bring_back(now)
        work = self._first_due(now)
        self.waiting[work.rank] -= 1
        self.in_flight += 1
        self.started.add(work.booking_ref)
        work.where, work.has_slot, work.in_flight = Where.STARTED, True, self.in_flight
        work.probe = self.breaker.started()
        self.limit.on_start(now, self.in_flight)
        return work

    def ready(self, now: float) -> bool:
        """Whether a work may start now."""
        self._bring_back(now)
        free = self.in_flight < self.limit.allowed(now) and self.breaker.allows(now)
        return free and self.has_due(now)

    def wake_at(self, now: float) -> float | None:
        """When to ask ``ready`` again if nothing happens until then; None: never. Call it when not ready."""
        moments = [self._aside[0][0]] if self._aside else []
        if self.overflow.again_at is not None:
            moments.append(self.overflow.again_at)
        more_at = self.limit.wake_at(now)
        if self.in_flight < self.limit.allowed(now) or more_at is not None:
            allowed_at = 0.0 if more_at is None or self.in_flight < self.limit.allowed(now) else more_at
            if self.breaker.open:
                probe_at = self.breaker.probe_at
                if probe_at is None:
                    return min(moments, default=None)
                allowed_at = max(allowed_at, probe_at)
            moments.extend(max(head.not_before, allowed_at) for head in map(self._head, Rank) if head is not None)
        return min(moments, default=None)

    @property
    def waiting_all(self) -> int:
        """Works of any rank that are not started."""
        return sum(self.waiting.values())

    def has_due(self, now: float) -> bool:
        """Whether a work waits for nothing but its clinic."""
        return any(self._due(rank, now) for rank in Rank)

    def refs(self) -> tuple[str, ...]:
        """Of all works there are."""
        lined_up = (work for rank in Rank for works in (self._returned[rank], self._fresh[rank]) for work in works)
        return (*(work.booking_ref for work in (*lined_up, *(work for _, _, work in self._aside))), *self.started)

    def _first_due(self, now: float) -> Work:
        ranks = (*(work.rank for work in self._from_elsewhere[:1]), *Rank)
        rank = next(rank for rank in ranks if self._due(rank, now))
        returned = self._returned[rank]
        work = returned.pop(0) if returned else self._fresh[rank].popleft()
        if work in self._from_elsewhere:
            self._from_elsewhere.remove(work)
        return work

    def _head(self, rank: Rank) -> Work | None:
        returned, fresh = self._returned[rank], self._fresh[rank]
        return returned[0] if returned else fresh[0] if fresh else None

    def _due(self, rank: Rank, now: float) -> bool:
        head = self._head(rank)
        return head is not None and head.not_before <= now

    def _bring_back(self, now: float) -> None:
        while self._aside and self._aside[0][0] <= now:
            _, _, work = heappop(self._aside)
            if work.where is Where.ELSEWHERE:
                self.in_flight -= 1
                self._from_elsewhere.append(work)
            work.where = Where.WAITING
            self._return(work)

    def _return(self, work: Work) -> None:
        insort(self._returned[work.rank], work, key=lambda each: each.turn)
